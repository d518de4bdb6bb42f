"""The memory budget is honoured: what a selection allocates, as measured."""

import tracemalloc

import numpy as np
import oracles
import pytest

from syllabus.selectors import (
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    LogDeterminant,
    Rbf,
    SaturatedCoverage,
    SelectionError,
    SparseFacilityLocation,
    maximize,
)

N, WIDTH = 900, 24
ROWS = oracles.planted("clusters", N, WIDTH, seed=0)
A_ROW = 4 * N
PER_ROW = 400 * N  # bounds, levels, candidates: what the docstrings call a few hundred bytes a row


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("similarity", ["cosine", Rbf(1.0)])
@pytest.mark.parametrize("kept", [64, 400, N])
@pytest.mark.parametrize("optimizer", ["lazy", "naive"])
def test_kernel_rows_stay_within_the_budget(kept, optimizer, similarity):
    budget = A_ROW * (64 + kept)
    picks = 40 if optimizer == "lazy" else 3

    def select():
        function = FacilityLocation(ROWS, memory_budget=budget, similarity=similarity)
        assert function.capacity == kept
        assert (function.kernel() is None) == (kept < N)
        maximize(function, picks, optimizer)

    select()
    used = peak(select)
    assert used <= budget + PER_ROW
    if optimizer == "lazy" or kept == N:
        assert used >= A_ROW * kept  # what it may use it does use


def test_the_others_stay_within_it_too():
    budget = A_ROW * 200
    for select in (
        lambda: maximize(FacilityLocationConditionalGain(ROWS, ROWS[:5], memory_budget=budget), 20),
        lambda: maximize(SaturatedCoverage(ROWS, memory_budget=budget), 2, "stochastic", seed=0),
        lambda: maximize(LogDeterminant(ROWS, memory_budget=budget), 100),
        lambda: maximize(FacilityLocationMutualInformation(ROWS, ROWS[:100], memory_budget=budget), 20),
        lambda: maximize(SparseFacilityLocation(ROWS, 16, memory_budget=budget), 20),
    ):
        select()
        assert peak(select) <= budget + PER_ROW


@pytest.mark.parametrize(
    ("call", "least"),
    [
        (lambda budget: FacilityLocation(ROWS, memory_budget=budget), A_ROW * 128),
        (lambda budget: FacilityLocationConditionalGain(ROWS, ROWS[:2], memory_budget=budget), A_ROW * 128),
        (lambda budget: SaturatedCoverage(ROWS, memory_budget=budget), A_ROW * 128),
        (lambda budget: FacilityLocationMutualInformation(ROWS, ROWS[:9], memory_budget=budget), 8 * N * 9),
        (lambda budget: SparseFacilityLocation(ROWS, 10, memory_budget=budget), 48 * N * 10),
        (lambda budget: LogDeterminant(ROWS, memory_budget=budget), 8 * N),
        (lambda budget: maximize(LogDeterminant(ROWS, memory_budget=budget), 66), 8 * N * 66),
        (lambda budget: LogDeterminant(ROWS, memory_budget=budget).value(np.arange(66)), 8 * N * 66),
    ],
)
def test_too_small_a_budget_is_an_error_that_says_how_much_it_takes(call, least):
    with pytest.raises(SelectionError, match=rf"memory_budget=\d+ is below {least} bytes") as caught:
        call(least - 1)
    assert "\n" not in str(caught.value)
    call(least)


def test_a_budget_is_a_number_of_bytes():
    for budget in (None, "1 GB", True, float("nan"), float("inf"), -1):
        with pytest.raises(
            SelectionError, match=r"facility_location: memory_budget=.* not a number of bytes"
        ):
            FacilityLocation(ROWS, memory_budget=budget)
    assert FacilityLocation(ROWS, memory_budget=2e9).capacity == N
    assert FacilityLocation(ROWS, memory_budget=np.int64(2**31)).capacity == N
