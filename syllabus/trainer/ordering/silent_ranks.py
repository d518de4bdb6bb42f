"""Who does not answer: named by way of the store that the ranks met in."""

import time
from typing import Any

import torch.distributed

_GRACE = 1.0  # seconds


def missing(name: str) -> str:
    """Name the ranks that are not waiting in vain as this one is, as far as can be known.

    Every rank that gets no answer says so, and looks a moment later who did not.

    Args:
        name: of the process group that the answer is missing in.
    """
    store: Any = torch.distributed.distributed_c10d._get_default_store()
    world, mine = torch.distributed.get_world_size(), torch.distributed.get_rank()
    try:
        store.set(f"syllabus/{name}/{mine}", "waits in vain")
        time.sleep(_GRACE)
        keys = {rank: f"syllabus/{name}/{rank}" for rank in range(world) if rank != mine}
        silent = [str(rank) for rank, key in keys.items() if not store.check([key])]
        if mine == 0:
            time.sleep(_GRACE)  # the store may be this process's own
    except RuntimeError:
        return "another rank, which the other ranks' errors name"
    return f"rank {' or '.join(silent)}" if silent else "another rank"
