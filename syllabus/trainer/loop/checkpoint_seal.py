"""The seal of a checkpoint: the SHA-256 of its bytes, as the comment of the zip archive that it is.

A zip archive ends with the length of its comment, two bytes, and the comment. Torch writes none, and reads
past one. The digest covers every byte before those two: what another program packs anew, with checksums of
its own, is found as well as a bit that flipped.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from syllabus.trainer.errors import TrainerError

LENGTH = 2
"""Bytes of the length of the comment."""
DIGEST = 64
"""Of the comment: hexadecimal digits."""
CHUNK = 1 << 20


class SealingSink:
    """A sink for an archive without a comment, which is written on to another with one.

    Args:
      sink: has `write`.
    """

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self._held = b""

    def write(self, data: Any) -> int:
        """Write all but the last two bytes so far, which may be the length of the comment."""
        view = memoryview(data).cast("B")
        if len(view) < LENGTH:
            view = memoryview(self._held + bytes(view))
        else:
            self._put(self._held)
        self._put(view[:-LENGTH])
        self._held = bytes(view[-LENGTH:])
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Do nothing: the end is not written yet."""

    def finish(self) -> None:
        """Write the comment."""
        if self._held != bytes(LENGTH):
            raise TrainerError("torch has written an archive with a comment")
        comment = self._digest.hexdigest().encode()
        self._sink.write(len(comment).to_bytes(LENGTH, "little") + comment)

    def _put(self, data: Any) -> None:
        self._digest.update(data)
        self._sink.write(data)


def check_seal(file: Any) -> bool:
    """Return whether a file has a seal; raise TrainerError where it is not that of its bytes.

    Cost: reads the file once.
    """
    size = file.seek(0, os.SEEK_END)
    sealed = size - LENGTH - DIGEST
    file.seek(max(sealed, 0))
    end = file.read()
    if sealed < 0 or end[:LENGTH] != DIGEST.to_bytes(LENGTH, "little"):
        return False
    file.seek(0)
    digest, left = hashlib.sha256(), sealed
    while left > 0 and (chunk := file.read(min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest().encode() != end[LENGTH:]:
        raise TrainerError("is not as it was written: its SHA-256 differs")
    return True
