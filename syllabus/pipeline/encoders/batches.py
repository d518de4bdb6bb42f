"""Batches of a block: sorted by length, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.runtime import progress

SAID = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class Batches:
    """Runs a forward pass over blocks, in batches of at most `size` examples.

    When a batch runs out of memory it is halved and tried again, and so is every later one of the block;
    `halvings` counts how often. The next block starts from `size` again, so that what one block met does
    not decide how another is cut.
    """

    def __init__(self, forward: Callable[[list[Any]], np.ndarray], size: int, name: str = "") -> None:
        self.forward = forward
        self.size = size
        self.name = name
        self.halvings = 0

    def run(self, content: list[Any], lengths: list[int] | None = None) -> np.ndarray:
        """Return the (n, d) float32 vectors of `content`, in its order.

        Longest first: padding is least where neighbours have one length, and the batch that needs most
        memory comes before any work is lost. Equal lengths keep their order.
        """
        rows = list(range(len(content)))
        if lengths is not None:
            rows.sort(key=lambda row: -lengths[row])
        vectors: np.ndarray | None = None
        position, size = 0, self.size
        while position < len(rows):
            taken = rows[position : position + size]
            try:
                batch = self.forward([content[row] for row in taken])
            except (RuntimeError, MemoryError) as error:
                if len(taken) == 1 or not out_of_memory(error):
                    raise
                batch = None
            if batch is None:
                # Only now: the exception held the tensors of the batch.
                size = (len(taken) + 1) // 2
                self.halvings += 1
                _free()
                continue
            if vectors is None:
                vectors = np.zeros((len(content), batch.shape[1]), np.float32)
            # Else numpy would repeat a single value over the whole row.
            check_width(self.name, batch.shape[1], vectors.shape[1])
            vectors[taken] = batch
            position += len(taken)
            progress.advance("embed", len(taken))
        return vectors if vectors is not None else np.zeros((0, 0), np.float32)


def check_width(name: str, width: int, expected: int) -> None:
    """Refuse vectors of another width than an encoder's first ones."""
    if width != expected:
        raise UserError(f"encoder {name!r}: gives vectors of {width} values; its first ones have {expected}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; the CPU's is known by its text alone."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(said in text for said in SAID)


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
