"""Bounding: rows that are certainly in, or certainly out, decided before anything is selected.

Böther et al., "On distributed larger-than-memory subset selection with pairwise submodular functions"
(arXiv 2402.16442), where a row's utility lies between what it adds if all its undecided neighbours are chosen
and if none is. A row whose least utility is above the k-th largest greatest one is in every optimal set; one
whose greatest utility is below the k-th largest least one is in none: else a swap would gain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.functions.sparse_graph_cut import SparseGraphCut
from syllabus.selectors.numerics.fixed_order_sums import dots
from syllabus.selectors.validation import budget_of

Interval: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Lower and upper bounds, (n,) each; of rows that are no longer undecided they mean nothing."""

STEPS = 16  # ranges of set sizes that bounds for greedy are taken over
LEAST = 1e-3  # share of the rows that a pass has to decide for there to be another
_WIDEN = 1 + 1e-9  # of a deviation, for the rounding of float64 moments
_BLOCK = 4096  # rows whose moments are taken together


@dataclass(frozen=True, eq=False)
class Bounds:
    """What bounding decided of n rows.

    Attributes:
      included: (i,) int64, ascending, rows of every set that `keep` names.
      undecided: (u,) int64, ascending, rows still to choose from.
      share: of the rows that are decided, included or excluded.
      passes: over the rows.
    """

    included: NDArray[np.int64]
    undecided: NDArray[np.int64]
    share: float
    passes: int


def bound(function: SetFunction, budget: int, keep: str = "optimum") -> Bounds:
    """Return which rows a selection of `budget` rows can do without, and which it cannot.

    Args:
      function: `GraphCut` of a similarity that is linear, cosine or dot, or `SparseGraphCut`.
      budget: k, 1 <= k <= n.
      keep: "optimum": every set of k rows with the largest f holds all of `included`, and no row but these
        and `undecided`. "greedy": greedy over `undecided` alone picks the same rows in the same order as over
        all, k of them; nothing is included.

    Cost: of a pass, O(n + edges) for a sparse function. Graph cut's similarities are bounded by moments,
    O(n d²) and no pair of rows: a sum of r of n numbers is off r times their mean by at most
    √(r (n - r)/n) times the root of their squared deviations (Cauchy and Schwarz), which the scatter matrix
    of the rows gives for all rows at once. Passes go on while they decide a thousandth of the rows.

    Raises:
      SelectionError: another function or similarity, a budget outside [1, n], an unknown `keep`.
    """
    intervals = _intervals(function)
    budget = budget_of(budget, function.n, "bound")
    if keep not in ("optimum", "greedy"):
        raise SelectionError(f"bound: keep={keep!r} is unknown; valid: optimum, greedy")
    decide = _for_optimum if keep == "optimum" else _for_greedy
    included = np.zeros(function.n, np.bool_)
    undecided = np.ones(function.n, np.bool_)
    passes = 0
    while undecided.any() and included.sum() < budget:
        before = int(undecided.sum())
        decide(intervals, included, undecided, budget)
        passes += 1
        if before - undecided.sum() < max(1, LEAST * function.n):
            break
    if included.sum() == budget:
        undecided[:] = False
    share = 1 - float(undecided.sum()) / function.n
    return Bounds(np.flatnonzero(included), np.flatnonzero(undecided), share, passes)


_Intervals: TypeAlias = Callable[[NDArray[np.bool_], NDArray[np.bool_]], Callable[[int, int], Interval]]
"""Of (included, undecided), the intervals of utilities given the included rows and r undecided ones, r from a
least to a most; utilities are gains less what is the same for all rows at one size of the set."""


def _for_optimum(
    intervals: _Intervals, included: NDArray[np.bool_], undecided: NDArray[np.bool_], budget: int
) -> None:
    """Move rows from `undecided` to `included`, or to neither, by utilities in sets of budget - 1 rows."""
    room = budget - int(included.sum())
    rows = np.flatnonzero(undecided)
    if len(rows) <= room:
        included[rows], undecided[rows] = True, False
        return
    lower, upper = (each[rows] for each in intervals(included, undecided)(room - 1, room - 1))
    # Fewer than `room` rows reach the lower bound of a row that is in.
    inside = lower > _largest(upper, room)
    outside = upper < _largest(lower, room)
    included[rows[inside]] = True
    undecided[rows[inside | outside]] = False


def _for_greedy(
    intervals: _Intervals, included: NDArray[np.bool_], undecided: NDArray[np.bool_], budget: int
) -> None:
    """Drop rows that at every size t < budget have t + 1 rows above them: one of these is not picked yet."""
    rows = np.flatnonzero(undecided)
    of_sizes = intervals(included, undecided)
    outside = np.ones(len(rows), np.bool_)
    edges = np.unique(np.linspace(0, budget, min(STEPS, budget) + 1).astype(np.int64))
    for least, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        lower, upper = (each[rows] for each in of_sizes(least, stop - 1))
        outside &= upper < _largest(lower, min(stop, len(rows)))
        if not outside.any():
            return
    undecided[rows[outside]] = False


def _largest(values: NDArray[np.float64], rank: int) -> float:
    """Return the `rank`-th largest value, from 1."""
    return float(np.partition(values, len(values) - rank)[len(values) - rank])


def _intervals(function: Any) -> _Intervals:
    if isinstance(function, SparseGraphCut):
        return _by_neighbours(function)
    if isinstance(function, GraphCut) and function.linear:
        return _by_moments(function)
    name = getattr(function, "name", type(function).__name__)
    raise SelectionError(
        f"bound: no bounds are known for {name}; valid: graph_cut (cosine, dot), sparse_graph_cut"
    )


def _by_neighbours(function: SparseGraphCut) -> _Intervals:
    """Utilities between those with all undecided neighbours chosen and with none."""
    error = function.rounding_bound()

    def given(included: NDArray[np.bool_], undecided: NDArray[np.bool_]) -> Callable[[int, int], Interval]:
        upper = function.alone - function.penalties(included)
        lower = upper - function.penalties(undecided)

        def of_sizes(_: int, most: int) -> Interval:
            # With none chosen nothing is lost.
            return ((lower if most else upper) - error, upper + error)

        return of_sizes

    return given


def _by_moments(function: GraphCut) -> _Intervals:
    """Utilities from the mean and the scatter of the undecided rows.

    The score of v given S is <x_v, q> - term_v - step · Σ_S <x_v, x> (`graph_cut.py`). What all rows lose
    alike is left out: r times the mean of <x_v, mean> over the undecided v.
    """
    step, rows = function.step, function.rows
    error = 2 * function.rounding_bound()

    def given(included: NDArray[np.bool_], undecided: NDArray[np.bool_]) -> Callable[[int, int], Interval]:
        chosen = rows[included].sum(axis=0, dtype=np.float64)
        mean, scatter = _moments(rows, undecided)
        count = int(undecided.sum())
        base, means = np.empty(len(rows)), np.empty(len(rows))
        dots(rows, function.first_query - step * chosen, base)
        base -= function.terms
        dots(rows, mean, means)
        means -= means[undecided].mean()
        deviations = _deviations(rows, scatter) * _WIDEN

        def of_sizes(least: int, most: int) -> Interval:
            nearest = min(max(least, count // 2), most)  # where r (n - r) is largest
            spread = step * np.sqrt(nearest * (count - nearest) / count) * deviations
            low, high = step * least * means, step * most * means
            return (
                base - np.maximum(low, high) - spread - error,
                base - np.minimum(low, high) + spread + error,
            )

        return of_sizes

    return given


def _moments(
    rows: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of the chosen rows, (d,), and their scatter around it, (d, d)."""
    mean = rows[chosen].mean(axis=0, dtype=np.float64)
    scatter = np.zeros((rows.shape[1], rows.shape[1]))
    numbers = np.flatnonzero(chosen)
    for first in range(0, len(numbers), _BLOCK):
        block = rows[numbers[first : first + _BLOCK]] - mean
        scatter += block.T @ block
    return mean, scatter


def _deviations(rows: NDArray[np.float32], scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """√(x' scatter x) of each row: the root of Σ (<x, y> - mean)² over the rows of the scatter."""
    out = np.empty(len(rows))
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK].astype(np.float64)
        out[first : first + _BLOCK] = np.einsum("ij,ij->i", block @ scatter, block)
    return np.sqrt(np.maximum(out, 0.0))
