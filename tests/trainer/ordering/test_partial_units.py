"""Units that a batch begins and does not end: in mid-epoch, at its end, and across steps."""

from __future__ import annotations

import pytest
from grab_runs import features, make

from syllabus.trainer import GraB, TrainerError
from syllabus.trainer.ordering.gradient_cursor import GradientCursor


def cursor(groups: int = 5) -> GradientCursor:
    one = GradientCursor(unit=4)
    one.open(0, 0, groups)
    return one


def test_a_unit_begun_counts_as_one_and_goes_no_further_than_was_given_out():
    one = cursor()
    assert one.next(2, given=6).tolist() == [0, 1]  # examples 0 to 3, and 4 and 5
    assert one.place == 6
    assert one.next(1, given=8).tolist() == [1]  # examples 6 and 7 end the same unit
    assert one.place == 8
    assert one.next(3, given=20).tolist() == [2, 3, 4]


@pytest.mark.parametrize("given", [5, 6, 7, 8])
def test_of_two_units_there_are_two_gradients_and_no_more(given):
    assert cursor().next(2, given).tolist() == [0, 1]
    with pytest.raises(
        TrainerError, match=rf"3 gradients, but of the {given} examples given out .* 2 units are left"
    ):
        cursor().next(3, given)


def test_a_tail_that_is_no_whole_unit_has_no_group():
    one = cursor(groups=2)
    assert one.next(3, given=10).tolist() == [0, 1, -1]
    assert one.place == 10


def test_batches_that_cut_units_leave_a_permutation_and_each_unit_is_walked_once():
    sampler, grab = make(24, 1.0, grab=GraB(unit=4))
    known = features(24)
    sampler.set_epoch(0)
    rows, before = iter(sampler), []
    for _ in range(4):
        before += [next(rows) for _ in range(6)]
        grab.step(known[before[-6::4]])  # one gradient for four examples, one for two
    assert grab.state_dict()["place"] == 24
    assert grab.state_dict()["seen"].all()
    sampler.set_epoch(1)
    after = list(sampler)
    assert sorted(after) == list(range(24))
    units = {tuple(before[start : start + 4]) for start in range(0, 24, 4)}
    assert {tuple(after[start : start + 4]) for start in range(0, 24, 4)} == units
    assert after != before
