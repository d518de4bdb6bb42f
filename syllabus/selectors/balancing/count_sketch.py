"""The count sketch of rows, and the product of two in the Fourier domain, each in one compiled pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled


def add_sketch(
    rows: NDArray[np.floating[Any]],
    buckets: NDArray[np.int64],
    signs: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add signs[k] · rows[i, k] to out[i, buckets[k]].

    Args:
      rows: (B, d) float32.
      buckets: (d,) int64 columns of `out`.
      signs: (d,) float32, +1 or -1.
      out: (B, width) float32; changed.

    O(B d), each row read once.
    """
    _add_sketch(rows, buckets, signs, out)


def multiply_spectra(
    left: NDArray[np.complex64], right: NDArray[np.complex64], scale: float, out: NDArray[np.float32]
) -> None:
    """Write scale · left · right, frequency 0 left out, as real and imaginary part side by side.

    Args:
      left: (B, f) complex64.
      right: (B, f) complex64.
      scale: a factor.
      out: (B, 2 f - 2) float32; overwritten.
    """
    _multiply_spectra(left, right, np.float32(scale), out)


@compiled
def _add_sketch(rows: np.ndarray, buckets: np.ndarray, signs: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        row, sums = rows[i], out[i]
        for k in range(row.shape[0]):
            sums[buckets[k]] += signs[k] * row[k]


@compiled
def _multiply_spectra(left: np.ndarray, right: np.ndarray, scale: np.float32, out: np.ndarray) -> None:
    for i in range(left.shape[0]):
        for j in range(1, left.shape[1]):
            product = left[i, j] * right[i, j]
            out[i, 2 * j - 2], out[i, 2 * j - 1] = scale * product.real, scale * product.imag
