"""The count sketch of rows in one compiled pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled


def add_sketch(
    rows: NDArray[np.floating[Any]],
    turns: NDArray[np.int64],
    signs: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add signs[k] · rows[i, k] to out[i, (k + turns[k // width]) % width].

    Args:
      rows: (B, d) float32.
      turns: (⌈D / width⌉,) int64 in [0, width), by how much each block of `width` numbers is turned.
      signs: (D,) float32, +1 or -1. D is d or more: what rows lack is 1.
      out: (B, width) float32; changed.

    O(B d), each row read once and in its order.
    """
    _add_sketch(rows, turns, signs, out)


@compiled
def _add_sketch(rows: np.ndarray, turns: np.ndarray, signs: np.ndarray, out: np.ndarray) -> None:
    width, size = out.shape[1], rows.shape[1]
    ends = np.zeros(width, np.float32)
    for k in range(size, signs.shape[0]):
        ends[(k + turns[k // width]) % width] += signs[k]
    twice = np.empty(2 * width, np.float32)  # so that a turned block is one run of additions
    for i in range(rows.shape[0]):
        twice[:] = 0.0
        for block in range(turns.shape[0]):
            first = block * width
            row, sign = rows[i, first : first + width], signs[first : first + width]
            turned = twice[turns[block] : turns[block] + width]
            for j in range(row.shape[0]):
                turned[j] += sign[j] * row[j]
        for j in range(width):
            out[i, j] += twice[j] + twice[width + j] + ends[j]
