"""Protocols of an order that learns while training: what a sampler knows of it, and it of the sampler."""

from typing import Protocol, runtime_checkable

import numpy as np

from syllabus.trainer.curriculum import Curriculum


class EpochSource(Protocol):
    """The sampler that an order serves."""

    curriculum: Curriculum
    seed: int
    num_replicas: int
    rank: int

    @property
    def given_out(self) -> int:
        """Examples of the epoch that all ranks have been given together."""

    def rows_of(self, indices: np.ndarray) -> np.ndarray:
        """Return the int64 rows of the data set that hold the examples `indices`."""


@runtime_checkable
class OnlineOrder(Protocol):
    """An order of all ranks' examples that is refined between epochs."""

    @property
    def name(self) -> str:
        """The name of this order in states."""

    def attach(self, source: EpochSource) -> None:
        """Serve `source`; called once, by its constructor."""

    def leave(self, epoch: int) -> None:
        """Check, before `epoch` is entered, that the one before it was learnt from."""

    def visits(self, epoch: int, place: int) -> np.ndarray:
        """Enter `epoch` at `place` and return its example indices in the order of their visit."""

    def order_id(self, epoch: int) -> str:
        """Return what names the order that `epoch` follows; empty as long as that is not known."""

    def check(self, epoch: int, position: int, order_id: str) -> None:
        """Check that a sampler's state belongs to the state that this object is in."""
