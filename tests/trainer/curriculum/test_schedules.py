"""The schedules: freshness, weighted draws that follow their weights, the walk over subsets, phases."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter

import numpy as np
import pytest
from curricula import EPOCHS, cases, counts_of, manifest, quiet, relations
from hypothesis import given
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, allocate, budget
from syllabus.trainer import Curriculum
from syllabus.trainer.curriculum.phases import Phases

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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rule", ["equal", "proportional", "sqrt"])
def test_fresh_passes_over_a_partition_without_examples(tmp_path, rule):
    made = write_small_manifest(tmp_path / "m", n=60, classes=3)
    full = [Curriculum(made, 0.3, 5, "fresh", seed=1, budgets=rule).indices(e) for e in range(5)]
    made.partition_sizes = np.append(made.partition_sizes, 0)  # as of a cluster that nothing fell into
    with_empty = Curriculum(made, 0.3, 5, "fresh", seed=1, budgets=rule)
    for epoch, indices in enumerate(full):
        np.testing.assert_array_equal(with_empty.indices(epoch), indices)


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


def test_threads_draw_the_same(monkeypatch):
    plain = [Curriculum(manifest(), 0.3, 8, "fresh", seed=0).indices(epoch) for epoch in range(8)]
    monkeypatch.setattr("syllabus.trainer.curriculum.strata.THREADED", 0)
    threaded = Curriculum(manifest(), 0.3, 8, "fresh", seed=0)
    for epoch in (7, 0, 3, 1, 2, 6, 5, 4):
        np.testing.assert_array_equal(threaded.indices(epoch), plain[epoch])


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


@pytest.mark.parametrize("schedule", ["radius", "redraw"])
@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_draw_is_kept_for_as_many_epochs_as_asked_and_is_then_the_next(schedule, every):
    once = quiet(manifest(), 0.3, EPOCHS, schedule, seed=0)
    kept = quiet(manifest(), 0.3, EPOCHS, schedule, seed=0, refresh_every=every)
    for epoch in range(EPOCHS):
        np.testing.assert_array_equal(kept.indices(epoch), once.indices(epoch // every))


def test_the_budget_rule_is_the_manifests_unless_given():
    assert Curriculum(manifest(), 0.3, 1, "redraw", seed=0).budgets == "proportional"
    description = manifest().description
    options = {**description["options"], "budgets": "equal"}
    altered = Manifest(manifest().store, {**description, "options": options})
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
        curriculum = Curriculum(manifest(60, 4, count), 0.1, 25, "milo", seed=0, easy_fraction=24 / 25)
    walked = [curriculum.subset_of(epoch) for epoch in range(24)]
    for lap in range(24 // count):
        assert sorted(walked[lap * count : (lap + 1) * count]) == list(range(count))
    if count > 1:
        assert all(a != b for a, b in itertools.pairwise(walked))


def test_enough_subsets_need_no_warning():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Curriculum(manifest(60, 4, 4), 0.1, 24, "milo", seed=0)
    assert not warned


# Phases


@pytest.mark.parametrize(("share", "rungs"), [(1 / 6, ()), (1 / 6, (1, 3, 9)), (0.5, (2, 7)), (0.0, (4,))])
def test_phases_begin_anew_in_every_span_and_count_on(share, rungs):
    epochs = 27
    phases = Phases(epochs, share, rungs)
    expected, counts = [], [0, 0]
    for first, last in itertools.pairwise([0, *rungs, epochs]):
        easy = int(np.ceil(share * (last - first)))
        for inside in range(last - first):
            phase = 0 if inside < easy else 1
            expected.append((phase == 0, counts[phase]))
            counts[phase] += 1
    assert [phases.of(epoch) for epoch in range(epochs)] == expected
    assert phases.first_epochs == counts[0]


RUNGS = [(False, [0, 1, 2, 3, 4]), (True, [0, 1, 3, 9, 10, 11]), ((5, 20), [0, 5, 6, 7, 20, 21])]


@pytest.mark.parametrize(("per_rung", "easy"), RUNGS)
def test_milo_per_rung_is_easy_at_the_beginning_of_each_rung(per_rung, easy):
    curriculum = Curriculum(manifest(240, 12, 6), 0.1, 27, "milo", seed=0, per_rung=per_rung)
    walked = [curriculum.subset_of(epoch) for epoch in range(27)]
    assert [epoch for epoch in range(27) if walked[epoch] is not None] == easy
    assert len({walked[epoch] for epoch in easy}) == len(easy)  # none comes again because a rung begins
    drawn = [curriculum.indices(epoch).tobytes() for epoch in range(27) if epoch not in easy]
    assert len(set(drawn)) == len(drawn)


# coverage and radius


def test_coverage_draws_by_facility_location_and_then_sees_everything_once():
    curriculum = Curriculum(manifest(240, 4), 0.1, 20, "coverage", seed=3)
    assert (curriculum.easy_epochs, curriculum.importance) == (10, "facility_location")
    weighted = Curriculum(
        manifest(240, 4), 0.1, 20, "milo", seed=3, easy_fraction=0.0, importance="facility_location"
    )
    for epoch in range(10):
        np.testing.assert_array_equal(curriculum.indices(epoch), weighted.indices(epoch))
    rest = np.concatenate([curriculum.indices(epoch) for epoch in range(10, 20)])
    np.testing.assert_array_equal(np.sort(rest), curriculum.examples)
    assert curriculum.subset_of(0) is None


def test_radius_draws_every_epoch_by_radius():
    curriculum = Curriculum(manifest(), 0.3, 6, "radius", seed=1)
    weighted = Curriculum(manifest(), 0.3, 6, "milo", seed=1, easy_fraction=0.0, importance="radius")
    for epoch in range(6):
        np.testing.assert_array_equal(curriculum.indices(epoch), weighted.indices(epoch))
    assert curriculum.identity()["importance"] == "radius"
