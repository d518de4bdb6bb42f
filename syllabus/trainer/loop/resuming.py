"""Resuming: what a checkpoint of `fit` holds, checked whole before any of it is taken."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import torch

from syllabus.manifests.errors import first_line
from syllabus.trainer.batch_size import AdaptiveBatchSize
from syllabus.trainer.data import ManifestSampler
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.loop import checkpoints
from syllabus.trainer.ordering import GraB
from syllabus.trainer.states import entries, integer, mapping, number, optional, section, several


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """Record of one epoch: mean training `loss` over its `examples` (of this rank), and its `seconds`."""

    epoch: int
    loss: float
    examples: int
    seconds: float


RECORD = {"epoch": integer(), "loss": number(finite=False), "examples": integer(), "seconds": number(0)}
FIELDS = {
    "model": mapping,
    "optimizer": mapping,
    "scheduler": optional(mapping),
    "sampler": mapping,
    "grab": optional(mapping),
    "records": several(section(RECORD)),
    "step": integer(),
    "examples": integer(),
    "seconds": number(0),
    "loss_sum": number(finite=False),
    "random": checkpoints.check_random,
}
ADAPTIVE = {"adaptive": optional(mapping), "batches": integer()}


@dataclasses.dataclass
class Progress:
    """How far a run has come.

    Attributes:
        records: of the epochs that ended.
        step: optimizer steps done.
        batches: of the loader, where a controller makes steps of them.
        examples: of the epoch begun, on this rank.
        seconds: spent on it.
        loss_sum: of these examples.
    """

    records: list[EpochRecord] = dataclasses.field(default_factory=list)
    step: int = 0
    batches: int = 0
    examples: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0


def resume(
    path: str | os.PathLike[str],
    *,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    sampler: ManifestSampler,
    grab: GraB | None,
    adaptive: AdaptiveBatchSize | None,
) -> Progress:
    """Load the checkpoint, if there is one, into all of these, and return how far its run had come.

    Raises:
        TrainerError: a file that is no checkpoint, or of another run; nothing was loaded then.
    """
    content = checkpoints.load(path)
    if content is None:
        return Progress()
    where = f"checkpoint {path}"
    saved = entries(where, content, FIELDS)
    if content.get("adaptive") is not None:
        saved |= entries(where, content, ADAPTIVE)
    for name, part, what in (
        ("grab", grab, "a GraB order"),
        ("scheduler", scheduler, "a scheduler"),
        ("adaptive", adaptive, "a controller"),
    ):
        if (part is None) != (saved.get(name) is None):
            raise TrainerError(f"{where}: one of the two runs has {what}, the other none")
    _check_model(where, model, saved["model"])
    counts = {name: saved.get(name, 0) for name in ("step", "batches", "examples", "seconds", "loss_sum")}
    progress = Progress([EpochRecord(**record) for record in saved["records"]], **counts)
    epochs, place = len(progress.records), saved["sampler"]
    begun = place.get("global_examples")
    if place.get("epoch") != epochs or [record.epoch for record in progress.records] != list(range(epochs)):
        raise TrainerError(f"{where}: has {epochs} records and a sampler in epoch {place.get('epoch')!r}")
    if not isinstance(begun, int) or progress.examples > begun or (begun > 0) != (progress.examples > 0):
        raise TrainerError(
            f"{where}: examples={progress.examples} of this rank and global_examples={begun!r} do not agree"
        )
    if progress.step < epochs:
        raise TrainerError(f"{where}: step={progress.step} is below {epochs}, its epochs")
    # The model, of which no copy is kept to be put back, is the last: it has been looked at already.
    parts = {"optimizer": optimizer, "scheduler": scheduler, "grab": grab, "adaptive": adaptive}
    with contextlib.ExitStack() as undo:
        for name, part in parts.items():
            if part is not None:
                undo.callback(part.load_state_dict, copy.deepcopy(part.state_dict()))
                with _one_line(where, name):
                    part.load_state_dict(saved[name])
        sampler.load_state_dict(place)
        with _one_line(where, "model"):
            model.load_state_dict(saved["model"])
        undo.pop_all()
    checkpoints.restore_random(saved["random"])
    return progress


def _check_model(where: str, model: torch.nn.Module, saved: dict[str, Any]) -> None:
    here = model.state_dict()
    for name in sorted(here.keys() ^ saved.keys()):
        only = "checkpoint" if name in saved else "model"
        raise TrainerError(f"{where}: another model: {name!r} is in the {only} only")
    for name, value in here.items():
        if torch.nn.parameter.is_lazy(value):
            continue  # it takes the saved one's shape
        shapes = [getattr(one, "shape", None) for one in (saved[name], value)]
        if shapes[0] != shapes[1]:
            raise TrainerError(f"{where}: another model: {name!r} has shape {shapes[0]}, here {shapes[1]}")


@contextlib.contextmanager
def _one_line(where: str, name: str) -> Iterator[None]:
    """Make one line of whatever torch, or the user's own class, says of a state that it cannot take."""
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:
        raise TrainerError(f"{where}: the state of the {name} does not fit ({first_line(error)})") from error
