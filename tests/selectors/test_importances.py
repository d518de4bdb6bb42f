"""From scores to probabilities."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import DisparityMin, SelectionError, importances, maximize

finite = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=60)
quick = settings(max_examples=150, deadline=None, derandomize=True)


@given(finite)
@quick
def test_published_probabilities_are_the_formula(gains):
    x = [max(g - min(gains), 1e-10) for g in gains]
    weights = [1 + v + v * v / 2 for v in x]
    expected = np.array(weights) / sum(weights)
    found = importances.published_probabilities(np.array(gains))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_published_probabilities_of_a_disparity_min_ranking_are_nearly_uniform():
    ranking = maximize(DisparityMin(oracles.planted("normal", 400, 64, seed=0)), 400, "naive")
    p = importances.published_probabilities(ranking.gains)
    assert 0.99 < importances.effective_sample_size(p) < 1
    radii = importances.insertion_radii(ranking.gains)
    assert importances.effective_sample_size(importances.tempered_probabilities(radii, 0.5)) == pytest.approx(
        0.5
    )


def test_insertion_radii_are_distances_to_the_rows_before():
    for kind in oracles.KINDS:
        rows = oracles.planted(kind, 80, 12, seed=1)
        ranking = maximize(DisparityMin(rows), 80, "naive")
        radii = importances.insertion_radii(ranking.gains)
        dist = oracles.distances(rows)[np.ix_(ranking.indices, ranking.indices)]
        expected = [dist[0, 1], *(dist[t, :t].min() for t in range(1, 80))]
        np.testing.assert_allclose(radii, expected, rtol=0, atol=1e-14)
        assert radii.min() >= 0
    assert importances.insertion_radii(np.array([0.0])).tolist() == [0.0]


@given(finite, st.floats(0.001, 1))
@quick
def test_tempered_probabilities_reach_the_effective_sample_size(scores, ess):
    array = np.array(scores)
    ties = (array == array.max()).sum() / len(array)
    if np.ptp(array) == 0:
        assert importances.tempered_probabilities(array, ess).tolist() == [1 / len(array)] * len(array)
    elif ess <= ties:
        with pytest.raises(SelectionError, match=r"out of reach.*\(0?.\d*, 1\]"):
            importances.tempered_probabilities(array, ess)
    else:
        p = importances.tempered_probabilities(array, ess)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert 1 / (len(p) * (p**2).sum()) == pytest.approx(ess, abs=1e-6)
        order = np.argsort(array, kind="stable")
        assert (np.diff(p[order]) >= 0).all()


def test_tempered_probabilities_are_a_softmax():
    scores = np.random.default_rng(0).standard_normal(200)
    p = importances.tempered_probabilities(scores, 0.3)
    slopes = np.diff(np.log(p)) / np.diff(scores)
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)
    np.testing.assert_allclose(importances.tempered_probabilities(scores * 1e-9, 0.3), p, rtol=1e-5)
    np.testing.assert_allclose(importances.tempered_probabilities(scores + 1e3, 0.3), p, rtol=1e-5)
    assert importances.tempered_probabilities(scores, 1).tolist() == [1 / 200] * 200


def test_tempered_probabilities_of_extreme_scores():
    for scores in ([0.0, 1e-310, 1.0, 2.0], [0.0, 1e-300, 2e-300], [1e300, 0.0, 5e299], [0.0, 1e-300, 1e300]):
        p = importances.tempered_probabilities(np.array(scores), 0.7)
        assert importances.effective_sample_size(p) == pytest.approx(0.7, abs=1e-6)
    with pytest.raises(SelectionError, match="too far"):
        importances.tempered_probabilities(np.array([-1.7e308, 1.7e308]), 0.7)


def test_effective_sample_size():
    assert importances.effective_sample_size(np.full(8, 1 / 8)) == 1
    assert importances.effective_sample_size(np.eye(8)[2]) == pytest.approx(1 / 8)


@pytest.mark.parametrize("ess", [0, -1, 1.01, "a", float("nan"), True])
def test_refused_sizes(ess):
    with pytest.raises(SelectionError, match=r"ess=.*\(0, 1\]"):
        importances.tempered_probabilities(np.arange(5.0), ess)


def test_the_share_that_ties_leave_is_not_in_reach():
    scores = np.array([1.0, 0.0, 1.0, -1.0])
    assert importances.unreachable_share(scores) == 0.5
    with pytest.raises(SelectionError, match=r"ess=0.5 is out of reach; here it can be \(0.5, 1\]"):
        importances.tempered_probabilities(scores, 0.5)


def test_refused_scores():
    for bad in (np.array([1.0, np.nan]), np.array([np.inf, 1.0])):
        with pytest.raises(SelectionError, match=r"score [01] is"):
            importances.tempered_probabilities(bad, 0.5)
    for shape in ((0,), (2, 2)):
        with pytest.raises(SelectionError, match="shape"):
            importances.published_probabilities(np.zeros(shape))
