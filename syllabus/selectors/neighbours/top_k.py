"""Top-k lists: the k nearest of each row, kept in order as products are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled, compiled_inside
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.numerics.union_find import union

CHUNK = 64


@dataclass(frozen=True)
class TopK:
    """The k nearest found so far of m rows.

    Attributes:
      ids: (m, k) int64, the nearest first; -1 where fewer were found.
      cosines: (m, k) float64, descending; -inf where fewer were found.
    """

    ids: NDArray[np.int64]
    cosines: NDArray[np.float64]

    @staticmethod
    def empty(rows: int, k: int) -> "TopK":
        """Return the nearest of `rows` rows before anything was searched."""
        return TopK(np.full((rows, k), -1, np.int64), np.full((rows, k), -np.inf))

    def merge(self, places: NDArray[np.int64], other: "TopK") -> None:
        """Take over what `other`, of the rows at `places`, has found among rows not searched here before.

        Raises:
          SelectionError: `places` are not as many as the rows of `other`, or not among those of this.
        """
        # A compiled loop would write wherever they say.
        inside = not len(places) or 0 <= places.min() <= places.max() < len(self.ids)
        if not inside or other.ids.shape != (len(places), other.cosines.shape[1]):
            raise SelectionError(
                f"TopK: {len(places)} places for {len(other.ids)} lists, of {len(self.ids)} rows"
            )
        _merge(self.ids, self.cosines, places, other.ids, other.cosines)


@compiled_inside
def _reaching(line: np.ndarray, start: int, stop: int, least: np.float32) -> int:
    # A count has no order, so this becomes a vector loop; a maximum would not.
    count = 0
    for j in range(start, stop):
        count += line[j] >= least
    return count


def update_top_k(
    products: NDArray[np.float32],
    queries: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    row_ids: NDArray[np.int64],
    ids: NDArray[np.int64],
    cosines: NDArray[np.float64],
    error: float,
    low: float,
    parents: NDArray[np.int64],
) -> None:
    """Offer each row to each query, and unite the groups of pairs with a cosine of at least `low`."""
    near, best = np.empty(products.shape[1], np.int64), np.empty(ids.shape[1], np.float32)
    _update(products, queries, query_ids, rows, row_ids, ids, cosines, error, low, parents, near, best)


@compiled
def _update(
    products: np.ndarray,
    queries: np.ndarray,
    query_ids: np.ndarray,
    rows: np.ndarray,
    row_ids: np.ndarray,
    ids: np.ndarray,
    cosines: np.ndarray,
    error: float,
    low: float,
    parents: np.ndarray,
    near: np.ndarray,
    best: np.ndarray,
) -> None:
    """As `update_top_k`; `near`, one number a row, and `best`, k, are overwritten."""
    width = products.shape[1]
    k = ids.shape[1]
    for i in range(products.shape[0]):
        line = products[i]
        # A row is among the k nearest only if its product reaches the k-th exact cosine known, less ε; and
        # the k-th largest product seen in this line, less 2ε.
        # (Conditions, not min and max: numba compiles each of those for itself.)
        reach = cosines[i, k - 1] - error
        joins = low - error
        held = 0
        seen = 0
        for start in range(0, width, CHUNK):
            stop = start + CHUNK if start + CHUNK < width else width
            least = reach if reach < joins else joins
            if _reaching(line, start, stop, np.float32(least)) == 0:
                continue
            for j in range(start, stop):
                value = line[j]
                if (value < reach and value < joins) or row_ids[j] == query_ids[i]:
                    continue
                if value >= joins and (value >= low + error or dot(queries[i], rows[j]) >= low):
                    union(parents, query_ids[i], row_ids[j])
                if value < reach:
                    continue
                near[held] = j
                held += 1
                if seen < k:
                    best[seen] = value
                    seen += 1
                    place = seen - 1
                elif value > best[k - 1]:
                    best[k - 1] = value
                    place = k - 1
                else:
                    continue
                while place > 0 and best[place - 1] < best[place]:
                    best[place - 1], best[place] = best[place], best[place - 1]
                    place -= 1
                if seen == k and best[k - 1] - 2.0 * error > reach:
                    reach = best[k - 1] - 2.0 * error
        for held_at in range(held):
            j = near[held_at]
            if line[j] >= reach:
                _insert(ids[i], cosines[i], row_ids[j], dot(queries[i], rows[j]))


def offer_candidates(
    products: NDArray[np.float32],
    places: NDArray[np.int64],
    queries: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    row_ids: NDArray[np.int64],
    nearest: TopK,
    error: float,
    low: float,
    parents: NDArray[np.int64],
    whole: bool,
) -> NDArray[np.int64]:
    """As `update_top_k`, of the rows at `places` alone; return the queries that these may not be enough for.

    products: (m, c) float32, the largest of each query, descending; those of the rows at (m, c) `places`.
    whole: they are all rows. Else a query is left as it was, and returned, unless the last candidate is out
    of reach: no other row's product exceeds it. So it is where products are not within `error`.
    """
    left = np.zeros(len(queries), np.bool_)
    _offer(
        products, places, queries, query_ids, rows, row_ids, nearest.ids, nearest.cosines, error, low,
        parents, whole, left,
    )  # fmt: skip
    return np.flatnonzero(left)


@compiled
def _offer(
    products: np.ndarray,
    places: np.ndarray,
    queries: np.ndarray,
    query_ids: np.ndarray,
    rows: np.ndarray,
    row_ids: np.ndarray,
    ids: np.ndarray,
    cosines: np.ndarray,
    error: float,
    low: float,
    parents: np.ndarray,
    whole: bool,
    left: np.ndarray,
) -> None:
    """As `offer_candidates`; the queries are marked in `left`."""
    before = np.empty(ids.shape[1], ids.dtype)
    known = np.empty(ids.shape[1])
    last = places.shape[1] - 1
    for i in range(places.shape[0]):
        before[:] = ids[i]
        known[:] = cosines[i]
        for c in range(places.shape[1]):
            j = places[i, c]
            cosine = dot(queries[i], rows[j])
            if abs(cosine - products[i, c]) > error:
                left[i] = True
                break
            if row_ids[j] == query_ids[i]:
                continue
            if cosine >= low:
                union(parents, query_ids[i], row_ids[j])
            _insert(ids[i], cosines[i], row_ids[j], cosine)
        reach = products[i, last] + 2.0 * error
        if not whole and (reach >= low or reach >= cosines[i, -1]):
            left[i] = True
        if left[i]:
            ids[i] = before
            cosines[i] = known


def transposed(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of the transpose."""
    turned = np.empty(tile.shape[::-1], tile.dtype)
    _transpose(tile, turned)
    return turned


@compiled
def _transpose(tile: np.ndarray, turned: np.ndarray) -> None:
    # In squares that fit the cache: five times as fast as a strided copy.
    for i in range(0, tile.shape[0], CHUNK):
        for j in range(0, tile.shape[1], CHUNK):
            for b in range(j, min(j + CHUNK, tile.shape[1])):
                for a in range(i, min(i + CHUNK, tile.shape[0])):
                    turned[b, a] = tile[a, b]


@compiled_inside
def _insert(ids: np.ndarray, cosines: np.ndarray, new: int, cosine: float) -> None:
    """Put one row at its place among the nearest: descending by cosine, then ascending by id."""
    place = len(ids) - 1
    if cosine < cosines[place] or (cosine == cosines[place] and new > ids[place] >= 0):
        return
    while place > 0 and (
        cosine > cosines[place - 1] or (cosine == cosines[place - 1] and new < ids[place - 1])
    ):
        cosines[place], ids[place] = cosines[place - 1], ids[place - 1]
        place -= 1
    cosines[place], ids[place] = cosine, new


@compiled
def _merge(
    ids: np.ndarray, cosines: np.ndarray, places: np.ndarray, more_ids: np.ndarray, more: np.ndarray
) -> None:
    """Put the lists `more` into those at `places`; an id below 0 ends a list."""
    for i in range(len(places)):
        for j in range(more_ids.shape[1]):
            if more_ids[i, j] < 0:
                break
            _insert(ids[places[i]], cosines[places[i]], more_ids[i, j], more[i, j])
