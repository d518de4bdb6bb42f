"""The greedy cover against every pair computed one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError
from syllabus.selectors.neighbours import cover as module
from syllabus.selectors.neighbours.blocked_search import neighbours
from syllabus.selectors.neighbours.cover import greedy_cover


def unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def planted(n: int, seed: int) -> np.ndarray:
    """Clusters, exact copies, and copies up to a small jitter."""
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((5, 8))[draw.integers(0, 5, n)] + 0.3 * draw.standard_normal((n, 8))
    some = draw.integers(0, n, n // 3)
    rows[some] = rows[some - 1] + 0.05 * draw.standard_normal((len(some), 8))
    rows[draw.integers(0, n, n // 4)] = rows[0]
    return unit(rows)


def by_definition(rows: np.ndarray, keys: np.ndarray, threshold: float, excluded: np.ndarray) -> list[int]:
    cosines = np.round(rows.astype(np.float64) @ rows.astype(np.float64).T, 12)
    covers: list[int] = []
    for row in range(len(rows)):
        kept = [
            other
            for other in range(row)
            if covers[other] == other and keys[other] == keys[row] and cosines[row, other] >= threshold - 1e-6
        ]
        covers.append(-1 if excluded[row] else [*kept, row][0])
    return covers


@pytest.mark.parametrize("block", [1, 7, 2000])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(1, 120), classes=st.integers(1, 4), seed=st.integers(0, 99), threshold=st.floats(0.3, 1))
def test_every_row_is_decided_as_if_compared_alone(block, n, classes, seed, threshold) -> None:
    rows, draw = planted(n, seed), np.random.default_rng(seed)
    keys, excluded = draw.integers(0, classes, n) * 7 - 3, draw.random(n) < 0.2
    before, module.BLOCK = module.BLOCK, block
    try:
        found = greedy_cover(rows, keys, threshold, excluded)
    finally:
        module.BLOCK = before
    assert found.tolist() == by_definition(rows, keys, threshold, excluded)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(12, 120), seed=st.integers(0, 99), threshold=st.floats(0.5, 1))
def test_groups_narrow_what_is_compared_and_not_what_is_found(n, seed, threshold) -> None:
    rows, labels = planted(n, seed), np.random.default_rng(seed).integers(0, 3, n)
    groups = neighbours(rows, 1, threshold)[2]
    assert (greedy_cover(rows, labels, threshold) == greedy_cover(rows, groups * 3 + labels, threshold)).all()


def test_a_chain_keeps_a_row_for_every_stretch_of_the_threshold() -> None:
    angle = np.linspace(0, np.pi, 100)
    frames = unit(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert len(np.unique(neighbours(frames, 1, 0.95)[2])) == 1
    assert len(np.unique(greedy_cover(frames, np.zeros(100, np.int64), 0.95))) == 10


def test_an_excluded_row_stands_for_nobody() -> None:
    rows = unit(np.ones((4, 3)))
    excluded = np.array([True, False, False, True])
    assert greedy_cover(rows, np.zeros(4, np.int64), 0.95, excluded).tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": np.zeros(3, np.int64)}, r"keys have shape \(3,\) and dtype int64; expected \(4,\)"),
        ({"keys": np.zeros(4)}, "keys have shape .* dtype float64"),
        ({"excluded": np.zeros(4)}, "excluded has shape .* dtype float64"),
        ({"threshold": 0.0}, r"threshold=0.0 is outside \(0, 1\]"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"vectors": np.full((4, 2), 2, np.float32)}, "row 0 has norm 2.82"),
    ],
)
def test_what_is_refused(change, message) -> None:
    given = {"vectors": unit(np.ones((4, 2))), "keys": np.zeros(4, np.int64), "threshold": 0.9, **change}
    with pytest.raises(SelectionError, match=message):
        greedy_cover(**given)
