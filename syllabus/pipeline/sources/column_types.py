"""Types of Parquet columns: what may be content, label, id, weight or filter."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from syllabus.pipeline.sources.features import class_names
from syllabus.pipeline.sources.filters import type_problem
from syllabus.pipeline.sources.joined import is_chat
from syllabus.pipeline.sources.labels import FLOAT_LABEL
from syllabus.pipeline.sources.records import Columns
from syllabus.pipeline.sources.weights import weight_problem

UUID, BOOL8 = "arrow.uuid", "arrow.bool8"


def extension_name(kind: pa.DataType) -> str:
    """Return the name of an extension type, empty where the type is Arrow's own."""
    return str(getattr(kind, "extension_name", "")) if isinstance(kind, pa.BaseExtensionType) else ""


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column's values are read as: of extensions and dictionaries what they hold.

    Tensors are lists, JSON is text, truth values of eight bits are truth values; only a UUID stays one.
    """
    while True:
        if extension_name(kind) == BOOL8:
            return pa.bool_()
        if isinstance(kind, pa.BaseExtensionType) and extension_name(kind) != UUID:
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list of values, as long as they like or all of one length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_string(kind: pa.DataType) -> bool:
    """Return whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def holds_fixed_lists(kind: pa.DataType) -> bool:
    """Return whether lists of a fixed size are anywhere in a type."""
    kind = plain(kind)
    inner = any(holds_fixed_lists(kind.field(number).type) for number in range(kind.num_fields))
    return inner or bool(pa.types.is_fixed_size_list(kind))


def is_image_struct(kind: pa.DataType) -> bool:
    """Return whether a type is a struct of an image's bytes, its path, or both, as Hugging Face writes."""
    return pa.types.is_struct(kind) and any(kind.get_field_index(name) >= 0 for name in ("bytes", "path"))


def column_problem(columns: Columns, schema: pa.Schema) -> str | None:
    """Return what speaks against a file's columns, whose names were checked; None where nothing does."""
    parts = columns.parts(schema.names)
    for part in parts:
        kind = plain(schema.field(part).type)
        fits = _is_number if len(parts) > 1 and columns.kind == "embedding" else _CONTENT[columns.kind]
        if not (pa.types.is_null(kind) or fits(kind)):
            return f"{columns.kind} {part!r} is a column of {kind}"
    if columns.label is not None:
        problem = _label_problem(schema.field(columns.label).type, columns.numeric)
        if problem is not None:
            return f"label {columns.label!r} {problem}"
    if columns.weight is not None:
        problem = weight_problem(plain(schema.field(columns.weight).type))
        if problem is not None:
            return f"weight {columns.weight!r} {problem}"
    for name in (columns.id, *(condition.column for condition in columns.where)):
        if name is not None and pa.types.is_nested(plain(schema.field(name).type)):
            option = "id" if name == columns.id else "where"
            return f"{option} {name!r} is a column of {schema.field(name).type}"
    for condition in columns.where:
        if class_names(schema, condition.column) is None:
            problem = type_problem(condition, plain(schema.field(condition.column).type))
            if problem is not None:
                return f"where {str(condition)!r}: {condition.column!r} {problem}"
    return None


def _label_problem(kind: pa.DataType, numeric: bool) -> str | None:
    """A reason against a column as one of labels: classes, lists of classes, or numbers."""
    own = plain(kind)
    if numeric:
        return None if _is_number(own) or own == pa.null() else f"is a column of {kind}; --bins cuts numbers"
    inner = plain(own.value_type) if is_list(own) else own
    if pa.types.is_floating(inner) or pa.types.is_decimal(inner):
        return FLOAT_LABEL
    if _is_text(inner) or pa.types.is_integer(inner) or pa.types.is_boolean(inner) or inner == pa.null():
        return None
    return f"is a column of {kind}; a class is a string, an integer or a truth value, or a list of them"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return is_string(kind) or (_is_bytes(kind) and not isinstance(kind, pa.BaseExtensionType))


_CONTENT: dict[str, Callable[[pa.DataType], bool]] = {
    "text": lambda kind: _is_text(kind) or is_chat(kind),
    "image": lambda kind: _is_bytes(kind) or is_image_struct(kind),
    # A list of any kind, such as a nested one, is looked at row by row.
    "embedding": lambda kind: pa.types.is_nested(kind) and not pa.types.is_struct(kind),
}
