"""The runs of `tuning.py`: many small networks trained side by side, their scores kept in a file.

Runs of one width, batch size and length form a stack: their weights are one tensor, so that a step of all
costs little more than its arithmetic. Every run has its own rows, learning rate, weight decay, dropout and
cosine, as if it were alone.
"""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tuning_data import Task

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum

EPOCHS = 6
STACK = 32
RATES = {"adamw": (2e-4, 5e-2), "sgd": (2e-3, 0.5)}
MOMENTUM, BETA2 = 0.9, 0.999


@dataclass(frozen=True)
class Trial:
    """One run: of which configuration, on which examples, with its rate times share^−correction."""

    optimizer: str
    configuration: int
    schedule: str = "all data"
    share: float = 1.0
    correction: float = 0.0
    seed: int = 0


def configurations(optimizer: str, count: int) -> list[dict[str, Any]]:
    """Draw configurations; rates are those of a full run."""
    rng = np.random.default_rng(0)
    low, high = np.log(RATES[optimizer])
    return [
        {
            "lr": float(np.exp(rng.uniform(low, high))),
            "width": int(rng.choice([32, 64, 128])),
            "dropout": float(rng.choice([0.0, 0.2, 0.4])),
            "decay": float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-1)))),
            "batch": int(rng.choice([32, 64, 128])),
        }
        for _ in range(count)
    ]


def batches(task: Task, manifest: Manifest, trial: Trial, size: int) -> list[np.ndarray]:
    """Return the rows of each batch."""
    rng = np.random.default_rng([trial.seed, 1])
    if trial.share == 1 or trial.schedule == "all data":
        rows = np.concatenate([rng.permutation(task.rows) for _ in range(EPOCHS)])
        epochs = np.array_split(rows[: round(trial.share * EPOCHS * task.rows)], EPOCHS)
    else:
        fixed = {"schedule": "redraw", "refresh_every": EPOCHS}
        options = fixed if trial.schedule == "fixed" else {"schedule": trial.schedule}
        curriculum = Curriculum(manifest, trial.share, EPOCHS, seed=trial.seed, **options)
        epochs = [rng.permutation(curriculum.indices(epoch)) for epoch in range(EPOCHS)]
    return [batch for rows in epochs for batch in np.array_split(rows, range(size, len(rows), size))]


class Scores:
    """The scores of trials on one task, in a CSV file: what is there is not computed again."""

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, dict[tuple[str, ...], float]()
        if path.exists():
            with path.open() as file:
                self._found = {tuple(row[:-1]): float(row[-1]) for row in csv.reader(file)}

    def of(self, trials: Iterable[Trial]) -> np.ndarray:
        """Return the scores of trials that were `run`."""
        return np.array([self._found[_key(trial)] for trial in trials])

    def run(self, task: Task, manifest: Manifest, trials: Iterable[Trial], pool: int) -> None:
        """Train those trials that have no score, of configurations from a pool."""
        drawn = {name: configurations(name, pool) for name in RATES}
        stacks: dict[tuple[Any, ...], list[tuple[Trial, list[np.ndarray]]]] = {}
        for trial in dict.fromkeys(trials):
            if _key(trial) not in self._found:
                params = drawn[trial.optimizer][trial.configuration]
                rows = batches(task, manifest, trial, params["batch"])
                shape = tuple(len(batch) for batch in rows)
                stacks.setdefault((trial.optimizer, params["width"], shape), []).append((trial, rows))
        for members in stacks.values():
            for start in range(0, len(members), STACK):
                part = members[start : start + STACK]
                params = [drawn[trial.optimizer][trial.configuration] for trial, _ in part]
                scores, _ = train(task, [t for t, _ in part], params, [rows for _, rows in part])
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", newline="") as file:
                    writer = csv.writer(file)
                    for (trial, _), score in zip(part, scores.tolist(), strict=True):
                        self._found[_key(trial)] = score
                        writer.writerow([*_key(trial), score])


def _key(trial: Trial) -> tuple[str, ...]:
    return (
        trial.optimizer, str(trial.configuration), trial.schedule, f"{trial.share:.6g}",
        f"{trial.correction:.6g}", str(trial.seed),
    )  # fmt: skip


def train(
    task: Task,
    trials: Sequence[Trial],
    params: Sequence[dict[str, Any]],
    rows: Sequence[list[np.ndarray]],
    weights: torch.Tensor | None = None,
) -> tuple[np.ndarray, torch.Tensor]:
    """Train runs of one optimizer, width and batch shapes side by side; return test accuracies and weights.

    Networks have two hidden layers with dropout. A run's own numbers do not depend on the others but for the
    draws of dropout, which are a stack's. They begin at `weights`, or at random ones.
    """
    sizes = (task.inputs.shape[1], params[0]["width"], params[0]["width"], task.classes)
    layers = list(itertools.pairwise(sizes))
    if weights is None:
        weights = torch.tensor(np.stack([_first(layers, trial.seed) for trial in trials]))
    weights = weights.clone()
    velocity, square = torch.zeros_like(weights), torch.zeros_like(weights)
    network = _views(weights, layers)
    column = (-1, 1)
    rates = torch.tensor(
        [p["lr"] * t.share**-t.correction for p, t in zip(params, trials, strict=True)]
    ).reshape(column)
    decay = torch.tensor([p["decay"] for p in params]).reshape(column)
    dropout = torch.tensor([p["dropout"] for p in params]).reshape(-1, 1, 1)
    inputs, labels = torch.from_numpy(task.inputs), torch.from_numpy(task.labels)
    steps, random = len(rows[0]), torch.Generator().manual_seed(trials[0].seed)
    for step, chosen in enumerate(zip(*rows, strict=True)):
        batch = torch.from_numpy(np.stack(chosen))
        logits = _forward(network, inputs[batch], dropout, random)
        mean = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[batch].flatten(), reduction="sum"
        )
        parts = torch.autograd.grad(mean / batch.shape[1], network)
        gradients = torch.cat([part.flatten(1) for part in parts], 1)
        rate = rates * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        with torch.no_grad():
            if trials[0].optimizer == "adamw":
                velocity.lerp_(gradients, 1 - MOMENTUM)
                square.mul_(BETA2).addcmul_(gradients, gradients, value=1 - BETA2)
                change = square.sqrt().div_((1 - BETA2 ** (step + 1)) ** 0.5).add_(1e-8)
                torch.div(velocity, change, out=change)
                weights.mul_(1 - rate * decay).sub_(change.mul_(rate / (1 - MOMENTUM ** (step + 1))))
            else:
                gradients.addcmul_(weights, decay * 1e-2)
                velocity.mul_(MOMENTUM).add_(gradients)
                weights.sub_(velocity * rate)
    with torch.no_grad():
        found = [_forward(network, part, None, random).argmax(-1) for part in _tests(task, len(trials))]
    hits = torch.cat(found, 1) == torch.from_numpy(task.test_labels)
    return hits.double().mean(1).numpy(), weights


def seconds_alone(task: Task, manifest: Manifest) -> float:
    """Return the CPU seconds of one full run by itself, of the widest network."""
    trial, params = Trial("adamw", 0), {"lr": 1e-3, "width": 128, "dropout": 0.2, "decay": 0.01, "batch": 64}
    rows = batches(task, manifest, trial, 64)
    started = time.process_time()
    train(task, [trial], [params], [rows])
    return time.process_time() - started


def continued(task: Task, manifest: Manifest, optimizer: str, share: float, numbers: Sequence[int]) -> None:
    """Print what finalists reach that go on from their short run's weights, and those that start again.

    Both see a full run's examples in all, so that going on saves the short run: `share` of a full run each.
    """
    found: list[tuple[float, float]] = []
    for number in numbers:
        params = [configurations(optimizer, max(numbers) + 1)[number]] * 2
        short = [Trial(optimizer, number, "all data", share, 0.5, seed) for seed in (0, 1)]
        full = [Trial(optimizer, number, seed=seed) for seed in (0, 1)]
        begun = [batches(task, manifest, trial, params[0]["batch"]) for trial in short]
        rows = [batches(task, manifest, trial, params[0]["batch"]) for trial in full]
        _, weights = train(task, short, params, begun)
        again, _ = train(task, full, params, rows)
        on, _ = train(task, full, params, [part[len(begun[0]) :] for part in rows], weights)
        found.append((100 * float(again.mean()), 100 * float(on.mean())))
    again, on = np.array(found).T
    differ = on - again
    print(
        f"{task.name}, {optimizer}, the {len(numbers)} best: {again.mean():.2f}% started again,"
        f" {on.mean():.2f}% continued from 1/{round(1 / share)}:"
        f" {differ.mean():+.2f} ± {differ.std(ddof=1) / len(numbers) ** 0.5:.2f}",
        flush=True,
    )


def _first(layers: Sequence[tuple[int, int]], seed: int) -> np.ndarray:
    """Weights and biases of each layer, uniform within ±1/√inputs, in one row."""
    rng = np.random.default_rng([seed, 2])
    return np.concatenate(
        [rng.uniform(-1, 1, (inputs + 1) * outputs) / inputs**0.5 for inputs, outputs in layers]
    ).astype(np.float32)


def _views(weights: torch.Tensor, layers: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    """Return each layer as a (runs, inputs + 1, outputs) leaf that is a slice of the weights."""
    found, start = [], 0
    for inputs, outputs in layers:
        part = slice(start, start + (inputs + 1) * outputs)
        found.append(weights[:, part].view(len(weights), inputs + 1, outputs).detach().requires_grad_())
        start = part.stop
    return found


def _forward(
    network: Sequence[torch.Tensor],
    batch: torch.Tensor,
    dropout: torch.Tensor | None,
    random: torch.Generator,
) -> torch.Tensor:
    """(runs, b, d) -> (runs, b, classes) logits."""
    for place, layer in enumerate(network):
        batch = torch.baddbmm(layer[:, -1:], batch, layer[:, :-1])
        if place + 1 < len(network):
            batch = batch.relu()
            if dropout is not None:
                batch = batch * ((torch.rand(batch.shape, generator=random) >= dropout) / (1 - dropout))
    return batch


def _tests(task: Task, runs: int) -> Iterable[torch.Tensor]:
    for part in torch.from_numpy(task.test_inputs).split(500):
        yield part.expand(runs, -1, -1)
