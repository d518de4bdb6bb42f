"""Signed walks that balance vectors: the core of the offline orders and of GraB (arXiv 2205.10733).

At each vector z a walk steps to s + z if <s, z> <= 0, else to s - z (the shorter of the two): with signs so
chosen ‖Σ ± z‖ stays small. Sign + means "to the front". Vectors are float32 (or int8 sketches, for mean
balance), sums float64 (`fixed_order_sums.py`).

mean balance       z is a row less the mean of all (GraB).
pair balance       z is the difference of two rows that follow one another, so no mean is needed (CD-GraB,
                   arXiv 2302.00845).
kernel halving     pair balance whose threshold is not 0 but a random share of a bound that adapts to the
                   walk (`Halving`).

A walk adds to `running_sum`: a stream of blocks is walked by one call a block, pairs in blocks of even
length. `products_walk` is the same walk where only inner products are at hand (`vectors.py`),
`outer_products.py` the same over outer products.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import key_of, uniform
from syllabus.selectors.numerics.fixed_order_sums import centred_dot, squared_distance_over_4

_PURPOSE = 11  # keeps the draws of kernel halving apart from others under the same seed
NO_DRAWS = np.empty(0)


class Thresholds(NamedTuple):
    """U_k, L_k, (pairs,) float64 each, and v of `Halving`, for compiled loops; all empty where they are 0."""

    draws: NDArray[np.float64]
    penalties: NDArray[np.float64]
    spread: NDArray[np.float64]


class Halving:
    """The thresholds of kernel halving for one run of `pairs` pairs.

    Low-Rank Thinning (Carrell et al., ICML 2025), as in its KH-SGD code: with b the difference of pair k, v
    twice the squared sub-Gaussian constant so far (0 at first) and
    L_k = log((4/δ)(log E + 1)(log pairs + 1) k), the bound is a = max(‖b‖², ‖b‖√(v L_k)), the sign is + iff
    <s, b> <= U_k a with U_k uniform in [-1, 1), and v grows by ‖b‖²(2 + (‖b‖² - 2a) v/a²)₊.

    Args:
      pairs: of the run, at least 1.
      runs: E, how many runs there will be, at least 1.
      seed: words of the draws U_k, which are a function of (seed, k).
      failure: δ, the probability that the bound fails in any run.

    Attributes:
      spread: (1,) float64, v.
      done: pairs walked. The two are all of its state.
    """

    def __init__(self, pairs: int, runs: int, seed: tuple[int, ...], failure: float = 0.5) -> None:
        self.spread, self.done = np.zeros(1), 0
        self._key = key_of(seed, _PURPOSE)
        self._scale = 4 / failure * (math.log(runs) + 1) * (math.log(pairs) + 1)

    def draw(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return U_k and L_k of the next `count` pairs, (count,) float64 each, and move on."""
        places = np.arange(self.done, self.done + count)
        self.done += count
        draws = np.empty(count)
        _fill_uniform(self._key, int(places[0]) if count else 0, draws)
        return draws, np.log(self._scale * (places + 1))


def thresholds_of(halving: Halving | None, pairs: int) -> Thresholds:
    """Return the thresholds of the next `pairs` pairs; without `halving` they are 0."""
    if halving is None:
        return Thresholds(NO_DRAWS, NO_DRAWS, NO_DRAWS)
    return Thresholds(*halving.draw(pairs), halving.spread)


@compiled
def signed_walk(
    rows: np.ndarray, mean: np.ndarray, order: np.ndarray, running_sum: np.ndarray, signs: np.ndarray
) -> None:
    """Walk over rows[order] - mean, writing signs and moving `running_sum` along.

    Args:
      rows: (n, d) float32 or int8, contiguous.
      mean: (d,) float64, taken off each row on the way (zeros for rows that are centred).
      order: (m,) int64 row numbers.
      running_sum: (d,) float64, where the walk stands; changed.
      signs: (m,) int8, filled with +1 and -1.

    O(m d), one pass over the rows: about the time of reading them.
    """
    for step in range(order.shape[0]):
        row = rows[order[step]]
        if centred_dot(running_sum, row, mean) <= 0.0:
            signs[step] = 1
            for j in range(row.shape[0]):
                running_sum[j] += row[j] - mean[j]
        else:
            signs[step] = -1
            for j in range(row.shape[0]):
                running_sum[j] -= row[j] - mean[j]


def pair_walk(
    rows: NDArray[np.float32],
    order: NDArray[np.int64],
    running_sum: NDArray[np.float64],
    halving: Halving | None = None,
) -> NDArray[np.int8]:
    """Walk over the differences a - b of consecutive rows of the order; return (m // 2,) int8 signs.

    Args:
      rows: (n, d) float32, contiguous.
      order: (m,) int64 row numbers; an odd one out is left alone.
      running_sum: (d,) float64, where the walk stands; changed.
      halving: thresholds of kernel halving; without, they are 0.

    O(m d), one pass over the rows.
    """
    signs = np.empty(len(order) // 2, np.int8)
    _pair_walk(rows, order, running_sum, signs, thresholds_of(halving, len(signs)))
    return signs


def products_walk(
    products: NDArray[np.float64], gram: NDArray[np.float64], halving: Halving | None = None
) -> NDArray[np.int8]:
    """Return the (m,) int8 signs of a walk over m vectors of which only inner products are known.

    Before vector j, s has moved by Σ_{i<j} e_i z_i, so <s, z_j> = products[j] + Σ_{i<j} e_i gram[i, j]. The
    signs are those of the walk itself; the caller moves s by Σ e_i z_i afterwards.

    Args:
      products: (m,) float64, <s, z_j> with s where the walk stands before the block.
      gram: (m, m) float64, <z_i, z_j>.
      halving: thresholds of kernel halving; without, they are 0.

    O(m²).
    """
    signs = np.empty(len(products), np.int8)
    _products_walk(products, gram, signs, thresholds_of(halving, len(signs)))
    return signs


def reorder(order: NDArray[np.int64], signs: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the next order: the positives as they came, then the negatives reversed.

    Its discrepancy is at most (discrepancy of `order` + largest prefix of the signed sums)/2: Harvey, Samadi,
    "Near-optimal herding", 2014.
    """
    return np.concatenate([order[signs > 0], order[signs <= 0][::-1]])


def reorder_pairs(order: NDArray[np.int64], signs: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the next order: of each pair one to the front, one to the back, an odd one out in between.

    Args:
      order: (m,) int64.
      signs: (m // 2,): + where the first of the pair goes to the front.
    """
    first, second = order[: 2 * len(signs) : 2], order[1 : 2 * len(signs) : 2]
    front, back = np.where(signs > 0, first, second), np.where(signs > 0, second, first)
    return np.concatenate([front, order[2 * len(signs) :], back[::-1]])


@compiled
def _pair_walk(
    rows: np.ndarray, order: np.ndarray, running_sum: np.ndarray, signs: np.ndarray, thresholds: Thresholds
) -> None:
    draws, penalties, spread = thresholds
    for pair in range(signs.shape[0]):
        a, b = rows[order[2 * pair]], rows[order[2 * pair + 1]]
        threshold = 0.0
        if draws.shape[0]:
            threshold = draws[pair] * bound(4.0 * squared_distance_over_4(a, b), penalties[pair], spread)
        if centred_dot(running_sum, a, b) <= threshold:
            signs[pair] = 1
            for j in range(a.shape[0]):
                running_sum[j] += np.float64(a[j]) - b[j]
        else:
            signs[pair] = -1
            for j in range(a.shape[0]):
                running_sum[j] -= np.float64(a[j]) - b[j]


@compiled
def _products_walk(products: np.ndarray, gram: np.ndarray, signs: np.ndarray, thresholds: Thresholds) -> None:
    draws, penalties, spread = thresholds
    for j in range(signs.shape[0]):
        product = products[j]
        for i in range(j):
            product += signs[i] * gram[i, j]
        threshold = 0.0
        if draws.shape[0]:
            threshold = draws[j] * bound(gram[j, j], penalties[j], spread)
        signs[j] = 1 if product <= threshold else -1


@compiled
def bound(square: float, penalty: float, spread: np.ndarray) -> float:
    """Return a of `Halving` for a difference of squared norm `square`, and let v = `spread` grow."""
    limit = max(square, np.sqrt(square * spread[0] * penalty))
    if limit > 0.0:
        spread[0] += square * max(0.0, 2.0 + (square - 2.0 * limit) * spread[0] / limit**2)
    return limit  # type: ignore[no-any-return]


@compiled
def _fill_uniform(key: np.uint64, start: int, out: np.ndarray) -> None:
    for i in range(out.shape[0]):
        out[i] = 2.0 * uniform(key, start + i) - 1.0
