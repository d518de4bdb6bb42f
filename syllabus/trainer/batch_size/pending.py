"""The updates since the last decision: their measurements stay on the device until one is due."""

from __future__ import annotations

from typing import Any

import torch

from syllabus.trainer.batch_size.noise import estimates
from syllabus.trainer.batch_size.signals import Signals

Numbers = tuple[float, int, float | None, float | None, int]
Measured = tuple[torch.Tensor, int, torch.Tensor | None, torch.Tensor | None, int]


class Pending:
    """One entry an update: mean loss, examples, ‖g‖², ‖g‖² of its first microbatch, and that one's examples.

    Nothing is read from the device before `signals`: a step does not wait for a number to come back.
    """

    def __init__(self) -> None:
        self._entries: list[Measured] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        loss: torch.Tensor,
        examples: int,
        norm: torch.Tensor | None,
        first_norm: torch.Tensor | None,
        first_examples: int,
    ) -> None:
        """Keep what one update measured."""
        self._entries.append((loss, examples, norm, first_norm, first_examples))

    def signals(self, epoch: int) -> Signals:
        """Return what was measured since the last call, read from the device at once, and forget it."""
        rows, self._entries = self._read(), []
        pairs = [
            (count, estimates(small, norm, few, count))
            for _, count, norm, small, few in rows
            if norm is not None and small is not None and few < count
        ]
        weight = sum(count for count, _ in pairs)
        norms = [norm for _, _, norm, _, _ in rows if norm is not None]
        return Signals(
            losses=tuple(loss for loss, *_ in rows),
            counts=tuple(count for _, count, *_ in rows),
            norms=tuple(norms) if len(norms) == len(rows) else (),
            noise=sum(count * pair[0] for count, pair in pairs) / weight if weight else None,
            squared_gradient=sum(count * pair[1] for count, pair in pairs) / weight if weight else None,
            epoch=epoch,
        )

    def state(self) -> list[list[Any]]:
        """Return the entries in plain values."""
        return [list(row) for row in self._read()]

    def load(self, state: list[list[Any]]) -> None:
        """Take back what `state` returned."""

        def tensor(value: float | None) -> torch.Tensor | None:
            # On the CPU in float64, so that the numbers are those that were read.
            return None if value is None else torch.tensor(value, dtype=torch.float64)

        self._entries = [(tensor(a), b, tensor(c), tensor(d), e) for a, b, c, d, e in state]  # type: ignore[misc]

    def _read(self) -> list[Numbers]:
        tensors = [t for row in self._entries for t in (row[0], row[2], row[3]) if t is not None]
        numbers = iter(_to_numbers(tensors))

        def number(tensor: torch.Tensor | None) -> float | None:
            return None if tensor is None else next(numbers)

        # In the order of the tensors: Python evaluates a tuple from left to right.
        return [(next(numbers), row[1], number(row[2]), number(row[3]), row[4]) for row in self._entries]


def _to_numbers(tensors: list[torch.Tensor]) -> list[float]:
    """Read 0-d tensors, those of one device and type in one transfer."""
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for place, tensor in enumerate(tensors):
        groups.setdefault((tensor.device, tensor.dtype), []).append(place)
    numbers = [0.0] * len(tensors)
    for places in groups.values():
        for place, value in zip(places, torch.stack([tensors[p] for p in places]).tolist(), strict=True):
            numbers[place] = value
    return numbers
