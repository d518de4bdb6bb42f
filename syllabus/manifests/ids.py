"""Ids of examples as Arrow strings: look-up, comparison of two sets, search for repetitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests.errors import ManifestError, first_line

TEXTS_AT_ONCE = 65_536


def id_text(value: Any) -> str | None:
    """Return an id as the text that a manifest has it by; None where it is null.

    Text stays as it is and bytes are UTF-8. Whatever else is one value is its text in Python: integers,
    truth values (``True``), floating-point and decimal numbers, dates and times (``2026-01-31``), UUIDs.

    Raises:
      UnicodeError: bytes that are not UTF-8, or half a surrogate pair, have no text.
      TypeError: it is no single value, such as a list.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if value is None:
        return None
    if isinstance(value, (list, tuple, dict, set, frozenset, np.ndarray)):
        raise TypeError(f"{value!r:.100} is a {type(value).__name__}; an id is one value")
    text = str(value)
    if not text.isascii():
        text.encode("utf-8")
    return text


def as_strings(ids: Any) -> pa.ChunkedArray:
    """Return ids of any array-like as Arrow strings, as `id_text` has each.

    Raises:
      ManifestError: as `as_arrow`.
    """
    return as_arrow(ids).cast(pa.string())


def as_arrow(ids: Any) -> pa.ChunkedArray:
    """Return ids of any array-like as an Arrow array of strings or integers, copied only where they must be.

    Ids of another type (UUIDs, dates, decimal numbers, bytes, …) become the texts that `id_text` gives.

    Raises:
      ManifestError: if they are of a type that no id has, such as lists, if some are null or have no text in
        UTF-8, or if they are one text, whose letters would be taken for ids, or a set, which has no rows.

    Cost: strings and integers take no time; another type is read value by value, 0.5 μs each and more.
    """
    if isinstance(ids, (str, bytes, set, frozenset)):
        raise ManifestError(f"ids: are a {type(ids).__name__}; give a sequence, one id a row")
    try:
        array = _array(_plain(ids))
    except UnicodeError as error:
        raise ManifestError(f"ids: {getattr(error, 'object', '')!r:.100} has no form in UTF-8") from None
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ManifestError(f"ids: {first_line(error)}") from None
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.cast(chunked.type.value_type)
    kind = chunked.type
    if not len(chunked):
        return pa.chunked_array([], pa.string())
    if pa.types.is_nested(kind):
        raise ManifestError(f"ids: are of type {kind}; expected strings or integers, or other single values")
    if chunked.null_count:
        raise ManifestError(f"ids: {chunked.null_count} of {len(chunked)} are null")
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return chunked if is_text or pa.types.is_integer(kind) else _texts(chunked)


def _array(plain: Any) -> pa.Array | pa.ChunkedArray:
    """The values as Arrow has them; as texts where it has no one type for all, such as 1 beside "a"."""
    if isinstance(plain, (pa.Array, pa.ChunkedArray)):
        return plain
    try:
        return pa.array(plain)
    except (pa.ArrowException, OverflowError):
        values = plain.tolist() if isinstance(plain, np.ndarray) else plain
        return pa.array([id_text(value) for value in values], pa.string())


def _texts(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts of ids of another type than text and integers, a piece at a time."""
    pieces, row = [], 0
    for start in range(0, len(ids), TEXTS_AT_ONCE):
        texts = []
        for row, scalar in enumerate(ids.slice(start, TEXTS_AT_ONCE), start):
            try:
                texts.append(id_text(scalar.as_py()))
            except (UnicodeDecodeError, UnicodeEncodeError) as error:
                raise ManifestError(f"ids: row {row}: {error.object!r:.100} is not UTF-8") from None
            except (TypeError, ValueError, OverflowError, LookupError) as error:
                raise ManifestError(f"ids: row {row}: {ids.type}: {first_line(error)}") from None
        pieces.append(pa.array(texts, pa.string()))
    return pa.chunked_array(pieces, pa.string())


def find_ids(known: Iterable[pa.Table], ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the index of each of `ids`, (rows,) int64; `known` gives the columns index and id in pieces.

    Raises:
      ManifestError: if some are not there; with their number and three of them.

    Cost: a hash table of `ids` for each piece, so pieces should be some times as long as `ids`.
    """
    encoded = ids.combine_chunks().dictionary_encode()
    found = np.full(len(encoded.dictionary), -1, np.int64)
    for rows in known:
        places = pc.index_in(rows.column("id"), value_set=encoded.dictionary)
        hits = np.flatnonzero(places.is_valid().to_numpy())
        found[places.take(pa.array(hits)).to_numpy()] = rows.column("index").to_numpy()[hits]
    absent = encoded.dictionary.filter(pa.array(found < 0))
    if len(absent):
        raise ManifestError(
            f"ids: {len(absent)} of {len(found)} different ids are not in the manifest{_examples(absent)}"
        )
    indices: npt.NDArray[np.int64] = found[encoded.indices.to_numpy()]
    return indices


def check_ids(known: pa.ChunkedArray, ids: pa.ChunkedArray) -> None:
    """Raise one ManifestError unless `ids` are exactly the `known` ones, each once, in any order."""
    missing = known.filter(pc.invert(pc.is_in(known, value_set=ids)))
    extra = ids.filter(pc.invert(pc.is_in(ids, value_set=known)))
    counts = ids.value_counts()
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    found = [
        f"{len(values)} {what}{_examples(values)}"
        for what, values in (
            ("of the manifest's are missing", missing),
            ("are not in the manifest", extra),
            ("occur more than once", repeated),
        )
        if len(values)
    ]
    if found:
        raise ManifestError(f"ids: of {len(ids)} ids against {len(known)}: {'; '.join(found)}")


class RepetitionCheck:
    """A search for ids that occur twice among many, in one or two passes, at 10 bytes an id.

    The first pass keeps a 64-bit hash of each id. Ids whose hashes meet are few: the second pass compares
    them as they are, so that the answer is exact. It is made once: the hashes are dropped then.
    """

    def __init__(self) -> None:
        self._hashes, self._count = np.empty(0, np.uint64), 0

    def add(self, ids: pa.ChunkedArray) -> None:
        """Take the next ids of the first pass."""
        for chunk in ids.chunks:
            stop = self._count + len(chunk)
            if stop > len(self._hashes):
                # In its place, as far as the system can: pieces that are joined would be held twice.
                self._hashes.resize(stop + stop // 8, refcheck=False)
            self._hashes[self._count : stop] = hashes(chunk)
            self._count = stop

    def repeated(self, again: Iterable[pa.ChunkedArray]) -> list[str]:
        """Return the ids that occur more than once, sorted; `again` gives all of them a second time."""
        return sorted({value for _, value in self._repetitions((range(len(ids)), ids) for ids in again)})

    def repeated_rows(
        self, again: Iterable[tuple[npt.NDArray[np.int64], pa.ChunkedArray]]
    ) -> npt.NDArray[np.int64]:
        """Return the rows whose id occurred before, int64 in the order given.

        Args:
          again: all ids a second time, in pieces: (rows,) int64 numbers of the caller's and their ids.
        """
        return np.array([row for row, _ in self._repetitions(again)], np.int64)

    def _repetitions(
        self, again: Iterable[tuple[Sequence[int] | npt.NDArray[np.int64], pa.ChunkedArray]]
    ) -> Iterator[tuple[int, str]]:
        """Yield row and id of each occurrence of an id but its first."""
        every = self._hashes[: self._count]
        self._hashes, self._count = np.empty(0, np.uint64), 0
        every.sort()
        suspects = np.unique(every[1:][every[1:] == every[:-1]])
        del every
        if not suspects.size:
            return
        seen: set[str] = set()
        for rows, ids in again:
            found = [np.isin(hashes(chunk), suspects) for chunk in ids.chunks]
            for place in np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *found])).tolist():
                value = ids[place].as_py()
                if value in seen:
                    yield int(rows[place]), value
                seen.add(value)


def hashes(strings: pa.StringArray, seed: int = 0) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each string, (rows,) uint64, the same on any machine; of each seed another.

    From length and seed on, eight bytes at a time: xor, multiplication by an odd number and shifts, the steps
    of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

    Cost: 0.03 μs a string of 12 bytes; 80 bytes a row beside the result while it runs, so give it pieces.
    """
    if not len(strings):
        return np.empty(0, np.uint64)
    _, offsets, data = strings.buffers()
    bounds = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    # The last word of the last string may end after it.
    content = np.zeros(int(bounds[-1] - bounds[0]) + 8, np.uint8)
    content[:-8] = np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]]
    words: npt.NDArray[np.uint64] = np.ndarray((len(content) - 7,), "<u8", content, strides=(1,))
    starts, lengths = (bounds[:-1] - bounds[0]).astype(np.int64), np.diff(bounds)
    result = lengths.astype(np.uint64) ^ _mixed(np.full(1, seed, np.uint64))
    for place in range(0, int(lengths.max()), 8):
        rows = slice(None) if place < lengths.min() else np.flatnonzero(lengths > place)
        word = words[starts[rows] + place] & _FIRST_BYTES[np.minimum(lengths[rows] - place, 8)]
        result[rows] = _mixed(result[rows] ^ word)
    return _mixed(result)


_FIRST_BYTES = np.array([256**count - 1 for count in range(9)], np.uint64)


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(29)
    return z


def _plain(ids: Any) -> Any:
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        return ids
    source: Any = getattr(ids, "source", None)
    if hasattr(source, "select_columns") and source.format["type"] != "custom":
        # Hugging Face's column: as Arrow it stays as small as it is.
        return source.select_columns([ids.column_name]).with_format("arrow")[:][ids.column_name]
    # A sequence that reads from elsewhere gives its values faster in one slice than one by one.
    whole = ids[:] if isinstance(ids, Sequence) else ids
    if hasattr(whole, "__array__"):
        return np.asarray(whole)  # tensors and series; element by element they would be slow, or not numbers
    return whole if isinstance(whole, (list, tuple)) else list(whole)


def _examples(values: Any) -> str:
    shown = [repr(value) for value in values.slice(0, 3).to_pylist()] + ["…"] * (len(values) > 3)
    return f" ({', '.join(shown)})"
