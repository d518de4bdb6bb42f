"""Schemes: what they cost, and that each rung is longer and smaller than the one before."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syllabus.trainer.tuning.schemes import cost, plan


def test_the_costs_are_those_of_the_documentation():
    assert cost(plan("rungs", 27, 3), 1) == cost(plan("i-epoch", 27, 3), 1) == pytest.approx(3.9)
    assert cost(plan("rungs", 81, 3), 1) == pytest.approx(81 / 60 + 27 / 20 + 3)
    assert cost(plan("rungs", 27, 3, 1 / 30), 1) == pytest.approx(4.8)
    assert cost(plan("i-epoch", 81, 3), 2) == pytest.approx(2.7 + 6)
    assert cost(plan("full", 27, 3), 1) == 27


@given(st.sampled_from(["i-epoch", "rungs"]), st.integers(1, 500), st.integers(1, 20), st.floats(1e-4, 0.99))
def test_shares_rise_to_one_and_counts_do_not(scheme, configurations, finalists, share):
    finalists = min(finalists, configurations)
    rungs = plan(scheme, configurations, finalists, share)
    assert (rungs[0].count, rungs[0].share) == (configurations, share)
    assert (rungs[-1].count, rungs[-1].share) == (finalists, 1.0)
    for before, after in itertools.pairwise(rungs):
        assert before.share < after.share
        assert before.count >= after.count
