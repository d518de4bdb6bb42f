"""Trains on the ranks of torchrun and writes what rank 0 saw: gradients_of_ranks.py OUTPUT.

Imported by the tests, which do the same on one process.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Subset, TensorDataset

from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    AdaptiveBatchSize,
    BatchSizeController,
    GeoDamp,
    NoiseScale,
    Probe,
    RadaDamp,
)

N, EPOCHS, SIZE = 94, 3, 8
# Sizes on all ranks together; every rule sees the same numbers on all of them.
RULES = {
    "geodamp": lambda: BatchSizeController(GeoDamp(factor=3, epochs=1), SIZE),
    "adadamp": lambda: BatchSizeController(AdaDamp(), SIZE, every=0),
    "adadampnn": lambda: BatchSizeController(AdaDampNN(), SIZE, every=0, monotone=False, minimum=4),
    "average": lambda: BatchSizeController(AdaDamp(loss="average"), SIZE, wait=2, half_life=20),
    "radadamp": lambda: BatchSizeController(RadaDamp(), SIZE, wait=2, dwell=2, maximum=24),
    "noise": lambda: BatchSizeController(NoiseScale(), SIZE, monotone=False, maximum=24),
}
loss = torch.nn.functional.cross_entropy


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 5, generator=generator, dtype=torch.float64)
    return TensorDataset(x, (x[:, 0] + 0.5 * x[:, 1] > 0).long())


def train(
    rule: str, rank: int, world: int, uneven: bool = False, state: Any = None, stop: int | None = None
) -> dict[str, Any]:
    """Train on this rank's part; return gradients, sizes and records, and the state after `stop` updates.

    `uneven` takes two examples from rank 1, as loaders without padding do; as many updates are left.
    """
    torch.manual_seed(0)
    model: torch.nn.Module = torch.nn.Sequential(
        torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)
    ).double()
    inner, whole = model, data()
    if world > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    adaptive = AdaptiveBatchSize(
        model,
        optimizer,
        RULES[rule](),
        grain=4 // world,
        microbatch=3,
        probe=Probe(model, whole, range(0, N, 4), loss, batch_size=5),
    )
    if state is not None:
        inner.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        adaptive.load_state_dict(state["adaptive"])
    gradients, sizes, saved = [], [], None
    epoch, position = state["place"] if state is not None else (0, 0)
    while epoch < EPOCHS and saved is None:
        order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch)).tolist()[position:]
        rows = order[rank::world]
        if uneven and rank == 1:
            rows = rows[:-2]
        for x, y in adaptive.microbatches(DataLoader(Subset(whole, rows), 4 // world)):
            adaptive.backward(loss(model(x), y))
            if adaptive.complete:
                gradients.append(torch.cat([p.grad.flatten() for p in inner.parameters()]))
                before = adaptive.examples
                adaptive.step()
                position += adaptive.examples - before
                sizes.append(adaptive.examples - before)
                if adaptive.updates == stop:
                    place = (epoch, position) if position < N else (epoch + 1, 0)
                    saved = {
                        "model": inner.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "adaptive": adaptive.state_dict(),
                        "place": place,
                    }
                    break
        epoch, position = epoch + 1, 0
    return {
        "gradients": gradients,
        "sizes": sizes,
        "decisions": [(r.updates, r.examples, r.batch_size, r.lr_factor, r.target) for r in adaptive.records],
        "losses": [value for r in adaptive.records for value in r.signals.losses],
        "saved": saved,
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    found = {rule: train(rule, rank, world) for rule in RULES}
    found["uneven"] = train("geodamp", rank, world, uneven=True)
    found["stopped"] = train("adadamp", rank, world, stop=5)
    state = torch.load(sys.argv[1] + "/of-one", weights_only=True)
    found["resumed"] = train("adadamp", rank, world, state=state)
    torch.save(found, f"{sys.argv[1]}/of-rank-{rank}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))
    from forked_launch import launch

    launch(main)
