"""Epochs whose budget counts tokens: what they weigh, and that weights of one number change nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest
from weighted import FRACTIONS, by_partition, even, heaviest, quiet, weighted, weights_of

from syllabus.manifests import allocate, budget
from syllabus.trainer import SCHEDULES, Curriculum, TrainerError, counter_rng

EPOCHS = 12
RULES = ["equal", "proportional", "sqrt"]
relations = settings(deadline=None, max_examples=25, derandomize=True)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@relations
@given(
    shape=st.sampled_from([(101, 5), (60, 4), (240, 12), (40, 0)]),
    fraction=st.sampled_from([*FRACTIONS, 0.33, 1.0]),
    rule=st.sampled_from(RULES),
    refresh=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 3),
)
def test_an_epoch_weighs_the_budget_within_an_example_of_each_partition(
    schedule, shape, fraction, rule, refresh, seed
):
    if schedule == "milo" and fraction == 0.33:
        fraction = 0.25  # it needs stored subsets
    options = {"seed": seed, "refresh_every": refresh, "budgets": rule}
    curriculum = quiet(weighted(*shape), fraction, EPOCHS, schedule, **options)
    total = curriculum.manifest.total
    assert (curriculum.unit, curriculum.budget) == ("tokens", budget(fraction, total))
    counts = [curriculum.count(epoch) for epoch in range(EPOCHS)]
    epochs = [curriculum.indices(epoch) for epoch in range(EPOCHS)]
    longest = heaviest(curriculum)
    for epoch, indices in enumerate(epochs):
        assert indices.dtype == np.int64
        assert len(indices) == counts[epoch] > 0
        assert (np.diff(indices) > 0).all()
        off = int(weights_of(curriculum, indices).sum()) - curriculum.budget
        if curriculum.subset_of(epoch) is not None:
            assert off <= 0
        else:
            assert abs(off) <= longest.sum()
        since = epoch - curriculum.easy_epochs if schedule in ("coverage", "milo") else epoch
        if since > 0 and since % refresh:
            np.testing.assert_array_equal(indices, epochs[epoch - since % refresh])
    again = quiet(weighted(*shape), fraction, EPOCHS, schedule, **options)
    for epoch in reversed(range(EPOCHS)):
        np.testing.assert_array_equal(again.indices(epoch), epochs[epoch])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("schedule", ["radius", "redraw"])
def test_drawn_epochs_have_of_each_partition_its_share_within_half_an_example(schedule, rule):
    curriculum = quiet(weighted(), 0.4, EPOCHS, schedule, budgets=rule)
    share = allocate(curriculum.budget, curriculum.manifest.partition_units, rule)
    epochs = [curriculum.indices(epoch) for epoch in range(EPOCHS)]
    for indices in epochs:
        assert (2 * np.abs(by_partition(curriculum, indices) - share) <= heaviest(curriculum)).all()
    assert len({indices.tobytes() for indices in epochs}) == EPOCHS
    assert len({len(indices) for indices in epochs}) > 1


# fresh


@relations
@given(
    shape=st.sampled_from([(101, 5), (60, 4), (240, 12), (40, 0)]),
    fraction=st.floats(0.12, 0.9),  # no example is heavier than that
    cycle=st.integers(0, 2),
    seed=st.integers(0, 5),
)
def test_fresh_sees_each_example_once_before_any_comes_again(shape, fraction, cycle, seed):
    made = weighted(*shape)
    slots = -(-made.total // budget(fraction, made.total))
    curriculum = Curriculum(made, fraction, 3 * slots, "fresh", seed=seed)
    epochs = [curriculum.indices(cycle * slots + slot) for slot in range(slots)]
    longest = int(heaviest(curriculum).max())
    for indices in epochs:
        # Two cuts, each through the middle of an example at worst.
        assert abs(int(weights_of(curriculum, indices).sum()) - curriculum.budget) <= longest
        share = curriculum.budget * made.partition_units / made.total
        assert (np.abs(by_partition(curriculum, indices) - share) <= 2 * longest).all()
    seen = np.concatenate(epochs[:-1]) if slots > 1 else np.empty(0, np.int64)
    assert len(np.unique(seen)) == len(seen)
    left = np.setdiff1d(made.examples(), seen)
    assert set(left.tolist()) <= set(epochs[-1].tolist())
    # It is filled up with those seen longest ago.
    refill = np.setdiff1d(epochs[-1], left)
    assert set(refill.tolist()) <= set(epochs[0].tolist())


@pytest.mark.parametrize("seed", range(4))
def test_fresh_is_its_definition(seed):
    # One line of all: by the middle of each in its own partition's permutation, as a share of the partition.
    curriculum = Curriculum(weighted(60, 4), 0.3, 8, "fresh", seed=seed)
    made = curriculum.manifest
    index, part, weight = made.examples(), made.partitions(), made.weights()
    slots = -(-made.total // curriculum.budget)
    for cycle in range(2):
        words = counter_rng.random_uint64(counter_rng.key(seed, "fresh", cycle), index)
        entries = []
        for number, units in enumerate(made.partition_units.tolist()):
            begin = 0
            for row in sorted(np.flatnonzero(part == number).tolist(), key=lambda row: words[row]):
                middle = Fraction(2 * begin + int(weight[row]), 2 * units)
                entries.append((middle, number, int(index[row]), int(weight[row])))
                begin += int(weight[row])
        middles, begin = [], 0
        for _, _, member, length in sorted(entries):
            middles.append((begin + Fraction(length, 2), member))
            begin += length
        for slot in range(slots):
            start, stop = slot * curriculum.budget, (slot + 1) * curriculum.budget
            expected = {m for at, m in middles if start <= at < stop or at + made.total < stop}
            assert set(curriculum.indices(cycle * slots + slot).tolist()) == expected


@pytest.mark.parametrize("rule", ["equal", "sqrt"])
def test_fresh_with_other_budgets_repeats_nothing_inside_a_partition_until_it_was_seen(rule):
    curriculum = Curriculum(weighted(), 0.25, 40, "fresh", seed=0, budgets=rule)
    made = curriculum.manifest
    shares = allocate(curriculum.budget, made.partition_units, rule)
    longest = heaviest(curriculum)
    for part, (units, share) in enumerate(zip(made.partition_units, shares, strict=True)):
        members = curriculum.examples[made.partitions() == part]
        slots = -(-units // share)
        for cycle in range(2):
            epochs = [
                np.intersect1d(curriculum.indices(cycle * slots + slot), members) for slot in range(slots)
            ]
            for indices in epochs:
                assert abs(int(weights_of(curriculum, indices).sum()) - share) <= longest[part]
            seen = np.concatenate(epochs[:-1])
            assert len(np.unique(seen)) == len(seen)
            np.testing.assert_array_equal(np.unique(np.concatenate(epochs)), members)


def test_threads_draw_the_same(monkeypatch):
    plain = [Curriculum(weighted(), 0.3, 8, "fresh", seed=0).indices(epoch) for epoch in range(8)]
    monkeypatch.setattr("syllabus.trainer.curriculum.strata.THREADED", 0)
    threaded = Curriculum(weighted(), 0.3, 8, "fresh", seed=0)
    for epoch in (7, 0, 3, 1, 2, 6, 5, 4):
        np.testing.assert_array_equal(threaded.indices(epoch), plain[epoch])


# What weights are measured in


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("schedule", ["coverage", "fresh", "milo", "radius", "redraw"])
@pytest.mark.parametrize("fraction", [*FRACTIONS, 1 / 3])
def test_equal_weights_are_no_weights(schedule, rule, fraction):
    options = {"budgets": rule, **({"easy_fraction": 0.0} if schedule == "milo" else {})}
    plain = quiet(even(None), fraction, EPOCHS, schedule, **options)
    for length in (1, 7, 640):
        weighed = quiet(even(length), fraction, EPOCHS, schedule, **options)
        assert weighed.budget == budget(fraction, 101 * length)
        for epoch in range(EPOCHS):
            assert weighed.count(epoch) == len(plain)
            np.testing.assert_array_equal(weighed.indices(epoch), plain.indices(epoch))


@pytest.mark.parametrize("schedule", ["coverage", "fresh", "radius", "redraw"])
def test_epochs_do_not_depend_on_what_weights_are_measured_in(schedule):
    once = quiet(weighted(subsets=False), 0.3, EPOCHS, schedule)
    times = quiet(weighted(subsets=False, scale=1000), 0.3, EPOCHS, schedule)
    assert times.budget != once.budget
    for epoch in range(EPOCHS):
        np.testing.assert_array_equal(once.indices(epoch), times.indices(epoch))


# Its parts


def test_there_is_no_length_but_the_epochs_counts():
    curriculum = Curriculum(weighted(), 0.25, EPOCHS, "redraw", seed=0)
    with pytest.raises(TrainerError, match=r"len\(curriculum\): .* 'tokens' .* ask count\(epoch\)"):
        len(curriculum)
    assert len({curriculum.count(epoch) for epoch in range(EPOCHS)}) > 1
    with pytest.raises(TrainerError, match=r"count: epoch=12 is outside \[0, epochs=12\)"):
        curriculum.count(EPOCHS)
    full = Curriculum(weighted(), 1.0, 3, "fresh", seed=0)
    assert full.full
    assert (full.count(2), len(full.indices(2))) == (101, 101)


def test_the_identity_names_unit_and_total():
    identity = Curriculum(weighted(), 0.25, 3, "fresh", seed=0).identity()
    total = weighted().total
    assert (identity["budget"], identity["unit"], identity["total"]) == (budget(0.25, total), "tokens", total)
    assert not {"unit", "total"} & set(Curriculum(even(None), 0.25, 3, "fresh", seed=0).identity())


def test_filters_leave_the_budget_until_less_is_left():
    made = weighted(240, 12, True)
    for fraction in (0.1, 0.99):
        curriculum = quiet(made, fraction, 6, "fresh", filters=("one_per_duplicate_group",))
        left = int(weights_of(curriculum, curriculum.examples).sum())
        assert curriculum.budget == min(budget(fraction, made.total), left)
        assert curriculum.full == (fraction == 0.99)
        for epoch in range(6):
            weight = int(weights_of(curriculum, curriculum.indices(epoch)).sum())
            assert abs(weight - curriculum.budget) <= heaviest(curriculum).max()
            assert np.isin(curriculum.indices(epoch), curriculum.examples).all()


def test_milo_walks_the_stored_subsets_and_warns_of_too_few():
    with pytest.warns(UserWarning, match="6 easy epochs .* need 6 subsets and the manifest holds 5:"):
        curriculum = Curriculum(weighted(), 0.25, 12, "milo", seed=0, easy_fraction=0.5)
    for epoch in range(6):
        stored = curriculum.manifest.subset(0.25, curriculum.subset_of(epoch))
        assert curriculum.count(epoch) == len(stored)
        np.testing.assert_array_equal(curriculum.indices(epoch), np.sort(stored))


def test_a_weight_below_one_is_refused(tmp_path):
    made = write_small_manifest(tmp_path / "m", n=9, fractions=(), weights=[3] * 9)
    made.weights = lambda: np.array([3, 3, 0, 3, 3, 3, 3, 3, 3])
    with pytest.raises(TrainerError, match="examples/: index 2 has weight 0, below 1"):
        Curriculum(made, 0.5, 3, "fresh", seed=0)


# Functions


def own(take):
    def mine(curriculum, epoch):
        return take(curriculum.examples[epoch:], curriculum)

    return mine


def test_a_function_may_give_any_number_within_the_budget_and_the_heaviest_example():
    def filling(examples, curriculum):
        ends = np.cumsum(weights_of(curriculum, examples))
        return examples[: int(np.searchsorted(ends, curriculum.budget)) + 1]  # the last goes over the budget

    curriculum = Curriculum(weighted(), 0.25, 4, own(filling), seed=0)
    counts = [curriculum.count(epoch) for epoch in range(4)]
    assert [len(curriculum.indices(epoch)) for epoch in range(4)] == counts
    assert int(weights_of(curriculum, curriculum.indices(1)).sum()) > curriculum.budget
    few = Curriculum(weighted(), 0.25, 4, own(lambda examples, _: examples[:1]), seed=0)
    assert few.count(3) == 1


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (
            lambda e, _: e[:-3],
            r"gave \d+ tokens, above the budget of \d+ and the heaviest example of each",
        ),
        (lambda e, _: e[:0], r"gave int64 of shape \(0,\); expected integers \(1,\)"),
        (lambda e, _: e[:4].reshape(2, 2), r"of shape \(2, 2\)"),
        (lambda e, _: e[[0, 1, 0]], "gave index 0 more than once"),
        (lambda e, _: e[:2] + 10**6, "gave index 1000000, which is no example"),
    ],
)
def test_what_a_function_must_not_give(take, message):
    curriculum = Curriculum(weighted(), 0.25, 4, own(take), seed=0)
    with pytest.raises(TrainerError, match=message):
        curriculum.indices(0)
