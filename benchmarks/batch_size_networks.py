"""The networks of `batch_size.py`: what rules of batch sizes take to target losses, each at its best rate.

Softmax regression and a small CNN on Fashion-MNIST by SGD, a transformer of one layer on the glosses of
WordNet's nouns by Adam. Every method trains on as many examples, in microbatches of 32, through the real
mechanism. Rates are chosen by the final training loss of one seed; two more seeds are run at the best one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import milo_data
import numpy as np
import torch
from torch.utils.data import TensorDataset

from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    GeoDamp,
    NoiseScale,
    NormTest,
    PadaDamp,
    Probe,
    RadaDamp,
    Seesaw,
    Steps,
    cosine,
)

criterion = torch.nn.functional.cross_entropy
ROWS, TEST, SMALL, CAP = 12_000, 5_000, 32, 1024
PROBE, MEASURED, MARKS = 512, 1_000, 24
SEEDS = 3


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Attributes:
        name: of it.
        train, test: inputs and labels.
        network: makes one.
        optimizer: of torch.optim.
        rates: that are tried.
        epochs: of every method.
    """

    name: str
    train: TensorDataset
    test: TensorDataset
    network: Callable[[], torch.nn.Module]
    optimizer: str
    rates: tuple[float, ...]
    epochs: int


def methods(total: int) -> dict[str, Callable[[], BatchSizeController]]:
    """Return how each method's controller is made, for `total` examples."""

    def made(rule: object, **options: object) -> Callable[[], BatchSizeController]:
        return lambda: BatchSizeController(rule, **{"maximum": CAP, **options})  # type: ignore[arg-type]

    steps = Steps(f"0:{SMALL} {total // 4}:{4 * SMALL} {total // 2}:{16 * SMALL}")
    halving = GeoDamp(examples=total // 4)
    return {
        "fixed 32": made(Constant(), initial=SMALL),
        "fixed 1,024": made(Constant(), initial=CAP),
        "fixed 32, rate halved by steps": made(halving, initial=SMALL, maximum=SMALL),
        "GeoDamp, the same steps": made(halving, initial=SMALL),
        "fixed 32, rate by a cosine": made(Seesaw(cosine(total)), initial=SMALL, maximum=SMALL),
        "Seesaw of that cosine": made(Seesaw(cosine(total)), initial=SMALL),
        "PadaDamp to 512": made(PadaDamp(final=512, examples=total), initial=SMALL),
        "Steps 32, 128, 512": made(steps),
        "AdaDamp, probe": made(AdaDamp(), initial=SMALL),
        "AdaDamp, averages": made(AdaDamp(loss="average"), initial=SMALL),
        "RadaDamp": made(RadaDamp(), initial=SMALL, dwell=10),
        "NormTest": made(NormTest(), initial=SMALL, dwell=10),
        "NoiseScale": made(NoiseScale(0.25), initial=SMALL, dwell=10),
    }


def tasks(fashion: Path, wordnet: Path) -> Iterator[Task]:
    """Yield the three tasks."""
    train, test = (
        TensorDataset(
            torch.from_numpy(
                (images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.float32) / 255 - 0.286) / 0.353
            )[:, None],
            torch.from_numpy(milo_data.idx(fashion / f"{part}-labels-idx1-ubyte.gz", count).copy()).long(),
        )
        for part, count in (("train", ROWS), ("t10k", TEST))
        for images in [milo_data.idx(fashion / f"{part}-images-idx3-ubyte.gz", count)]
    )
    rates = (0.05, 0.15, 0.45, 1.35)
    yield Task("softmax", train, test, lambda: _sequence(torch.nn.Linear(196, 10)), "SGD", rates, 8)
    yield Task("CNN", train, test, _cnn, "SGD", (0.08, 0.24, 0.72), 8)
    yield Task("transformer", *_glosses(wordnet), Transformer, "Adam", (0.002, 0.006, 0.018), 2)


def _sequence(*layers: torch.nn.Module) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), *layers)


def _cnn() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1, 8), (8, 16)):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    return torch.nn.Sequential(*layers, _sequence(torch.nn.Linear(16 * 9, 10)))


WORDS, LENGTH, WIDTH = 4_096, 16, 32


def _glosses(path: Path) -> tuple[TensorDataset, TensorDataset]:
    from sklearn.feature_extraction.text import HashingVectorizer

    texts, files = milo_data.glosses(path)
    drawn = np.random.default_rng(1).permutation(len(texts))[: ROWS + TEST]
    analyse = HashingVectorizer().build_analyzer()
    hashed = HashingVectorizer(n_features=WORDS - 1, alternate_sign=False, norm=None, ngram_range=(1, 1))
    places: dict[str, int] = {}
    words = np.zeros((len(drawn), LENGTH), np.int64)
    for row, text in enumerate(texts[k] for k in drawn):
        for place, word in enumerate(analyse(text)[:LENGTH]):
            if word not in places:
                places[word] = int(hashed.transform([word]).indices[0]) + 1
            words[row, place] = places[word]
    labels = torch.from_numpy(np.unique(files[drawn], return_inverse=True)[1])
    rows = torch.from_numpy(words)
    return TensorDataset(rows[:ROWS], labels[:ROWS]), TensorDataset(rows[ROWS:], labels[ROWS:])


class Transformer(torch.nn.Module):
    """Words and places embedded, one layer of two heads, the mean over the words, 25 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.places = torch.nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, 2 * WIDTH, dropout=0.0, batch_first=True)
        self.head = torch.nn.Linear(WIDTH, 25)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(b, 16) int64, 0 where there is no word -> (b, 25)."""
        known = rows.gt(0) | rows.eq(0).all(1, keepdim=True)
        hidden = self.layer(self.words(rows) + self.places, src_key_padding_mask=~known)
        return self.head((hidden * known[..., None]).sum(1) / known.sum(1, keepdim=True))


def batches(data: TensorDataset, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield an epoch's batches, cut from tensors."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    for rows in order.split(SMALL):
        yield data.tensors[0][rows], data.tensors[1][rows]


@dataclass(frozen=True)
class Outcome:
    """A run: (examples, updates, training loss) by and by, test accuracy, probe's gradients, CPU seconds."""

    curve: list[tuple[int, int, float]]
    accuracy: float
    probe: float
    seconds: float

    @property
    def loss(self) -> float:
        """The last one; inf where it is not finite."""
        return self.curve[-1][2] if np.isfinite(self.curve[-1][2]) else np.inf

    def reached(self, target: float) -> tuple[float, float]:
        """Return (updates, examples) by which the loss was below a target, between marks by a line."""
        before = (0, 0, np.inf)
        for at in self.curve:
            if at[2] <= target:
                share = (before[2] - target) / (before[2] - at[2]) if np.isfinite(before[2]) else 1.0
                return tuple(b + share * (a - b) for a, b in zip(at[1::-1], before[1::-1], strict=True))  # type: ignore[return-value]
            before = at
        return np.nan, np.nan


def once(task: Task, controller: BatchSizeController, rate: float, seed: int) -> Outcome:
    """Train once."""
    torch.manual_seed(seed)
    model = task.network()
    optimizer = getattr(torch.optim, task.optimizer)(model.parameters(), lr=rate)
    rows = np.random.default_rng(seed).permutation(len(task.train))[:PROBE]
    probe = Probe(model, task.train, rows, criterion) if "probe_loss" in controller.rule.needs else None
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=SMALL, microbatch=256, probe=probe)
    every, curve, seconds = task.epochs * len(task.train) / MARKS, list[tuple[int, int, float]](), 0.0
    for epoch in range(task.epochs):
        started = time.process_time()
        for x, y in adaptive.microbatches(batches(task.train, 1000 * seed + epoch)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
            last = epoch + 1 == task.epochs and adaptive.examples == task.epochs * len(task.train)
            if adaptive.examples >= every * (len(curve) + 1) or last:
                seconds += time.process_time() - started
                loss = _measured(model, task.train.tensors[0][:MEASURED], task.train.tensors[1][:MEASURED])[0]
                while every * (len(curve) + 1) <= adaptive.examples or (last and len(curve) < MARKS):
                    curve.append((adaptive.examples, adaptive.updates, loss))
                started = time.process_time()
        seconds += time.process_time() - started
    measured = len(adaptive.records) * PROBE / 3 if probe is not None else 0.0
    return Outcome(curve, _measured(model, *task.test.tensors)[1], measured, seconds)


def _measured(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy in eval mode."""
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(part) for part in x.split(500)])
    model.train()
    return float(criterion(logits, y)), float((logits.argmax(1) == y).float().mean())


class Runs:
    """The file of outcomes: a run that is there is not run again."""

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, dict[str, Outcome]()
        if path.exists():
            for line in path.read_text().splitlines():
                name, *parts = json.loads(line)
                self._found[name] = Outcome(*parts)

    def get(self, name: str, make: Callable[[], Outcome]) -> Outcome:
        """Return an outcome, making it if it is not there."""
        if name not in self._found:
            found = self._found[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps([name, found.curve, found.accuracy, found.probe, found.seconds]) + "\n")
        return self._found[name]


def compare(task: Task, runs: Runs) -> None:
    """Print what each method takes to two target losses, at its best rate, over seeds."""
    total = task.epochs * len(task.train)
    found: dict[str, tuple[float, list[Outcome]]] = {}
    for method, make in methods(total).items():

        def get(rate: float, seed: int, method: str = method, make: Callable = make) -> Outcome:  # type: ignore[type-arg]
            name = f"{task.name}/{method}/{rate:g}/{seed}"
            return runs.get(name, lambda: once(task, make(), rate, seed))

        rate = min(task.rates, key=lambda rate: get(rate, 0).loss)
        found[method] = rate, [get(rate, seed) for seed in range(SEEDS)]
    best = min(float(np.mean([run.loss for run in several])) for _, several in found.values())
    targets = (1.5 * best, 1.1 * best)
    print(
        f"\n{task.name}, {task.optimizer}, {len(task.train):,} rows, {task.epochs} epochs, {SEEDS} seeds\n"
        f"{'':32}{'rate':>7}{'loss':>16}{'accuracy':>10}{'updates':>9}{'CPU s':>7}{'probe':>8}"
        + "".join(f"{f'updates / examples to {target:.3f}':>34}" for target in targets)
    )
    for method, (rate, several) in found.items():
        losses = [run.loss for run in several]
        edge = "*" if rate in (task.rates[0], task.rates[-1]) else " "
        cells = ""
        for target in targets:
            reached = np.array([run.reached(target) for run in several])
            known = not np.isnan(reached).any()
            cells += f"{'{:,.0f} / {:,.0f}'.format(*reached.mean(0)) if known else '–':>34}"
        print(
            f"{method:32}{rate:>6g}{edge}{np.mean(losses):>8.4f} ± {np.std(losses, ddof=1):.4f}"
            f"{100 * np.mean([run.accuracy for run in several]):>9.1f}%"
            f"{np.mean([run.curve[-1][1] for run in several]):>9,.0f}"
            f"{np.mean([run.seconds for run in several]):>7.1f}"
            f"{np.mean([run.probe for run in several]):>8,.0f}{cells}",
            flush=True,
        )
