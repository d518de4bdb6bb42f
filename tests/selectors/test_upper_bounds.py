"""Upper bounds are over the allowed sets: within the limit, with every included row and no excluded one."""

import itertools

import numpy as np
import oracles
import pytest
from set_functions import brute, made

from syllabus.selectors import maximize, maximize_within, valid_optimizers

MONOTONE = (
    "facility_location",
    "sparse_facility_location",
    "graph_cut",
    "saturated_coverage",
    "feature_based",
    "log_determinant",
    "probabilistic_set_cover",
    "mixture",
)


def chosen_by(function, budget, **options):
    for optimizer in sorted(valid_optimizers(function)):
        seed = 0 if optimizer in ("lazier", "stochastic") else None
        yield optimizer, maximize(function, budget, optimizer, seed=seed, **options)


@pytest.mark.parametrize("name", MONOTONE)
def test_a_bound_holds_for_the_allowed_sets(name):
    for seed in range(3):
        rows = oracles.planted("normal", 9, 4, seed)
        value = brute(name, rows) if name != "sparse_facility_location" else brute("facility_location", rows)
        best = max(value([7, *rest]) for rest in itertools.combinations([0, 1, 3, 5, 6, 8], 2))
        for optimizer, found in chosen_by(made(name, rows), 3, include=[7], exclude=[2, 4]):
            assert found.upper_bound >= best - 1e-9, optimizer
            assert found.upper_bound >= found.objective - 1e-9


@pytest.mark.parametrize("name", MONOTONE)
def test_rows_that_are_not_allowed_have_no_part_in_a_bound(name):
    # Copies of rows in the set gain next to nothing, so what is left could only be the excluded rows.
    few = oracles.planted("normal", 3, 8, seed=1)
    rows = np.concatenate([few, few, few, oracles.planted("normal", 40, 8, seed=2)])
    excluded = np.arange(9, 49)
    for optimizer, found in chosen_by(made(name, rows), 3, exclude=excluded):
        alone = found.gains[0]  # what any row adds at most
        others = brute("facility_location" if name == "sparse_facility_location" else name, rows)
        best = max(others(list(each)) for each in itertools.combinations(range(9), 3))
        assert best - 1e-9 <= found.upper_bound, optimizer
        # Three candidates at most are left, of the nine that are allowed.
        assert found.upper_bound <= found.objective + 3 * alone + 1e-6, optimizer


def test_lazy_and_naive_mean_the_same_under_exclude():
    few = np.eye(4, 8, dtype=np.float32)
    rows = np.concatenate([few, np.eye(8, dtype=np.float32)[4:].repeat(10, axis=0)])
    for name in ("facility_location", "feature_based"):
        function = made(name, rows)
        bounds = {
            optimizer: found.upper_bound
            for optimizer, found in chosen_by(function, 4, exclude=np.arange(4, 44))
        }
        # All four allowed rows are in: nothing can be added, so the bound is the value itself.
        for optimizer, bound in bounds.items():
            assert bound == pytest.approx(function.value(np.arange(4)), rel=1e-9), optimizer


def test_included_rows_leave_less_room():
    rows = oracles.planted("normal", 60, 16, seed=3)
    function = made("facility_location", rows)
    found = maximize(function, 4, "naive", include=[3, 9, 27, 50])
    assert found.upper_bound == pytest.approx(found.objective)
    costs = np.ones(60)
    within = maximize_within(function, costs, 6, include=[3, 9], exclude=range(20, 60))
    counted = maximize(function, 6, "lazy", include=[3, 9], exclude=range(20, 60))
    assert within.upper_bound == pytest.approx(counted.upper_bound, rel=1e-6)
