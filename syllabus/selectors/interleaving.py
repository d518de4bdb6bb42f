"""Orders of parts joined to one of the whole, each spread evenly over it."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.validation import indices_of


def interleave(orders: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return one (n,) int64 order of several disjoint ones, each spread evenly over the whole.

    The t-th of m stands at (t + ½)/m. So the prefix up to a place τ holds τm of each to within ½, and the
    discrepancy is at most the sum of theirs and half the distances of their means from that of all. As
    CD-GraB (arXiv 2302.00845) joins the orders of workers, each of which sees its own vectors only.

    Args:
      orders: of (m,) int64 each, m at least 0; ties go to the first.

    O(n log n) time, O(n) memory.
    """
    if len(orders) == 0:
        raise SelectionError("interleave: orders is empty; give at least one")
    joined: NDArray[np.int64] = np.concatenate(
        [indices_of(order, 2**63 - 1, "interleave", distinct=False) for order in orders]
    )
    sizes = [len(order) for order in orders]
    _, order = next(interleaved(sizes, max(1, sum(sizes))))
    return joined[order]


def interleaved(sizes: Sequence[int], rows: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield how `interleave` joins orders of these sizes, in pieces of about so many rows.

    Each piece is (bounds, order): the (p, 2) first and last place, exclusive, that it takes of each order,
    and the (m,) places of its rows where these slices stand one after the other.

    Args:
      sizes: of the orders, at least one.
      rows: at least 1.

    O(n log rows) time, O(rows) memory; n is the sum of the sizes.

    >>> [(bounds.tolist(), order.tolist()) for bounds, order in interleaved([2, 1], 2)]
    [([[0, 1], [0, 0]], [0]), ([[1, 2], [0, 1]], [1, 0])]
    """
    counts = np.asarray(sizes, np.int64)
    pieces = max(1, -(-int(counts.sum()) // rows))
    first = np.zeros(len(counts), np.int64)
    for piece in range(1, pieces + 1):
        stop = counts if piece == pieces else _places_before(counts, piece / pieces)
        places = [
            (np.arange(start, end) + 0.5) / size for start, end, size in zip(first, stop, counts, strict=True)
        ]
        yield np.stack([first, stop], axis=1), np.argsort(np.concatenate(places), kind="stable")
        first = stop


def _places_before(counts: NDArray[np.int64], place: float) -> NDArray[np.int64]:
    """How many t of each count m have (t + ½)/m < `place`, as the quotient is rounded."""
    found: NDArray[np.int64] = np.ceil(place * counts - 0.5).astype(np.int64)
    sizes = np.maximum(counts, 1)
    found -= (found > 0) & ((found - 0.5) / sizes >= place)
    found += (found < counts) & ((found + 0.5) / sizes < place)
    return found
