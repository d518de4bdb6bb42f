"""Graph cut over nearest neighbours: the pairwise function of arXiv 2402.16442 with degrees as utilities.

f(S) = Σ_{i∈V, j∈S} w_ij - λ Σ_{i,j∈S} w_ij over ordered pairs, i = j included, with w_ij = max(0, s_ij) where
i is among the most similar rows of j or j among those of i, else 0. Submodular; monotone for λ <= 1/2. A pair
that is no edge costs nothing, so parts that no edge joins can be selected from apart.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.neighbour_function import NeighbourFunction
from syllabus.selectors.functions.similarity import SimilarityName, similar
from syllabus.selectors.functions.similarity_function import GIBIBYTE
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import UNIT
from syllabus.selectors.validation import Vectors, real_number, whole_number


class SparseGraphCut(NeighbourFunction):
    """Graph cut over the graph of the `neighbours` nearest of each row.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      trade_off: λ >= 0, how much similarity inside the set costs.
      neighbours: at least 1, besides the row itself; all where n is smaller.
      memory_budget: bytes for the neighbours, 48 each while they are found and put in order.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.

    Building costs one (n x d)(d x n) product in blocks; memory at most 24 bytes for each neighbour of a row.
    A pick costs its edges, a gain O(1).
    """

    name: ClassVar[str] = "sparse_graph_cut"
    submodular = True

    def __init__(
        self,
        vectors: Vectors,
        trade_off: float = 0.4,
        neighbours: int = 64,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
    ) -> None:
        super().__init__(vectors, similarity)
        self.trade_off = real_number(
            trade_off, "trade_off", lambda value: 0 <= value < math.inf, "[0, inf)", self.name
        )
        self.monotone = self.trade_off <= 0.5
        count = whole_number(neighbours, "neighbours", 1, 2**31, "[1, 2^31]", self.name)
        near = self.nearest(count + 1, memory_budget)
        owners = np.repeat(np.arange(self.n), near.shape[1])
        edges = np.unique(np.minimum(owners, near.ravel()) * self.n + np.maximum(owners, near.ravel()))
        first, second = edges // self.n, edges % self.n
        first, second = first[first != second], second[first != second]
        both = np.concatenate([first, second]), np.concatenate([second, first])
        order = np.lexsort((both[1], both[0]))
        self.starts = np.searchsorted(both[0][order], np.arange(self.n + 1))
        self.ends = both[1][order].astype(np.int32)
        self.weights = np.empty(len(self.ends))
        s = self.similarity
        _weights(s.kind, s.rate, self.rows, self.starts, self.ends, self.weights)
        self.own = np.maximum(s.own(self.rows), 0.0)
        degrees = np.empty(self.n)
        _sums(self.starts, self.ends, self.weights, np.ones(self.n, np.bool_), degrees)
        self.alone = degrees + (1 - self.trade_off) * self.own  # gains of the empty set

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)

    def penalties(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what each row's gain loses by the (n,) `chosen` rows, (n,): 2λ Σ w over them."""
        out = np.empty(self.n)
        _sums(self.starts, self.ends, self.weights, chosen, out)
        return np.asarray(2 * self.trade_off * out)

    def rounding_bound(self) -> float:
        """Return a bound on the rounding of a gain: of a sum as long as the longest list of edges."""
        longest = int(np.diff(self.starts).max())
        return 8 * UNIT * (longest + 4) * (1 + 2 * self.trade_off) * float(self.alone.max(initial=1.0))


class _State(State):
    """The gain of every row, lowered edge by edge."""

    def __init__(self, function: SparseGraphCut) -> None:
        self.function = function
        self.left = function.alone.copy()
        self.gained: list[float] = []

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self.left[candidates])

    def add(self, index: int, score: float) -> float:
        f = self.function
        part = slice(f.starts[index], f.starts[index + 1])
        self.left[f.ends[part]] -= 2 * f.trade_off * f.weights[part]  # each at most once
        self.gained.append(score)
        return score

    def value(self) -> float:
        return math.fsum(self.gained)


@compiled
def _weights(
    kind: int, rate: float, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, out: np.ndarray
) -> None:
    for index in range(rows.shape[0]):
        for place in range(starts[index], starts[index + 1]):
            out[place] = max(0.0, similar(kind, rate, rows[index], rows[ends[place]]))


@compiled
def _sums(
    starts: np.ndarray, ends: np.ndarray, weights: np.ndarray, chosen: np.ndarray, out: np.ndarray
) -> None:
    for index in range(starts.shape[0] - 1):
        total = 0.0
        for place in range(starts[index], starts[index + 1]):
            if chosen[ends[place]]:
                total += weights[place]
        out[index] = total
