"""Quantised rows: rough products with a query leave few candidates for the largest.

Of rows in main memory they come from 8 bits, a quarter of the bytes; of others in float32 from their device.
A row x is kept as codes c of one byte and a scale a; e = ‖x - a c‖ is known, so |<x, q> - a <c, q>| <= e ‖q‖.
Of random rows in 384 dimensions about five are left to be computed from the vectors. A pass is as long as
reading n d bytes instead of 4 n d.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled, compiled_reassociating
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.numerics.products import DeviceProducts


class QuantizedRows:
    """The 8-bit copy of (n, d) float32 rows; n (d + 12) bytes."""

    def __init__(self, rows: NDArray[np.float32], error: float) -> None:
        n, d = rows.shape
        self.rows, self.error = rows, error
        self.codes = np.empty((n, d), np.int8)
        self.scales = np.empty(n, np.float32)
        self.errors = np.empty(n, np.float32)
        self._rough = np.empty(n, np.float32)
        _encode(rows, self.codes, self.scales, self.errors)

    def best(
        self, query: NDArray[np.float64], terms: NDArray[np.float64], used: NDArray[np.bool_]
    ) -> tuple[int, float]:
        """Return the unused row of the largest <x, q> - term, the first of equals, and that score."""
        _rough_products(self.codes, self.scales, query.astype(np.float32), self._rough)
        return best_of_rough(self.rows, self._rough, self.errors, self.error, query, terms, used)


class RemoteRows:
    """Rows on another device, whose products with a query come from there."""

    def __init__(self, products: DeviceProducts, error: float) -> None:
        self.products, self.error = products, error
        self.errors = np.zeros(len(products.rows), np.float32)
        self._rough = self.errors

    def best(
        self, query: NDArray[np.float64], terms: NDArray[np.float64], used: NDArray[np.bool_]
    ) -> tuple[int, float]:
        """Return the unused row of the largest <x, q> - term, the first of equals, and that score."""
        self._rough = self.products.with_query(query)
        return best_of_rough(self.products.rows, self._rough, self.errors, self.error, query, terms, used)

    def bounds(
        self,
        query: NDArray[np.float64],
        terms: NDArray[np.float64],
        used: NDArray[np.bool_],
        out: NDArray[np.float64],
    ) -> None:
        """Write what no <x, q> - term exceeds, -inf for used rows; `best` of the same query comes before."""
        np.subtract(self._rough, terms, out=out)
        out += self.error * math.sqrt(float(query @ query)) * (1 + 1e-9) + 1e-30
        out[used] = -math.inf


@compiled
def _encode(rows: np.ndarray, codes: np.ndarray, scales: np.ndarray, errors: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        largest = 0.0
        for j in range(rows.shape[1]):
            largest = max(largest, abs(np.float64(rows[i, j])))
        scale = np.float32(largest / 127.0)
        if scale == 0.0:
            scale = np.float32(1.0)
        scales[i] = scale
        left = 0.0
        for j in range(rows.shape[1]):
            code = min(127.0, max(-127.0, np.rint(rows[i, j] / scale)))
            codes[i, j] = np.int8(code)
            left += (rows[i, j] - np.float64(scale) * code) ** 2
        errors[i] = np.float32(np.sqrt(left) * (1.0 + 1e-6))


@compiled_reassociating
def _rough_products(codes: np.ndarray, scales: np.ndarray, query: np.ndarray, out: np.ndarray) -> None:
    for i in range(codes.shape[0]):
        total = np.float32(0.0)
        for j in range(codes.shape[1]):
            total += np.float32(codes[i, j]) * query[j]
        out[i] = total * scales[i]


@compiled
def best_of_rough(
    rows: np.ndarray,
    rough: np.ndarray,
    errors: np.ndarray,
    error: float,
    query: np.ndarray,
    terms: np.ndarray,
    used: np.ndarray,
) -> tuple[int, float]:
    """Return the unused row of the largest <x, q> - term, the first of equals, and that score.

    rough: <x, q> of every row within (errors + error) ‖q‖.
    """
    # The last term is for queries so small that float32 loses digits.
    size = np.sqrt(dot(query, query))
    rounding = error * size + 1e-30
    reach = -np.inf
    for i in range(rows.shape[0]):
        if not used[i]:
            reach = max(reach, rough[i] - errors[i] * size - rounding - terms[i])
    best = -np.inf
    pick = -1
    for i in range(rows.shape[0]):
        if not used[i] and rough[i] + errors[i] * size + rounding - terms[i] >= reach:
            score = dot(rows[i], query) - terms[i]
            if score > best:
                best = score
                pick = i
    return pick, best
