"""WebDataset shards: tar archives whose files of one key, as ``0001.jpg`` and ``0001.cls``, are a record.

A column is what comes after the first dot of a name: ``jpg``, ``cls``, ``seg.png``; ``json.caption`` is the
value of a key in the object of ``json``, ``__key__`` the key. ``jpg;png`` is the first of these that a record
has. A chunk is a range of bytes of an archive, found in one pass that also takes its digest.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.byte_ranges import Hashing, cut, head
from syllabus.pipeline.sources.cells import records_of
from syllabus.pipeline.sources.compression import opened_content
from syllabus.pipeline.sources.joined import joined
from syllabus.pipeline.sources.reasons import UNREADABLE_RECORD
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.sampling import Head, Sample, sample_of
from syllabus.pipeline.sources.sizes import TooLarge
from syllabus.pipeline.sources.tar_members import Member, TarError, members
from syllabus.pipeline.sources.untyped import check_untyped

KEY = "__key__"
HEAD, HEAD_BYTES = 1000, 32 << 20
"""Records, and bytes of them, from which the columns of an archive are found."""


class Part(NamedTuple):
    """What a column asks for: one of several extensions, and the path of keys in its JSON."""

    extensions: tuple[str, ...]
    keys: tuple[str, ...] = ()


class WebDatasetSource(Source):
    """Tar archives of records, one after the other."""

    suffixes = (".tar", ".tgz")

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open archive, a compressed one as its content; damage is told with its name."""
        with super().opened(file) as handle, opened_content(self.store, file, handle) as content:
            try:
                yield content
            except TarError as error:
                raise UserError(f"{self.store.url(file)}: cannot be read as tar: {error}") from None

    def names(self, columns: Columns) -> list[str]:  # noqa: ARG002, D102
        with self.opened(self.files[0]) as handle:
            return self._names(handle)

    def check(self, columns: Columns) -> None:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            self._check(self.files[0], handle, columns)

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                self._check(file, handle, columns)
                handle.seek(0)
                hashing = Hashing(handle)
                starts = (record[0].start for record in _records(members(hashing)))
                chunks = cut(file, starts, hashing.hexdigest, chunk_rows)
            yield from chunks

    def sample(self, columns: Columns, rows: int) -> Sample:  # noqa: D102
        return sample_of(self.stamps, rows, lambda file, each: self._first(file, columns, each))

    def _first(self, file: str, columns: Columns, rows: int) -> Head:
        with self.opened(file) as handle:
            self._check(file, handle, columns)
            handle.seek(0)
            return head(file, (each[0].start for each in _records(members(handle))), rows, handle.size)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file = chunks[0].file
        with self.opened(file) as handle:
            names = self._names(handle)
            for chunk in chunks:
                handle.seek(chunk.start)
                # The end of the last is the archive's: the mark after it is looked at once more.
                stop = chunk.start + chunk.length if chunk.length else None
                values, bad = self._values(members(handle, chunk.start, stop), columns, names)
                if len(values[columns.content]) != chunk.rows:
                    raise UserError(f"{self.store.url(file)}: has changed since the job began")
                records = records_of(columns, values, width)
                for row, reason in bad.items():
                    records.excluded.discard(row)
                    records.bad.pop(row, None)
                    records.reject(row, *reason)
                yield records

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                names = self._check(file, handle, columns)
                handle.seek(0)
                values, _ = self._values(_head(members(handle)), columns, names)
                if width := most_common_width(values[columns.content]):
                    return width
        return 0

    def _values(
        self, found: Iterator[Member], columns: Columns, names: list[str]
    ) -> tuple[dict[str, list[Any]], dict[int, tuple[str, str]]]:
        """The values of the records in some members, by column, and what is wrong with records."""
        parts = {name: _part(name, names) for name in columns.names_among(names)}
        wanted = {extension for part in parts.values() for extension in part.extensions}
        bounds = {extension: _bound(extension, parts, columns, names) for extension in wanted}
        content = columns.parts(names)
        values: dict[str, list[Any]] = {name: [] for name in parts}
        bad: dict[int, tuple[str, str]] = {}
        for row, record in enumerate(_records(found, bounds)):
            files, problem = _files(record)
            objects: dict[str, Any] = {}
            for name, part in parts.items():
                try:
                    value = _value(name, part, record, files, objects)
                    # A class, a key or a number is a line of its own.
                    plain = isinstance(value, bytes) and name not in content
                    values[name].append(value.strip() if plain else value)
                except (ValueError, RecursionError) as error:
                    values[name].append(None)
                    bad.setdefault(row, (UNREADABLE_RECORD, f"{part.extensions[0]}: {error}"))
            if problem:
                bad.setdefault(row, (UNREADABLE_RECORD, problem))
        if len(content) > 1:
            values[columns.content] = joined(columns.kind, [values[name] for name in content])
        return values, bad

    def _names(self, handle: Any) -> list[str]:
        """The columns of an open archive, as far as its first records tell."""
        handle.seek(0)
        found: dict[str, None] = {KEY: None}
        bounds = {"json": HEAD_BYTES}
        for record in _records(_head(members(handle)), bounds):
            files, _ = _files(record)
            found.update(dict.fromkeys(files))
            try:
                value = json.loads(files.get("json") or "null")
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.update(dict.fromkeys(f"json.{key}" for key in value))
        return list(found)

    def _check(self, file: str, handle: Any, columns: Columns) -> list[str]:
        """Refuse columns that the first records do not have; return those that they have."""
        names, where = self._names(handle), self.store.url(file)
        if names == [KEY]:
            return names  # no records
        # One of several names is enough, and a key within a key is not listed.
        asked = (name for name in columns.names_among(names) if name not in names)
        columns.check_names(
            where, [*names, *(name for name in asked if _is_known(_part(name, names), names))]
        )
        handle.seek(0)
        values, _ = self._values(_head(members(handle)), columns, names)
        check_untyped(where, columns, values)
        return names


class _File(NamedTuple):
    key: str
    extension: str
    start: int
    content: bytes | TooLarge | None
    """None where it was not asked for."""
    is_link: bool


def _records(found: Iterator[Member], bounds: dict[str, int] | None = None) -> Iterator[list[_File]]:
    """Join the files of one key that follow one another; of those in `bounds` with at most as many bytes."""
    held: list[_File] = []
    for member in found:
        folder, slash, base = member.name.rpartition("/")
        stem, dot, extension = base.partition(".")
        if not (stem and dot and extension) or (stem.startswith("__") and stem.endswith("__")):
            continue
        key, extension = folder + slash + stem, extension.lower()
        content = None
        if bounds is not None and extension in bounds:
            large = member.size > bounds[extension]
            content = TooLarge(f"{member.size:,} bytes") if large else member.content.read()
        if held and held[-1].key != key:
            yield held
            held = []
        held.append(_File(key, extension, member.start, content, member.is_link))
    if held:
        yield held


def _files(record: list[_File]) -> tuple[dict[str, Any], str]:
    """The contents by extension, and what is wrong with them."""
    files: dict[str, Any] = {}
    problem = ""
    for file in record:
        if file.extension in files:
            problem = problem or f"{file.extension} is there twice"
        if file.is_link and file.content is not None:
            problem = problem or f"{file.extension} is a link: pack with tar -h --hard-dereference"
        files[file.extension] = None if file.is_link else file.content
    return files, problem


def _head(found: Iterator[Member]) -> Iterator[Member]:
    """The members of the first records: `HEAD` times as many, or `HEAD_BYTES` of them."""
    keys: set[str] = set()
    for member in found:
        folder, _, base = member.name.rpartition("/")  # a folder's name may have dots, as ./ has
        keys.add(f"{folder}/{base.partition('.')[0]}")
        if len(keys) > HEAD or (member.start > HEAD_BYTES and len(keys) > 1):
            return
        yield member


def _part(name: str, names: list[str]) -> Part:
    """What a column is of an archive that has `names`; its own name where it is not known."""
    if name in names and not name.startswith("json."):
        return Part((name.lower(),))
    first, dot, keys = name.partition(".")
    if first == "json" and dot and keys:
        return Part(("json",), (keys,) if name in names else tuple(keys.split(".")))
    return Part(tuple(extension.strip().lower() for extension in name.split(";")))


def _is_known(part: Part, names: list[str]) -> bool:
    if part.keys:
        return f"json.{part.keys[0]}" in names
    return any(extension in names for extension in part.extensions)


def _bound(extension: str, parts: dict[str, Part], columns: Columns, names: list[str]) -> int:
    """The most bytes of a file that are read."""
    found = [0]
    for name, part in parts.items():
        if extension in part.extensions:
            content = name in columns.parts(names)
            own = columns.most_bytes(columns.content if content else name)
            found.append(columns.limits.max_record_bytes if part.keys else own)
    return max(found)


def _value(name: str, part: Part, record: list[_File], files: dict[str, Any], objects: dict[str, Any]) -> Any:
    """The value of a column in a record; None where it has none.

    Raises:
      ValueError: JSON, or an array, that cannot be read.
    """
    if name == KEY:
        return record[0].key
    extension = next((each for each in part.extensions if each in files), None)
    content = files[extension] if extension is not None else None
    if content is None or isinstance(content, TooLarge):
        return content
    if part.keys:
        if extension not in objects:
            objects[extension] = json.loads(content)
        value = objects[extension]
        for key in part.keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value
    if extension == "npy" or str(extension).endswith(".npy"):
        return _array(content)
    return content


def _array(content: bytes) -> Any:
    """The numbers of an array as a list.

    Raises:
      ValueError: it cannot be read.
    """
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False).reshape(-1).tolist()
    except Exception as error:  # of the memory that a header asks for, of Python's parser of headers
        raise ValueError(first_line(error) or "cannot be read") from None
