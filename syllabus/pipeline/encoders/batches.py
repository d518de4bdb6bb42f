"""Batches of a block: sorted by length, prepared one ahead, halved when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
    `AHEAD_BYTES`. The counter `forward_ms` is the time that `forward` takes.

    When memory runs out while a batch is prepared or encoded, it is halved and tried again, and so is every
    later one of the block; `halvings` counts how often. The next block starts from `size` again, so that what
    one block met does not decide how another is cut.
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
        pool = ThreadPoolExecutor(self.threads)
        try:
            return self._encode(content, rows, pool)
        finally:
            pool.shutdown(cancel_futures=True)

    def _encode(self, content: list[Any], rows: list[int], pool: ThreadPoolExecutor) -> np.ndarray:
        vectors: np.ndarray | None = None
        position, size, seconds = 0, self.size, 0.0
        coming: list[Future[Any]] = []
        while position < len(rows):
            taken = rows[position : position + size]
            inputs = [content[row] for row in taken]
            batch, start = None, time.perf_counter()
            try:
                if self.prepare is not None:
                    coming = coming or self._start(pool, inputs)
                    inputs = [each.result() for each in coming]
                    small = sum(map(_size, inputs)) <= AHEAD_BYTES
                    after = rows[position + size : position + 2 * size] if small else []
                    coming = self._start(pool, [content[row] for row in after])
                    start = time.perf_counter()
                batch = self.forward(inputs)
            except (RuntimeError, MemoryError) as error:
                if len(taken) == 1 or not out_of_memory(error):
                    raise
            seconds += time.perf_counter() - start
            if batch is None:
                # Only now: the exception held the tensors of the batch. What was prepared goes with them.
                for following in coming:
                    following.cancel()
                inputs = []
                coming.clear()  # the traceback of what failed in it may still hold the list
                size = (len(taken) + 1) // 2
                self.halvings += 1
                _free()
                continue
            if vectors is None:
                vectors = np.zeros((len(rows), batch.shape[1]), np.float32)
            # Else numpy would repeat a single value over the whole row.
            check_width(self.name, batch.shape[1], vectors.shape[1])
            vectors[taken] = batch
            position += len(taken)
            progress.advance("embed", len(taken))
        Metrics.counter("syllabus", "forward_ms").inc(round(1000 * seconds))
        return vectors if vectors is not None else np.zeros((0, 0), np.float32)

    def _start(self, pool: ThreadPoolExecutor, items: list[Any]) -> list[Future[Any]]:
        """Have examples prepared."""

        def work(item: Any) -> Any:
            limit_threads(self.threads)
            return self.prepare(item)  # type: ignore[misc]  # called where it is not None

        return [pool.submit(work, item) for item in items]


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
