"""Set functions of all similarities of a row, float32 products of the vectors where they fit a memory budget.

A product from BLAS only bounds (`exact.py` says why): sums are of exact similarities, and a product says
which of their terms need none.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .errors import SelectionError
from .exact import UNIT32
from .set_function import SetFunction
from .validation import Vectors

BLOCK = 64  # rows of the kernel computed together where it does not fit
GIBIBYTE = 2**30


class KernelFunction(SetFunction):
    """A set function over s = (1 + <x, y>)/2.

    Args:
      vectors: (n, d) float32, unit rows; not copied.
      memory_budget: bytes for products of the vectors. If 4 n² fit, the float32 kernel is computed once and
        shared by all selections from this object; else rows are computed in blocks as they are needed.
    """

    def __init__(self, vectors: Vectors, memory_budget: int = 2 * GIBIBYTE) -> None:
        super().__init__(vectors)
        self.capacity = min(self.n, int(memory_budget) // (4 * self.n))
        if self.capacity < min(self.n, 2 * BLOCK):
            least = 4 * self.n * min(self.n, 2 * BLOCK)
            raise SelectionError(
                f"{self.name}: memory_budget={memory_budget} is below {least} bytes, {2 * BLOCK} kernel rows"
            )
        # |fl(<x, y>) - <x, y>| <= γ_d ‖x‖‖y‖ for float32 sums in any order; sixteen more units cover the
        # rounding of the levels it is compared with, 1.0003 the norms.
        self.error = (self.rows.shape[1] + 16) * UNIT32 * 1.0003
        self._kernel: NDArray[np.float32] | None = None

    def products(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return <x_i, x_v> within `error` for the rows v of `indices`; (b, n) float32."""
        return self.rows[indices] @ self.rows.T

    def kernel(self) -> NDArray[np.float32] | None:
        """Return all products, (n, n) float32, or None if they do not fit the memory budget."""
        if self._kernel is None and self.capacity == self.n:
            self._kernel = self.rows @ self.rows.T
        return self._kernel

    def blocks(self, indices: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield slices of `indices` and their rows of products."""
        kernel = self.kernel()
        for start in range(0, len(indices), BLOCK):
            part = slice(start, min(start + BLOCK, len(indices)))
            yield part, self.products(indices[part]) if kernel is None else kernel[indices[part]]
