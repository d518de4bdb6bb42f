"""The two phases as a reader of the paper expects them: draws that follow p, and easy before hard."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from syllabus.selectors import DisparityMin, GraphCut, explore, importances, inclusion_probabilities, maximize
from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.strata import CountedStrata, by_partition


def drawn(p, k, draws):
    """Return who is in each of many draws of the trainer's, (draws, n) bool, and each draw's first pick."""
    members = np.arange(len(p))
    strata = CountedStrata(*by_partition(members, np.zeros(len(p), np.int64), 1))
    taken = np.zeros((draws, len(p)), np.bool_)
    firsts = np.empty(draws, np.int64)
    for draw in range(draws):
        noisy = np.log(p) + counter_rng.gumbel(counter_rng.key(3, "weighted", draw), members)
        taken[draw, strata.smallest(-noisy, np.array([k]))] = True
        firsts[draw] = noisy.argmax()
    return taken, firsts


def test_first_picks_follow_p():
    scores = np.random.default_rng(0).standard_normal(60)
    for p in (importances.tempered_probabilities(scores, 0.4), importances.published_probabilities(scores)):
        _, firsts = drawn(p, 5, 6000)
        expected = 6000 * p
        statistic = ((np.bincount(firsts, minlength=60) - expected) ** 2 / expected).sum()
        assert 28 < statistic < 99  # 59 degrees of freedom: both tails .0005


@pytest.mark.parametrize("n", range(2, 9))
def test_inclusion_frequencies_are_the_inclusion_probabilities(n):
    p = np.random.default_rng(n).dirichlet(np.ones(n))
    k, draws = (n + 1) // 2, 3000
    taken, _ = drawn(p, k, draws)
    expected = inclusion_probabilities(p, k)  # brute force in test_selectors_inclusion.py
    deviation = np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / draws)
    assert (np.abs(taken.mean(0) - expected) < 4 * deviation).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_of_other_rows_finds_sge_easy_and_radius_hard(seed):
    data, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(data))
    seen, own = order[:900], order[900:]
    model = LogisticRegression(C=0.1, max_iter=300).fit(data[seen] / 16, labels[seen])
    p = model.predict_proba(data[own] / 16)[np.arange(len(own)), labels[own]]
    losses = {"sge": 0.0, "uniform": 0.0, "radius": 0.0}
    for label in range(10):
        part = own[labels[own] == label]
        loss = -np.log(p[labels[own] == label])
        rows = (data[part] / np.linalg.norm(data[part], axis=1, keepdims=True)).astype(np.float32)
        found = explore(GraphCut(rows), 9, 10, seed=(seed, label))
        losses["sge"] += np.mean([loss[selection.indices].sum() for selection in found])
        losses["uniform"] += 9 * loss.mean()
        ranking = maximize(DisparityMin(rows), len(rows), "naive")
        radii = importances.insertion_radii(ranking.gains)
        share = inclusion_probabilities(importances.tempered_probabilities(radii, 0.5), 9)
        losses["radius"] += share @ loss[ranking.indices]
    # Half of uniform's, and a quarter more than it.
    assert 1.5 * losses["sge"] < losses["uniform"] < losses["radius"] / 1.1
