"""Thresholds in a gap of the cosines, and thresholds in the midst of them."""

import numpy as np
import pytest

from syllabus.selectors import SelectionError
from syllabus.selectors.neighbours import (
    Separation,
    TopK,
    greedy_cover,
    least_cosine,
    neighbours,
    pair_cosines,
    relative_threshold,
    separation_of,
)
from syllabus.selectors.neighbours.separation import LARGEST


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def found(rows: np.ndarray, threshold: float, labels: np.ndarray | None = None) -> Separation:
    ids, cosines, _ = neighbours(rows, 10, threshold)
    covers = greedy_cover(rows, np.zeros(len(rows), np.int64) if labels is None else labels, threshold)
    random = rows[: len(rows) // 2].astype(np.float64) @ rows[len(rows) // 2].astype(np.float64)
    # In two pieces, as a search by lists yields them.
    pieces = [
        (part, TopK(ids[part], cosines[part])) for part in np.array_split(np.arange(len(rows))[::-1], 2)
    ]
    return separation_of(random, pieces, covers, threshold, labels)


def gaussian(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d))


@pytest.mark.parametrize("copies", [0, 200, 1000])
def test_copies_among_rows_far_apart_are_told(copies) -> None:
    rows = gaussian(1000, 128)
    rows = unit(np.concatenate([rows, rows[:200][np.arange(copies) % 200] + 0.01 * gaussian(copies, 128)]))
    near = found(rows, 0.95)
    assert near.separates
    assert near.random_share < 0.01


@pytest.mark.parametrize("d", [3, 4, 6])
def test_in_few_dimensions_the_threshold_is_in_the_midst(d) -> None:
    near = found(unit(gaussian(2000, d)), 0.95)
    assert not near.separates
    assert near.crowded > 0.5
    assert near.random[0] < near.random[2] < near.nearest[2]


def test_one_cloud_within_the_threshold_is_no_copy() -> None:
    near = found(unit(gaussian(500, 8) + 40), 0.95)
    assert near.crowded == 1
    assert near.against == ("random_share", "crowded")
    assert not near.separates


def test_a_relative_threshold_rises_with_the_neighbours() -> None:
    for d, low, high in ((3, 0.995, 0.9995), (5, 0.97, 0.995)):
        cosines = neighbours(unit(gaussian(2000, d)), 10)[1]
        assert low < relative_threshold(cosines[:, -1], 0.95) < high
    assert relative_threshold(neighbours(unit(gaussian(2000, 128)), 10)[1][:, -1], 0.95) == 0.95
    assert relative_threshold(np.full(3, -np.inf), 0.9) == 0.9


def test_a_relative_threshold_of_another_factor() -> None:
    last = np.array([0.9, 0.9, 0.9, 0.99])
    assert relative_threshold(last, 0.5, 4) == pytest.approx(0.975)
    assert relative_threshold(last, 0.5, 0) == 0.5


def test_cosines_of_pairs_and_the_least() -> None:
    rows = unit(gaussian(300, 24))
    first, second = np.triu_indices(300, 1)
    right = np.einsum("ij,ij->i", rows[first].astype(np.float64), rows[second].astype(np.float64))
    np.testing.assert_allclose(pair_cosines(rows, first, second), right, rtol=0, atol=1e-15)
    assert least_cosine(rows) == pair_cosines(rows, first, second).min()
    assert least_cosine(rows[:1]) == 1.0
    assert least_cosine(np.repeat(rows[:1], 5, axis=0)) == pytest.approx(1, abs=1e-6)


def test_a_relative_threshold_finds_copies_where_rows_lie_close() -> None:
    rows = gaussian(1500, 8)
    rows = unit(np.concatenate([rows, rows[:500]]))
    threshold = relative_threshold(neighbours(rows, 10)[1][:, -1], 0.8)
    near = found(rows, threshold)
    assert near.separates
    assert near.threshold == threshold
    assert (greedy_cover(rows, np.zeros(2000, np.int64), threshold)[1500:] == np.arange(500)).mean() > 0.95
    assert not found(rows, 0.8).separates


def test_thresholds_beside_one_separate_nothing() -> None:
    rows = unit(np.repeat(gaussian(300, 64), 2, axis=0))
    assert found(rows, LARGEST).separates
    assert not found(rows, (1 + LARGEST) / 2).separates


def test_labels_that_mix() -> None:
    rows = unit(gaussian(2000, 3))
    labels = np.random.default_rng(1).integers(0, 4, 2000)
    near = found(rows, 0.95, labels)
    assert near.mixed == pytest.approx(0.75, abs=0.02)
    assert near.chance == pytest.approx(0.75, abs=0.01)
    assert found(rows, 0.95).mixed is None


def test_what_is_refused() -> None:
    found, own = [(np.arange(2), TopK(np.array([[1], [0]]), np.ones((2, 1))))], np.arange(2)
    with pytest.raises(SelectionError, match="0 random pairs of 2 rows; expected some"):
        separation_of(np.empty(0), found, own, 0.95)
    with pytest.raises(SelectionError, match=r"threshold=0 is outside \(0, 1\]"):
        separation_of(np.ones(1), found, own, 0)


def test_copies_that_have_any_label_are_none() -> None:
    rows = unit(np.repeat(gaussian(300, 64), 2, axis=0))
    draw = np.random.default_rng(1)
    labels = np.repeat(draw.integers(0, 4, 300), 2)
    assert found(rows, 0.95, labels).separates
    wrong = np.where(draw.random(600) < 0.2, draw.integers(0, 4, 600), labels)
    assert found(rows, 0.95, wrong).separates
    assert not found(rows, 0.95, draw.integers(0, 4, 600)).separates
    assert found(rows, 0.95, np.where(np.arange(600) % 2, labels, -1)).mixed == 0
