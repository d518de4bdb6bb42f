"""Contents made of several values: columns joined, and the messages of a chat.

A text of columns is their texts in the order given, with a blank line between them; a null or blank one is
left out. A text of messages has each as ``role: content``, a blank line between them. A vector of columns
is their numbers.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from syllabus.pipeline.sources.blanks import is_blank
from syllabus.pipeline.sources.sizes import TooLarge

BETWEEN = "\n\n"
ROLES, CONTENTS = ("role", "from"), ("content", "value")
"""Names of a message's fields: those of most chats, and those of ShareGPT."""


def is_chat(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is a list of messages."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    inner = kind.value_type
    return pa.types.is_struct(inner) and any(inner.get_field_index(name) >= 0 for name in CONTENTS)


def joined(kind: str, columns: list[list[Any]]) -> list[Any]:
    """Return the content of each row of several columns of values: a text, or a vector."""
    rows = zip(*columns, strict=True)
    if kind == "embedding":
        return [_vector(list(row)) for row in rows]
    return [_texts([text_of(value) for value in row]) for row in rows]


def text_of(value: Any) -> Any:
    """Return the text of a chat's messages; whatever is no chat as it is.

    A message's content may be a list of parts, as of text and pictures: its texts count. One without text,
    such as the call of a tool, is left out.
    """
    if not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
        return value
    lines: list[Any] = []
    for message in value:
        content = next((message[name] for name in CONTENTS if message.get(name) is not None), None)
        if isinstance(content, list):
            parts = [part.get("text") if isinstance(part, dict) else part for part in content]
            content = _texts([part for part in parts if part is not None])
        role = next((message[name] for name in ROLES if message.get(name) is not None), None)
        if not any(name in message for name in (*ROLES, *CONTENTS)):
            return value  # no chat
        if content is None or (isinstance(content, str) and is_blank(content)):
            continue
        if not isinstance(content, str | bytes) or not isinstance(role, str | bytes | None):
            return value
        lines.append(content if role is None else _texts([role, content], ": "))
    return _texts(lines) if lines else ""


def _texts(values: list[Any], between: str = BETWEEN) -> Any:
    """Texts joined, as bytes where some are no UTF-8; what is no text stands for all."""
    for value in values:
        if not (value is None or isinstance(value, str | bytes)) or isinstance(value, TooLarge):
            return value
    there = [value for value in values if value is not None]
    filled = [value for value in there if not _blank(value)]
    if not filled:
        return there[0] if there else None
    if all(isinstance(value, str) for value in filled):
        return between.join(filled)
    as_bytes = [v.encode("utf-8", "surrogatepass") if isinstance(v, str) else v for v in filled]
    return between.encode().join(as_bytes)


def _blank(value: str | bytes) -> bool:
    try:
        return is_blank(value if isinstance(value, str) else value.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _vector(values: list[Any]) -> Any:
    """Numbers of columns as one vector; None where one is null, as an empty cell of CSV is."""
    if any(value is None or value == b"" for value in values):
        return None
    return [value.decode("ascii", "replace") if isinstance(value, bytes) else value for value in values]
