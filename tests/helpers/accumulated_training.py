"""A small network trained by accumulated updates, and an optimizer that keeps what it was given."""

import math

import torch
from torch.utils.data import DataLoader, TensorDataset

from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, Constant

N = 41


criterion = torch.nn.functional.cross_entropy


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).to(dtype)


def points(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(
        torch.randn(N, 5, generator=generator, dtype=dtype), torch.randint(3, (N,), generator=generator)
    )


def relative(found, expected):
    difference = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
    return math.sqrt(difference / sum(float(b.square().sum()) for b in expected))


class Spy(torch.optim.SGD):
    """Keeps the gradients, learning rates and βs that each step finds."""

    def __init__(self, parameters, lr=0.1, **options):
        super().__init__(parameters, lr=lr, **options)
        self.seen, self.rates = [], []

    def step(self, closure=None):
        self.seen.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        self.rates.append([float(group["lr"]) for group in self.param_groups])
        return super().step(closure)


def train(size, grain, microbatch=None, loader_batch=None, epochs=1, dtype=torch.float64, **options):
    model, data = network(dtype), points(dtype)
    optimizer = Spy(model.parameters())
    controller = BatchSizeController(options.pop("rule", Constant()), size, **options.pop("limits", {}))
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=grain, microbatch=microbatch, **options)
    for _ in range(epochs):
        for x, y in adaptive.microbatches(DataLoader(data, loader_batch or grain)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
    return model, optimizer, adaptive
