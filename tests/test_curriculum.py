"""The curriculum: purity, budgets, freshness, and that weighted draws follow their weights."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, allocate, budget
from syllabus.trainer import SCHEDULES, Curriculum, TrainerError

EPOCHS = 12
ROOT = tempfile.TemporaryDirectory(prefix="syllabus-curriculum-")
SHAPES = [(1, 1), (7, 3), (40, 0), (60, 4), (101, 5), (240, 12)]
FRACTIONS = [0.05, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 1.0]
relations = settings(deadline=None, max_examples=40, derandomize=True)


@cache
def manifest(n: int = 101, classes: int = 5, subsets: int = 4) -> Manifest:
    stored = sorted({budget(f, n): f for f in FRACTIONS if 0 < budget(f, n) < n}.items())
    return write_small_manifest(
        tempfile.mkdtemp(dir=ROOT.name),
        n=n,
        classes=classes,
        fractions=[fraction for _, fraction in stored] or [1.0],
        subsets=subsets,
    )


def quiet(*arguments, **options) -> Curriculum:
    """A curriculum; that stored subsets come again is what some cases are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Curriculum(*arguments, **options)


def counts_of(curriculum: Curriculum, indices: np.ndarray) -> np.ndarray:
    owner = dict(zip(curriculum.examples.tolist(), curriculum.manifest.partitions().tolist(), strict=True))
    parts = [owner[index] for index in indices.tolist()]
    return np.bincount(parts, minlength=len(curriculum.manifest.partition_sizes))


cases = st.tuples(
    st.sampled_from(SHAPES), st.sampled_from(FRACTIONS), st.integers(0, 3), st.sampled_from([1, 2, 5])
).filter(lambda case: budget(case[1], case[0][0]) > 0)


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
        if epoch % refresh and epoch >= walked.easy_epochs + refresh:
            first = epoch - (epoch - walked.easy_epochs) % refresh
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


# fresh


@relations
@given(case=cases, cycle=st.integers(0, 2))
def test_fresh_repeats_nothing_until_everything_was_seen(case, cycle):
    (n, classes), fraction, seed, _ = case
    k = budget(fraction, n)
    length = -(-n // k)
    curriculum = Curriculum(manifest(n, classes), fraction, 3 * length, "fresh", seed=seed)
    epochs = [curriculum.indices(cycle * length + slot) for slot in range(length)]
    seen = np.concatenate(epochs[:-1]) if length > 1 else np.empty(0, np.int64)
    assert len(np.unique(seen)) == len(seen) == (length - 1) * k
    # The last slice: all that is left, filled up with what was seen longest ago.
    left = np.setdiff1d(curriculum.examples, seen)
    assert set(left.tolist()) <= set(epochs[-1].tolist())
    refill = np.setdiff1d(epochs[-1], left)
    assert len(refill) == length * k - n
    assert set(refill.tolist()) <= set(epochs[0].tolist())


@pytest.mark.parametrize(("n", "fraction"), [(240, 0.1), (240, 1 / 3), (60, 0.05), (240, 0.5)])
def test_a_fresh_cycle_at_a_whole_number_of_epochs_is_a_permutation_of_the_data(n, fraction):
    curriculum = Curriculum(manifest(n, 4), fraction, 2 * round(1 / fraction), "fresh", seed=1)
    cycles = np.split(np.concatenate([curriculum.indices(e) for e in range(curriculum.epochs)]), 2)
    for cycle in cycles:
        np.testing.assert_array_equal(np.sort(cycle), curriculum.examples)
    assert (cycles[0] != cycles[1]).any()


@relations
@given(case=cases)
def test_fresh_keeps_every_partition_within_two_of_its_share(case):
    (n, classes), fraction, seed, _ = case
    curriculum = Curriculum(manifest(n, classes), fraction, EPOCHS, "fresh", seed=seed)
    share = len(curriculum) * curriculum.manifest.partition_sizes / n
    for epoch in range(EPOCHS):
        assert np.abs(counts_of(curriculum, curriculum.indices(epoch)) - share).max() < 2


@pytest.mark.parametrize("rule", ["equal", "sqrt"])
def test_fresh_with_other_budgets_repeats_nothing_inside_a_partition_until_it_was_seen(rule):
    curriculum = Curriculum(manifest(101, 5), 0.25, 40, "fresh", seed=0, budgets=rule)
    partitions, sizes = curriculum.manifest.partitions(), curriculum.manifest.partition_sizes
    counts = allocate(len(curriculum), sizes, rule)
    for part, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        members = curriculum.examples[partitions == part]
        length = -(-size // count)
        for cycle in range(2):
            epochs = [
                np.intersect1d(curriculum.indices(cycle * length + slot), members) for slot in range(length)
            ]
            assert [len(epoch) for epoch in epochs] == [count] * length
            assert len(np.unique(np.concatenate(epochs[:-1]))) == (length - 1) * count
            np.testing.assert_array_equal(np.unique(np.concatenate(epochs)), members)


# redraw and the weighted draws


@pytest.mark.parametrize("rule", ["equal", "proportional", "sqrt"])
@pytest.mark.parametrize(("schedule", "easy"), [("redraw", 0.0), ("milo", 0.0)])
def test_drawn_epochs_have_exact_budgets_in_every_partition_and_differ(schedule, easy, rule):
    curriculum = Curriculum(
        manifest(), 0.3, EPOCHS, schedule, seed=0, easy_fraction=easy, budgets=rule, importance="radius"
    )
    expected = allocate(len(curriculum), curriculum.manifest.partition_sizes, rule)
    epochs = [curriculum.indices(epoch) for epoch in range(EPOCHS)]
    for indices in epochs:
        np.testing.assert_array_equal(counts_of(curriculum, indices), expected)
    assert len({indices.tobytes() for indices in epochs}) == EPOCHS


def test_the_budget_rule_is_the_manifests_unless_given():
    assert Curriculum(manifest(), 0.3, 1, "redraw", seed=0).budgets == "proportional"
    altered = Manifest.open(manifest().location)
    altered.description["options"]["budgets"] = "equal"
    assert Curriculum(altered, 0.3, 1, "redraw", seed=0).budgets == "equal"


def test_redraw_includes_every_example_equally_often():
    curriculum = Curriculum(manifest(60, 4), 0.25, 4000, "redraw", seed=3)
    share = (
        allocate(len(curriculum), curriculum.manifest.partition_sizes) / curriculum.manifest.partition_sizes
    )
    times = Counter(itertools.chain.from_iterable(curriculum.indices(e).tolist() for e in range(4000)))
    for index, part in zip(curriculum.examples.tolist(), curriculum.manifest.partitions(), strict=True):
        p = share[part]
        assert abs(times[index] - 4000 * p) < 4.5 * np.sqrt(4000 * p * (1 - p))


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


def test_first_picks_of_weighted_draws_follow_the_importance():
    # With a budget of one in a partition, the draw is the first pick.
    curriculum = Curriculum(
        manifest(40, 0), 0.025, 6000, "milo", seed=0, easy_fraction=0.0, importance="radius"
    )
    table = curriculum.manifest.importance("radius")
    p = dict(zip(table["index"].to_pylist(), table["probability"].to_pylist(), strict=True))
    times = Counter(int(curriculum.indices(epoch)[0]) for epoch in range(6000))
    observed = np.array([times[index] for index in curriculum.examples.tolist()])
    expected = np.array([6000 * p[index] for index in curriculum.examples.tolist()])
    assert expected.min() > 5
    assert chi_square(observed, expected) < 73  # 39 degrees of freedom, p = .001
    uniform = np.full(len(observed), 6000 / len(observed))
    assert chi_square(observed, uniform) > 1000


# milo


def test_milo_walks_the_stored_subsets_and_then_draws():
    curriculum = Curriculum(manifest(240, 12, 6), 0.1, 30, "milo", seed=0)
    assert curriculum.easy_epochs == 5
    walked = [curriculum.subset_of(epoch) for epoch in range(30)]
    assert len(set(walked[:5])) == 5
    assert walked[5:] == [None] * 25
    for epoch in range(5):
        stored = curriculum.manifest.subset(0.1, walked[epoch])
        np.testing.assert_array_equal(curriculum.indices(epoch), np.sort(stored))


@pytest.mark.parametrize(
    ("epochs", "easy_fraction", "easy"),
    [
        (6, 1 / 6, 1),
        (7, 1 / 6, 2),
        (12, 1 / 6, 2),
        (60, 1 / 6, 10),
        (30, 0.1, 3),
        (10, 0.7, 7),
        (4, 1.0, 4),
        (4, 0, 0),
    ],
)
def test_the_easy_phase_is_the_ceiling(epochs, easy_fraction, easy):
    assert quiet(manifest(), 0.3, epochs, "milo", seed=0, easy_fraction=easy_fraction).easy_epochs == easy


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_too_few_subsets_come_again_with_a_warning_but_never_twice_running(count):
    with pytest.warns(
        UserWarning, match=rf"24 easy epochs .* need 24 subsets and the manifest holds {count}:"
    ):
        curriculum = Curriculum(manifest(60, 4, count), 0.1, 24, "milo", seed=0, easy_fraction=1.0)
    walked = [curriculum.subset_of(epoch) for epoch in range(24)]
    for lap in range(24 // count):
        assert sorted(walked[lap * count : (lap + 1) * count]) == list(range(count))
    if count > 1:
        assert all(a != b for a, b in itertools.pairwise(walked))


def test_enough_subsets_need_no_warning():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Curriculum(manifest(60, 4, 4), 0.1, 24, "milo", seed=0)
        Curriculum(manifest(60, 4, 4), 0.1, 48, "milo", seed=0, refresh_every=2)
    assert not warned


# Callables and errors


def test_a_function_is_a_schedule():
    def lowest(curriculum, epoch):
        return curriculum.examples[epoch : epoch + len(curriculum)][::-1]

    curriculum = Curriculum(manifest(), 0.1, 4, lowest, seed=0)
    np.testing.assert_array_equal(curriculum.indices(3), curriculum.examples[3:13])
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
        ({"schedule": "mile"}, r"schedule 'mile' is unknown; known: fresh, milo, redraw"),
        ({"budgets": "most"}, r"budgets 'most' is unknown; known: equal, proportional, sqrt"),
        (
            {"schedule": "milo", "importance": "beauty"},
            r"importance 'beauty' is not in the manifest; stored: disparity_min, radius",
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
