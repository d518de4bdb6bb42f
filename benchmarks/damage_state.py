"""Damage to states, for `damage.py`: is a state that no run can have ever used?

The states of a sampler, of GraB under every balance, of a stream, of batch-size controllers, and what `fit`
keeps beside model and optimizer, all in mid-epoch. A try changes one to three entries of one of them,
wherever they lie: taken out, of another type, out of bounds, resized, shuffled, another's. It must be refused
in one line, with the object as it was; or it must name a place that a run can be in. Then it is used:

- a sampler, a stream or GraB gives the rest of the epoch that the state names, and every row of it once;
- GraB makes a permutation of the next epoch from it;
- a controller's sizes stay within its bounds, whatever it measured before;
- `fit` ends with all its epochs, having trained on what is left from the place that the state names.

So another epoch, position, measured number or running sum is legal: nothing tells it from the true one but
the checksums of the file, which are `damage.py checkpoint`'s part.
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage_checkpoint
import numpy as np
import torch
from damage import Attempt
from damage_checkpoint import BATCH, EPOCHS, small_manifest, train
from mutated_states import mutated, same

from syllabus.trainer import Curriculum, GraB, ManifestSampler, ManifestStream, TrainerError
from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaptiveBatchSize,
    BatchSizeController,
    GeoDamp,
    NormTest,
    RadaDamp,
    Seesaw,
    cosine,
)
from syllabus.trainer.loop import checkpoints

FRACTION, WIDTH, MAXIMUM = 0.25, 6, 64
BALANCES = ("pair", "kernel-halving", "mean", "greedy")
RULES: dict[str, Callable[[], Any]] = {
    "adadamp": lambda: AdaDamp(loss="average"),
    "radadamp": RadaDamp,
    "geodamp": lambda: GeoDamp(epochs=1),
    "seesaw": lambda: Seesaw(cosine(100)),
    "norm test": lambda: NormTest(0.3),
}
OWN = "records step examples seconds loss_sum random sampler grab adaptive batches".split()


class Nonsense(Exception):
    """What was loaded is no place that a run can be in."""


def demand(holds: bool, said: str) -> None:
    if not holds:
        raise Nonsense(said)


class Damage:
    """The objects, their states, and tries on these."""

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")
        self._folder = folder
        self._manifest = small_manifest(folder)
        self._gradients = torch.randn(
            damage_checkpoint.ROWS, WIDTH, generator=torch.Generator().manual_seed(2)
        )
        self._kinds = [
            "sampler",
            "stream",
            *BALANCES,
            *RULES,
            *(f"fit {run}" for run in damage_checkpoint.RUNS),
        ]
        self._states = {kind: self._begun(kind) for kind in self._kinds}

    def _curriculum(self) -> Curriculum:
        return Curriculum(self._manifest, FRACTION, EPOCHS, "fresh", seed=0)

    def _made(self, kind: str) -> Any:
        if kind == "sampler":
            return ManifestSampler(self._curriculum())
        if kind == "stream":
            return ManifestStream(self._curriculum(), self._folder / "source.parquet", ["row"], window=2)
        if kind in BALANCES:
            return ManifestSampler(self._curriculum(), GraB(kind))
        model = torch.nn.Linear(WIDTH, 2)
        controller = BatchSizeController(RULES[kind](), 4, maximum=MAXIMUM, wait=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return AdaptiveBatchSize(model, optimizer, controller, grain=2, microbatch=2)

    def _begun(self, kind: str) -> dict[str, Any]:
        """Return the state of such a thing in mid-epoch."""
        if kind.startswith("fit"):
            path = self._folder / kind.replace(" ", "-")
            try:
                train(self._manifest, kind.removeprefix("fit "), path, stop=9)
            except damage_checkpoint.Stop:
                # Without a seal, which would tell of every change.
                return {**(checkpoints.load(path) or {}), "version": checkpoints.UNSEALED}
        made = self._made(kind)
        if kind in RULES:
            self._update(made, 9)
            return made.state_dict()
        made.set_epoch(1)
        rows = list(itertools.islice(iter(made), 11)) if kind not in BALANCES else self._visited(made, 11)
        demand(len(rows) == 11, "no rows")
        return (
            made.state_dict()
            if kind not in BALANCES
            else {"grab": made.order.state_dict(), **made.state_dict()}
        )

    def _visited(self, sampler: ManifestSampler, most: int) -> list[int]:
        """Take rows from a sampler with GraB, and tell it their gradients."""
        rows = []
        for row in itertools.islice(iter(sampler), most):
            rows.append(row)
            sampler.order.step(self._gradients[row])
        return rows

    def _update(self, adaptive: AdaptiveBatchSize, updates: int) -> list[int]:
        """Make so many updates; return their sizes."""
        sizes, model = [], adaptive.model
        generator = torch.Generator().manual_seed(3)
        while len(sizes) < updates:
            x = torch.randn(32, WIDTH, generator=generator)
            for batch in adaptive.microbatches(torch.split(x, 2)):
                adaptive.backward(model(batch).square().mean())
                before = adaptive.decision.batch_size
                if adaptive.step():
                    sizes.append(before)
        return sizes

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Damage a state, load it and use what was loaded."""
        kind = self._kinds[random.integers(len(self._kinds))]
        others = [state for name, state in self._states.items() if name != kind]
        state = self._states[kind]
        if kind.startswith("fit"):
            own = {name: state[name] for name in OWN if name in state}
            changed_own, said = mutated(own, others, random)
            state = (
                {**{n: v for n, v in state.items() if n not in own}, **changed_own}
                if isinstance(changed_own, dict)
                else changed_own
            )
        else:
            state, said = mutated(state, others, random)
        damage = f"{kind}: {said}"
        try:
            used = self._fit(kind, state) if kind.startswith("fit") else self._loaded(kind, state)
        except TrainerError as error:
            return Attempt(damage, "traceback" if "\n" in str(error) else "found", str(error))
        except Nonsense as error:
            return Attempt(damage, "silent", str(error))
        return Attempt(damage, "harmless", used)

    def _loaded(self, kind: str, state: Any) -> str:
        made = self._made(kind)
        targets = [(made, state)]
        if kind in BALANCES and isinstance(state, dict):
            targets = [
                (made.order, state.get("grab")),
                (made, {k: v for k, v in state.items() if k != "grab"}),
            ]
        for target, part in targets:
            before = copy.deepcopy(target.state_dict())
            try:
                target.load_state_dict(part)
            except TrainerError:
                demand(same(before, target.state_dict()), "a state that was refused has changed something")
                raise
        if kind in RULES:
            sizes = self._update(made, 6)
            bad = [size for size in sizes if not (1 <= size <= MAXIMUM and size % 2 == 0)]
            demand(not bad and math.isfinite(made.decision.lr_factor), f"sizes {sizes}")
            return f"sizes {sizes}"
        return self._followed(kind, made)

    def _followed(self, kind: str, made: Any) -> str:
        """Take the rest of the epoch that was loaded, and of GraB the next epoch."""
        place, curriculum = made.state_dict(), self._curriculum()
        epoch = place["epoch"]
        if epoch == EPOCHS:
            return "after the last epoch"
        grab = kind in BALANCES
        rows = self._visited(made, 999) if grab else [row["row"] if kind == "stream" else row for row in made]
        if kind == "stream":
            given = sum(parts * count for parts, count in place["history"])
            members, left = set(curriculum.indices(epoch).tolist()), curriculum.count(epoch) - given
            demand(len(rows) == max(left, 0) or place["history"] != [], f"{len(rows)} rows, {left} are left")
        else:
            left = curriculum.count(epoch) - place["global_examples"]
            members = set(range(damage_checkpoint.ROWS)) if grab else set(curriculum.indices(epoch).tolist())
            demand(len(rows) == left, f"{len(rows)} rows, {left} are left")
        demand(len(set(rows)) == len(rows) and set(rows) <= members, "rows that the epoch does not have once")
        if kind == "sampler":
            whole = ManifestSampler(curriculum)
            whole.set_epoch(epoch)
            demand(rows == list(whole)[place["global_examples"] :], "not the end of the epoch's order")
        if grab and epoch + 1 < EPOCHS:
            made.set_epoch(epoch + 1)
            after = self._visited(made, 999)
            demand(len(set(after)) == len(after) == curriculum.count(epoch + 1), "the next epoch is no set")
        return f"epoch {epoch}, {len(rows)} rows"

    def _fit(self, kind: str, state: Any) -> str:
        path = self._folder / "damaged"
        torch.save(state, path)
        records, _, data = train(self._manifest, kind.removeprefix("fit "), path)
        demand([epoch for epoch, _, _ in records] == list(range(EPOCHS)), f"records {records}")
        place = state["sampler"]
        size = self._curriculum().count(0)
        left = (EPOCHS - place["epoch"]) * size - place["global_examples"]
        demand(len(data.read) == left, f"{len(data.read)} rows were trained on, {left} were left")
        return f"{left} rows, in microbatches of {BATCH}"
