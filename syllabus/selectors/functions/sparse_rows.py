"""Sparse rows: scipy's CSR matrices as they lie, arrays by their entries above 0."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import as_rows


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Row i has values[starts[i] : starts[i + 1]] in the columns of the same places, ascending.

    Attributes:
      starts: (n + 1,) int32 or int64.
      columns: (entries,) int32 or int64.
      values: (entries,) float64, of finite numbers in [0, most].
      width: d.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1


def sparse_rows(features: Any, most: float, caller: str) -> SparseRows:
    """Return (n, d) features with values in [0, most] by their entries.

    Args:
      features: a scipy sparse matrix or array (CSR is not copied, but for values that are not float64), or
        (n, d) numbers as an array or tensor, of which the entries above 0 are kept.
      most: the largest value allowed.
      caller: what errors call it.

    Raises:
      SelectionError: another type or rank, n or d of 0, a value that is not finite or outside [0, most].
    """
    if hasattr(features, "tocsr"):  # scipy itself need not be here
        rows = _of_csr(features, caller)
    else:
        dense = as_rows(features, caller, (np.float32, np.float64))  # as exact as a sparse matrix
        places, columns = np.nonzero(dense)
        starts = np.searchsorted(places, np.arange(len(dense) + 1))
        rows = SparseRows(starts, columns, dense[places, columns].astype(np.float64), dense.shape[1])
    # Written so that NaN fails too.
    bad = np.flatnonzero(~((rows.values >= 0) & (rows.values <= most)))
    if bad.size:
        row = int(np.searchsorted(rows.starts, bad[0], side="right")) - 1
        raise SelectionError(
            f"{caller}: row {row} has {rows.values[bad[0]]:g} in column {rows.columns[bad[0]]}; features must"
            f" be finite numbers in [0, {most:g}]"
        )
    return rows


def _of_csr(features: Any, caller: str) -> SparseRows:
    matrix = features.tocsr()
    if len(matrix.shape) != 2 or 0 in matrix.shape:
        raise SelectionError(
            f"{caller}: features have shape {matrix.shape}; expected (n, d) with n and d at least 1"
        )
    if matrix.data.dtype.kind not in "biuf":
        raise SelectionError(f"{caller}: features have dtype {matrix.data.dtype}; expected numbers")
    starts, columns = matrix.indptr, matrix.indices
    # A compiled loop would read wherever they say: scipy does not look at all of a matrix from a file.
    whole = (
        starts[0] == 0 and (np.diff(starts) >= 0).all() and starts[-1] <= min(len(columns), len(matrix.data))
    )
    if not whole or (len(columns) and not 0 <= columns.min() <= columns.max() < matrix.shape[1]):
        raise SelectionError(
            f"{caller}: the entries of the sparse features lie outside their shape {matrix.shape}"
        )
    if not _ascending(matrix.indptr, matrix.indices):
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return SparseRows(
        matrix.indptr, matrix.indices, matrix.data.astype(np.float64, copy=False), matrix.shape[1]
    )


@compiled
def _ascending(starts: np.ndarray, columns: np.ndarray) -> bool:
    for row in range(starts.shape[0] - 1):
        for place in range(starts[row] + 1, starts[row + 1]):
            if columns[place] <= columns[place - 1]:
                return False
    return True
