"""What ``auto`` chooses and says, what filters leave out, and what a curriculum warns of."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from curricula import EPOCHS, manifest, quiet

from syllabus.manifests import Manifest, allocate
from syllabus.selectors import importances, inclusion_probabilities
from syllabus.trainer import Curriculum, ManifestSampler, TrainerError
from syllabus.trainer.curriculum import advice


def told(neighbours: dict | None = None, subsets: dict | None = None, ess: float | None = None) -> Manifest:
    """A manifest that says other things of itself than it measured."""
    other = manifest(240, 12, 6, neighbours=True)
    description = copy.deepcopy(other.description)
    description.pop("neighbours")
    if neighbours:
        description["neighbours"] = neighbours
    for entry in description["subsets"]:
        entry.update(subsets or {})
    if ess is not None:
        description["importances"]["radius"]["ess"] = {"mean": ess}
    return Manifest(other.store, description)


def neighbours(zero: float | None, median: float, share: float) -> dict:
    kind = "number" if zero is None else "class"
    return {
        "agreement": {"kind": kind, "median": median, "zero_share": zero},
        "duplicates": {"share": share, "groups": 0},
    }


NOISY, CLEAN = neighbours(0.2, 0.8, 0.0), neighbours(0.02, 0.9, 0.01)


# auto


@pytest.mark.parametrize(
    ("known", "fraction", "schedule", "filters"),
    [
        (None, 0.1, "fresh", ()),
        (None, 0.02, "coverage", ()),
        (neighbours(0.05, 0.9, 0.05), 0.021, "fresh", ()),
        (neighbours(0.051, 0.7, 0.0), 0.1, "fresh", ("drop_suspects",)),
        (neighbours(0.3, 0.69, 0.0), 0.1, "fresh", ()),
        (neighbours(None, 0.9, 0.051), 0.1, "fresh", ("one_per_duplicate_group",)),
        (neighbours(0.2, 0.8, 0.3), 0.01, "coverage", ("drop_suspects", "one_per_duplicate_group")),
        ({"agreement": None, "duplicates": {"share": 0.99, "groups": 5}}, 0.1, "fresh", ()),
        ({"agreement": None, "duplicates": {"share": 0.0, "groups": 0}}, 0.1, "fresh", ()),
    ],
)
def test_auto_follows_the_shares_in_the_manifest(known, fraction, schedule, filters):
    choice = advice.choose(told(known), fraction, None)
    assert (choice.schedule, choice.filters) == (schedule, filters)
    assert choice.reason.startswith(f"auto: {schedule} (")
    assert "\n" not in choice.reason


def test_auto_says_the_figures_it_went_by_and_what_it_does_not_know():
    reason = advice.choose(told(neighbours(0.166, 0.8, 0.012)), 0.1, None).reason
    assert reason == (
        "auto: fresh (fraction 0.1 is above 0.02), drop_suspects (16.6% of the labels are shared by no"
        " neighbour, median agreement 0.80: above 5% with a median of 0.7;"
        " 1.2% are near-duplicates: not above 5%)"
    )
    assert "does not know its examples' neighbours" in advice.choose(told(), 0.1, None).reason
    bare = told()
    bare.importances = ("radius",)
    choice = advice.choose(bare, 0.01, ())
    assert choice.schedule == "fresh"
    assert "no importance 'facility_location' for 'coverage'), filters as given" in choice.reason


def test_auto_is_the_default_and_is_printed_once_by_the_first_rank(capsys):
    advice.print_once.cache_clear()
    first = Curriculum(manifest(), 0.3, EPOCHS, seed=0)
    same = Curriculum(manifest(), 0.3, EPOCHS, "auto", seed=1)
    assert capsys.readouterr().err == f"{first.reason}\n"
    assert same.reason == first.reason
    assert (first.schedule, first.filters) == ("fresh", ())
    fresh = Curriculum(manifest(), 0.3, EPOCHS, "fresh", seed=0)
    assert fresh.reason == ""
    assert first.identity() == fresh.identity()


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_the_reason_is_printed_by_the_first_rank_only(rank, lines):
    code = (
        "import sys; from syllabus.manifests import Manifest; from syllabus.trainer import Curriculum\n"
        "Curriculum(Manifest.open(sys.argv[1]), 0.3, 4, seed=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, manifest().location],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "RANK": rank},
    )
    assert len(done.stderr.splitlines()) == lines


# Filters


def kept_of(one: Manifest, filters: tuple[str, ...]) -> list[int]:
    """By the definition, row by row."""
    rows = one.table("examples").to_pylist()
    if "drop_suspects" in filters:
        rows = [row for row in rows if row["neighbour_agreement"] != 0]
    if "one_per_duplicate_group" in filters:
        first: dict[int, int] = {}
        for row in rows:
            first.setdefault(row["duplicate_group"], row["index"])
        rows = [row for row in rows if first[row["duplicate_group"]] == row["index"]]
    return [row["index"] for row in rows]


BOTH = ("one_per_duplicate_group", "drop_suspects")


@pytest.mark.parametrize("filters", [("drop_suspects",), ("one_per_duplicate_group",), BOTH])
@pytest.mark.parametrize("schedule", ["fresh", "redraw", "radius", "coverage"])
def test_filtered_examples_are_never_drawn_and_the_budget_stays(filters, schedule):
    one = manifest(240, 4, neighbours=True)
    kept = kept_of(one, filters)
    assert 30 < len(kept) < 240
    curriculum = quiet(one, 0.1, 30, schedule, seed=0, filters=filters)
    assert (len(curriculum), curriculum.n) == (24, len(kept))
    assert sum(curriculum.left_out.values()) == 240 - len(kept)
    np.testing.assert_array_equal(curriculum.examples, kept)
    seen = [curriculum.indices(epoch) for epoch in range(30)]
    assert set(np.concatenate(seen).tolist()) <= set(kept)
    if schedule in ("redraw", "radius"):
        owner = dict(zip(one.examples().tolist(), one.partitions().tolist(), strict=True))
        sizes = np.bincount([owner[i] for i in kept], minlength=4)
        for indices in seen:
            drawn = np.bincount([owner[i] for i in indices.tolist()], minlength=4)
            np.testing.assert_array_equal(drawn, allocate(24, sizes))
    if schedule == "fresh":
        cycle = -(-len(kept) // 24)
        assert set(np.concatenate(seen[:cycle]).tolist()) == set(kept)


def test_a_suspect_does_not_stand_for_its_group():
    one = manifest(240, 4, neighbours=True)
    both = quiet(one, 0.1, 4, "fresh", seed=0, filters=BOTH)
    groups = {row["index"]: row["duplicate_group"] for row in one.table("examples").to_pylist()}
    suspects = quiet(one, 0.1, 4, "fresh", seed=0, filters=("drop_suspects",))
    assert {groups[i] for i in both.examples.tolist()} == {groups[i] for i in suspects.examples.tolist()}


def test_what_is_left_is_all_there_is_at_fraction_one():
    one = manifest(240, 4, neighbours=True)
    curriculum = quiet(one, 1.0, 4, "fresh", seed=0, filters=("drop_suspects",))
    assert len(curriculum) == curriculum.n == len(kept_of(one, ("drop_suspects",)))
    np.testing.assert_array_equal(curriculum.indices(3), curriculum.examples)
    assert sorted(ManifestSampler(curriculum)) == curriculum.examples.tolist()


@pytest.mark.parametrize(
    ("known", "name", "message"),
    [
        (None, "drop_suspects", "'drop_suspects': the manifest has no neighbour agreement"),
        (None, "one_per_duplicate_group", "the manifest has no duplicate groups"),
        (neighbours(None, 0.9, 0.0), "drop_suspects", "labels are of kind 'number' no agreement is suspect"),
    ],
)
def test_a_filter_that_has_nothing_to_go_by_is_refused(known, name, message):
    with pytest.raises(TrainerError, match=message):
        Curriculum(told(known), 0.1, 4, "fresh", seed=0, filters=[name])


def test_milos_stored_subsets_refuse_filters_and_its_draws_take_them():
    one = manifest(240, 4, neighbours=True)
    options = {"seed": 0, "filters": ("drop_suspects",)}
    with pytest.raises(TrainerError, match=r"stored subsets were chosen without; give easy_fraction=0"):
        Curriculum(one, 0.1, 12, "milo", **options)
    drawn = quiet(one, 0.1, 12, "milo", easy_fraction=0.0, **options)
    assert set(drawn.indices(3).tolist()) <= set(kept_of(one, ("drop_suspects",)))


# Warnings


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
        ({"neighbours": NOISY}, "radius", {}, "importance 'radius' draws what is unlike the rest, and 20.0%"),
        ({"neighbours": NOISY, "ess": 0.5}, "radius", {}, "'radius' (effective sample size 0.50) draws"),
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
        ({"neighbours": NOISY, "ess": 0.9}, "radius", {}),
        ({"neighbours": NOISY}, "radius", {"filters": ["drop_suspects"]}),
        ({"neighbours": NOISY}, "milo", {}),  # disparity-min as published is uniform
        ({"neighbours": CLEAN}, "radius", {}),
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
