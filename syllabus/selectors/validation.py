"""Checks of the arguments of this room's public functions, in one place and in the same words.

Vectors are (n, d) numbers: a numpy array or a torch tensor. Contiguous float32 in main memory is used where
it lies, without a copy. Any other real dtype is converted to float32 once, a copy of 4 n d bytes, each value
to the nearest: 16-bit floats and whole numbers up to 2^24 exactly, values below 7e-46 to 0; values above
3.4e38 are refused. A tensor on another device is copied to main memory, where the sums that decide are taken,
and stays where it is for the products (`products.py`). Options may be scalars of Python, NumPy or torch; what
is kept is Python's own.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.scalars import is_tensor, plain_scalar

if TYPE_CHECKING:
    import torch

Vectors: TypeAlias = Union[NDArray[Any], "torch.Tensor"]
Seed: TypeAlias = int | Sequence[int]

NORM_TOLERANCE = 1e-4  # float16 encoders round rows to about 5e-4 / sqrt(d) of their norm; float32 to 1e-7


def as_rows(vectors: Any, caller: str, kinds: tuple[type[np.generic], ...] = (np.float32,)) -> NDArray[Any]:
    """Return `vectors` as a contiguous (n, d) float32 array, n and d at least 1; all values finite.

    An array of another dtype among `kinds` stays as it is.
    """
    rows = _as_array(vectors, caller, kinds)
    check_finite(rows, caller)
    return rows


def as_rows_or_steps(vectors: Any, caller: str) -> NDArray[Any]:
    """Return `vectors` as a contiguous (n, d) float32 or int8 array, whether finite or not."""
    return _as_array(vectors, caller, (np.float32, np.int8))


def as_float32_tensor(vectors: "torch.Tensor", caller: str) -> "torch.Tensor":
    """Return an (n, d) tensor as float32 where it lies, as `as_rows` converts; values need not be finite."""
    kind = vectors.dtype
    if kind.is_complex or str(kind) == "torch.bool":
        raise SelectionError(f"{caller}: vectors have dtype {kind}; expected real numbers, of float32 best")
    rows = vectors.detach().float()
    if kind.itemsize > 4 and kind.is_floating_point and bool((rows.isinf() & vectors.isfinite()).any()):
        _as_array(vectors, caller)  # says which value it is
    return rows


def check_finite(rows: NDArray[Any], caller: str) -> None:
    """Refuse (n, d) rows with NaN or infinity; O(n d)."""
    # Squares of float32 do not overflow a double, so a sum is finite iff all values are.
    known = rows.dtype == np.float32
    finite = np.isfinite(squared_norms(rows)) if known else np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise _not_finite(int(finite.argmin()), caller)


def unit_rows(vectors: Any, caller: str) -> NDArray[np.float32]:
    """As `as_rows`, and every row has norm 1 within 1e-4."""
    rows = _as_array(vectors, caller)
    norms = np.sqrt(squared_norms(rows))
    unit = np.abs(norms - 1.0) <= NORM_TOLERANCE  # NaN is not
    if not unit.all():
        bad = int(unit.argmin())
        norm = float(norms[bad])
        if not math.isfinite(norm):
            raise _not_finite(bad, caller)
        # Eight bits of bfloat16 leave norms of 1 within 1e-3 only, eleven of float16 within 1e-4 from d = 30.
        half = "; normalise them after widening to float32" if vectors.dtype.itemsize == 2 else ""
        raise SelectionError(
            f"{caller}: row {bad} has norm {norm:.6g}; rows must have norm 1 within {NORM_TOLERANCE:g}{half}"
        )
    return rows


def _not_finite(row: int, caller: str) -> SelectionError:
    return SelectionError(f"{caller}: row {row} contains NaN or infinity; every value must be finite")


def python_number(value: Any) -> int | float | None:
    """Return a real number as Python's own int or float; None for anything else.

    Takes Python's, NumPy's and torch's scalars and what has no dimension: arrays, tensors. Truth values,
    dates and complex numbers are no real numbers.
    """
    value = plain_scalar(value)
    if isinstance(value, bool):
        return None
    # Subclasses too become the plain types.
    return int(value) if isinstance(value, int) else float(value) if isinstance(value, float) else None


def shown(value: Any) -> str:
    """Return a value in one short line, for errors."""
    number = python_number(value)
    try:
        line = " ".join(repr(value if number is None else number).split())
    except ValueError:  # an int of more digits than Python writes
        return "a number of thousands of digits"
    return line if len(line) <= 80 else f"{line[:77]}..."


def whole_number(value: Any, name: str, low: int, high: int, bounds: str, caller: str) -> int:
    """Return `value` as an int inside [low, high]; `bounds` spells the range in the error."""
    number = python_number(value)
    if not isinstance(number, int):
        raise SelectionError(f"{caller}: {name}={shown(value)} is not a whole number; expected {bounds}")
    if not low <= number <= high:
        raise SelectionError(f"{caller}: {name}={shown(number)} is outside {bounds}")
    return number


def bytes_of(value: Any, least: int, what: str, caller: str) -> int:
    """Return `value`, a memory budget, as an int of at least `least` bytes; `what` says what needs them."""
    number = python_number(value)
    if number is None or not 0 <= number < math.inf:
        raise SelectionError(f"{caller}: memory_budget={shown(value)} is not a number of bytes")
    if number < least:
        raise SelectionError(f"{caller}: memory_budget={number} is below {least} bytes, {what}")
    return int(number)


def budget_of(value: Any, n: int, caller: str) -> int:
    """Return `value` as a budget, 1 to n."""
    return whole_number(value, "budget", 1, n, f"[1, n={n}]", caller)


def real_number(value: Any, name: str, accepted: Callable[[float], bool], bounds: str, caller: str) -> float:
    """Return `value` as a float that is `accepted`; `bounds` spells the range in the error."""
    number = python_number(value)
    try:
        if number is not None and accepted(float(number)):
            return float(number)
    except OverflowError:  # an int beyond the range of float64, which no bounds reach
        pass
    raise SelectionError(f"{caller}: {name}={shown(value)} is outside {bounds}")


def numbers_of(values: Any, what: str, caller: str) -> NDArray[Any]:
    """Return an array, tensor on any device or sequence of real numbers as an array of the same dtype."""
    if is_tensor(values):
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    elif isinstance(values, (list, tuple)):
        # As in an array: an entry has the value that it holds, not the shortest decimal of it.
        values = [value.item() if is_tensor(value) and not value.ndim else value for value in values]
    try:
        array = np.asarray(values)
    except ValueError:  # sequences of unlike lengths
        raise SelectionError(f"{caller}: {what} are of unlike lengths; expected (k,) numbers") from None
    if array.size and array.dtype.kind not in "iuf":
        raise SelectionError(
            f"{caller}: {what} have shape {array.shape} and dtype {array.dtype}; expected real numbers"
        )
    return array


def weights_of(values: Any, d: int, caller: str) -> NDArray[np.float64]:
    """Return (d,) finite weights >= 0; all 1 for None."""
    if values is None:
        return np.ones(d)
    weights = numbers_of(values, "weights", caller).astype(np.float64, copy=False)
    if weights.shape != (d,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise SelectionError(f"{caller}: weights must be {d} finite numbers >= 0")
    return weights


def indices_of(values: Any, n: int, caller: str, distinct: bool = True) -> NDArray[np.int64]:
    """Return `values` as (k,) int64 row numbers inside [0, n), without repeats unless `distinct` is off."""
    array = numbers_of(values, "indices", caller)
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
    several = isinstance(seed, (tuple, list)) or (isinstance(seed, np.ndarray) and seed.ndim == 1)
    words = tuple(seed) if several else (seed,)
    if not words:
        raise SelectionError(f"{caller}: seed={shown(seed)} is empty; give at least one whole number")
    return tuple(whole_number(word, "seed", 0, 2**64 - 1, "[0, 2^64)", caller) for word in words)


def _as_array(vectors: Any, caller: str, kinds: tuple[type[np.generic], ...] = (np.float32,)) -> NDArray[Any]:
    given = getattr(vectors, "dtype", None)
    if is_tensor(vectors):
        vectors = vectors.detach().cpu()
        vectors = (vectors.float() if str(given) == "torch.bfloat16" else vectors).numpy()
    if not isinstance(vectors, np.ndarray):
        raise SelectionError(
            f"{caller}: vectors are a {type(vectors).__name__}; expected an array or a tensor"
        )
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise SelectionError(
            f"{caller}: vectors have shape {vectors.shape}; expected (n, d) with n and d at least 1"
        )
    if vectors.dtype.kind not in "iuf":
        raise SelectionError(f"{caller}: vectors have dtype {given}; expected real numbers, of float32 best")
    if vectors.dtype not in kinds:
        vectors = _as_float32(vectors, caller)
    return _writable(np.ascontiguousarray(vectors))


def _as_float32(vectors: NDArray[Any], caller: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore"):
        rows = np.ascontiguousarray(vectors, np.float32)
    finite = np.isfinite(squared_norms(rows))
    if not finite.all():
        bad = int(finite.argmin())
        beyond = np.flatnonzero(np.isinf(rows[bad]) & np.isfinite(vectors[bad]))
        if len(beyond):
            column = int(beyond[0])
            raise SelectionError(
                f"{caller}: row {bad} has {vectors[bad, column]:g} in column {column}; vectors are kept in"
                " float32, at most 3.4e38"
            )
    return rows


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
