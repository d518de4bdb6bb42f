"""Batches of a block: sorted by length, prepared one ahead, halved when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from apache_beam.metrics import Metrics

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.runtime import progress
from syllabus.pipeline.runtime.torch_setup import limit_threads

AHEAD_BYTES = 2**28
"""Size of a batch beyond which the next one is not prepared beside it: large photographs fill the memory."""
SAID = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class Batches:
    """Runs a forward pass over blocks, in batches of at most `size` examples.

    While a batch is encoded, `prepare` turns each example of the next into what `forward` takes a list of,
    on `threads` threads: a GPU does not wait for images to be decoded. Not so where a batch takes more than
    `AHEAD_BYTES`. The counter `forward_ms` is the time
    that `forward` takes.

    When a batch runs out of memory it is halved and tried again, and so is every later one of the block;
    `halvings` counts how often. The next block starts from `size` again, so that what one block met does
    not decide how another is cut.
    """

    def __init__(
        self,
        forward: Callable[[list[Any]], np.ndarray],
        size: int,
        name: str = "",
        prepare: Callable[[Any], Any] | None = None,
        threads: int = 1,
    ) -> None:
        self.forward = forward
        self.size = size
        self.name = name
        self.prepare = prepare
        self.threads = threads
        self.halvings = 0

    def run(self, content: list[Any], lengths: list[int] | None = None) -> np.ndarray:
        """Return the (n, d) float32 vectors of `content`, in its order.

        Longest first: padding is least where neighbours have one length, and the batch that needs most
        memory comes before any work is lost. Equal lengths keep their order.
        """
        rows = list(range(len(content)))
        if lengths is not None:
            rows.sort(key=lambda row: -lengths[row])
        with self._prepared([content[row] for row in rows]) as prepared:
            return self._encode(rows, prepared)

    def _encode(self, rows: list[int], prepared: Iterator[list[Any]]) -> np.ndarray:
        vectors: np.ndarray | None = None
        position, size, seconds = 0, self.size, 0.0
        held: list[Any] = []
        while position < len(rows):
            taken = rows[position : position + size]
            if len(held) < len(taken):
                held += next(prepared)
            start = time.perf_counter()
            try:
                batch = self.forward(held[: len(taken)])
            except (RuntimeError, MemoryError) as error:
                if len(taken) == 1 or not out_of_memory(error):
                    raise
                batch = None
            seconds += time.perf_counter() - start
            if batch is None:
                # Only now: the exception held the tensors of the batch.
                size = (len(taken) + 1) // 2
                self.halvings += 1
                _free()
                continue
            if vectors is None:
                vectors = np.zeros((len(rows), batch.shape[1]), np.float32)
            # Else numpy would repeat a single value over the whole row.
            check_width(self.name, batch.shape[1], vectors.shape[1])
            vectors[taken] = batch
            held = held[len(taken) :]
            position += len(taken)
            progress.advance("embed", len(taken))
        Metrics.counter("syllabus", "forward_ms").inc(round(1000 * seconds))
        return vectors if vectors is not None else np.zeros((0, 0), np.float32)

    @contextmanager
    def _prepared(self, content: list[Any]) -> Iterator[Iterator[list[Any]]]:
        """Give the content in blocks of `size`, each prepared while the one before is encoded."""
        blocks = [content[first : first + self.size] for first in range(0, len(content), self.size)]
        prepare = self.prepare
        if prepare is None:
            yield iter(blocks)
            return

        def work(item: Any) -> Any:
            limit_threads(self.threads)
            return prepare(item)

        def ahead() -> Iterator[list[Any]]:
            following = pool.map(work, blocks[0]) if blocks else None
            for number in range(len(blocks)):
                block = list(following or pool.map(work, blocks[number]))
                small = sum(map(_size, block)) <= AHEAD_BYTES
                following = pool.map(work, blocks[number + 1]) if small and number + 1 < len(blocks) else None
                yield block

        pool = ThreadPoolExecutor(self.threads)
        try:
            yield ahead()
        finally:
            pool.shutdown(cancel_futures=True)


def _size(prepared: Any) -> int:
    """The bytes of an example as it is given to `forward`: a PIL image in RGB, or a tensor."""
    if hasattr(prepared, "getbands"):
        return int(3 * prepared.width * prepared.height)
    return int(getattr(prepared, "nbytes", 0))


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
