"""Features that Hugging Face notes in a file's schema: the names of classes that it stores as numbers."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from syllabus.pipeline.sources.labels import NotAClass


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Return the names of the classes of a column, or of its lists of them; None where it has none."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])
        feature = noted["info"]["features"][column]
        for inner in (feature, feature[0] if isinstance(feature, list) else feature.get("feature")):
            if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
                names = inner["names"]
                return tuple(names) if names and all(isinstance(name, str) for name in names) else None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError):
        pass  # noted by nobody, or by somebody else
    return None


def names_of_classes(values: list[Any], names: tuple[str, ...]) -> list[Any]:
    """Return the names of the classes numbered in `values`; −1 is Hugging Face's mark of no label."""
    return [
        [_name(each, names) for each in value] if isinstance(value, list) else _name(value, names)
        for value in values
    ]


def _name(value: Any, names: tuple[str, ...]) -> Any:
    if value is None or value == -1:
        return None
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value if isinstance(value, str) else NotAClass(f"{value!r:.60} is none of {len(names)} classes")
