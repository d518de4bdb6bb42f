"""How a job gives memory back: what is freed should not stay with it."""

import ctypes

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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE)
