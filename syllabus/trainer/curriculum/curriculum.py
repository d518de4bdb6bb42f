"""The curriculum: which examples each epoch has, a pure function of (manifest, options, epoch)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from syllabus.manifests import Manifest
from syllabus.manifests.budgets import RULES
from syllabus.trainer.curriculum import advice
from syllabus.trainer.curriculum.budget import Units
from syllabus.trainer.curriculum.custom import CustomFunction, CustomSchedule
from syllabus.trainer.curriculum.filters import filtered
from syllabus.trainer.curriculum.phases import Phases, rungs_of
from syllabus.trainer.curriculum.pool import Pool
from syllabus.trainer.curriculum.schedules import DRAWS_BY, FIRST_PHASE, SCHEDULES, may_be_empty
from syllabus.trainer.curriculum.selecting import select_rows
from syllabus.trainer.curriculum.strata import Strata
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import names, one_of, real, whole


class Curriculum:
    """The indices of every epoch, drawn from a manifest by a schedule.

    Nothing is kept between calls but caches: `indices(7)` is the same in any process, whether or not
    `indices(6)` was asked for. At fraction 1 every schedule gives the full data.

    Args:
        manifest: of n examples; an opened one, or its path or URL.
        fraction: share of the data in an epoch, in (0, 1]. The budget is ⌊fraction·total + ½⌋ units, of all
            data whatever is filtered out, so that an epoch costs the same with and without, or what is left
            if that is less. Units are examples, and an epoch has k, `len(curriculum)`; or those of a column
            such as tokens, and epochs differ in their number of examples, `count(epoch)`.
        epochs: how many epochs there will be; ``milo`` and ``coverage`` divide them into two phases.
        schedule: ``coverage``, ``fresh``, ``milo``, ``radius``, ``redraw``: see `curriculum.schedules`;
            ``auto``, which takes one of them and the filters by what the manifest says of its examples, and
            prints why on standard error; or any function (curriculum, epoch) -> (k,) int64 indices without
            repeats that keeps nothing between calls. In units other than examples they may be any number
            whose weights are within the budget and the heaviest example of each partition.
        seed: of every draw.
        easy_fraction: κ of ``milo``: epoch e is easy iff e < ⌈κ·epochs⌉.
        refresh_every: R: the draw changes every R epochs. Above 1 costs accuracy (measured).
        importance: name of the importance that ``milo`` draws by in its hard phase.
        budgets: how k is divided over partitions when an epoch is drawn: ``proportional``, ``equal`` (as
            published for MILO) or ``sqrt``; by default the rule that the manifest's subsets were made with.
        filters: names of `curriculum.filters`, for what is never drawn; by default none, or what
            ``auto`` decides. The stored subsets of ``milo`` were chosen without them, so it needs
            easy_fraction=0.
        per_rung: begin both phases anew in each rung of a bandit scheduler, which otherwise judges trials by
            their first phase. The epochs that end a rung, or True for 1, 3, 9, … (Hyperband's, η = 3).

    Attributes:
        n: how many examples may be drawn.
        unit: what the budget counts: ``examples``, or the name of the manifest's column.
        budget: of an epoch, in units.
        full: whether an epoch is all that may be drawn.
        units: what it may hold, and what the examples count for (`syllabus.trainer.curriculum.budget`).
        pool: what the schedule draws from (`syllabus.trainer.curriculum.pool`).
        schedule: the schedule's name; what ``auto`` chose.
        reason: why ``auto`` chose it, one line; else empty.
        left_out: how many examples each filter left out.
        easy_epochs: epochs of the first phase.

    It warns of what is measured to cost accuracy: R above 1, stored subsets that are alike, too few or all
    there is, draws of the unlike where labels are suspect, a function that gives a set twice.

    Raises:
        TrainerError: an option outside its bounds, an unknown schedule or filter, a manifest without the
            importance or the neighbours that are asked for, an epoch that would have no example.
        ManifestError: no manifest at the path; one without subsets of the fraction that the schedule needs.
    """

    def __init__(
        self,
        manifest: Manifest | str | os.PathLike[str],
        fraction: float,
        epochs: int,
        schedule: str | CustomFunction = "auto",
        *,
        seed: int,
        easy_fraction: float = 1 / 6,
        refresh_every: int = 1,
        importance: str = "disparity_min",
        budgets: str | None = None,
        filters: Sequence[str] | None = None,
        per_rung: bool | Sequence[int] = False,
    ) -> None:
        fraction, easy_fraction = (
            real("Curriculum", name, value)
            for name, value in (("fraction", fraction), ("easy_fraction", easy_fraction))
        )
        if not 0 < fraction <= 1:
            raise TrainerError(f"Curriculum: fraction={fraction} is outside (0, 1]")
        epochs, seed = whole("Curriculum", "epochs", epochs, 1), whole("Curriculum", "seed", seed)
        refresh_every = whole("Curriculum", "refresh_every", refresh_every, 1)
        if not 0 <= easy_fraction <= 1:
            raise TrainerError(f"Curriculum: easy_fraction={easy_fraction} is outside [0, 1]")
        filters = None if filters is None else names("Curriculum", "filters", filters)
        if isinstance(manifest, (str, os.PathLike)):
            manifest = Manifest.open(manifest)
        elif not isinstance(manifest, Manifest):
            kind = type(manifest).__name__
            raise TrainerError(f"Curriculum: manifest is a {kind}; expected a Manifest, its path or its URL")
        rule = manifest.budget_rule if budgets is None else budgets
        rule = one_of("Curriculum", "budgets", rule, sorted(RULES))
        self.reason = ""
        if not callable(schedule):
            schedule = one_of("Curriculum", "schedule", schedule, sorted(["auto", *SCHEDULES]))
        if schedule == "auto":
            choice = advice.choose(manifest, fraction, filters)
            schedule, filters, self.reason = choice.schedule, choice.filters, choice.reason
        self.manifest, self.fraction, self.epochs, self.seed = manifest, fraction, epochs, seed
        self.refresh_every, self.budgets = refresh_every, rule
        self._custom = CustomSchedule(schedule) if callable(schedule) else None
        self.schedule = self._custom.name if self._custom else schedule
        self.filters = tuple(filters or ())
        kept, self.left_out = filtered(manifest, self.filters) if self.filters else (None, {})
        if kept is not None and not kept.any():
            raise TrainerError(f"Curriculum: filters={self.filters} leave none of n={manifest.n} examples")
        self.units = Units.of(manifest, fraction, kept)
        self.unit, self.budget, self.full = self.units.name, self.units.budget, self.units.full
        drawn = not self._custom and not self.full
        shares = {**FIRST_PHASE, "milo": easy_fraction} if drawn else {}
        self.rungs = rungs_of(per_rung, epochs)
        if per_rung and not self.reason and self.schedule not in FIRST_PHASE:
            raise TrainerError(
                f"Curriculum: per_rung: schedule {self.schedule!r} has no phases to begin anew"
            )
        phases = Phases(epochs, shares.get(self.schedule, 0.0), self.rungs)
        self.easy_epochs = phases.first_epochs
        stored = drawn and self.schedule == "milo" and self.easy_epochs > 0
        weighted = drawn and not (stored and self.easy_epochs == epochs)
        self.importance = {**DRAWS_BY, "milo": importance}.get(self.schedule, "") if weighted else ""
        settings = (manifest, fraction, seed, refresh_every, rule, self.filters, kept, self.units, phases)
        self.pool = Pool(*settings, importance=self.importance, stored=stored)
        self.n = self.pool.n
        self._last: tuple[int, np.ndarray] | None = None
        self._counts: dict[int, int] = {}
        self._drawn: str | None = None
        self._check_stored()
        if drawn and may_be_empty(self.pool):
            for epoch in range(epochs):
                self.count(epoch)  # raises where there is none: better here than in mid-training
        advice.warn(self.pool)
        if self.reason:
            advice.print_once(self.reason)

    def __repr__(self) -> str:
        return (
            f"Curriculum({self.manifest.location!r}, schedule={self.schedule!r}, fraction={self.fraction:g},"
            f" epochs={self.epochs}, budget={self.budget} {self.unit}, seed={self.seed}"
            + (f", filters={self.filters!r})" if self.filters else ")")
        )

    def __len__(self) -> int:
        """Examples in each epoch.

        Raises:
            TrainerError: the budget counts other units, so that epochs differ.
        """
        if self.units.weights is not None:
            raise TrainerError(
                f"len(curriculum): epochs of a budget in {self.unit!r} have different numbers of examples;"
                " ask count(epoch), or len(sampler) after set_epoch"
            )
        return self.units.budget_steps

    def count(self, epoch: int) -> int:
        """Return how many examples the epoch has.

        Cost: O(1) where the unit is an example; else what `indices` costs, once.
        """
        epoch = self._check(epoch, "count")
        if self.full:
            return self.n
        if self.units.weights is None:
            return self.units.budget_steps
        if epoch not in self._counts:
            subset = self.subset_of(epoch)
            if subset is None:
                self._counts[epoch] = len(self.indices(epoch))
            else:
                self._counts[epoch] = self.manifest.subset_size(self.fraction, subset)
        return self._counts[epoch]

    def indices(self, epoch: int) -> np.ndarray:
        """Return the epoch's (k,) int64 example indices in ascending order.

        Cost: O(k log k) for a stored subset; a draw reads all n examples once; about 24 n bytes are kept.
        Where the unit is not an example, draws sort: O(n log n); about 48 n bytes, and the last epoch drawn.
        """
        epoch = self._check(epoch, "indices")
        if self.full:
            return self.examples.copy()
        if self._last and self._last[0] == epoch:
            return self._last[1].copy()
        if self._custom:
            chosen = self._custom(self, self.pool, epoch)
        else:
            chosen = SCHEDULES[self.schedule](self.pool, epoch)  # made for this call
        chosen.sort()
        if self.units.weights is None:
            return chosen
        if not len(chosen):
            raise TrainerError(
                f"Curriculum: epoch {epoch} has no example: those whose turn it is are longer than its"
                f" {self.budget} {self.unit}; give a larger fraction"
            )
        self._last = epoch, chosen
        return chosen.copy()

    def select(self, dataset: Any, epoch: int, ids: Any = None, *, labels: Any = None) -> Any:
        """Return the part of a data set that the epoch has, in the data set's own kind where it can select.

        For hosts that shuffle for themselves: the rows ascend by index. `ManifestSampler` has orders.

        Args:
            dataset: a Hugging Face `Dataset` or whatever has `select(rows)`; a data frame, an Arrow table; or
                anything with `len` and integer places, of which a `torch.utils.data.Subset` is made.
            epoch: from 0.
            ids: the data set's ids, one a row, or the name of its column, where it was shuffled, filtered or
                changed since the manifest was made; without it row = index.
            labels: the data set's labels, one a row, or the name of its column: 1,000 are compared with the
                manifest's, which finds a data set in another order.

        Raises:
            TrainerError: the data set has no length, or another one than the manifest's source or `ids`; ids
                or labels do not fit.

        Cost: `indices(epoch)`; with ids they are matched at each call, ten million in about three seconds.
        """
        return select_rows(self.manifest, dataset, self.indices(epoch), ids, labels, self.seed)

    def subset_of(self, epoch: int) -> int | None:
        """Return which stored subset the epoch trains on; None where it is drawn.

        The subsets are walked in a seeded shuffle, each once, before any comes again.
        """
        return self.pool.stored_subset(self._check(epoch, "subset_of"))

    def identity(self) -> dict[str, str | int | float]:
        """Return what decides the epochs' indices, in plain values: two that are equal draw the same.

        A user's own schedule is known by its name and a digest of its first epoch.

        Cost: O(1); of a user's own schedule, one epoch at the first call.
        """
        if self._custom and not self.full and self._drawn is None:
            self._drawn = self._custom.digest(self, self.pool)
        return {
            "schedule": self.schedule,
            "budget": self.budget,
            "seed": self.seed,
            "refresh_every": self.refresh_every,
            "budgets": self.budgets,
            "easy_epochs": self.easy_epochs,
            "importance": self.importance,
            "filters": ", ".join(sorted(self.filters)),
            "rungs": ", ".join(map(str, self.rungs)),
            **({} if self._drawn is None else {"drawn": self._drawn}),
            **({} if self.units.weights is None else {"unit": self.unit, "total": self.manifest.total}),
        }

    @property
    def examples(self) -> np.ndarray:
        """(n,) int64 ascending indices of the examples that may be drawn."""
        return self.pool.examples

    @property
    def strata(self) -> Strata:
        """The examples that may be drawn, by partition; their order inside one is not fixed."""
        return self.pool.strata

    def _check(self, epoch: int, call: str) -> int:
        epoch = whole(f"Curriculum.{call}", "epoch", epoch)
        if not 0 <= epoch < self.epochs:
            raise TrainerError(f"Curriculum.{call}: epoch={epoch} is outside [0, epochs={self.epochs})")
        return epoch

    def _check_stored(self) -> None:
        """Check that the manifest has what a schedule takes from it."""
        if self.pool.stored and self.filters:
            raise TrainerError(
                f"Curriculum: filters={self.filters}: milo's stored subsets were chosen without; give"
                " easy_fraction=0 or another schedule"
            )
        if self.importance and self.importance not in self.manifest.importances:
            known = ", ".join(self.manifest.importances) or "none"
            raise TrainerError(f"importance {self.importance!r} is not in the manifest; stored: {known}")
        if self.pool.stored:
            self.manifest.subset_count(self.fraction)
