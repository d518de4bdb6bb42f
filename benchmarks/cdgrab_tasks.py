"""The tasks and orders of `cdgrab.py`: Fashion-MNIST by softmax regression and by LeNet, m workers at a time.

At each round every worker computes the gradient of one example and all apply their mean: the global batch is
m. An epoch's order is known before it begins, so an epoch is trained in one go, and the order server is told
the features of all its rounds together: the same signs as round by round, since no pair spans two workers.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numba
import numpy as np
import torch
from torch.nn import functional

from syllabus.selectors.balancing.vectors import OuterProducts
from syllabus.trainer import LastLayer
from syllabus.trainer.ordering.order_server import OrderServer

DECAY = 1e-4
CLASSES = 10


class Task(Protocol):
    """A model in training."""

    y: np.ndarray

    def begin(self, seed: int) -> None:
        """Return to the first weights."""

    def epoch(self, order: np.ndarray, m: int, lr: float) -> OuterProducts:
        """Train one epoch, m examples a round; return the features in the order of their visit."""

    def measured(self) -> tuple[float, float]:
        """Return the objective less its optimum, where that is known, and the norm of its gradient."""


# Data


def idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def images(fashion: Path, count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first (count, 28, 28) images in [0, 1], and labels of which a share is random."""
    x = idx(fashion / "train-images-idx3-ubyte.gz")[:count].astype(np.float32) / 255
    y = idx(fashion / "train-labels-idx1-ubyte.gz")[:count].astype(np.int64)
    rng = np.random.default_rng(0)
    noisy = rng.permutation(count)[: round(noise * count)]
    y[noisy] = rng.integers(0, CLASSES, len(noisy))
    return x, y


# Tasks


class Softmax:
    """Softmax regression with weight decay on images of 14 x 14, centred, of mean square norm 1."""

    def __init__(self, fashion: Path, count: int, noise: float) -> None:
        x, self.y = images(fashion, count, noise)
        x = x.reshape(count, 14, 2, 14, 2).mean((2, 4)).reshape(count, -1)
        x -= x.mean(0)
        x = np.concatenate([x, np.full((count, 1), x.std() * 4, np.float32)], 1)
        self.x = np.ascontiguousarray(x / np.sqrt((x**2).sum(1).mean()), np.float32)
        self.weight = np.zeros((CLASSES, self.x.shape[1]), np.float32)
        self.best = self._optimum()

    def begin(self, seed: int) -> None:  # noqa: ARG002
        """Return to the first weights."""
        self.weight[:] = 0

    def epoch(self, order: np.ndarray, m: int, lr: float) -> OuterProducts:
        """Train one epoch."""
        delta = np.empty((len(order), CLASSES), np.float32)
        _rounds(self.weight, self.x, self.y, order, m, lr, DECAY, delta)
        return OuterProducts(torch.from_numpy(delta), torch.from_numpy(self.x[order]))

    def measured(self) -> tuple[float, float]:
        """Return loss and norm of the gradient."""
        value, gradient = self._objective(self.weight.astype(np.float64))
        return value - self.best, float(np.linalg.norm(gradient))

    def _objective(self, weight: np.ndarray) -> tuple[float, np.ndarray]:
        logits = self.x @ weight.T.astype(np.float32)
        logits = logits.astype(np.float64) - logits.max(1, keepdims=True)
        total = np.log(np.exp(logits).sum(1))
        rows = np.arange(len(logits))
        value = float((total - logits[rows, self.y]).mean() + DECAY / 2 * (weight**2).sum())
        delta = np.exp(logits - total[:, None])
        delta[rows, self.y] -= 1
        return value, (delta.T.astype(np.float32) @ self.x).astype(np.float64) / len(rows) + DECAY * weight

    def _optimum(self) -> float:
        x, y = torch.from_numpy(self.x).double(), torch.from_numpy(self.y)
        weight = torch.zeros(CLASSES, x.shape[1], dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight], max_iter=3000, tolerance_grad=1e-7, tolerance_change=1e-13,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure() -> torch.Tensor:
            solver.zero_grad()
            value = functional.cross_entropy(x @ weight.T, y) + DECAY / 2 * weight.square().sum()
            value.backward()
            return value

        solver.step(closure)
        return float(closure().detach())


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _rounds(
    weight: np.ndarray, x: np.ndarray, y: np.ndarray, order: np.ndarray, m: int, lr: float, decay: float,
    out: np.ndarray,
) -> None:  # fmt: skip
    classes, width = weight.shape
    total, logits = np.zeros_like(weight), np.empty(classes)
    for start in range(0, len(order), m):
        total[:] = 0
        size = min(m, len(order) - start)
        for place in range(start, start + size):
            row = x[order[place]]
            for k in range(classes):
                dot = np.float32(0)
                for j in range(width):
                    dot += weight[k, j] * row[j]
                logits[k] = dot
            delta = np.exp(logits - logits.max())
            delta /= delta.sum()
            delta[y[order[place]]] -= 1
            for k in range(classes):
                out[place, k] = delta[k]
                step = np.float32(delta[k] / size)
                for j in range(width):
                    total[k, j] += step * row[j]
        shrink, rate = np.float32(1 - lr * decay), np.float32(lr)
        for k in range(classes):
            for j in range(width):
                weight[k, j] = shrink * weight[k, j] - rate * total[k, j]


class LeNet:
    """LeNet on images of 28 x 28; features of its last layer, by hooks. Its optimum is not known."""

    def __init__(self, fashion: Path, count: int, noise: float) -> None:
        x, self.y = images(fashion, count, noise)
        self._x, self._y = torch.from_numpy(x)[:, None], torch.from_numpy(self.y)

    def begin(self, seed: int) -> None:
        """Return to the first weights."""
        torch.manual_seed(seed)
        nn = torch.nn
        convolutions = [
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
        ]
        layers = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)]
        self.model = nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *layers)
        self.loss = nn.CrossEntropyLoss()

    def epoch(self, order: np.ndarray, m: int, lr: float) -> OuterProducts:
        """Train one epoch."""
        optimizer = torch.optim.SGD(self.model.parameters(), lr)
        features, left, right = LastLayer(self.model[-1], self.loss, sketch=0), [], []
        for rows in torch.from_numpy(order).split(m):
            optimizer.zero_grad()
            self.loss(self.model(self._x[rows]), self._y[rows]).backward()
            block = features()
            left.append(block.left)
            right.append(block.right)
            optimizer.step()
        features.remove()
        return OuterProducts(torch.cat(left), torch.cat(right), bias=True)

    def measured(self) -> tuple[float, float]:
        """Return loss and norm of the gradient."""
        self.model.zero_grad()
        value = self.loss(self.model(self._x), self._y)
        value.backward()
        norm = torch.cat([parameter.grad.flatten() for parameter in self.model.parameters()]).norm()
        return float(value.detach()), float(norm)


TASKS: dict[str, Callable[[Path, int, float], Task]] = {"softmax": Softmax, "lenet": LeNet}


# Orders


@dataclass
class Orders:
    """The order of each epoch by one method; position t m + j is worker j's t-th.

    Args:
        method: one of `METHODS`.
        m: workers.
        y: labels, of whose examples every block of ``blocks`` has its share.
        seed: of all that is drawn.
    """

    method: str
    m: int
    y: np.ndarray
    seed: int

    def __post_init__(self) -> None:
        self.rng, n = np.random.default_rng([self.seed, 7]), len(self.y)
        self.order = self.rng.permutation(n)
        balance = "mean" if "mean" in self.method else "pair"
        self.counts = [n // self.m] * self.m
        self.servers = []
        if self.method == "CD-GraB" or "one process" in self.method:
            self.servers = [OrderServer(balance, n)]
        elif "GraB" in self.method:
            self.servers = [OrderServer(balance, n // self.m) for _ in range(self.m)]

    def after(self, epoch: int, features: OuterProducts) -> np.ndarray:
        """Return the order of epoch + 1, told the features of `epoch` in the order of their visit."""
        if self.servers:
            self._refined(features)
        elif self.method in ("reversal", "blocks") and epoch % 2 == 0:
            self.order = self.order[::-1].copy()
        elif self.method == "blocks":
            self.order = self._in_blocks()
        else:
            self.order = self.rng.permutation(len(self.y))
        return self.order

    def _refined(self, features: OuterProducts) -> None:
        by_worker = np.arange(len(self.order)).reshape(-1, self.m).T  # places of each worker
        if len(self.servers) == 1:
            workers = [by_worker.ravel()] if self.method == "CD-GraB" else [np.arange(len(self.order))]
            counts = self.counts if self.method == "CD-GraB" else []
            self.servers[0].step(features.take(torch.from_numpy(workers[0])), workers[0], counts)
            self.order = self.order[self.servers[0].turn()]
            return
        following = np.empty_like(self.order)
        for server, places in zip(self.servers, by_worker, strict=True):
            server.step(features.take(torch.from_numpy(places.copy())), np.arange(len(places)))
            following[places] = self.order[places][server.turn()]
        self.order = following

    def _in_blocks(self) -> np.ndarray:
        """Deal the examples of every label evenly to √n blocks; these in random order, and inside as well."""
        n, places = len(self.y), np.empty(len(self.y))
        blocks = round(np.sqrt(n))
        for label in range(CLASSES):
            members = self.rng.permutation(np.flatnonzero(self.y == label))
            places[members] = (np.arange(len(members)) + self.rng.integers(blocks)) % blocks
        return np.lexsort((self.rng.random(n), self.rng.permutation(blocks)[places.astype(int)]))


METHODS = (
    "reshuffling", "reversal", "blocks", "GraB alone, mean", "GraB alone, pair", "GraB, one process",
    "CD-GraB",
)  # fmt: skip
