"""The exponent of learning rates: recovered where runs tell it, the prior where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from syllabus.trainer.tuning import Observation, fit_exponent
from syllabus.trainer.tuning.horizon import PRIOR, SPREAD


def runs(alpha, shares=(1 / 30, 1 / 10, 1.0), count=20, noise=0.01, seed=0, collapsed=0):
    rng = np.random.default_rng(seed)
    found = []
    for share in shares:
        rates = np.exp(rng.uniform(np.log(1e-3), np.log(0.3), count)) * share**-0.5
        for rate in rates:
            width = int(rng.choice([16, 64, 128]))
            score = 1 - 0.05 * np.log(rate / (0.01 * share**-alpha)) ** 2 + share + 0.001 * width
            found.append(Observation(rate, share, score + noise * rng.standard_normal(), {"width": width}))
    for place in rng.permutation(len(found))[:collapsed]:
        found[place] = Observation(found[place].rate, found[place].share, -5.0, found[place].others)
    return found


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.7])
def test_the_exponent_is_recovered_and_lies_in_its_interval(alpha):
    found = fit_exponent(runs(alpha))
    assert found.value == pytest.approx(alpha, abs=0.06)
    assert found.low < alpha < found.high
    assert found.high - found.low < 0.2
    assert found.runs == 60


def test_collapsed_runs_do_not_decide():
    assert fit_exponent(runs(0.2, collapsed=3)).value == pytest.approx(0.2, abs=0.15)


def test_runs_of_one_length_leave_the_prior():
    found = fit_exponent(runs(0.2, shares=(0.1,)), prior=0.4)
    assert (found.value, found.runs) == (0.4, 0)
    assert found.high - found.low == pytest.approx(2 * 1.645 * SPREAD)
    assert fit_exponent([]).value == PRIOR


def test_noise_widens_the_interval_to_the_priors_and_draws_the_value_to_it():
    quiet, loud = fit_exponent(runs(0.1, noise=0.01)), fit_exponent(runs(0.1, noise=3.0))
    assert quiet.high - quiet.low < loud.high - loud.low <= 2 * 1.7 * SPREAD
    assert abs(loud.value - PRIOR) < abs(quiet.value - PRIOR)


def test_intervals_hold_as_often_as_they_say():
    held = sum(
        found.low < 0.5 < found.high
        for found in (fit_exponent(runs(0.5, count=9, noise=0.1, seed=s)) for s in range(60))
    )
    assert held >= 48  # 90% of 60 is 54


def test_the_order_and_the_unit_of_scores_change_nothing():
    some = runs(0.3)
    scaled = [Observation(r.rate, r.share, 7 * r.score - 3, r.others) for r in reversed(some)]
    assert fit_exponent(scaled).value == pytest.approx(fit_exponent(some).value, abs=1e-6)
