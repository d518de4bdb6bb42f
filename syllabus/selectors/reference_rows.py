"""Rows that are not selected from but compared with: a query set, a private set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .errors import SelectionError
from .exact import dot
from .validation import unit_rows


def reference_rows(vectors: Any, width: int, caller: str) -> NDArray[np.float32]:
    """Return (m, width) unit rows, m at least 1."""
    rows = unit_rows(vectors, caller)
    if rows.shape[1] != width:
        raise SelectionError(f"{caller}: vectors have {rows.shape[1]} columns; the data have {width}")
    return rows


@compiled
def exact_similarities(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (1 + <x, y>)/2 of all pairs, (n, m) float64."""
    out = np.empty((rows.shape[0], others.shape[0]))
    for i in range(rows.shape[0]):
        for j in range(others.shape[0]):
            out[i, j] = (1.0 + dot(rows[i], others[j])) / 2.0
    return out
