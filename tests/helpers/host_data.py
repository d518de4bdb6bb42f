"""What the tests of trainers' hosts train on: a data set that is not as it was when the manifest was made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from small_manifest import write_small_manifest
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

N, FRACTION, EPOCHS, BATCH = 190, 0.2, 3, 8  # 38 examples an epoch: four batches of 8 and one of 6
STOP = 7  # steps of a run that another number of processes goes on with: in mid-epoch
STRANGER = 10_000

# The examples import what they share by its name, as scripts do.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "integrations"))


def manifest_in(folder: Path) -> Manifest:
    return write_small_manifest(folder, n=N, fractions=(FRACTION,))


def plain(manifest: Manifest) -> datasets.Dataset:
    """The manifest's rows as they were, and rows that it does not know; `number` is the example's index."""
    datasets.disable_progress_bars()
    known = manifest.table("examples", ["index", "id"])
    numbers = [*known["index"].to_pylist(), *range(STRANGER, STRANGER + 20)]
    ids = [*known["id"].to_pylist(), *(f"stranger-{place}" for place in range(20))]
    return datasets.Dataset.from_dict({"id": ids, "text": [f"{number} is even: no" for number in numbers]})


def changed(manifest: Manifest) -> datasets.Dataset:
    """The same data set shuffled, filtered and tokenised; some strangers stay."""
    rows = plain(manifest).shuffle(seed=3)
    rows = rows.filter(lambda row: not row["text"].startswith(str(STRANGER + 1)[:4] + "1"))
    return rows.map(tokenise, remove_columns=["text"])


def tokenise(row: dict[str, Any]) -> dict[str, Any]:
    number = int(row["text"].split()[0])
    return {"tokens": [number, *map(len, row["text"].split())], "labels": number % 2}


class Probe(torch.nn.Module):
    """A model that remembers the numbers of the examples it was trained on, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.seen: list[list[int]] = []

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        assert (tokens[:, 0] % 2 == labels).all()
        self.seen.append(tokens[:, 0].tolist())
        return {"loss": (self.weight**2).mean(), "logits": labels}


class ProbeWithHead(Probe):
    """Such a model with a last layer, so that examples have gradients of their own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(2, 2)
        del self.weight

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(tokens[:, 0].tolist())
        logits = self.head(tokens[:, :2].float() / N)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def keep_going(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: Probe,
    state: dict[str, Any],
    stop: int | None = None,
) -> dict[str, Any]:
    """Train from `state` (empty: from the beginning) for `stop` steps of one global batch; return the state.

    On the ranks of `torch.distributed` under DDP where it runs, with a worker that fetches ahead.
    """
    sampler = ManifestSampler(Curriculum(manifest, FRACTION, EPOCHS, seed=0), ids=dataset["id"])
    if state:
        sampler.load_state_dict(state)
    rows = dataset.select_columns(["tokens", "labels"]).with_format("torch")
    loader = DataLoader(rows, batch_size=BATCH // sampler.num_replicas, sampler=sampler, num_workers=1)
    wrapped = DistributedDataParallel(model) if torch.distributed.is_initialized() else model
    used, steps = sampler.state_dict()["global_examples"], 0
    for epoch in range(sampler.epoch, EPOCHS):
        sampler.set_epoch(epoch)
        for batch in loader:
            wrapped(**batch)["loss"].backward()
            used, steps = used + BATCH, steps + 1
            if steps == stop:
                return sampler.state_dict(used)
        used = 0
    return sampler.state_dict(used)


def orders(manifest: Manifest, epochs: int = EPOCHS, fraction: float = FRACTION) -> list[list[int]]:
    """The numbers of each epoch's examples in their global order, from the manifest alone."""
    curriculum = Curriculum(manifest, fraction, epochs, seed=0)
    sampler = ManifestSampler(curriculum, num_replicas=1, rank=0)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert sorted(found[-1]) == curriculum.indices(epoch).tolist()
    assert len({frozenset(order) for order in found}) == epochs  # or a missing set_epoch would go unseen
    return found


def batches(order: list[int], size: int = BATCH) -> list[list[int]]:
    return [order[first : first + size] for first in range(0, len(order), size)]


def local(order: list[int], rank: int, world: int) -> list[int]:
    """What one of several ranks has of an epoch when the sampler deals it out."""
    places = rank + world * np.arange(-(-len(order) // world))
    return [order[place % len(order)] for place in places]
