"""Costs at the ends of their range: no sum, ratio or bound leaves that of float64."""

import math

import numpy as np
import oracles
import pytest
from set_functions import brute, made

from syllabus.selectors import explore_within, maximize_within, random_value_within


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["graph_cut", "facility_location"])
def test_free_rows_beside_rows_of_all_the_limit(name, power):
    rows = oracles.planted("normal", 9, 4, seed=2)
    costs = np.where(np.arange(9) % 2, 1e-300, 1e300)
    function, value = made(name, rows), brute(name, rows)
    best = max(value([*range(1, 9, 2), dear]) for dear in range(0, 9, 2))
    assert random_value_within(function, costs, 1e300, 5, seed=0) > 0
    for found in [
        *explore_within(function, costs, 1.5e300, 2, seed=0, power=power),
        maximize_within(function, costs, 1.5e300, power=power),
    ]:
        assert math.fsum(costs[found.indices]) <= 1.5e300
        assert len(found.indices) == 5
        assert found.upper_bound >= best - 1e-9
