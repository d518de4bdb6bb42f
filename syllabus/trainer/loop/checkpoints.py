"""Checkpoints: everything that the next step of a run depends on, in one file.

The file is torch's, an uncompressed zip archive read with `weights_only=True`: it holds tensors and plain
values and cannot run code. Its comment, the last bytes, is the SHA-256 of all before: see `checkpoint_seal`.
Version 1 had no comment, only the archive's CRC-32 of each part, which torch does not look at.
"""

from __future__ import annotations

import collections
import contextlib
import operator
import os
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from syllabus.manifests.errors import first_line
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.loop.checkpoint_files import CheckpointFile
from syllabus.trainer.loop.checkpoint_seal import SealingSink, check_seal
from syllabus.trainer.states import entries, integer, number, optional, row, several, tensor, text

VERSION = 2
UNSEALED = 1
"""The version without a seal, which is still read."""
PLAIN = {
    bool, int, float, complex, str, bytes, bytearray, type(None), set, torch.Size, torch.dtype, torch.device,
    torch.Tensor, torch.nn.Parameter, dict, collections.OrderedDict, collections.Counter,
}  # fmt: skip
"""Types of values that are read without running code, beside lists and tuples; of others, not their kinds."""
LONGEST = 255
"""Bytes of a whole number that is read so."""
WORDS = 624  # of the state of a Mersenne twister
RANDOM = {
    "torch": tensor((None,), torch.uint8),
    "cuda": several(tensor((None,), torch.uint8)),
    "numpy": row(text, tensor((WORDS,), torch.int64), integer(0, WORDS), integer(0, 1), number()),
    "python": row(integer(3, 3), several(integer(0, 2**32 - 1), WORDS + 1), optional(number())),
}


def save(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content` (tensors, plain values) and the random generators' state; whole or not at all.

    NumPy's scalars become Python's: `weights_only` would not read them.

    Raises:
        TrainerError: it cannot be written, or holds what could not be read; the file of before is as it was.
    """
    # Torch makes a RuntimeError of some errors of files.
    written = CheckpointFile(path).writing()
    with _errors_of(path, "cannot be written", RuntimeError), written as file, _checksums():
        sealing = SealingSink(file)
        torch.save({"version": VERSION, "random": _random_state(), **_plain("", content)}, sealing)
        sealing.finish()


def load(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what `save` wrote, tensors on the CPU; None where there is no file.

    Removes what killed runs left of the file's earlier writings.

    Raises:
        TrainerError: the file is no checkpoint, damaged, larger than the memory, or of another version; or
            there is none and none could be written.
    """
    place = CheckpointFile(path)
    with _errors_of(path, "cannot be read"):
        place.sweep()
        file = place.open()
        if file is None:
            place.check_writable()
            return None
    # Whatever is wrong with bytes that pass for an archive: readers of zips and pickles raise all sorts.
    with file, _errors_of(path, "unreadable", Exception):
        sealed = check_seal(file)
        _check_archive(file, sealed)
        file.seek(0)
        content = torch.load(file, map_location="cpu", weights_only=True)
    version = content.get("version") if isinstance(content, dict) else None
    if type(version) is not int or version not in (VERSION, UNSEALED):
        raise TrainerError(f"checkpoint {path}: version is {version!r}; this code reads {VERSION}")
    if not sealed and version != UNSEALED:
        raise TrainerError(f"checkpoint {path}: is not as it was written: it has no SHA-256")
    return content


def check_random(where: str, name: str, value: Any) -> dict[str, Any]:
    """Return a saved state of the random generators, of which each is tried on a generator of its own."""
    state = entries(where, value, RANDOM, name)
    try:
        torch.Generator().set_state(state["torch"])
        np.random.RandomState().set_state(_numpy_state(state))
        random.Random().setstate(_python_state(state))
    except (RuntimeError, TypeError, ValueError) as error:
        raise TrainerError(f"{where}: {name} is no state of a generator ({first_line(error)})") from None
    return state


def restore_random(state: dict[str, Any]) -> None:
    """Set the random generators of torch, numpy and Python to a saved `state`, which was checked."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        for device, saved in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(saved, device)
    np.random.set_state(_numpy_state(state))  # noqa: NPY002 - the user's data set may use it
    random.setstate(_python_state(state))


def _plain(where: str, value: Any) -> Any:
    """Return a value as `load` can read it: the same object, but for NumPy's scalars."""
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    known = kind in PLAIN or kind in torch.serialization.get_safe_globals()
    if known and isinstance(value, dict):
        inside = {_plain(where, key): _plain(f"{where}.{key}", part) for key, part in value.items()}
        same = all(one is other for one, other in zip(inside, value, strict=True))
        same = same and all(inside[key] is part for key, part in value.items())
        return value if same else inside
    if kind in (list, tuple, set):
        parts = [_plain(f"{where}[{place}]", part) for place, part in enumerate(value)]
        return value if all(map(operator.is_, parts, value)) else kind(parts)
    if kind is int and value.bit_length() >= 8 * LONGEST:
        raise TrainerError(
            f"{where[1:]} has {value.bit_length():,} bits; at most {8 * LONGEST - 1:,} are read"
        )
    if not known:
        raise TrainerError(
            f"{where[1:]} is a {kind.__name__}; a checkpoint holds tensors and plain values,"
            " which are read without running code"
        )
    return value


def _numpy_state(state: dict[str, Any]) -> tuple[Any, ...]:
    name, words, *rest = state["numpy"]
    return (name, words.numpy().astype(np.uint32), *rest)


def _python_state(state: dict[str, Any]) -> tuple[Any, ...]:
    version, words, gauss = state["python"]
    return version, tuple(words), gauss


def _random_state() -> dict[str, Any]:
    name, words, *rest = np.random.get_state()  # noqa: NPY002 - the user's data set may use it
    version, state, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(words.astype(np.int64)), *rest],
        "python": [version, list(state), gauss],
    }


def _check_archive(file: Any, sealed: bool) -> None:
    """Raise where a file is no archive of torch's, or, without a seal, a part is not as it was written."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
        if packed:  # it might unpack to anything
            raise TrainerError(f"{packed[0]} is compressed, which no checkpoint is")
        size, memory = sum(part.file_size for part in parts), _memory()
        if size > memory:
            raise TrainerError(f"holds {size:,} bytes; this machine has {memory:,} bytes of memory")
        damaged = None if sealed else archive.testzip()
        if damaged is not None:
            raise TrainerError(f"{damaged} is not as it was written: its CRC-32 differs")


def _memory() -> int:
    """Return the bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 2**63


@contextlib.contextmanager
def _checksums() -> Iterator[None]:
    """Have torch write checksums, whatever it is set to."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


@contextlib.contextmanager
def _errors_of(path: str | os.PathLike[str], what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Make one line of what is raised: of errors of files, and of these `kinds`."""
    try:
        yield
    except TrainerError as error:
        prefix = f"checkpoint {path}: "
        raise TrainerError(prefix + str(error).removeprefix(prefix)) from None
    except (OSError, *kinds) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise TrainerError(f"checkpoint {path}: {what} ({reason})") from None
