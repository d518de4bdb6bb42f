"""Facility location: every row should have someone close to it in the set.

f(S) = Σ_{i∈V} max(0, max_{j∈S} s_ij), s = (1 + <x, y>)/2 (never below 0 but by rounding). Monotone and
submodular (Cornuéjols, Fisher, Nemhauser, "Location of bank accounts to optimize float", 1977).
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .exact import dot, excess
from .kernel import GIBIBYTE, KernelFunction
from .set_function import State
from .validation import Vectors


class FacilityLocation(KernelFunction):
    """Facility location over all rows.

    Args:
      vectors: (n, d) float32, unit rows; not copied.
      memory_budget: bytes for products of the vectors; see `KernelFunction`.

    A gain costs O(n) given its kernel row, and the row O(n d). Gains are sums of exact similarities: a
    kernel entry only says which terms are zero.
    """

    name: ClassVar[str] = "facility_location"
    submodular = True
    monotone = True

    def __init__(self, vectors: Vectors, memory_budget: int = 2 * GIBIBYTE) -> None:
        super().__init__(vectors, memory_budget)
        self.served = np.zeros(self.n)  # how close the empty set is to each row

    def state(self) -> "FacilityLocationState":
        """Return the empty set."""
        return FacilityLocationState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        for part, products in self.blocks(indices):
            for index, row in zip(indices[part], products, strict=True):
                state.raise_levels(int(index), row)
        return state.value()

    def upper_bound(self, indices: NDArray[np.int64], objective: float) -> float | None:
        """Return f(S) + the k largest gains given S, for S the selection of k rows.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S). Needs the dense kernel (O(n²)); without it None, since it
        would cost as much as the kernel. (The lazy optimiser has bounds on all gains at hand, so its
        selections always carry a number.)
        """
        kernel = self.kernel()
        if kernel is None:
            return None
        state = self.state()
        for index in indices:
            state.raise_levels(int(index), kernel[index])
        gains = np.empty(self.n)
        _upper_gains(kernel, state.floors, gains)
        gains[indices] = 0.0
        return objective + math.fsum(np.sort(gains)[self.n - len(indices) :])


class FacilityLocationState(State):
    """The similarity of every row to the closest of the set, exact (`levels`) and as a float32 bound.

    `floors` holds 2 level - 1 - ε: a product not above its floor belongs to a term that is exactly zero.
    """

    def __init__(self, function: FacilityLocation) -> None:
        self.function = function
        self.levels = function.served.copy()
        self.floors = np.empty(function.n, np.float32)
        set_floors(self.levels, function.error, self.floors)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of each candidate."""
        out = np.empty(len(candidates))
        for part, products in self.function.blocks(candidates):
            _exact_gains(self.function.rows, candidates[part], products, self.levels, self.floors, out[part])
        return out

    def best(self, candidates: NDArray[np.int64]) -> tuple[int, float]:
        """As in `State`; exact gains are computed only where a bound reaches the best so far."""
        pick, score = -1, -1.0
        for part, products in self.function.blocks(candidates):
            bounds = np.empty(len(products))
            _upper_gains(products, self.floors, bounds)
            order = np.argsort(-bounds)
            pick, score = _best_gain(
                self.function.rows, candidates[part], products, self.levels, self.floors, bounds, order,
                pick, score,
            )  # fmt: skip
        return pick, score

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        kernel = self.function.kernel()
        row = self.function.products(np.array([index]))[0] if kernel is None else kernel[index]
        self.raise_levels(index, row)
        return score

    def raise_levels(self, index: int, products: NDArray[np.float32]) -> None:
        """Raise the levels to the similarities of row `index`, whose products are given."""
        raise_levels(self.function.rows, index, products, self.levels, self.floors, self.function.error)

    def value(self) -> float:
        """Return f of the set."""
        return math.fsum(self.levels - self.function.served)


@compiled
def exact_gain(
    rows: np.ndarray, index: int, products: np.ndarray, levels: np.ndarray, floors: np.ndarray
) -> float:
    """Return Σ_i max(0, s_iv - level_i), added in the order of i; terms below the floor are zeros left out.

    A float64 sum of the same terms in the same order, so it does not depend on the float32 products; and
    since rounding is monotone, it never grows when levels rise: an old gain bounds a new one as it is.
    """
    total = 0.0
    for i in range(rows.shape[0]):
        if products[i] > floors[i]:
            term = (1.0 + dot(rows[i], rows[index])) / 2.0 - levels[i]
            if term > 0.0:
                total += term
    return total


@compiled
def upper_gain(products: np.ndarray, floors: np.ndarray) -> float:
    """Return a number not below `exact_gain`: each term is at most (product - floor)/2."""
    return excess(products, floors) / 2.0 * (1.0 + 1e-9)


@compiled
def raise_levels(
    rows: np.ndarray,
    index: int,
    products: np.ndarray,
    levels: np.ndarray,
    floors: np.ndarray,
    error: float,
) -> None:
    """Raise levels and floors to the similarities of row `index`."""
    for i in range(rows.shape[0]):
        if products[i] > floors[i]:
            similarity = (1.0 + dot(rows[i], rows[index])) / 2.0
            if similarity > levels[i]:
                levels[i] = similarity
                floors[i] = np.float32(2.0 * similarity - 1.0 - error)


@compiled
def set_floors(levels: np.ndarray, error: float, floors: np.ndarray) -> None:
    """Write 2 level - 1 - ε; its rounding to float32 is part of ε."""
    for i in range(levels.shape[0]):
        floors[i] = np.float32(2.0 * levels[i] - 1.0 - error)


@compiled
def _exact_gains(
    rows: np.ndarray,
    candidates: np.ndarray,
    products: np.ndarray,
    levels: np.ndarray,
    floors: np.ndarray,
    out: np.ndarray,
) -> None:
    for position in range(candidates.shape[0]):
        out[position] = exact_gain(rows, candidates[position], products[position], levels, floors)


@compiled
def _best_gain(
    rows: np.ndarray,
    candidates: np.ndarray,
    products: np.ndarray,
    levels: np.ndarray,
    floors: np.ndarray,
    bounds: np.ndarray,
    order: np.ndarray,
    pick: int,
    score: float,
) -> tuple[int, float]:
    """Raise (pick, score) to the best of the candidates, exact gains taken in the order of their bounds."""
    for position in order:
        if bounds[position] < score:
            break
        gain = exact_gain(rows, candidates[position], products[position], levels, floors)
        if gain > score or (gain == score and candidates[position] < pick):
            score = gain
            pick = candidates[position]
    return pick, score


@compiled
def _upper_gains(kernel: np.ndarray, floors: np.ndarray, out: np.ndarray) -> None:
    for index in range(kernel.shape[0]):
        out[index] = upper_gain(kernel[index], floors)
