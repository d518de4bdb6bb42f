"""Samplers ordered by GraB, and runs in which every example's gradient is known."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache

import numpy as np
import torch
from hypothesis import settings
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader, Dataset

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, ManifestSampler

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-grab-")
BALANCES = ("pair", "mean", "kernel-halving", "greedy")
relations = settings(deadline=None, max_examples=40, derandomize=True)


@cache
def manifest(n: int, gap: int = 7) -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=n, fractions=(0.5,), gap=gap)


def make(n: int = 60, fraction: float = 1.0, epochs: int = 12, grab: GraB | None = None, **options):
    """A sampler and its GraB; indices without gaps, so that row = example."""
    grab = grab or GraB()
    schedule = options.pop("schedule", "fresh")
    ids = options.pop("ids", None)
    with warnings.catch_warnings():  # that kept draws cost accuracy is not what these tests are about
        warnings.simplefilter("ignore", UserWarning)
        drawn = Curriculum(manifest(n, 0), fraction, epochs, schedule, seed=0, **options)
    return ManifestSampler(drawn, grab, ids=ids), grab


def features(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    """Whole numbers: sums are exact, so plain references agree to the last bit."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32))


def visit(sampler: ManifestSampler, grab: GraB, epoch: int, known: torch.Tensor, batch: int = 4) -> list[int]:
    sampler.set_epoch(epoch)
    seen = []
    for rows in DataLoader(range(len(known)), batch_size=batch, sampler=sampler):
        grab.step(known[rows])
        seen += rows.tolist()
    return seen


class Noisy(Dataset):
    """Rows of random pictures with random labels."""

    def __init__(self, n: int) -> None:
        self.x, self.y = (
            torch.from_numpy(np.random.default_rng(1).standard_normal((n, 5))).float(),
            features(n),
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int):
        return self.x[row], (self.y[row, 0] > 0).float(), row


class Run:
    """Logistic regression in which every example's gradient is known in closed form."""

    def __init__(self, n: int, fraction: float, balance: str, epochs: int = 12) -> None:
        self.data = Noisy(n)
        self.sampler, self.grab = make(n, fraction, epochs, GraB(balance))
        self.weight, self.losses, self.rows = torch.zeros(5), [], []

    def train(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
        score = torch.sigmoid(x @ self.weight)
        gradients = (score - y)[:, None] * x
        self.losses.append(float(torch.nn.functional.binary_cross_entropy(score, y)))
        self.grab.step(gradients)
        self.weight = self.weight - 0.5 * gradients.mean(0)
        self.rows += rows.tolist()

    def epoch(self, epoch: int, batch: int, workers: int = 0) -> None:
        self.sampler.set_epoch(epoch)
        for x, y, rows in DataLoader(self.data, batch, sampler=self.sampler, num_workers=workers):
            self.train(x, y, rows)
