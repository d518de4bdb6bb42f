"""Ranks: the number of processes that train together, and which one this is.

Two mistakes repeat or lose data without a word: asking before `torch.distributed` has started (each rank then
trains on everything), and dealing out what the host deals out again (each rank then sees 1/W of its share).
"""

import sys

import torch.distributed

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import whole


def world_size() -> int:
    """Return W of `torch.distributed`; 1 where it is not initialised."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if running else 1


def find_ranks(
    num_replicas: int | None, rank: int | None, caller: str = "ManifestSampler"
) -> tuple[int, int]:
    """Return (W, r): what is given, and of `torch.distributed` what is None.

    Raises:
        TrainerError: out of bounds; or W is to be found where accelerate deals out every loader it prepares.
    """
    world = world_size()
    if num_replicas is None and world > 1 and accelerate_runs():
        raise TrainerError(
            f"{caller}: accelerate deals the batches of a loader that it prepares out to its "
            f"{world} processes itself; give num_replicas=1, rank=0 (without prepare: num_replicas={world} "
            "and the rank)"
        )
    if num_replicas is None:
        num_replicas = world
    if rank is None:
        rank = torch.distributed.get_rank() if world > 1 else 0
    num_replicas, rank = whole(caller, "num_replicas", num_replicas, 1), whole(caller, "rank", rank)
    if not 0 <= rank < num_replicas:
        raise TrainerError(f"{caller}: rank={rank} is outside [0, num_replicas={num_replicas})")
    return num_replicas, rank


def check_ranks(num_replicas: int, caller: str = "ManifestSampler") -> None:
    """Raise a TrainerError if other ranks have started since `find_ranks` found W = `num_replicas`."""
    world = world_size()
    if world not in (1, num_replicas):
        raise TrainerError(
            f"{caller}: made for {num_replicas} rank(s), and torch.distributed has {world} now; make "
            "it after the process group (Lightning: in train_dataloader), or give num_replicas and rank "
            "(1 and 0 where accelerate prepares the loader)"
        )


def accelerate_runs() -> bool:
    """Return whether accelerate has started in this process, and so deals out the loaders it prepares."""
    # Asked through what is loaded already: this room does not import its hosts.
    state = sys.modules.get("accelerate.state")
    return state is not None and bool(state.PartialState._shared_state)
