"""Tensor sketch (Pham, Pagh 2013): the count sketch of an outer product that is never made."""

from __future__ import annotations

import torch

from syllabus.selectors.balancing import multiply_spectra
from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.gradients.count_sketch import CountSketch
from syllabus.trainer.validation import whole


class TensorSketch:
    """A seeded bilinear map of two vectors to `width` numbers that keeps inner products on average.

    The count sketch of left ⊗ right, if the bucket of a product is the sum of its factors' modulo `width`, is
    the circular convolution of the factors' sketches: in the Fourier domain their product. Inner products are
    the same there, so nothing is transformed back. Each frequency alone keeps them on average; those above 0
    are taken.

    Args:
        width: of the result, even and at least 2.
        seed: of signs and buckets; the same seed and sizes of factors give the same map.

    Cost: one pass over the factors and two Fourier transforms of `width` numbers a row.
    """

    def __init__(self, width: int = 512, *, seed: int) -> None:
        self.width = whole("TensorSketch", "width", width, 2)
        if self.width % 2:
            raise TrainerError(f"TensorSketch: width={width} is odd")
        seed = whole("TensorSketch", "seed", seed)
        self._left, self._right = (CountSketch(width, seed=2 * seed + side) for side in (0, 1))

    def __call__(self, left: torch.Tensor, right: torch.Tensor, bias: bool = False) -> DenseVectors:
        """Return the (B, width) sketch of left_i ⊗ right_i, or of left_i ⊗ (right_i, 1).

        Args:
            left: (B, p) floats.
            right: (B, q) floats.
            bias: whether each right_i ends in a 1 that is not there.
        """
        count = len(left)
        both = torch.zeros(2 * count, self.width, device=left.device)
        self._left.add_to(both[:count], [left])
        self._right.add_to(both[count:], [right, right.new_ones(count, 1)] if bias else [right])
        spectra, scale = torch.fft.rfft(both), (2 / self.width) ** 0.5
        if spectra.device.type == "cpu":
            known, out = spectra.numpy(), torch.empty(count, self.width)
            multiply_spectra(known[:count], known[count:], scale, out.numpy())
            return DenseVectors(out)
        products = spectra[:count, 1:] * spectra[count:, 1:] * scale
        return DenseVectors(torch.view_as_real(products).flatten(1))
