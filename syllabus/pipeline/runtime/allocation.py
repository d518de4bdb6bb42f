"""How a job gives memory back: what is freed should not stay with it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa

LARGE = 1 << 23
"""Bytes from which an array has pages of its own, which go back to the system with it."""
_MOST = 1 << 25  # as far as glibc raises its threshold by itself
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Let large arrays go back to the system when they are freed, while the block runs.

    glibc raises its threshold with each array that is freed, up to 32 MB, and Arrow's own allocator keeps
    what another thread frees: workers then hold several times the blocks that they work on. Where the C
    library knows no threshold, only Arrow's allocator is changed.

    Afterwards the process may train a model, whose arrays of some MB would cost new pages each time. glibc
    does not raise its threshold again once it is set: it is left where that would have ended.
    """
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    _set(_MMAP_THRESHOLD, LARGE)
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        _set(_MMAP_THRESHOLD, _MOST)
        _set(_TRIM_THRESHOLD, 2 * _MOST)


def release_free_memory() -> None:
    """Give back smaller arrays that are free now; milliseconds.

    Each thread's are kept for itself: a stage would have its own memory beside what the one before it needed.
    """
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)


def _set(parameter: int, value: int) -> None:
    with suppress(AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).mallopt(parameter, value)
