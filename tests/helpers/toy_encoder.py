"""A small encoder of text by `module:factory`, as slow as `TOY_SECONDS` says; workers import it by name."""

import os
import time

import numpy as np
import torch

DIMENSION = 32


class SlowLinear(torch.nn.Linear):
    """A linear map that sleeps before each batch, as if it were a large model."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return super().forward(batch)


def factory():
    """Return a fixed projection of how often a text has each byte, and what counts them."""
    module = SlowLinear(256, DIMENSION, bias=False)
    weights = np.random.default_rng(0).standard_normal((DIMENSION, 256), dtype=np.float32)
    module.load_state_dict({"weight": torch.from_numpy(weights)})
    return module, _count_bytes


def _count_bytes(text: str) -> torch.Tensor:
    counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256)
    return torch.from_numpy(counts.astype(np.float32))


def pixels():
    """Return a fixed projection of an image's 8 × 8 grey pixels, and what takes them."""
    module = torch.nn.Linear(64, DIMENSION, bias=False)
    weights = np.random.default_rng(1).standard_normal((DIMENSION, 64), dtype=np.float32)
    module.load_state_dict({"weight": torch.from_numpy(weights)})
    return module, _grey


def _grey(image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.convert("L").resize((8, 8)), np.float32).ravel() - 127)
