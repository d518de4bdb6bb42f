"""How far each rank has come, so that the one that does not answer can be named."""

import time
from typing import Any

import torch.distributed

_GRACE = 1.0  # seconds


class RankProgress:
    """What each rank says of itself in the store that the ranks met in; read only when one does not answer.

    Args:
        name: of this line of messages, the same on all ranks.
        world, rank: W and r of `torch.distributed`.
    """

    def __init__(self, name: str, world: int, rank: int) -> None:
        self._name, self._world, self._rank, self._number = name, world, rank, 0
        store = inner = torch.distributed.distributed_c10d._get_default_store()
        while isinstance(inner, torch.distributed.PrefixStore):
            inner = inner.underlying_store
        # A file would grow with every message.
        self._store: Any = None if type(inner).__name__ == "FileStore" else store

    def sends(self) -> None:
        """Say that this rank sends its next message. A few microseconds: nothing is waited for."""
        self._number += 1
        self._say(2 * self._number)

    def missing(self) -> str:
        """Name the ranks that did not send what this one waits for, as far as can be known."""
        try:
            self._say(2 * self._number + 1)
            behind = self._below(2 * self._number)
            # Others are about to ask the store, too, which may be rank 0's own.
            time.sleep(_GRACE if self._rank else 2 * _GRACE)
            # Those that sent all, but have not noticed by now that an answer is missing.
            silent = behind or self._below(2 * self._number + 1)
        except RuntimeError:
            return "another rank, which the other ranks' errors name"
        return f"rank {(', ' if behind else ' or ').join(silent)}" if silent else "another rank"

    def _below(self, number: int) -> list[str]:
        others = [rank for rank in range(self._world) if rank != self._rank and self._store is not None]
        return [str(rank) for rank in others if self._said(rank) < number]

    def _say(self, number: int) -> None:
        if self._store is not None:
            self._store.set(self._key(self._rank), str(number))

    def _said(self, rank: int) -> int:
        key = self._key(rank)
        return int(self._store.get(key)) if self._store.check([key]) else 0

    def _key(self, rank: int) -> str:
        return f"syllabus/{self._name}/{rank}"
