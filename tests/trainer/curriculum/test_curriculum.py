"""The curriculum: purity, exact budgets, functions as schedules, errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from curricula import EPOCHS, cases, manifest, quiet, relations
from hypothesis import given
from hypothesis import strategies as st

from syllabus.manifests import ManifestError, budget
from syllabus.trainer import SCHEDULES, Curriculum, TrainerError

# Every schedule


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@relations
@given(case=cases, budgets=st.sampled_from(["equal", "proportional", "sqrt"]))
def test_an_epoch_has_the_budget_in_ascending_order_and_does_not_depend_on_earlier_calls(
    schedule, case, budgets
):
    (n, classes), fraction, seed, refresh = case
    options = {"schedule": schedule, "seed": seed, "refresh_every": refresh, "budgets": budgets}
    walked = quiet(manifest(n, classes), fraction, EPOCHS, **options)
    known = set(walked.examples.tolist())
    epochs = [walked.indices(epoch) for epoch in range(EPOCHS)]
    for epoch, indices in enumerate(epochs):
        assert indices.dtype == np.int64
        assert len(indices) == len(walked) == budget(fraction, n)
        assert (np.diff(indices) > 0).all()
        assert set(indices.tolist()) <= known
        since = epoch - walked.easy_epochs if schedule in ("coverage", "milo") else epoch
        if since > 0 and since % refresh:
            first = epoch - since % refresh
            np.testing.assert_array_equal(indices, epochs[first])
    backwards = quiet(manifest(n, classes), fraction, EPOCHS, **options)
    for epoch in reversed(range(EPOCHS)):
        np.testing.assert_array_equal(backwards.indices(epoch), epochs[epoch])


def test_another_process_draws_the_same_and_another_seed_does_not():
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from syllabus.manifests import Manifest; from syllabus.trainer import SCHEDULES, Curriculum\n"
        "manifest = Manifest.open(sys.argv[1])\n"
        "for name in sorted(SCHEDULES):\n"
        "    print(Curriculum(manifest, 0.3, 12, name, seed=5).indices(11).tolist())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, manifest().location], check=True, capture_output=True, text=True
    )
    here = [quiet(manifest(), 0.3, EPOCHS, name, seed=5).indices(11).tolist() for name in sorted(SCHEDULES)]
    assert out.stdout.splitlines() == [str(indices) for indices in here]
    other = [quiet(manifest(), 0.3, EPOCHS, name, seed=6).indices(11).tolist() for name in sorted(SCHEDULES)]
    assert all(one != another for one, another in zip(here, other, strict=True))


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_fraction_one_is_the_full_data_without_stored_subsets_and_the_result_is_the_callers(schedule):
    curriculum = Curriculum(manifest(240, 12), 1.0, 3, schedule, seed=0)
    indices = curriculum.indices(2)
    np.testing.assert_array_equal(indices, manifest(240, 12).examples())
    indices[:] = -1
    np.testing.assert_array_equal(curriculum.indices(2), manifest(240, 12).examples())


# Callables and errors


def test_a_function_is_a_schedule():
    def lowest(curriculum, epoch):
        return curriculum.examples[epoch : epoch + len(curriculum)][::-1]

    curriculum = Curriculum(manifest(), 0.1, 4, lowest, seed=0)
    np.testing.assert_array_equal(curriculum.indices(3), curriculum.examples[3:13])
    np.testing.assert_array_equal(curriculum.indices(2), curriculum.examples[2:12])
    assert curriculum.schedule == "lowest"
    assert curriculum.subset_of(0) is None


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda c: c.examples[:9], r"epoch 2 gave int64 of shape \(9,\); expected integers \(10,\)"),
        (lambda c: c.examples[:10] + 0.5, r"gave float64 of shape \(10,\)"),
        (lambda c: c.examples[[0, 1, 2, 3, 4, 5, 6, 7, 8, 3]], r"index 3 more than once"),
        (lambda c: np.append(c.examples[:9], 10**6), r"index 1000000, which is no example"),
        (lambda c: np.append(c.examples[:9], -4), r"index -4, which is no example"),
    ],
)
def test_what_a_function_returns_is_checked(returned, message):
    curriculum = Curriculum(manifest(), 0.1, 4, lambda c, _: returned(c), seed=0)
    with pytest.raises(TrainerError, match=message):
        curriculum.indices(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, r"fraction=0.0 is outside \(0, 1\]"),
        ({"fraction": 1.5}, r"fraction=1.5 is outside \(0, 1\]"),
        ({"fraction": float("nan")}, r"fraction=nan is outside"),
        ({"fraction": 0.001}, r"fraction=0.001 of n=101 is no example"),
        ({"epochs": 0}, r"epochs=0 is below 1"),
        ({"easy_fraction": 1.2}, r"easy_fraction=1.2 is outside \[0, 1\]"),
        ({"refresh_every": 0}, r"refresh_every=0 is below 1"),
        ({"schedule": "mile"}, r"'mile' is unknown; known: auto, coverage, fresh, milo, radius, redraw"),
        ({"schedule": "fresh", "filters": "drop_suspects"}, "filters='drop_suspects' is a text"),
        ({"filters": ["dust"]}, "filter 'dust' is unknown; known: drop_suspects, one_per_duplicate_group"),
        ({"schedule": "fresh", "per_rung": True}, "per_rung: schedule 'fresh' has no phases"),
        ({"schedule": "milo", "per_rung": (3, 3)}, r"per_rung=\(3, 3\) does not ascend within \[1, epochs"),
        ({"schedule": "milo", "per_rung": (3, 13)}, r"per_rung=\(3, 13\) does not ascend"),
        ({"budgets": "most"}, r"budgets 'most' is unknown; known: equal, proportional, sqrt"),
        (
            {"schedule": "milo", "importance": "beauty"},
            r"importance 'beauty' is not in the manifest; stored: disparity_min, facility_location, radius",
        ),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    with pytest.raises(TrainerError, match=message):
        Curriculum(manifest(), **{"fraction": 0.3, "epochs": 12, "seed": 0, **options})


def test_milo_without_subsets_of_the_fraction_lists_the_stored_ones():
    with pytest.raises(ManifestError, match=r"0\.15 .*0\.05, 0\.1, 0\.25"):
        Curriculum(manifest(240, 12), 0.15, 12, "milo", seed=0)


@pytest.mark.parametrize("epoch", [-1, 12])
def test_an_epoch_out_of_range_is_an_error(epoch):
    curriculum = Curriculum(manifest(), 0.3, 12, seed=0)
    for call in (curriculum.indices, curriculum.subset_of):
        with pytest.raises(TrainerError, match=rf"epoch={epoch} is outside \[0, epochs=12\)"):
            call(epoch)
