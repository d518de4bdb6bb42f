"""Disparity-min: rows far from one another. The hard phase of MILO (arXiv 2301.13287).

f(S) = min over pairs of S of d(x, y) = (s(x, x) + s(y, y))/2 - s(x, y); 0 for fewer than two rows. For
cosine d is ‖x - y‖²/4 = (1 - cos)/2, for dot ‖x - y‖²/2, for RBF 1 - s: the picks are those of ‖x - y‖.
Neither monotone nor submodular; greedy is the farthest-first traversal of Gonzalez, "Clustering to minimize
the maximum intercluster distance", 1985.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import SimilarityName
from syllabus.selectors.functions.similarity_function import SimilarityFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.distances import nearest_distances
from syllabus.selectors.numerics.fixed_order_sums import squared_distance_over_4
from syllabus.selectors.validation import Vectors


class DisparityMin(SimilarityFunction):
    """Disparity-min without the n x n kernel.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.

    Gains as in submodlib: 0 for the first pick, r_2 for the second, r_t - r_{t-1} after it (never positive),
    r_t = f of the first t picks. Since all first gains are 0, greedy starts from row 0.
    """

    name: ClassVar[str] = "disparity_min"
    bound_needs_greedy: ClassVar[bool] = True

    def __init__(self, vectors: Vectors, similarity: SimilarityName = "cosine") -> None:
        super().__init__(vectors, similarity)

    def state(self) -> "DisparityMinState":
        """Return the empty set."""
        return DisparityMinState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        if len(indices) < 2:
            return 0.0
        return self.distance(float(nearest_distances(self.rows, indices, self.product_error).min()))

    def distance(self, squared_distance_over_4: float) -> float:
        """Return d of rows with this ‖x - y‖²/4, of which it is an increasing function."""
        return float(self.similarity.distances(np.array([squared_distance_over_4]))[0])

    def upper_bound(
        self,
        indices: NDArray[np.int64],  # noqa: ARG002
        objective: float,
        constraint: Constraint,  # noqa: ARG002
    ) -> float | None:
        """Return 4 f(S_k) for the set of k rows that greedy picked.

        Farthest-first is within a factor 2 of the largest smallest distance, and d is half a squared one.
        """
        return 4.0 * objective


class DisparityMinState(State):
    """The exact distance of each row to the picks it has been compared with, brought up to date on demand."""

    def __init__(self, function: DisparityMin) -> None:
        self.function = function
        self.nearest = np.full(function.n, np.inf)
        self.seen = np.zeros(function.n, np.int64)
        self.picks = np.empty(0, np.int64)
        self.size = 0
        self.radius = 0.0

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ‖x - y‖²/4 of each candidate and the nearest y of S; 0 for the empty set.

        A candidate farther away than the closest pair of S leaves f as it is; the farthest is best.
        """
        out = np.zeros(len(candidates))
        if self.size:
            picks = self.picks[: self.size]
            _bring_up_to_date(self.function.rows, picks, candidates, self.nearest, self.seen, out)
        return out

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how f changes for candidates at these distances."""
        distance = self.function.similarity.distances(scores)
        return np.minimum(distance, self.radius) - self.radius if self.size > 1 else distance

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        gain = float(self.gains(np.array([score]))[0])
        if self.size == len(self.picks):
            self.picks = np.concatenate([self.picks, np.empty(max(64, self.size), np.int64)])
        self.picks[self.size] = index
        distance = self.function.distance(score)
        self.radius = min(distance, self.radius) if self.size > 1 else distance
        self.size += 1
        return gain

    def add_in_order(self, indices: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `add` of (m,) rows at these distances one after the other; return their gains, (m,) float64."""
        distances = self.function.similarity.distances(scores)
        # f before and after each; of fewer than two rows there is none, and the first gain is a distance.
        radii = np.concatenate([[self.radius], distances])
        start = max(0, 2 - self.size)  # the first place whose gain is a difference
        radii[start:] = np.minimum.accumulate(radii[start:])
        gains = np.concatenate([distances[:start], np.diff(radii[start:])])
        self.picks = np.concatenate([self.picks[: self.size], indices])
        self.size += len(indices)
        self.radius = float(radii[-1])
        return gains

    def value(self) -> float:
        """Return f of the set."""
        return self.radius


@compiled
def _bring_up_to_date(
    rows: np.ndarray,
    picks: np.ndarray,
    candidates: np.ndarray,
    nearest: np.ndarray,
    seen: np.ndarray,
    out: np.ndarray,
) -> None:
    for position in range(candidates.shape[0]):
        index = candidates[position]
        least = nearest[index]
        for t in range(seen[index], picks.shape[0]):
            least = min(least, squared_distance_over_4(rows[index], rows[picks[t]]))
        nearest[index] = least
        seen[index] = picks.shape[0]
        out[position] = least
