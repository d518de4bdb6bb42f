"""Warnings of curricula that are measured to do harm: one line each, with the figure."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from curricula import manifest
from told_manifests import CLEAN, NOISY, section, told

from syllabus.manifests import Manifest
from syllabus.selectors import importances, inclusion_probabilities
from syllabus.trainer import Curriculum


def warned(*arguments, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Curriculum(*arguments, seed=0, **options)
    assert all(caution.filename == __file__ for caution in caught)
    return [str(caution.message) for caution in caught]


@pytest.mark.parametrize(
    ("said", "schedule", "options", "message"),
    [
        ({}, "fresh", {"refresh_every": 5}, "refresh_every=5: a draw kept for 5 epochs costs 1.9"),
        ({}, "milo", {"easy_fraction": 0.75}, "9 easy epochs of fraction 0.1 need 9 subsets and"),
        ({}, "milo", {"easy_fraction": 1.0, "epochs": 4}, "all 4 epochs are easy: near-optimal subsets"),
        ({"subsets": {"jaccard": 0.71}}, "milo", {}, "have a mean Jaccard index of 0.71, above 0.5"),
        (
            {"neighbours": section(), "columns": NOISY},
            "radius",
            {},
            "importance 'radius' draws what is unlike the rest, and 20.8%",
        ),
        (
            {"neighbours": section(), "columns": NOISY, "ess": 0.5},
            "radius",
            {},
            "'radius' (effective sample size 0.50) draws",
        ),
    ],
)
def test_what_is_measured_to_harm_is_one_line_with_the_figure(said, schedule, options, message):
    (line,) = warned(told(**said), 0.1, schedule=schedule, **{"epochs": 12, **options})
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("said", "schedule", "options"),
    [
        ({}, "milo", {"refresh_every": 5, "easy_fraction": 1.0, "fraction": 1.0}),
        ({"subsets": {"jaccard": 0.5}}, "milo", {}),
        ({"subsets": {"jaccard": 0.9}}, "milo", {"epochs": 6}),  # one easy epoch
        ({"neighbours": section(), "columns": NOISY, "ess": 0.9}, "radius", {}),
        ({"neighbours": section(), "columns": NOISY}, "radius", {"filters": ["drop_suspects"]}),
        ({"neighbours": section(), "columns": NOISY}, "milo", {}),  # disparity-min as published is uniform
        ({"neighbours": section(), "columns": CLEAN}, "radius", {}),
        ({}, "fresh", {"refresh_every": 2, "epochs": 1}),
    ],
)
def test_what_is_not_harmful_is_not_warned_of(said, schedule, options):
    assert warned(told(**said), schedule=schedule, **{"fraction": 0.1, "epochs": 12, **options}) == []


def drawing(ess: float, fraction: float = 0.1) -> Manifest:
    """A manifest whose draws by any importance have this effective sample size."""
    one = told()
    for entry in one.description["importances"].values():
        entry["inclusion_ess"] = [{"fraction": 0.01, "mean": 0.01}, {"fraction": fraction, "mean": ess}]
    return one


@pytest.mark.parametrize("schedule", ["coverage", "milo", "radius"])
def test_draws_that_have_a_core_in_common_are_told_with_their_overlap(schedule):
    # The smaller fraction's are not asked for, those of the next larger one are.
    for fraction in (0.1, 0.05):
        (line,) = warned(drawing(0.14), fraction, 12, schedule)
        name = {"coverage": "facility_location", "milo": "disparity_min"}.get(schedule, schedule)
        assert line == (
            f"importance {name!r}: draws of 0.1 have an effective sample size of 0.14, below 0.25: 71% of an"
            " epoch is in any other too (10% of a random one), a core of examples again and again; prepare"
            " the importance with a larger ess"
        )
    assert warned(drawing(0.25), 0.1, 12, schedule) == []
    assert (
        warned(drawing(0.14, fraction=0.05), 0.1, 12, schedule) == []
    )  # nothing is known of so large a draw
    assert warned(drawing(0.14), 0.1, 1, schedule) == []
    assert warned(drawing(0.14), 0.1, 12, "redraw") == []


def test_two_draws_share_the_fraction_over_their_effective_sample_size():
    rng = np.random.default_rng(0)
    n, k = 4_000, 400
    p = importances.tempered_probabilities(rng.normal(size=n), 0.1)
    ess = importances.effective_sample_size(inclusion_probabilities(p, k) / k)
    draws = [np.argsort(np.log(p) + rng.gumbel(size=n))[-k:] for _ in range(20)]
    shared = [len(np.intersect1d(one, other)) / k for one, other in itertools.pairwise(draws)]
    assert abs(np.mean(shared) - k / n / ess) < 0.02
    assert k / n / ess > 0.3


def test_one_subset_for_all_easy_epochs_is_called_fixed():
    (line,) = warned(manifest(60, 4, 1), 0.1, 12, "milo")
    assert "holds 1: it is the same in all of them, and a fixed subset costs 4.6 to 17.6 points" in line


def test_a_function_that_gives_one_set_twice_is_told_so_once():
    fixed = Curriculum(manifest(), 0.1, 4, lambda c, _: c.examples[:10], seed=0)
    fixed.indices(2)
    fixed.indices(2)
    with pytest.warns(UserWarning, match="epochs 1 and 2 have one set: a fixed subset costs 4.6 to 17.6"):
        fixed.indices(1)
    fixed.indices(3)  # a second warning would be an error
