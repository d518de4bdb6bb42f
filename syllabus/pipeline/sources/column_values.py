"""Values of Parquet columns: Python objects, or arrays of vectors without an object a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.pipeline.sources import reasons
from syllabus.pipeline.sources.cells import reject_not_finite
from syllabus.pipeline.sources.column_types import BOOL8, UUID, extension_name, is_list, is_string, plain
from syllabus.pipeline.sources.filters import NoPythonValue
from syllabus.pipeline.sources.records import Records
from syllabus.pipeline.sources.sizes import UNBOUNDED, TooLarge


def values_of(column: pa.ChunkedArray, most: int = UNBOUNDED) -> list[Any]:
    """Return Python values; strings as bytes where the column holds some that are not UTF-8.

    A value that Python has none for, such as a time beyond the year 9999, is a `NoPythonValue` that says so;
    one of more than `most` bytes, or a list of more than `most` values, is `TooLarge`, and not made.
    """
    if large := _larger_than(column, most):
        values: list[Any] = []
        for row, size in large.items():  # ascending; not by a filter, which Arrow has not for all types
            values += values_of(column.slice(len(values), row - len(values)))
            values.append(size)
        return values + values_of(column.slice(len(values)))
    column = stored(column)
    kind = column.type
    listed = is_list(kind)
    if is_string(kind) or (listed and is_string(kind.value_type)):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            column = column.cast(pa.large_list(pa.large_binary()) if listed else pa.large_binary())
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (OverflowError, ValueError, LookupError):  # LookupError: a time zone that nobody knows
        return [_value_of(scalar) for scalar in column]


def _larger_than(column: pa.ChunkedArray, most: int) -> dict[int, TooLarge]:
    """The rows of a column whose values have more than `most` bytes, or lists more values."""
    unit = "values" if is_list(plain(column.type)) else "bytes"
    found: dict[int, TooLarge] = {}
    first = 0
    for chunk in column.chunks if most < UNBOUNDED else ():
        sizes = _sizes(chunk)
        for row in () if sizes is None else np.flatnonzero(sizes > most).tolist():
            found[first + row] = TooLarge(f"{sizes[row]:,} {unit}")
        first += len(chunk)
    return found


def _sizes(array: pa.Array) -> np.ndarray | None:
    """(n,) int64 bytes of texts and bytes, or values of lists, 0 for nulls; None for other types."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(array.storage)
    if pa.types.is_dictionary(kind):
        inner = _sizes(array.dictionary)
        if inner is None:
            return None
        # Cast first: others than pandas write indices without a sign, which have no -1.
        return np.append(inner, 0)[array.indices.cast(pa.int64()).fill_null(-1).to_numpy()]
    if is_list(kind):
        return np.asarray(pc.list_value_length(array).fill_null(0).to_numpy())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
    elif not (is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return None
    return np.asarray(pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False))


def _value_of(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError, LookupError) as error:
        return NoPythonValue(f"{scalar.type} of {getattr(scalar, 'value', '?')}: {error}")


def field_of(column: pa.ChunkedArray, name: str, most: int = UNBOUNDED) -> list[Any]:
    """Return the values of a field of a column of structs; nulls where there is no such field.

    Those of more than `most` bytes are `TooLarge`.
    """
    column = stored(column)
    if column.type.get_field_index(name) < 0:
        return [None] * len(column)
    return values_of(pc.struct_field(column, name), most)


def lacks_field(column: pa.ChunkedArray, name: str) -> bool:
    """Return whether a field of a column of structs is null somewhere, or is not there."""
    column = stored(column)
    return column.type.get_field_index(name) < 0 or pc.struct_field(column, name).null_count > 0


def stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as what its extension type or dictionary holds; UUIDs stay as they are."""
    while True:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        elif isinstance(kind, pa.BaseExtensionType) and extension_name(kind) != UUID:
            chunks = [chunk.storage for chunk in column.chunks]
            column = pa.chunked_array(chunks, kind.storage_type)
            if extension_name(kind) == BOOL8:
                column = column.cast(pa.bool_())
        else:
            return column


def vectors_of(column: pa.ChunkedArray, width: int, name: str) -> Records | None:
    """Return the records of the column `name` of vectors; None where a row is odd: each is looked at then.

    A null row is rejected as such; the rest is one float32 array, without a Python object a value.
    """
    column = stored(column)
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not is_list(array.type):
        return None
    there = array.is_valid().to_numpy(zero_copy_only=False)
    given = array if there.all() else array.drop_null()
    flat = given.flatten()
    if flat.null_count or not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        return None
    if not pa.types.is_fixed_size_list(array.type):
        lengths = pc.list_value_length(given)
        if len(lengths) and not (pc.min(lengths).as_py() == pc.max(lengths).as_py() == width):
            return None
    elif array.type.list_size != width:
        return None
    # What is too large for float32 becomes infinite, and is rejected as such.
    with np.errstate(over="ignore"):
        vectors = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(given), width)
    if given is not array:
        held = np.zeros((len(array), width), np.float32)
        held[there] = vectors
        vectors = held
    records = Records(vectors, None, None)
    reject_not_finite(records)
    for row in np.flatnonzero(~there):
        records.reject(int(row), reasons.NULL["embedding"], f"column {name} is null")
    return records
