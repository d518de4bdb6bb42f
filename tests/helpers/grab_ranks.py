"""What the ranks of the tests of CD-GraB do; see `forked_ranks.py`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler, TrainerError, fit
from syllabus.trainer.ordering import coordination
from syllabus.trainer.ordering.messages import Messages
from syllabus.trainer.ordering.order_server import OrderServer


def known_features(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    """Whole numbers: sums are exact, so plain references agree to the last bit."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32))


def block(rows: torch.Tensor, n: int, form: str) -> Any:
    """The features of `rows`, as they are or as outer products."""
    if form == "dense":
        return DenseVectors(known_features(n)[rows])
    return OuterProducts(known_features(n, 3, 1)[rows], known_features(n, 4, 2)[rows], bias=True)


def warm_up() -> None:
    """Compile what the cases use, and import what torch imports with the first optimizer and DDP."""
    import torch._dynamo

    for balance in ("pair", "mean"):
        for form in ("dense", "outer"):
            server = OrderServer(balance, 4)
            server.step(block(torch.arange(4), 4, form), np.arange(4), [2, 2])


def sampler_of(
    manifest: str, fraction: float = 1.0, balance: str = "pair", unit: int = 1, seed: int = 0, **options: Any
) -> tuple[ManifestSampler, GraB]:
    options.setdefault("schedule", "fresh")
    grab = GraB(balance, unit=unit)
    curriculum = Curriculum(Manifest.open(manifest), fraction, 12, seed=seed, **options)
    return ManifestSampler(curriculum, grab), grab


def visits(
    rank: int,
    world: int,
    n: int,
    epochs: int,
    batch: int,
    form: str = "dense",
    drop_last: bool = False,
    stop: int | None = None,
    load: str | None = None,
    save: str | None = None,
    broken: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Go through epochs with known features; return each epoch's rows on this rank, and states.

    Args:
        stop: after so many steps save what is asked for and return.
        load, save: checkpoints, read by all ranks, written by rank 0.
        broken: the step in which the features of the last rank are NaN.
    """
    sampler, grab = sampler_of(**options)
    if load is not None:
        saved = torch.load(load, weights_only=True)
        grab.load_state_dict(saved["grab"])
        sampler.load_state_dict(saved["sampler"])
    seen, steps = [], 0
    for epoch in range(sampler.epoch, epochs):
        sampler.set_epoch(epoch)
        used = sampler.state_dict()["global_examples"]
        seen.append([])
        for rows in DataLoader(range(n), batch_size=batch, sampler=sampler, drop_last=drop_last):
            features = block(rows[: len(rows) // grab.unit * grab.unit], n, form)
            if grab.unit > 1:  # a unit's mean; a short batch has one too
                groups = [known_features(n)[part].mean(0) for part in rows.split(grab.unit)]
                features = DenseVectors(torch.stack(groups) * 4)
            if steps == broken and rank == world - 1:
                features = DenseVectors(features.rows * torch.nan)
            grab.step(features)
            seen[-1] += rows.tolist()
            used, steps = used + len(rows) * world, steps + 1
            if steps == stop:
                if rank == 0 and save is not None:
                    torch.save({"grab": grab.state_dict(), "sampler": sampler.state_dict(used)}, save)
                return {"seen": seen, "bytes": grab._ranks.sent}
    state = grab.state_dict()
    if rank == 0 and save is not None:
        torch.save({"grab": state, "sampler": sampler.state_dict(used)}, save)
    return {"seen": seen, "digest": grab._server.digest(), "bytes": grab._ranks.sent}


def mistaken(
    rank: int, world: int, manifest: str, n: int, mistake: str, other: str = "", batch: int = 4
) -> list[int]:
    """Train with a mistake on the last rank; return the steps done before anything was noticed."""
    last, options = rank == world - 1, {"balance": "mean"} if mistake == "state" else {}
    if last and mistake in ("seed", "balance", "unit", "fraction"):
        options = {
            "seed": {"seed": 1}, "balance": {"balance": "mean"}, "unit": {"unit": 2},
            "fraction": {"fraction": 0.5},
        }[mistake]  # fmt: skip
    sampler, grab = sampler_of(other if last and mistake == "manifest" else manifest, **options)
    done = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for step, rows in enumerate(DataLoader(range(n), batch_size=batch, sampler=sampler)):
            features = known_features(n)[rows]
            if last and mistake == "width":
                features = features[:, :3]
            if last and (epoch, step) == (1, 2):
                if mistake == "missed":
                    continue
                if mistake == "left":
                    break
                if mistake == "late":
                    time.sleep(12)
                if mistake == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if mistake == "state":
                    grab._server._balancer._total += 1e-6  # in this epoch no sign depends on it
                if mistake == "signs":
                    grab._server._balancer._running_sum.neg_().sub_(1)
            grab.step(features if grab.unit == 1 else features[:2])
            done.append(step)
            Path(f"{manifest}.{rank}.steps").write_text(str(len(done)))
    return done


def alone(rank: int, _world: int, manifest: str, n: int) -> list[Any]:
    """Let rank 0 do by itself all that must not need the others: look into a loader, and save a state."""
    sampler, grab = sampler_of(manifest)
    loader = DataLoader(range(n), batch_size=4, sampler=sampler)
    found = []
    if rank == 0:
        next(iter(loader))
        grab.state_dict()
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for step, rows in enumerate(loader):
            grab.step(known_features(n)[rows])
            if rank == 0 and step == 2:
                found.append(int(grab.state_dict()["seen"].sum()))
    return found


def skips(rank: int, world: int, manifest: str, n: int) -> dict[str, Any]:
    """Pass over a batch on one rank, over another on all, and have no last batch on the last rank."""
    sampler, grab = sampler_of(manifest)
    sampler.set_epoch(0)
    batches = list(DataLoader(range(n), batch_size=4, sampler=sampler))
    for step, rows in enumerate(batches):
        if (step == 1 and rank == 1) or step == 2:
            grab.skip(len(rows))
        elif step == len(batches) - 1 and rank == world - 1:
            grab.skip(0)
        else:
            grab.step(known_features(n)[rows])
    seen = grab.state_dict()["seen"]
    order = grab.state_dict()["order"]
    return {"rows": [rows.tolist() for rows in batches], "seen": order[seen].tolist()}


def train(
    rank: int,
    world: int,
    manifest: str,
    n: int,
    folder: str,
    epochs: int = 3,
    accumulate: int = 1,
    die: int | None = None,
    resume: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Train under DistributedDataParallel with a global batch of 8, from FOLDER/last.pt if it is asked for.

    Args:
        accumulate: microbatches that a batch is made of, all but the last without averaging.
        die: the step in which rank 1 is killed; rank 0 writes FOLDER/last.pt after every third.
    """
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    model = torch.nn.parallel.DistributedDataParallel(inner) if world > 1 else inner
    optimizer = torch.optim.SGD(inner.parameters(), 0.1)
    sampler, grab = sampler_of(manifest, **options)
    criterion = torch.nn.CrossEntropyLoss()
    features = LastLayer(inner[2], criterion)
    inputs = known_features(n, 5, 3)
    targets = torch.arange(n) % 3
    last, lines, used = Path(folder, "last.pt"), [], 0
    if resume:
        saved = torch.load(last, weights_only=True)
        inner.load_state_dict(saved["model"])
        grab.load_state_dict(saved["grab"])
        sampler.load_state_dict(saved["sampler"])
        used = saved["sampler"]["global_examples"]
    steps = 0
    for epoch in range(sampler.epoch, epochs):
        sampler.set_epoch(epoch)
        loader = DataLoader(range(n), batch_size=8 // world // accumulate, sampler=sampler)
        for number, rows in enumerate(loader, 1):
            whole = number % accumulate == 0
            with nullcontext() if whole or world == 1 else model.no_sync():
                loss = criterion(model(inputs[rows]), targets[rows]) / accumulate
                loss.backward()
            grab.step(features())
            lines.append([epoch, rows.tolist(), loss.item()])
            used += len(rows) * world
            if whole:
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
                if steps == die and rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                if steps % 3 == 0 and rank == 0:
                    state = {"model": inner.state_dict(), "grab": grab.state_dict()}
                    torch.save({**state, "sampler": sampler.state_dict(used)}, last)
        used = 0
    return {"lines": lines, "weights": sum(p.sum().item() for p in inner.parameters())}


def dealt_otherwise(rank: int, world: int, manifest: str) -> None:
    """Raise one error that joins those of samplers whose ranks are not torch.distributed's."""
    curriculum, errors = Curriculum(Manifest.open(manifest), 1.0, 2, "fresh", seed=0), []
    early = ManifestSampler(curriculum, GraB(), num_replicas=1, rank=0)
    early._found = True  # as if made before the process group
    everything = ManifestSampler(curriculum, GraB(), num_replicas=1, rank=0)
    swapped = ManifestSampler(curriculum, GraB(), num_replicas=world, rank=world - 1 - rank)
    for sampler in (early, everything, swapped):
        try:
            next(iter(sampler))
        except TrainerError as error:
            errors.append(str(error))
    raise RuntimeError(" | ".join(errors))


def sent(_rank: int, _world: int, batch: int, width: int) -> int:
    """Return the bytes of a step's message once the ranks know how large it is."""
    messages, rows = Messages(), DenseVectors(torch.zeros(batch, width))
    sizes = []
    for step in range(3):
        before = messages.sent
        messages.start(0, step, 0, rows, np.arange(batch))
        messages.finish()
        sizes.append(messages.sent - before)
    return sizes[-1]


def dealt_by_host(
    rank: int, world: int, manifest: str, n: int, epochs: int, batch: int
) -> dict[str, list[list[int]]]:
    """Take every `world`-th batch of a loader of everything, as accelerate does, and return the orders."""
    coordination.accelerate_runs = lambda: True
    curriculum, grab = Curriculum(Manifest.open(manifest), 1.0, 12, "fresh", seed=0), GraB()
    sampler, orders = ManifestSampler(curriculum, grab, num_replicas=1, rank=0), []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        order = list(sampler)
        orders.append(order)
        completed = [*order, *order]
        for first in range(0, n, batch * world):
            rows = completed[first + rank * batch :][:batch]
            grab.step(known_features(n)[rows])
    return {"orders": orders}


def fits(
    _rank: int,
    world: int,
    manifest: str,
    n: int,
    checkpoint: str,
    epochs: list[int],
    every: int | None = None,
) -> dict[str, Any]:
    """Train by `fit`, again and again up to one of `epochs`, from the checkpoint of the time before."""
    for last in epochs:
        torch.manual_seed(0)
        inner = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        model = torch.nn.parallel.DistributedDataParallel(inner)
        sampler, grab = sampler_of(manifest)
        criterion = torch.nn.CrossEntropyLoss()
        records = fit(
            model,
            torch.utils.data.TensorDataset(known_features(n, 5, 3), torch.arange(n) % 3),
            sampler,
            loss=criterion,
            optimizer=torch.optim.SGD(inner.parameters(), 0.1),
            batch_size=8 // world,
            epochs=last,
            features=LastLayer(inner[2], criterion),
            progress=False,
            checkpoint=checkpoint,
            checkpoint_every=every,
        )
    weights = sum(p.sum().item() for p in inner.parameters())
    return {"epochs": len(records), "weights": weights, "digest": grab._server.digest()}


def growing(rank: int, _world: int, manifest: str, n: int) -> dict[str, Any]:
    """Save on rank 0 after a batch larger than any before, while the others wait for it elsewhere."""
    sampler, grab = sampler_of(manifest)
    sampler.set_epoch(0)
    rows, seen = iter(sampler), -1
    for step, size in enumerate((2, 2, 5, 3)):
        grab.step(known_features(n)[[next(rows) for _ in range(size)]])
        if step == 2 and rank == 0:
            seen = int(grab.state_dict()["seen"].sum())
        torch.distributed.barrier()
    return {"saved": seen, "seen": int(grab.state_dict()["seen"].sum())}
