"""The count sketches of both factors of an outer product, in place of that of the product."""

from __future__ import annotations

import math

import torch

from syllabus.trainer.gradients.count_sketch import CountSketch
from syllabus.trainer.validation import whole

_EVEN = 16  # numbers that a compiled walk takes at once; sketches have a multiple of it


class FactorSketch:
    """A seeded map of left ⊗ right to (S left) ⊗ (T right) that keeps inner products on average.

    S and T are count sketches (Charikar, Chen, Farach-Colton 2002), so an inner product of two results is the
    product of two that are right on average, each by itself. A factor that is short enough stays as it is:
    with ten outputs only the other factor is sketched. A walk over the results costs what one over `width`
    numbers does, and they are told to other ranks in two factors.

    Args:
        width: numbers of the result's outer product, at most.
        seed: of signs and buckets; the same seed and sizes of factors give the same map.

    Cost: one pass over the factors.
    """

    def __init__(self, width: int, *, seed: int) -> None:
        self.width = whole("FactorSketch", "width", width, 1)
        self._seed = whole("FactorSketch", "seed", seed)
        self._maps: tuple[CountSketch | None, CountSketch | None] | None = None

    def sizes(self, p: int, q: int) -> tuple[int, int]:
        """Return how many numbers are left of factors of p and q numbers: p and q where they fit.

        Two long factors get √(2 width) and √(width / 2): of the gradient of an output less may be lost.
        """
        if p * q <= self.width:
            return p, q
        left = _shorter(p, max(math.isqrt(2 * self.width), self.width // q))
        return left, _shorter(q, max(self.width // left, 1))

    def __call__(
        self, left: torch.Tensor, right: torch.Tensor, bias: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """Return the factors (B, r) and (B, s) that are left of B vectors left_i ⊗ right_i.

        Args:
            left: (B, p) floats.
            right: (B, q) floats.
            bias: whether each right_i ends in a 1 that is not there. Returned as well: it still is not there
                where the right factor stays as it is.
        """
        p, q = left.shape[1], right.shape[1] + bias
        if self._maps is None:
            r, s = self.sizes(p, q)
            self._maps = (
                CountSketch(r, seed=2 * self._seed) if r < p else None,
                CountSketch(s, seed=2 * self._seed + 1) if s < q else None,
            )
        of_left, of_right = self._maps
        if of_left is not None:
            left = of_left.of_rows(left)
        if of_right is not None:
            return left, of_right.of_rows(right, ending_in_1=bias), False
        return left, right, bias


def _shorter(size: int, room: int) -> int:
    if size <= room:
        return size
    return room // _EVEN * _EVEN or room
