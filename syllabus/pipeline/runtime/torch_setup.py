"""Threads of a worker's matrix products: their number sets the last bits, so it is an option."""

from __future__ import annotations

import threading
from typing import Any

_limited = threading.local()


def limit_threads(count: int) -> None:
    """Give BLAS, OpenMP and torch `count` threads when called from this thread."""
    if getattr(_limited, "count", None) == count:
        return
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    # Kept: the limits end with the object.
    _limited.limits = _keep(threadpool_limits(limits=count))
    _limited.count = count


def _keep(limits: Any) -> Any:
    limits.unregister = lambda: None
    return limits
