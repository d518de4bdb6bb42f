"""Free memory given back to the system between stages.

Allocators keep what is freed, each thread's for itself: without this, a stage has its own memory beside what
the one before it needed.
"""

import ctypes
from contextlib import suppress

import pyarrow as pa


def release_free_memory() -> None:
    """Give back what Arrow and the C library hold and nobody uses; milliseconds."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)
