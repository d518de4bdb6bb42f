"""The ordered lists that submodlib, apricot and an independent reference agree on (n=5,000, d=384, k=500).

They break ties to the largest index: select on reversed rows, and map back.
"""

import numpy as np
import pytest

from syllabus.selectors import DisparityMin, FacilityLocation, GraphCut, maximize

LISTS = {
    "facility_location": (
        "37 153 4132 4637 2950 3716 3005 1105 627 33 3740 4062 3048 929 2138 4732 782 3253 4682 135",
        3121.392343,
        [2506.7353, 77.4545, 36.2489, 22.7988, 17.3573],
    ),
    "graph_cut": (
        "37 2354 1703 3576 4278 1377 3848 3345 4732 3432 4993 1801 704 2645 3286 1318 3411 4175 2867 4402",
        1201093.038,
        [],
    ),
    "disparity_min": (
        "4999 1117 2164 455 2196 1042 3285 735 3191 3421 3884 1353 11 1309 1088 2346 1691 1077 1340 1568",
        0.4375598,
        [0, 0.59676, -0.04439, -0.02025, -0.00610],
    ),
}


@pytest.fixture(scope="module")
def reversed_rows():
    rows = np.random.default_rng(0).standard_normal((5000, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[::-1].copy()


@pytest.mark.parametrize(
    ("function", "optimizer"),
    [(FacilityLocation, "lazy"), (GraphCut, "lazy"), (GraphCut, "naive"), (DisparityMin, "naive")],
)
def test_published_lists(function, optimizer, reversed_rows):
    expected, objective, gains = LISTS[function.name]
    selection = maximize(function(reversed_rows), 500, optimizer)
    assert (4999 - selection.indices[:20]).tolist() == [int(word) for word in expected.split()]
    assert selection.objective == pytest.approx(objective, rel=1e-6)
    np.testing.assert_allclose(selection.gains[: len(gains)], gains, rtol=1e-6, atol=6e-6)


def test_all_500_against_a_dense_float64_reference(reversed_rows):
    rows = reversed_rows.astype(np.float64)
    s = (1 + rows @ rows.T) / 2
    gain = s.sum(axis=1) - 0.4 * np.diag(s)
    nearest = np.full(5000, np.inf)
    cut, far = [], [0]
    for _ in range(500):
        cut.append(int(gain.argmax()))
        gain -= 0.8 * s[cut[-1]]
        gain[cut[-1]] = -np.inf
    for _ in range(499):
        nearest = np.minimum(nearest, 1 - s[far[-1]])
        nearest[far[-1]] = -1
        far.append(int(nearest.argmax()))
    level = np.zeros(5000)
    location = []
    for index in maximize(FacilityLocation(reversed_rows), 10, "lazy").indices:
        gains = np.maximum(s - level, 0).sum(axis=1)
        location.append(int(gains.argmax()))
        level = np.maximum(level, s[index])
    assert maximize(GraphCut(reversed_rows), 500, "lazy").indices.tolist() == cut
    assert maximize(DisparityMin(reversed_rows), 500, "naive").indices.tolist() == far
    assert maximize(FacilityLocation(reversed_rows), 10, "lazy").indices.tolist() == location
