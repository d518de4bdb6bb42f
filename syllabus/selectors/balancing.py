"""The signed walk that balances vectors: the core of the offline orders and of GraB (arXiv 2205.10733).

At each vector z the walk steps to s + z if <s, z> <= 0, else to s - z (the shorter of the two): with signs so
chosen ‖Σ ± z‖ stays small. Sign + means "to the front". Vectors are float32, sums float64 (`exact.py`).
"""

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .exact import centred_dot


@compiled
def signed_walk(
    rows: np.ndarray, mean: np.ndarray, order: np.ndarray, position: np.ndarray, signs: np.ndarray
) -> None:
    """Walk over rows[order] - mean, writing signs and moving `position` along.

    Args:
      rows: (n, d) float32, contiguous.
      mean: (d,) float64, taken off each row on the way (zeros for rows that are centred).
      order: (m,) int64 row numbers.
      position: (d,) float64, where the walk stands; changed.
      signs: (m,) int8, filled with +1 and -1.

    O(m d), one pass over the rows: about the time of reading them.
    """
    for step in range(order.shape[0]):
        row = rows[order[step]]
        if centred_dot(position, row, mean) <= 0.0:
            signs[step] = 1
            for j in range(row.shape[0]):
                position[j] += row[j] - mean[j]
        else:
            signs[step] = -1
            for j in range(row.shape[0]):
                position[j] -= row[j] - mean[j]


def reorder(order: NDArray[np.int64], signs: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the next order: the positives as they came, then the negatives reversed.

    Its discrepancy is at most (discrepancy of `order` + largest prefix of the signed sums)/2: Harvey, Samadi,
    "Near-optimal herding", 2014.
    """
    return np.concatenate([order[signs > 0], order[signs <= 0][::-1]])
