"""Device, precision and threads of a worker's torch.

The number of threads sets the last bits of matrix products, so it is an option. Importing torch takes longer
than a small job: it is asked only where an encoder has loaded it or a GPU may be there.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError

_limited = threading.local()


def limit_threads(count: int) -> None:
    """Give BLAS, OpenMP and torch `count` threads when called from this thread; torch if it is loaded."""
    limit = (count, "torch" in sys.modules)
    if getattr(_limited, "limit", None) == limit:
        return
    from threadpoolctl import threadpool_limits

    if limit[1]:
        import torch  # another thread may be in the middle of it: this waits

        torch.set_num_threads(count)
    # Kept: the limits end with the object.
    _limited.limits = _keep(threadpool_limits(limits=count))
    _limited.limit = limit


def _keep(limits: Any) -> Any:
    limits.unregister = lambda: None
    return limits


def pick_device(asked: str | None) -> str:
    """Return the device to encode on: as asked; else a GPU, worker processes taking turns; else the CPU."""
    if asked == "cpu" or (asked is None and not _may_have_gpu()):
        return "cpu"
    import torch

    if asked is not None:
        try:
            kind = torch.device(asked).type
        except RuntimeError as error:
            raise UserError(f"device={asked!r}: {first_line(error)}") from None
        if kind == "cuda" and not torch.cuda.is_available():
            raise UserError(f"device={asked!r}: torch sees no GPU here")
        return asked
    count = torch.cuda.device_count()
    return f"cuda:{os.getpid() % count}" if count else "cpu"


def _may_have_gpu() -> bool:
    """Whether torch could find a GPU: on Linux each driver (NVIDIA, Tegra, WSL, ROCm) has its device file."""
    if sys.platform != "linux":
        return True
    return any(any(Path("/dev").glob(name)) for name in ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd"))


def torch_dtype(name: str, device: str) -> Any:
    """Return the torch dtype; a precision that this CPU only emulates is refused."""
    import torch

    if name != "float32" and device == "cpu" and not _has_native(name):
        raise UserError(f"dtype={name!r}: this CPU only emulates it, which is slower; use float32 or a GPU")
    return getattr(torch, name)


def _has_native(name: str) -> bool:
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="ignore") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        return False
    wanted = {
        "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
        "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    }
    return any(flag in flags for flag in wanted[name])
