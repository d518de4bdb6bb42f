"""A small classifier, its data, and the gradient of every example by a backward pass of its own."""

from __future__ import annotations

import tempfile
from functools import cache

import numpy as np
import torch
from small_manifest import write_small_manifest
from torch.nn import functional

from syllabus.manifests import Manifest

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-features-")
N, WIDTH, CLASSES = 46, 7, 3


@cache
def manifest() -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=N, gap=0)


def data(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((n, WIDTH))).float(), torch.from_numpy(
        rng.integers(0, CLASSES, n)
    )


def network(bias: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 5), torch.nn.Tanh(), torch.nn.Linear(5, CLASSES, bias=bias)
    )


def own_gradients(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """One backward pass an example."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for one, target in zip(x, y, strict=True):
        model.zero_grad()
        functional.cross_entropy(model(one[None]), target[None]).backward()
        for name, parameter in model.named_parameters():
            rows[name].append(parameter.grad.clone())
    model.zero_grad()
    return {name: torch.stack(some) for name, some in rows.items()}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.float(), expected.float(), rtol=1e-5, atol=1e-7)
