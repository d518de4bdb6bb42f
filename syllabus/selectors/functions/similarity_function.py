"""Set functions of similarities, with float32 blocks of them where they fit a memory budget.

Entries of such a kernel only bound (`fixed_order_sums.py` says why): sums are of exact similarities, and an
entry says which of their terms need none. An entry is c with s = offset + slope · c (`similarity.py`): the
plain product <x, y> for cosine and dot, s itself for RBF.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.similarity import (
    RBF,
    Similarity,
    SimilarityName,
    SimilarityParameters,
    similarity_of,
)
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.products import products_of
from syllabus.selectors.validation import Vectors, bytes_of

BLOCK = 64  # rows of the kernel computed together where it does not fit
GIBIBYTE = 2**30


class SimilarityFunction(SetFunction):
    """A set function of the similarities of rows.

    Args:
      vectors: (n, d) numbers, rows as the similarity asks; float32 in main memory is not copied.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.
    """

    def __init__(self, vectors: Vectors, similarity: SimilarityName = "cosine") -> None:
        self.rows, self.similarity = similarity_of(similarity, vectors, self.name)
        self.n = len(self.rows)
        self.products = products_of(vectors, self.rows)
        # Of a product <x, y>, and of an entry c in s = offset + slope · c.
        self.product_error = self.similarity.product_error(self.products.relative)
        self.error = self.similarity.entry_error(self.product_error)

    @property
    def parameters(self) -> SimilarityParameters:
        """The similarity, for compiled loops."""
        s = self.similarity
        return SimilarityParameters(s.kind, s.rate, s.slope, s.offset, self.error)


class KernelFunction(SimilarityFunction):
    """A set function over the similarities of all rows.

    Args:
      vectors: (n, d) numbers, rows as the similarity asks; float32 is not copied.
      memory_budget: bytes for similarities. If the float32 kernel fits, 4 n (n + 64) bytes, it is computed
        once and shared by all selections from this object; else rows are computed in blocks as they are
        needed, and as many are kept as fit. A few hundred bytes a row for bounds and levels come on top.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.
    """

    def __init__(
        self, vectors: Vectors, memory_budget: int = 2 * GIBIBYTE, similarity: SimilarityName = "cosine"
    ) -> None:
        super().__init__(vectors, similarity)
        # A block is in the making beside the kernel rows that are kept.
        block = min(self.n, BLOCK)
        budget = bytes_of(memory_budget, 8 * self.n * block, f"{2 * block} kernel rows", self.name)
        self.capacity = min(self.n, budget // (4 * self.n) - block)
        self.spare = budget - 4 * self.n * self.capacity  # bytes beside the kernel rows that are kept
        self._norms = squared_norms(self.rows).astype(np.float32) if self.similarity.kind == RBF else None
        self._kernel: NDArray[np.float32] | None = None

    def entries(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the kernel rows of `indices`, each entry within `error`; (b, n) float32."""
        found = self.products.rows_of(indices)
        if self._norms is not None:
            _exponentials(found, self._norms[indices], self._norms, self.similarity)
        return found

    def kernel(self) -> NDArray[np.float32] | None:
        """Return all entries, (n, n) float32, or None if they do not fit the memory budget."""
        if self._kernel is None and self.capacity == self.n:
            self._kernel = self.products.all()
            if self._norms is not None:
                for start in range(0, self.n, BLOCK):
                    part = slice(start, start + BLOCK)
                    _exponentials(self._kernel[part], self._norms[part], self._norms, self.similarity)
        return self._kernel

    def blocks(self, indices: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield slices of `indices` and their kernel rows."""
        kernel = self.kernel()
        for start in range(0, len(indices), BLOCK):
            part = slice(start, min(start + BLOCK, len(indices)))
            yield part, self.entries(indices[part]) if kernel is None else kernel[indices[part]]


def _exponentials(
    block: NDArray[np.float32], own: NDArray[np.float32], norms: NDArray[np.float32], similarity: Similarity
) -> None:
    """Turn products into exp(-rate ‖x - y‖²/4), in place."""
    block *= np.float32(-2)
    block += own[:, None]
    block += norms
    np.maximum(block, 0, out=block)
    # A larger rate is beyond float32, where 0 · inf would be no number; entries are then within 1 anyway.
    with np.errstate(over="ignore"):
        block *= np.float32(-min(similarity.rate / 4, 1e38))
    np.exp(block, out=block)
