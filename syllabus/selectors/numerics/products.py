"""Float32 products of rows, computed where the vectors lie: by BLAS in main memory, else by torch.

Products only bound: exact sums of values in main memory decide (`fixed_order_sums.py`), so where a product
was computed shows in no result, nor does the precision that torch was set to: it widens the bound. Of vectors
on another device a second copy is therefore in main memory; what comes from the device at each step is the
products asked for, or only the pairs that they leave open.
"""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.distances import lower_nearest, squared_norms
from syllabus.selectors.numerics.fixed_order_sums import UNIT32, squared_distance_over_4

if TYPE_CHECKING:
    import torch

_BLOCK = 64  # rows whose products with all are fetched at once
_PAIRS = 2**26  # products made at once to find neighbours

# What torch may round the factors of a float32 product to: TF32 and bfloat16.
_COARSE = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-7}


def relative_error(width: int, by_torch: bool = False) -> float:
    """Return a bound on |fl(<x, y>) - <x, y>| / (‖x‖ ‖y‖) of float32 rows, whatever the order of the sum.

    γ_d, sixteen units for what is computed around it, and by torch what it may round factors to.
    """
    return (width + 16) * UNIT32 + (_coarseness() if by_torch else 0.0)


def product(queries: NDArray[np.float32], rows: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """Return queries @ rows.T, (m, r) float32, computed on `device` within `relative_error`."""
    return np.asarray(queries @ rows.T) if device == "cpu" else device_product(queries, rows, device)


def device_product(
    queries: NDArray[np.float32], rows: NDArray[np.float32], device: str
) -> NDArray[np.float32]:
    """As `product`, by torch; on the processor too."""
    import torch

    return _fetched(torch.as_tensor(queries).to(device) @ torch.as_tensor(rows).to(device).T)


class Products:
    """Products of rows in main memory; `relative` is their `relative_error`."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows
        self.relative = relative_error(rows.shape[1])

    def rows_of(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return <x_i, x_v> for the rows i of `indices`, (b, n) float32."""
        return self.rows[indices] @ self.rows.T

    def all(self) -> NDArray[np.float32]:
        """Return <x_i, x_v> of all pairs, (n, n) float32."""
        return self.rows @ self.rows.T

    def lower(
        self,
        block: NDArray[np.int64],  # noqa: ARG002
        rows: NDArray[np.float32],
        picks: NDArray[np.int64],  # noqa: ARG002
        picked: NDArray[np.float32],
        pick_norms: NDArray[np.float64],
        nearest: NDArray[np.float64],
        error: float,
    ) -> None:
        """Lower `nearest` to the exact ‖x - y‖²/4 of each row of `block` and the nearest of `picks`.

        block, picks: row numbers; rows, picked: those rows; pick_norms: their ‖y‖².
        error: of a product.
        """
        lower_nearest(rows @ picked.T, rows, picked, pick_norms, nearest, error)


class DeviceProducts(Products):
    """Products of rows that lie on the device of `tensor`, with a copy of them in main memory."""

    def __init__(self, rows: NDArray[np.float32], tensor: "torch.Tensor") -> None:
        super().__init__(rows)
        self.tensor = tensor.detach().float()  # as `rows` are; products of 16 bits are not within `relative`
        self.relative = relative_error(rows.shape[1], by_torch=True)

    def rows_of(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return <x_i, x_v> for the rows i of `indices`, (b, n) float32."""
        return _fetched(self._rows(indices) @ self.tensor.T)

    def all(self) -> NDArray[np.float32]:
        """Return <x_i, x_v> of all pairs, (n, n) float32."""
        n = len(self.rows)
        out = np.empty((n, n), np.float32)
        for start in range(0, n, _BLOCK):
            out[start : start + _BLOCK] = _fetched(self.tensor[start : start + _BLOCK] @ self.tensor.T)
        return out

    def with_query(self, query: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return <x, query> of every row, (n,) float32."""
        import torch

        there = torch.from_numpy(query.astype(np.float32)).to(self.tensor.device)
        return _fetched(self.tensor @ there)

    def lower(
        self,
        block: NDArray[np.int64],
        rows: NDArray[np.float32],
        picks: NDArray[np.int64],
        picked: NDArray[np.float32],
        pick_norms: NDArray[np.float64],
        nearest: NDArray[np.float64],
        error: float,
    ) -> None:
        """As in `Products`; only the pairs that the products leave open come from the device."""
        import torch

        # As in `lower_nearest`: a pair can matter only if g = <x, p> - ‖p‖²/2 reaches both the row's best and
        # the known distance.
        g = self._rows(block) @ self._rows(picks).T
        g -= torch.from_numpy((pick_norms / 2).astype(np.float32)).to(g.device)
        known = squared_norms(rows) / 2 - 2 * nearest - error
        reach = torch.from_numpy(known.astype(np.float32)).to(g.device)
        reach = torch.maximum(g.amax(dim=1) - 2 * error, reach)
        pairs = (g >= reach[:, None]).nonzero().cpu().numpy()
        _lower_pairs(rows, picked, pairs, nearest)

    def nearest(self, count: int, by_distance: bool) -> NDArray[np.int64]:
        """Return the `count` rows of the largest <x, y>, or of the smallest ‖x - y‖, of each row; (n, count).

        As far as float32 products tell them apart. Memory there: 256 MB of products at a time.
        """
        n = len(self.rows)
        out = np.empty((n, count), np.int64)
        size = max(1, _PAIRS // n)
        half = (self.tensor**2).sum(dim=1) / 2
        for start in range(0, n, size):
            found = self.tensor[start : start + size] @ self.tensor.T
            if by_distance:
                found -= half
            out[start : start + size] = found.topk(count, dim=1).indices.cpu().numpy()
        return out

    def _rows(self, indices: NDArray[np.int64]) -> "torch.Tensor":
        import torch

        return self.tensor[torch.from_numpy(indices).to(self.tensor.device)]


def products_of(vectors: Any, rows: NDArray[np.float32]) -> Products:
    """Return the products of `vectors`, whose values in main memory are `rows`."""
    return DeviceProducts(rows, vectors) if lies_elsewhere(vectors) else Products(rows)


def lies_elsewhere(vectors: Any) -> bool:
    """Return whether the vectors are a tensor outside main memory."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(vectors, torch.Tensor) and vectors.device.type != "cpu"


def _coarseness() -> float:
    """Return what torch's float32 products may be off by, beyond float32, in units of ‖x‖ ‖y‖."""
    import torch

    try:
        return _COARSE[torch.get_float32_matmul_precision()]
    except RuntimeError:  # set for one kind of device only, which this call does not answer for
        return _COARSE["medium"]


def _fetched(tensor: "torch.Tensor") -> NDArray[np.float32]:
    return np.asarray(tensor.cpu().numpy())


@compiled
def _lower_pairs(rows: np.ndarray, picked: np.ndarray, pairs: np.ndarray, nearest: np.ndarray) -> None:
    for pair in range(pairs.shape[0]):
        place = pairs[pair, 0]
        exact = squared_distance_over_4(rows[place], picked[pairs[pair, 1]])
        nearest[place] = min(nearest[place], exact)
