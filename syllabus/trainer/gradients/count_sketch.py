"""Count sketch (Charikar, Chen, Farach-Colton 2002): a few numbers that keep inner products on average."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from syllabus.selectors.balancing import add_sketch
from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import whole


class CountSketch:
    """A seeded linear map of d numbers to `width`: each is given a random sign and added to one of the sums.

    The first `width` numbers go to one sum each, in their order turned by a random number of places, then the
    next ones, turned by another number, and so on. So two of them meet with probability 1/width at most, as
    the sketch's bound asks, memory is read in its order, and the bits are the same in every run, on a GPU
    too. For orders, 256 come close to all numbers (measured), 64 do not.

    Args:
        width: of the result, at least 1.
        seed: of signs and turns; the same seed and widths of pieces give the same map.

    Memory: 4 bytes a number of one row. Cost: one pass over the input; not on a CPU, two copies of it.
    """

    def __init__(self, width: int = 256, *, seed: int) -> None:
        self.width = whole("CountSketch", "width", width, 1)
        self.seed = whole("CountSketch", "seed", seed)
        self._widths: list[int] = []
        self._maps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, pieces: Sequence[torch.Tensor]) -> DenseVectors:
        """Return the (B, width) sketch of rows in pieces, (B, d_i) each, always in the same order."""
        total = torch.zeros(len(pieces[0]), self.width, device=pieces[0].device)
        maps = self._known([piece.shape[1] for piece in pieces], total.device)
        for piece, (turns, signs) in zip(pieces, maps, strict=True):
            _add(total, piece, turns, signs)
        return DenseVectors(total)

    def of_rows(self, rows: torch.Tensor, ending_in_1: bool = False) -> torch.Tensor:
        """Return the (B, width) float32 sketch of (B, d) rows, or of (rows, 1), whose 1 is not written."""
        device = rows.device
        [(turns, signs)] = self._known([rows.shape[1] + ending_in_1], device)
        total = torch.zeros(rows.shape[0], self.width, device=device)
        _add(total, rows, turns, signs)
        return total

    def _known(self, widths: list[int], device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if self._maps and self._widths != widths:
            raise TrainerError(f"CountSketch: pieces of widths {widths}; before they were {self._widths}")
        if not self._maps or self._maps[0][0].device != device:  # a model may move after a step
            self._maps = [self._map(place, width, device) for place, width in enumerate(widths)]
            self._widths = widths
        return self._maps

    def _map(self, place: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(counter_rng.key(self.seed, "sketch", place)[0] >> 1)
        turns = torch.randint(0, self.width, (-(-size // self.width),), generator=generator)
        signs = torch.randint(0, 2, (size,), generator=generator).float() * 2 - 1
        return turns.to(device), signs.to(device)


def _add(total: torch.Tensor, rows: torch.Tensor, turns: torch.Tensor, signs: torch.Tensor) -> None:
    """Add the sketch of (B, d) rows to `total`; where there are more than d signs, of (rows, 1, ...)."""
    rows = rows.detach().float()
    if total.device.type == "cpu":
        add_sketch(rows.contiguous().numpy(), turns.numpy(), signs.numpy(), total.numpy())
    else:
        _add_elsewhere(total, rows, turns, signs)


def _add_elsewhere(total: torch.Tensor, rows: torch.Tensor, turns: torch.Tensor, signs: torch.Tensor) -> None:
    """Do the same by torch's operations, on any device."""
    (count, size), width, blocks = rows.shape, total.shape[1], len(turns)
    spread = torch.zeros(count, blocks * width, device=total.device)
    spread[:, :size] = rows
    spread[:, size : len(signs)] = 1
    spread[:, : len(signs)] *= signs
    # Sums in one order on every run: blocks are turned first, then laid on one another.
    columns = (torch.arange(width, device=total.device) - turns[:, None]) % width
    total += spread.view(count, blocks, width).gather(2, columns.expand(count, -1, -1)).sum(1)
