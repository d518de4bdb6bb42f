"""Gains that differ by less than sums in float32, or scores taken again, round: the picks stay the same."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from syllabus.selectors import FacilityLocation, GraphCut, maximize
from syllabus.selectors.constraint import Constraint
from syllabus.selectors.numerics import counter_rng
from syllabus.selectors.optimizers import stochastic
from syllabus.selectors.optimizers.dispatch import SOLVERS


def nearly_equal(n: int, d: int, copies: int, bits: int) -> np.ndarray:
    """Unit rows, about `copies` of each direction, which differ by so many last bits."""
    random = np.random.default_rng(1)
    base = oracles.unit(random.standard_normal((max(1, n // copies), d)))
    rows = base[random.integers(0, len(base), n)]
    steps = random.integers(-bits, bits + 1, rows.shape).astype(np.int32)
    return (rows.view(np.int32) + steps).view(np.float32)


@pytest.mark.parametrize("copies", [20, 1000])
@pytest.mark.parametrize("bits", [1, 16])
def test_facility_location_by_samples(copies, bits):
    n = 1000
    function = FacilityLocation(nearly_equal(n, 3, copies, bits))
    constraint, key = Constraint.of_rows(n, 20), counter_rng.stream(counter_rng.key_of((1, 2), 1), 4)
    found = SOLVERS[FacilityLocation, "stochastic"](function, constraint, key, 1e-300)
    expected = stochastic.stochastic(function, constraint, key, 1e-300)
    assert found.picks.tolist() == expected.picks.tolist()
    assert found.gains.tolist() == expected.gains.tolist()


@pytest.mark.parametrize("trade_off", [0.4, 1e-12, 1e-15, 1e-16])
@pytest.mark.parametrize("copies", [3, 20, 600])
def test_graph_cut_whose_query_hardly_moves(copies, trade_off):
    rows = nearly_equal(600, 3, copies, 2)
    found, expected = (maximize(GraphCut(rows, trade_off=trade_off), 25, name) for name in ("lazy", "naive"))
    assert found.indices.tolist() == expected.indices.tolist()
