"""The training loop: flat, to be read from top to bottom and to be copied where it does not fit."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader

from syllabus.trainer import counter_rng
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, Decision, Probe, stratified
from syllabus.trainer.batch_size.probe import SIZE as PROBE
from syllabus.trainer.data import ManifestSampler
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.loop import checkpoints
from syllabus.trainer.loop.progress import TrainingProgress
from syllabus.trainer.loop.resuming import EpochRecord, resume
from syllabus.trainer.ordering import GraB
from syllabus.trainer.validation import whole


def fit(
    model: torch.nn.Module,
    dataset: Sized,
    sampler: ManifestSampler,
    *,
    loss: Callable[[Any, Any], torch.Tensor],
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    epochs: int | None = None,
    device: str | torch.device | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
    features: Callable[[], Any] | None = None,
    num_workers: int = 0,
    progress: bool = True,
    title: str = "training",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    controller: BatchSizeController | None = None,
    microbatch: int | None = None,
    probe: int = PROBE,
    on_decision: Callable[[Decision], None] | None = None,
) -> list[EpochRecord]:
    """Train `model` on the sampler's epochs and return one record an epoch.

    Args:
        model: called with a batch's inputs; trained in place, on `device`.
        dataset: map-style, of (inputs, targets) pairs.
        sampler: says which rows each epoch has, and in which order.
        loss: (outputs, targets) -> the batch's mean loss; `len(targets)` is its number of examples.
        optimizer: of the model's parameters; stepped once a batch.
        batch_size: examples a step on this rank.
        epochs: how many of the curriculum's epochs to train; all by default.
        device: by default where the model's parameters are.
        scheduler: stepped once a batch, `sampler.steps(batch_size)` times in all epochs.
        collate: makes a batch of examples; torch's default otherwise.
        features: where the sampler's order is a `GraB`, called after each backward pass for what its `step`
            takes, such as a `LastLayer`.
        num_workers: of the data loader; the order of the examples does not depend on it.
        progress: show a bar on a terminal, one line per tenth elsewhere.
        title: what the progress is called.
        checkpoint: a file. If it is there, the run continues from it; it is written after every epoch, by
            rank 0. Delete it to begin anew.
        checkpoint_every: also write it every so many steps.
        on_epoch: called with each new record, before the checkpoint is written; evaluation goes here.
        controller: decides how many examples, on all ranks together, an update has; `batch_size` is then what
            its sizes are multiples of on each rank. The scheduler counts examples all the same, and so needs
            no other length. On several ranks the model comes wrapped in DistributedDataParallel.
        microbatch: with a controller, examples that go through the model at once, at most; `batch_size` by
            default, and with GraB always.
        probe: with a rule that measures on one, how many examples it has, drawn by the sampler's seed.
        on_decision: with a controller, called with each new decision.

    A run that is interrupted and continued from its checkpoint has the same losses and parameters as one
    that was not, bit for bit on a CPU, as long as what is random in the data set happens in this process
    (`num_workers=0`): workers begin their random numbers anew.

    Raises:
        TrainerError: a data set of another length than the sampler's, an option out of bounds, a checkpoint
            of another run.
    """
    most = sampler.curriculum.epochs
    epochs = most if epochs is None else whole("fit", "epochs", epochs, 1, most)
    batch_size = whole("fit", "batch_size", batch_size, 1)
    num_workers = whole("fit", "num_workers", num_workers, 0)
    if checkpoint_every is not None:
        checkpoint_every = whole("fit", "checkpoint_every", checkpoint_every, 1)
    if microbatch is not None:
        microbatch = whole("fit", "microbatch", microbatch, 1)
    probe = whole("fit", "probe", probe, 1)
    if controller is None and (microbatch is not None or on_decision is not None):
        raise TrainerError("fit: microbatch and on_decision go with a controller, which is missing")
    grab = sampler.order if isinstance(sampler.order, GraB) else None
    if grab is not None and microbatch not in (None, batch_size):
        raise TrainerError(f"fit: microbatch={microbatch}: with GraB it is batch_size={batch_size}")
    if (grab is None) != (features is None):
        raise TrainerError("fit: a GraB order and features go together; one of the two is missing")
    sampler.check(dataset)
    device = torch.device(device) if device is not None else next(model.parameters()).device
    model.to(device)
    # A generator of its own: making the loader's iterator draws a number, which must not come from the
    # stream that dropout uses, or a resumed run would differ.
    generator = torch.Generator()
    loader = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        persistent_workers=num_workers > 0,
        generator=generator,
    )

    adaptive = None
    if controller is not None:
        measured = None
        if {"probe_loss", "probe_norm"} & controller.rule.needs:
            rows = sampler.rows_of(stratified(sampler.curriculum, probe, seed=sampler.seed))
            measured = Probe(model, dataset, rows, loss, collate=collate, device=device, seed=sampler.seed)
        adaptive = AdaptiveBatchSize(
            model,
            optimizer,
            controller,
            grain=batch_size,
            microbatch=microbatch,
            scheduler=scheduler,
            probe=measured,
        )

    records: list[EpochRecord] = []
    first_epoch = step = examples = batches = 0
    seconds = 0.0
    # Summed where it is computed, so that no step waits for a number to come back from the device.
    loss_sum = torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    if checkpoint is not None:
        try:
            come = resume(
                checkpoint,
                model=model,
                optimizer=optimizer,
                scheduler=scheduler,
                sampler=sampler,
                grab=grab,
                adaptive=adaptive,
            )
        except BaseException:
            if adaptive is not None:
                adaptive.close()
            raise
        records, step, batches, examples = come.records, come.step, come.batches, come.examples
        seconds, first_epoch = come.seconds, len(come.records)
        loss_sum.fill_(come.loss_sum)

    def save(global_examples: int) -> None:
        if checkpoint is None or sampler.rank != 0:
            return
        # Told what was trained on: the loader may have fetched ahead.
        place = sampler.state_dict(global_examples)
        if place["epoch"] > len(records):
            return  # the epoch's last step: its record comes first
        checkpoints.save(
            checkpoint,
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict() if scheduler is not None else None,
                "sampler": place,
                "grab": grab.state_dict() if grab is not None else None,
                **({} if adaptive is None else {"adaptive": adaptive.state_dict(), "batches": batches}),
                "records": [dataclasses.asdict(record) for record in records],
                "step": step,
                "examples": examples,
                "seconds": seconds,
                "loss_sum": float(loss_sum),  # sync: only when a checkpoint is written
            },
        )

    done = step if adaptive is None else batches
    decided = 0 if adaptive is None else len(adaptive.records)
    shown = TrainingProgress(title, done, done, shown=progress and sampler.rank == 0)
    # The optimizer is given back as it came.
    with shown, contextlib.nullcontext() if adaptive is None else contextlib.closing(adaptive):
        for epoch in range(first_epoch, epochs):
            started = time.perf_counter() - seconds
            sampler.set_epoch(epoch)
            position = sampler.state_dict()["global_examples"]  # 0 but in the first epoch of a resumed run
            # Not sampler.steps(): where epochs differ in length it would draw all of them before the first.
            left = -(-(len(sampler) - position // sampler.num_replicas) // batch_size)
            done_before = batches - -(-position // (batch_size * sampler.num_replicas))
            shown.expect(
                (step if adaptive is None else batches)
                + left
                + (epochs - epoch - 1) * -(-len(sampler) // batch_size)
            )
            generator.manual_seed(counter_rng.key(sampler.seed, "workers", epoch)[0] >> 1)
            model.train()
            for inputs, targets in loader if adaptive is None else adaptive.microbatches(loader):
                # From pinned memory these copies do not wait for the device.
                inputs, targets = _to((inputs, targets), device)
                batch_loss = loss(model(inputs), targets)
                if adaptive is None:
                    batch_loss.backward()
                else:
                    adaptive.backward(batch_loss)
                if grab is not None and features is not None:
                    grab.step(features())
                size = len(targets)
                loss_sum += batch_loss.detach() * size
                examples, position = examples + size, position + size * sampler.num_replicas
                if adaptive is not None:
                    # The bar counts batches of the loader, whatever is made of them.
                    before, batches = (
                        batches,
                        done_before + -(-position // (batch_size * sampler.num_replicas)),
                    )
                    shown.step(batches - before)
                    if not adaptive.step():
                        continue
                    if on_decision is not None:
                        for decision in adaptive.records[decided:]:
                            on_decision(decision)
                    decided = len(adaptive.records)
                else:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    if scheduler is not None:
                        scheduler.step()
                    shown.step()
                step += 1
                if checkpoint_every is not None and step % checkpoint_every == 0:
                    seconds = time.perf_counter() - started
                    save(position)
            mean = float(loss_sum) / max(examples, 1)  # sync: once an epoch, the device is waited for here
            record = EpochRecord(epoch, mean, examples, time.perf_counter() - started)
            records.append(record)
            shown.note(f"epoch {epoch + 1}, loss {mean:.4f}")
            loss_sum.zero_()
            examples, seconds = 0, 0.0
            if on_epoch is not None:
                on_epoch(record)
            save(sampler.total_size)
    return records


def _to(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch, which may lie in tuples, lists and dicts."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _to(part, device) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to(part, device) for part in batch)
    return batch
