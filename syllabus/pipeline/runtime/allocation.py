"""How a job gives memory back: what is freed should not stay with it."""

import ctypes
from contextlib import suppress

import pyarrow as pa

LARGE = 1 << 23
"""Bytes from which an array has pages of its own, which go back to the system with it."""
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of <malloc.h>


def return_freed_memory() -> None:
    """Let large arrays go back to the system when they are freed, in this process from now on.

    glibc raises its threshold with each array that is freed, up to 32 MB, and Arrow's own allocator keeps
    what another thread frees: workers then hold several times the blocks that they work on. Where the C
    library knows no threshold, only Arrow's allocator is changed.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE)


def release_free_memory() -> None:
    """Give back smaller arrays that are free now; milliseconds.

    Each thread's are kept for itself: a stage would have its own memory beside what the one before it needed.
    """
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)
