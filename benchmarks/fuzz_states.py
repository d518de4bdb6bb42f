"""States of the sampler, GraB and the controller of batch sizes: other values, types, widths, no keys."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage import Attempt
from fuzz import bounded_memory
from random_files import OTHERS, TEXTS, pick

sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))

from small_manifest import write_small_manifest

from syllabus.trainer import BatchSizeController, Curriculum, GraB, ManifestSampler, TrainerError
from syllabus.trainer.batch_size import GeoDamp

VALUES = [
    *TEXTS[:8],
    *OTHERS,
    2,
    7,
    10**9,
    -(10**9),
    0.5,
    torch.zeros(3),
    torch.full((4,), float("nan")),
    b"x",
]


class Fuzz:
    """Stops a run, changes its state, and goes on from it."""

    def __init__(self, folder: Path) -> None:
        self.manifest = write_small_manifest(folder / "m")
        warnings.simplefilter("ignore")

    def sampler(self, learns: bool) -> tuple[ManifestSampler, GraB | None]:
        """A sampler in its second epoch."""
        grab = GraB() if learns else None
        drawn = Curriculum(self.manifest, 0.5, 4, "fresh", seed=0)
        sampler = ManifestSampler(drawn, order=grab or "shuffle")
        return sampler, grab

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Run one try."""
        kind = pick(random, ["sampler", "grab", "controller"])
        try:
            with bounded_memory():
                what = (
                    self.controller(random) if kind == "controller" else self.trained(random, kind == "grab")
                )
        except TrainerError as error:
            return Attempt(kind, "refused" if len(str(error).splitlines()) == 1 else "traceback", str(error))
        return what

    def trained(self, random: np.random.Generator, learns: bool) -> Attempt:
        """Go on from a changed state of a sampler, or of GraB; an epoch has its rows, each once."""
        sampler, grab = self.sampler(learns)
        sampler.set_epoch(0)
        rows = list(sampler)
        if grab is not None:
            grab.step(torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(0)), rows)
        state = sampler.state_dict(len(rows) // 2) if grab is None else grab.state_dict()
        state = copy.deepcopy(state)
        what = changed(state, random)
        other, order = self.sampler(learns)
        if order is not None:
            order.load_state_dict(state)
            other.load_state_dict(sampler.state_dict(len(rows)))
        else:
            other.load_state_dict(state)
        epoch = list(other)
        known = set(self.manifest.examples().tolist())
        if len(set(epoch)) != len(epoch) or not set(epoch) <= known:
            return Attempt(what, "silent", f"rows {epoch}")
        return Attempt(what, "accepted")

    def controller(self, random: np.random.Generator) -> Attempt:
        """Go on from a changed state of a controller; its sizes stay within their bounds."""
        state = copy.deepcopy(controller().state_dict())
        what = changed(state, random)
        other = controller()
        other.load_state_dict(state)
        size = other.decision.batch_size
        return Attempt(what, "accepted" if 8 <= size <= 64 else "silent", f"batch size {size}")


def controller() -> BatchSizeController:
    """A controller of sizes from 8 to 64."""
    return BatchSizeController(GeoDamp(epochs=1), initial=8, maximum=64)


def changed(state: Any, random: np.random.Generator) -> str:
    """Replace or remove something somewhere in a state, and say where."""
    path, inner, holder, key = "", state, state, None
    while isinstance(inner, dict | list) and len(inner):
        key = pick(random, list(inner) if isinstance(inner, dict) else list(range(len(inner))))
        path, holder, inner = f"{path}.{key}", inner, inner[key]
        if random.random() < 0.3:
            break
    if key is None:
        return "nothing"
    if random.random() < 0.2:
        del holder[key]
        return f"{path} left out"
    near = [inner + 1, -inner, inner * 1000, float(inner)] if type(inner) in (int, float) else []
    if isinstance(inner, torch.Tensor):
        near = [
            inner[:-1] if inner.ndim else inner,
            inner.double(),
            inner * float("nan"),
            inner.long() - 10**6,
        ]
    holder[key] = pick(random, near if near and random.random() < 0.5 else VALUES)
    return f"{path} = {holder[key]!r:.200}"
