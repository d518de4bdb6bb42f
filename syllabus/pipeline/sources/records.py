"""Chunks of row ranges, and the records read from one."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from syllabus.pipeline.conditions import Condition
from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.sources.labels import Labels
from syllabus.pipeline.sources.sizes import UNBOUNDED

CHUNK_ROWS = 8192
"""Rows in a chunk of work: what a killed worker repeats at most."""

CHUNK_BYTES = 128 << 20
"""Bytes of content at which a chunk ends before it has all its rows: a worker holds it whole."""

Kind = Literal["text", "image", "embedding"]
DETAIL_LENGTH = 200


@dataclass(frozen=True)
class Limits:
    """Bounds of one record, by the names of the options; a row beyond one of them is rejected."""

    max_text_bytes: int = UNBOUNDED
    max_image_bytes: int = UNBOUNDED
    max_image_pixels: int = UNBOUNDED
    max_label_bytes: int = UNBOUNDED
    max_id_bytes: int = UNBOUNDED
    max_record_bytes: int = UNBOUNDED

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Limits:
        """Return the bounds among options; what they do not name is unbounded."""
        return cls(**{name: options[name] for name in cls.__dataclass_fields__ if name in options})

    def of_content(self, kind: Kind) -> dict[str, int]:
        """Return those that decide which contents are rejected, for keys."""
        names = [f"max_{kind}_bytes", f"max_{kind}_pixels", "max_record_bytes"]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def of_keys(self) -> dict[str, int]:
        """Return those that decide which labels and ids are rejected, for keys."""
        return {name: getattr(self, name) for name in ("max_label_bytes", "max_id_bytes", "max_record_bytes")}


@dataclass(frozen=True)
class Columns:
    """The columns asked for by name."""

    kind: Kind
    content: str
    label: str | None = None
    id: str | None = None
    numeric: bool = False
    """Whether the label is a number, to be cut into bins."""
    weight: str | None = None
    """The column of what each example costs: what budgets count."""
    where: tuple[Condition, ...] = ()
    """What a row must fulfil, or it is passed over."""
    limits: Limits = Limits()
    """Bounds of one record."""

    def parts(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that the content is made of, among those that a file has.

        A content of several columns is named with commas between them; a column of that very name is one.
        """
        if self.content in names or self.kind == "image" or "," not in self.content:
            return (self.content,)
        return tuple(name.strip() for name in self.content.split(","))

    def resolved(self, file: str, names: Sequence[str]) -> Columns:
        """Return these columns with what ``*`` stands for in those of a vector, among the `names` of a file.

        It stands for any characters. What it finds comes in the order of the names, without the columns of
        label, id, weight and filters.
        """
        if self.kind != "embedding" or "*" not in self.content or self.content in names:
            return self
        found: list[str] = []
        for part in map(str.strip, self.content.split(",")):
            if "*" not in part or part in names:
                found.append(part)
                continue
            free = sorted(set(names) - set(self.key_names) - set(found))
            matching = fnmatch.filter(free, part.replace("[", "[[]").replace("?", "[?]"))
            if not matching:
                raise UserError(f"{file}: {suggestion('column', part, names)}")
            if (comma := next((name for name in matching if "," in name), None)) is not None:
                raise UserError(f"{file}: {part!r} finds {comma!r}, whose name holds a comma; rename it")
            found += matching
        return replace(self, content=",".join(found))

    def names_among(self, names: Sequence[str]) -> list[str]:
        """Return the distinct names of the columns to read of a file that has `names`, content first."""
        return list(dict.fromkeys((*self.parts(names), *self.key_names)))

    @property
    def key_names(self) -> list[str]:
        """The distinct names beside the content: of label, id, weight and filters."""
        wanted = (self.label, self.id, self.weight, *(condition.column for condition in self.where))
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def most_bytes(self, name: str) -> int:
        """Return how many bytes of a column's value are read: those of its bound, all where it filters."""
        limits, found = self.limits, [0]
        if name == self.content:
            found.append(getattr(limits, f"max_{self.kind}_bytes", UNBOUNDED))
        if name == self.label:
            found.append(UNBOUNDED if self.numeric else limits.max_label_bytes)
        if name == self.id:
            found.append(limits.max_id_bytes)
        if name == self.weight or any(name == condition.column for condition in self.where):
            found.append(UNBOUNDED)
        return max(found)

    def check_names(self, file: str, names: Sequence[str]) -> None:
        """Refuse a file whose columns `names` lack one of these, or have one of them twice."""
        for name in self.names_among(names):
            if name not in names:
                raise UserError(f"{file}: {suggestion('column', name, names)}")
            if names.count(name) > 1:
                raise UserError(f"{file}: has {names.count(name)} columns {name!r}")


@dataclass(frozen=True)
class Chunk:
    """A row range of one source file, or of a folder of images the files `members`.

    `digest` is the sha256 of the content that the rows come from (of the whole file for a row range).
    `start` and `length` are the byte range of formats that are read by the line; of a compressed file they
    count the bytes of its content. Of Arrow's batches `start` is the place of the one that has the first row,
    and `skipped` the rows of it that come before. `images` is the digest of the images that rows name by a
    path, which `digest` then holds too.
    """

    file: str
    first_row: int
    rows: int
    digest: str
    start: int = 0
    length: int = 0
    members: tuple[str, ...] = ()
    images: str = ""
    skipped: int = 0

    def source_files(self) -> list[str]:
        """The file of each row, relative to the source."""
        return list(self.members) if self.members else [self.file] * self.rows

    def source_rows(self) -> np.ndarray:
        """The row of each record in its file, from 0."""
        if self.members:
            return np.zeros(self.rows, np.int64)
        return np.arange(self.first_row, self.first_row + self.rows, dtype=np.int64)


@dataclass
class Records:
    """The records of one chunk, in order.

    `content` is a list of str or bytes, or for embeddings an (n, d) float32 array; `ids` hold None where
    the value is null. `bad` maps a row of the chunk to (reason, detail) where its content is
    broken, `bad_keys` where its label, id or weight is: vectors are reused when only those change.
    `weights` hold None where one is null or bad.
    `excluded` rows fail the filter and have no content.
    """

    content: Any
    labels: Labels | None
    ids: list[str | None] | None
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    bad_keys: dict[int, tuple[str, str]] = field(default_factory=dict)
    weights: list[int | None] | None = None
    excluded: set[int] = field(default_factory=set)

    def reject(self, row: int, reason: str, detail: str = "") -> None:
        """Mark a row's content as bad; the first reason stays."""
        self.bad.setdefault(row, (reason, detail[:DETAIL_LENGTH]))

    def reject_key(self, row: int, reason: str, detail: str = "") -> None:
        """Mark a row's label, id or weight as bad; the first reason stays."""
        self.bad_keys.setdefault(row, (reason, detail[:DETAIL_LENGTH]))

    def exclude(self, rows: Iterable[int]) -> None:
        """Leave rows out: they have no content to encode, and nothing is wrong with them."""
        self.excluded.update(rows)
        for row in self.excluded:
            self.bad.pop(row, None)
            self.bad_keys.pop(row, None)

    def digests(self) -> list[bytes]:
        """Return the sha256 of each record's content: UTF-8 text, image bytes, or little-endian float32."""
        if isinstance(self.content, np.ndarray):
            rows = np.ascontiguousarray(self.content, dtype="<f4")
            return [hashlib.sha256(row).digest() for row in rows]
        return [hashlib.sha256(_bytes(value)).digest() for value in self.content]


def _bytes(value: str | bytes | None) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
