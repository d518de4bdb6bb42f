"""Inclusion probabilities of weighted draws of k rows without replacement.

Rows are drawn one after another, each with its probability among those left, which is also what the k largest
of log p + Gumbel noise are. As k grows, likely rows are all but certain, and the draw is flatter than p.

If row i arrives at an exponential time of rate p_i, the draw is the k rows that arrive first (Efraimidis and
Spirakis, "Weighted random sampling with a reservoir", 2006). So π_i = E[1 - exp(-p_i T_i)], where T_i is the
arrival of the k-th of the *other* rows.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import numbers_of, whole_number

_EXACT = 32  # rows up to which the integral is computed
_RANGE = 1e290  # of rates: times beyond leave the range of float64


def inclusion_probabilities(probabilities: NDArray[np.float64], draws: int) -> NDArray[np.float64]:
    """Return the probability of each row to be among `draws` rows drawn without replacement; (n,) float64.

    They sum to `draws`, and divided by it they are what `effective_sample_size` takes. Exact (1e-9) up to 32
    rows. Above, the arrival time is taken as gamma distributed with the right variance and a mean that gives
    the right sum: the first-order formula 1 - exp(-p τ) (Rosén, "Asymptotic theory for order sampling", 1997)
    with a correction for its chance. Off by less than 0.06: the largest error found against the integral,
    climbing from random weights of 33 rows, is 0.049, where their logarithms spread over 10 and more.
    Weights drawn from an exponential distribution, n >= 64 and 2 <= draws <= n - 10: 0.0036 is the largest of
    hundreds of draws, and it falls with n. O(n).

    Args:
      probabilities: (n,) numbers that are not negative, summing to anything above 0. Rows of probability 0
        come last and are then equally likely.
      draws: k, 1 to n.
    """
    p = numbers_of(probabilities, "probabilities", "inclusion_probabilities").astype(np.float64, copy=False)
    if p.ndim != 1 or p.size == 0:
        raise SelectionError(
            f"inclusion_probabilities: probabilities have shape {p.shape}; expected (n,) with n at least 1"
        )
    bad = np.flatnonzero(~((p >= 0) & (p < math.inf)))
    if bad.size:
        raise SelectionError(
            f"inclusion_probabilities: probability {bad[0]} is {p[bad[0]]}; expected [0, inf)"
        )
    if not p.any():
        raise SelectionError("inclusion_probabilities: every probability is 0")
    draws = whole_number(draws, "draws", 1, len(p), f"[1, n={len(p)}]", "inclusion_probabilities")
    possible = p > 0.0
    count = int(possible.sum())
    if draws >= count:
        rest = (draws - count) / max(1, len(p) - count)
        return np.where(possible, 1.0, rest)
    out = np.zeros(len(p))
    rates = _rates(p[possible], draws)
    out[possible] = _exact(rates, draws) if count <= _EXACT else _by_gamma(rates, draws)
    return out


def _rates(p: NDArray[np.float64], draws: int) -> NDArray[np.float64]:
    """Return the rates of the rows that can be drawn, more than `draws` of them.

    In units of their sum as a rule; where the least is then below 1e-290, of the (draws + 1)-th largest.
    Rates 1e290 times as large are as good as infinite, those as much smaller as good as 0.
    """
    total = math.fsum(p) if p.max() < 1e300 else math.inf
    rates = p / total
    if rates.min() >= 1 / _RANGE:
        return rates
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.minimum(p / np.sort(p)[len(p) - draws - 1], _RANGE))


def _exact(rates: NDArray[np.float64], draws: int) -> NDArray[np.float64]:
    """Return π_i = ∫ p_i exp(-p_i t) P(fewer than k others have arrived by t) dt; O(n k) for each node.

    By the trapezoidal rule in log t, which converges exponentially. Below the first node p t is negligible;
    after the last, k + 1 rows have arrived.
    """
    n = len(rates)
    step = 0.3 / math.sqrt(min(draws, n - draws) + 1)
    later = float(np.sort(rates)[n - draws - 1])
    first = 1e-13 / max(1.0, float(rates.max()))
    times = np.exp(np.arange(math.log(first), math.log(50.0 / later) + step, step))
    out = np.zeros(n)
    _integrate(rates, times, draws, out)
    return step * out


@compiled
def _integrate(rates: np.ndarray, times: np.ndarray, draws: int, out: np.ndarray) -> None:
    """Add the integrand of each row at each time to `out`.

    How many of the rows before i and of those after it have arrived are two distributions, each made row by
    row from the one before; sums and products of positive numbers only, so nothing cancels.
    """
    n = rates.shape[0]
    before = np.zeros((n, draws))
    after = np.zeros(draws)
    for time in times:
        absent = np.exp(-rates * time)
        before[0, 0] = 1.0
        for i in range(n - 1):
            _one_more(before[i], absent[i], before[i + 1])
        after[:] = 0.0
        after[0] = 1.0
        for i in range(n - 1, -1, -1):
            below = 0.0  # the chance that at most k - 1 - a of those after i have arrived
            fewer = 0.0
            for a in range(draws - 1, -1, -1):
                below += after[draws - 1 - a]
                fewer += before[i, a] * below
            out[i] += rates[i] * time * absent[i] * fewer
            _one_more(after, absent[i], after)


@compiled
def _one_more(arrived: np.ndarray, absent: float, out: np.ndarray) -> None:
    """Write the distribution of how many have arrived with one more row, which is absent with this chance."""
    for a in range(arrived.shape[0] - 1, 0, -1):
        out[a] = arrived[a] * absent + arrived[a - 1] * (1.0 - absent)
    out[0] = arrived[0] * absent


def _by_gamma(rates: NDArray[np.float64], draws: int) -> NDArray[np.float64]:
    """Return E[1 - exp(-p_i T_i)] for gamma distributed T_i: 1 - (1 + p v/m)^(-m²/v), mean m, variance v."""
    tau = _solve(lambda time: float(-np.expm1(-rates * time).sum()), draws, draws / rates.sum())
    # In units of τ, which may be as long as 1e290: its square would leave the range of float64.
    rates = rates * tau
    tau = 1.0
    present = -np.expm1(-rates * tau)
    speed = float((rates * (1.0 - present)).sum())  # arrivals in a unit of time
    variance = float((present * (1.0 - present)).sum()) / (speed * speed)

    def inclusion(time: float) -> NDArray[np.float64]:
        mean = time + present / speed  # without row i the k-th arrival is as much later as it was missed
        return np.asarray(-np.expm1(-(mean * mean / variance) * np.log1p(rates * variance / mean)))

    return inclusion(_solve(lambda time: float(inclusion(time).sum()), draws, tau))


def _solve(increasing: Callable[[float], float], target: float, guess: float) -> float:
    """Return the positive number where a function that increases from at most `target` reaches it.

    By the rule of Ridders ("A new algorithm for computing a single root", 1979): the bracket at least halves
    with two values, and shrinks quadratically near the root.
    """
    low, high = 0.0, guess
    below, above = -target, increasing(guess) - target
    while above < 0:
        low, high, below = high, 2.0 * high, above
        above = increasing(high) - target
    while above > 0 and high - low > 1e-15 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        there = increasing(middle) - target
        if there == 0:
            return middle
        root = middle - (middle - low) * there / math.sqrt(there * there - below * above)
        for point, value in ((middle, there), (root, None)):
            if low < point < high:
                value = increasing(point) - target if value is None else value
                if value < 0:
                    low, below = point, value
                else:
                    high, above = point, value
    return high
