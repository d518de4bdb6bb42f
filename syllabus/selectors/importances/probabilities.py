"""WRE, weighted random exploration: from scores to probabilities (MILO, arXiv 2301.13287).

Probabilities are per partition: call these with the scores of one partition; each result sums to 1.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.validation import numbers_of, real_number

_REACHED = 1e-9  # of the effective sample size, relative


def insertion_radii(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r_t from the gains of a disparity-min ranking: how far each row was from those before it.

    Args:
      gains: (n,) float64 in pick order, as `maximize(DisparityMin(...), budget=n)` gives them.

    Returns:
      (n,) float64, never negative. The first row has nothing before it and gets r_2: it is as far from the
      second as the second from it. Rows equal to an earlier one get 0 up to rounding of the sums (1e-15).
    """
    gains = _scores_of(gains, "insertion_radii")
    radii = np.maximum(np.cumsum(gains), 0.0)
    if len(radii) > 1:
        radii[0] = radii[1]
    return radii


def published_probabilities(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return MILO's probabilities as its code has them, (n,) float64, aligned with `gains`.

    x = max(g - min g, 1e-10), then the Taylor softmax of order 2 at temperature 1: p ∝ 1 + x + x²/2. For
    disparity-min gains this is all but uniform; it is kept for parity.

    Args:
      gains: (n,) finite numbers.
    """
    gains = _scores_of(gains, "published_probabilities")
    x = np.maximum(gains - gains.min(), 1e-10)
    weights = 1.0 + x + x * x / 2.0
    return np.asarray(weights / math.fsum(weights))


def tempered_probabilities(scores: NDArray[np.float64], ess: float) -> NDArray[np.float64]:
    """Return softmax(scores / T) with T such that the effective sample size is `ess`; (n,) float64.

    The temperature is found by bisection: 1/(n Σp²) falls from 1 at T = inf to (number of ties at the
    maximum)/n at T = 0. If all scores are equal the result is uniform, whatever `ess`.

    Args:
      scores: (n,) finite numbers.
      ess: the share 1/(n Σp²) wanted, in (0, 1].

    Raises:
      SelectionError: `ess` outside (0, 1], or out of reach because too many rows tie at the maximum.
    """
    scores = _scores_of(scores, "tempered_probabilities")
    ess = real_number(ess, "ess", lambda value: 0 < value <= 1, "(0, 1]", "tempered_probabilities")
    below = _below(scores, "tempered_probabilities")
    if not below.any() or ess == 1:
        return np.full(len(scores), 1.0 / len(scores))
    if ess <= (least := unreachable_share(scores)):
        raise SelectionError(f"ess={ess:g} is out of reach; here it can be ({least:.6g}, 1]")
    # Bisection on the logarithm of spread / T. At the low end p is uniform to 1e-12; at the high end all but
    # the maximum and what lies within rounding of it are gone. exp(700) is near the largest double.
    low, high = math.log(1e-12), min(700.0, math.log(750.0) - math.log(float(below[below > 0.0].min())))
    for _ in range(200):
        middle = (low + high) / 2
        p = _softmax(below, math.exp(middle))
        found = effective_sample_size(p)
        if abs(found - ess) <= _REACHED * ess:
            break
        low, high = (middle, high) if found > ess else (low, middle)
    return p


def unreachable_share(scores: NDArray[np.float64]) -> float:
    """Return the effective sample size that no temperature gives: only what is above it is in reach.

    (number of ties at the maximum)/n, the limit at T = 0; 0 if all scores are equal, since uniform
    probabilities are then given for any.

    Args:
      scores: (n,) finite numbers.
    """
    below = _below(_scores_of(scores, "unreachable_share"), "unreachable_share")
    tied = int((below == 0.0).sum())
    return tied / len(below) if tied < len(below) else 0.0


def effective_sample_size(probabilities: NDArray[np.float64]) -> float:
    """Return 1/(n Σp²) of (n,) probabilities: 1 when uniform, 1/n when all mass is on one row."""
    p = _scores_of(probabilities, "effective_sample_size")
    return 1.0 / (len(p) * math.fsum(p * p))


def _below(scores: NDArray[np.float64], caller: str) -> NDArray[np.float64]:
    """How far each score is below the greatest, as a share of the least one's distance."""
    with np.errstate(over="ignore"):
        below = scores.max() - scores
    spread = float(below.max())
    if not math.isfinite(spread):
        raise SelectionError(f"{caller}: scores span {scores.min():g} to {scores.max():g}; too far")
    return np.asarray(below / spread if spread > 0.0 else below)


def _softmax(below: NDArray[np.float64], steepness: float) -> NDArray[np.float64]:
    weights = np.exp(-below * steepness)
    return np.asarray(weights / math.fsum(weights))


def _scores_of(values: NDArray[np.float64], caller: str) -> NDArray[np.float64]:
    array = numbers_of(values, "scores", caller).astype(np.float64, copy=False)
    if array.ndim != 1 or array.size == 0:
        raise SelectionError(f"{caller}: scores have shape {array.shape}; expected (n,) with n at least 1")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise SelectionError(f"{caller}: score {bad[0]} is {array[bad[0]]}; every score must be finite")
    return array
