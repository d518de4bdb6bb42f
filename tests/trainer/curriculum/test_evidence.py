"""Suspects and copies that may leave, and those that only look like them."""

import numpy as np
import pytest

from syllabus.trainer.curriculum.evidence import suspects, why_copies_stay

K = 10


def agreements(wrong: np.ndarray, classes: int, draw: np.random.Generator) -> np.ndarray:
    """Return agreements where neighbours have an example's true class, and a share of labels is wrong."""
    rate = wrong.mean()
    return draw.binomial(K, np.where(wrong, rate / classes, 1 - rate)) / K


@pytest.mark.parametrize("classes", [5, 10, 30])
def test_random_labels_are_noise(classes) -> None:
    draw = np.random.default_rng(0)
    wrong = draw.random(20_000) < 0.2
    found = suspects(agreements(wrong, classes, draw), draw.integers(0, classes, 20_000), K)
    assert found.noise
    assert wrong[found.rows].mean() > 0.99
    assert found.rows[wrong].mean() > 0.6
    assert found.median >= 0.7
    assert not suspects(agreements(wrong[:900], classes, draw), np.zeros(900, np.int64), K).noise


def test_classes_that_overlap_are_not() -> None:
    draw = np.random.default_rng(0)
    # Agreement falls evenly, from 1 to 0.
    found = suspects(np.round(draw.random(20_000) * K) / K, draw.integers(0, 5, 20_000), K)
    assert found.zero > 0.04
    assert found.one > found.zero
    assert not found.noise


def test_labels_that_have_nothing_to_do_with_the_vectors_are_not() -> None:
    draw = np.random.default_rng(0)
    for classes in (2, 10, 30, 100):
        agreement = draw.binomial(K, 1 / classes, 20_000) / K
        assert not suspects(agreement, draw.integers(0, classes, 20_000), K).noise


def test_a_class_that_lies_among_others_stays() -> None:
    draw = np.random.default_rng(0)
    wrong = draw.random(20_000) < 0.2
    agreement, classes = agreements(wrong, 10, draw), draw.integers(0, 10, 20_000)
    lost = classes == 3
    agreement[lost] = np.where(draw.random(lost.sum()) < 0.6, 0, 0.3)
    few = np.flatnonzero(classes == 4)[:5]
    classes[few], agreement[few] = 10, 0
    found = suspects(agreement, classes, K)
    assert found.noise
    assert not found.rows[lost].any()
    assert not found.rows[few].any()


def test_unknown_agreements_are_not_suspect() -> None:
    found = suspects(np.full(30, np.nan), np.zeros(30, np.int64), K)
    assert not found.noise
    assert not found.rows.any()


def test_copies_leave_where_classes_keep_their_shares() -> None:
    draw = np.random.default_rng(0)
    classes, covered = draw.integers(0, 4, 4000), draw.random(4000) < 0.4
    assert why_copies_stay(covered, classes, epoch=100) is None
    left = 4000 - int(covered.sum())
    assert why_copies_stay(covered, classes, epoch=left // 2) is None
    assert "is more than half of the 2,4" in why_copies_stay(covered, classes, epoch=left // 2 + 1)
    assert "not above 5%" in why_copies_stay(draw.random(4000) < 0.03, classes, epoch=100)
    few = why_copies_stay(draw.random(4000) < 0.8, classes, epoch=100)
    assert few == "a class would keep fewer than 25% of its examples"
    assert "fewer than 1,000" in why_copies_stay(covered[:900], classes[:900], epoch=100)


def test_a_chain_in_one_class_stays() -> None:
    classes = np.repeat([0, 1, 2, 3], 1000)
    covered = np.zeros(4000, np.bool_)
    covered[1:900] = True
    assert "a class would keep fewer than" in why_copies_stay(covered, classes, epoch=100)
    # Of a class of a few examples nothing can be told.
    classes[:10], classes[10:1000] = 4, 1
    covered[:] = np.arange(4000) % 4 == 0
    covered[:10] = True
    assert why_copies_stay(covered, classes, epoch=100) is None


def test_noise_says_what_speaks_against_it() -> None:
    draw = np.random.default_rng(0)
    wrong, classes = draw.random(20_000) < 0.2, draw.integers(0, 10, 20_000)
    agreement = agreements(wrong, 10, draw)
    assert suspects(agreement, classes, K).why_not is None
    assert "fewer than 1,000" in suspects(agreement[:900], classes[:900], K).why_not
    assert suspects(np.ones(2000), classes[:2000], K).why_not == "not above 5%"
    overlap = suspects(np.round(draw.random(20_000) * K) / K, classes, K)
    assert "classes overlap" in overlap.why_not or "not above" in overlap.why_not
