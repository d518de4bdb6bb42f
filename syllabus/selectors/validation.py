"""Checks of the arguments of this room's public functions, in one place and in the same words.

Vectors are (n, d) float32: a numpy array or a torch tensor. Contiguous ones in main memory are used where
they lie, without a copy; a tensor on another device is copied to main memory, where the sums that decide are
taken, and stays where it is for the products (`products.py`).
"""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot

if TYPE_CHECKING:
    import torch

Vectors: TypeAlias = Union[NDArray[np.float32], "torch.Tensor"]
Seed: TypeAlias = int | Sequence[int]

NORM_TOLERANCE = 1e-4  # float16 encoders round rows to about 5e-4 / sqrt(d) of their norm; float32 to 1e-7


def as_rows(vectors: Any, caller: str) -> NDArray[np.float32]:
    """Return `vectors` as a contiguous (n, d) float32 array, n and d at least 1; all values finite."""
    rows = _as_array(vectors, caller)
    check_finite(rows, caller)
    return rows


def as_rows_or_steps(vectors: Any, caller: str) -> NDArray[Any]:
    """Return `vectors` as a contiguous (n, d) float32 or int8 array, whether finite or not."""
    return _as_array(vectors, caller, (np.float32, np.int8))


def check_finite(rows: NDArray[np.float32], caller: str) -> None:
    """Refuse (n, d) rows with NaN or infinity; O(n d)."""
    bad = _first_not_finite(rows)
    if bad >= 0:
        raise SelectionError(f"{caller}: row {bad} contains NaN or infinity; every value must be finite")


def unit_rows(vectors: Any, caller: str) -> NDArray[np.float32]:
    """As `as_rows`, and every row has norm 1 within 1e-4."""
    rows = _as_array(vectors, caller)
    bad, norm = _first_not_unit(rows, NORM_TOLERANCE)
    if bad >= 0 and not math.isfinite(norm):
        raise SelectionError(f"{caller}: row {bad} contains NaN or infinity; every value must be finite")
    if bad >= 0:
        raise SelectionError(
            f"{caller}: row {bad} has norm {norm:.6g}; rows must have norm 1 within {NORM_TOLERANCE:g}"
        )
    return rows


def whole_number(value: Any, name: str, low: int, high: int, bounds: str, caller: str) -> int:
    """Return `value` as an int inside [low, high]; `bounds` spells the range in the error."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise SelectionError(f"{caller}: {name}={value!r} is not a whole number; expected {bounds}")
    if not low <= value <= high:
        raise SelectionError(f"{caller}: {name}={value} is outside {bounds}")
    return int(value)


def bytes_of(value: Any, least: int, what: str, caller: str) -> int:
    """Return `value`, a memory budget, as an int of at least `least` bytes; `what` says what needs them."""
    accepted = not isinstance(value, bool) and isinstance(value, (int, float, np.integer)) and value >= 0
    if not accepted or not math.isfinite(value):
        raise SelectionError(f"{caller}: memory_budget={value!r} is not a number of bytes")
    if value < least:
        raise SelectionError(f"{caller}: memory_budget={value} is below {least} bytes, {what}")
    return int(value)


def budget_of(value: Any, n: int, caller: str) -> int:
    """Return `value` as a budget, 1 to n."""
    return whole_number(value, "budget", 1, n, f"[1, n={n}]", caller)


def real_number(value: Any, name: str, accepted: bool, bounds: str, caller: str) -> float:
    """Return `value` as a float; `accepted` is the verdict of the caller's own comparison."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.floating, np.integer))
        or not accepted
    ):
        raise SelectionError(f"{caller}: {name}={value!r} is outside {bounds}")
    return float(value)


def indices_of(values: Any, n: int, caller: str, distinct: bool = True) -> NDArray[np.int64]:
    """Return `values` as (k,) int64 row numbers inside [0, n), without repeats unless `distinct` is off."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise SelectionError(
            f"{caller}: indices have shape {array.shape} and dtype {array.dtype}; expected (k,) whole numbers"
        )
    outside = np.flatnonzero((array < 0) | (array >= n))
    if outside.size:
        raise SelectionError(f"{caller}: index {array[outside[0]]} is outside [0, n={n})")
    if distinct and np.unique(array).size != array.size:
        values_, counts = np.unique(array, return_counts=True)
        raise SelectionError(f"{caller}: index {values_[counts > 1][0]} occurs more than once")
    array = np.ascontiguousarray(array, dtype=np.int64)
    return array if array.flags.writeable else array.copy()


def seed_words(seed: Any, caller: str) -> tuple[int, ...]:
    """Return a seed, one whole number or several, as words of 64 bits."""
    if seed is None:
        raise SelectionError(f"{caller}: seed is missing; give a whole number or a tuple of them")
    words = tuple(seed) if isinstance(seed, (tuple, list)) else (seed,)
    if not words:
        raise SelectionError(f"{caller}: seed={seed!r} is empty; give at least one whole number")
    return tuple(whole_number(word, "seed", 0, 2**64 - 1, "[0, 2^64)", caller) for word in words)


def _as_array(vectors: Any, caller: str, kinds: tuple[Any, ...] = (np.float32,)) -> NDArray[Any]:
    # A tensor can only exist where torch was imported: no need to load it for those who have arrays.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(vectors, torch.Tensor):
        if vectors.dtype != torch.float32:
            raise SelectionError(f"{caller}: vectors have dtype {vectors.dtype}; expected torch.float32")
        vectors = vectors.detach().cpu().numpy()
    if not isinstance(vectors, np.ndarray):
        raise SelectionError(
            f"{caller}: vectors are a {type(vectors).__name__}; expected an array or a tensor"
        )
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise SelectionError(
            f"{caller}: vectors have shape {vectors.shape}; expected (n, d) with n and d at least 1"
        )
    if vectors.dtype not in kinds:
        expected = " or ".join(np.dtype(kind).name for kind in kinds)
        raise SelectionError(f"{caller}: vectors have dtype {vectors.dtype}; expected {expected}")
    return _writable(np.ascontiguousarray(vectors))


class _Borrowed:
    """The memory of an array, as numpy's array interface describes it; keeps the array alive."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that numba takes for writable; nothing here writes to vectors.

    For read-only arrays (those of Arrow, memory maps) numba would compile every loop a second time.
    """
    return array if array.flags.writeable else np.asarray(_Borrowed(array))


@compiled
def _first_not_finite(rows: NDArray[np.float32]) -> int:
    for i in range(rows.shape[0]):
        # Squares of float32 do not overflow a double, so the sum is finite iff all values are.
        if not np.isfinite(dot(rows[i], rows[i])):
            return i
    return -1


@compiled
def _first_not_unit(rows: NDArray[np.float32], tolerance: float) -> tuple[int, float]:
    for i in range(rows.shape[0]):
        norm = np.sqrt(dot(rows[i], rows[i]))
        # Written so that NaN fails too.
        if not (abs(norm - 1.0) <= tolerance):
            return i, norm
    return -1, 1.0
