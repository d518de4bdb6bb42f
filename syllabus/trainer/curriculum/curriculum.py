"""Which subset each epoch trains on: a pure function of (manifest, options, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property

import numpy as np

from syllabus.manifests import Manifest
from syllabus.manifests.budgets import RULES
from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum import advice as auto
from syllabus.trainer.curriculum import cautions
from syllabus.trainer.curriculum.budget import Units
from syllabus.trainer.curriculum.custom import OwnSchedule
from syllabus.trainer.curriculum.filters import filtered
from syllabus.trainer.curriculum.phases import Phases, rungs_of
from syllabus.trainer.curriculum.schedules import DRAWS_BY, FIRST_PHASE, SCHEDULES, Schedule, may_be_empty
from syllabus.trainer.curriculum.strata import Strata, starts_of
from syllabus.trainer.curriculum.walk import subset_at
from syllabus.trainer.curriculum.weighted_cycle import Lines
from syllabus.trainer.errors import TrainerError


class Curriculum:
    """The indices of every epoch, drawn from a manifest by a schedule.

    Nothing is kept between calls but caches: `indices(7)` is the same in any process, whether or not
    `indices(6)` was asked for. At fraction 1 every schedule gives the full data.

    Args:
        manifest: an opened manifest of n examples.
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
        schedule: the schedule's name; what ``auto`` chose.
        reason: why ``auto`` chose it, one line; else empty.
        left_out: how many examples each filter left out.
        easy_epochs: epochs of the first phase.

    It warns of what is measured to cost accuracy: R above 1, stored subsets that are alike, too few or all
    there is, draws of the unlike where labels are suspect, a function that gives a set twice.

    Raises:
        TrainerError: an option outside its bounds, an unknown schedule or filter, a manifest without the
            importance or the neighbours that are asked for, an epoch that would have no example.
        ManifestError: a manifest without subsets of the fraction that the schedule needs.
    """

    def __init__(
        self,
        manifest: Manifest,
        fraction: float,
        epochs: int,
        schedule: str | Schedule = "auto",
        *,
        seed: int,
        easy_fraction: float = 1 / 6,
        refresh_every: int = 1,
        importance: str = "disparity_min",
        budgets: str | None = None,
        filters: Sequence[str] | None = None,
        per_rung: bool | Sequence[int] = False,
    ) -> None:
        if not 0 < fraction <= 1:
            raise TrainerError(f"Curriculum: fraction={fraction} is outside (0, 1]")
        if epochs < 1:
            raise TrainerError(f"Curriculum: epochs={epochs} is below 1")
        if not 0 <= easy_fraction <= 1:
            raise TrainerError(f"Curriculum: easy_fraction={easy_fraction} is outside [0, 1]")
        if refresh_every < 1:
            raise TrainerError(f"Curriculum: refresh_every={refresh_every} is below 1")
        if isinstance(filters, str):
            raise TrainerError(f"Curriculum: filters={filters!r} is a text; give a sequence of names")
        rule = budgets or manifest.description.get("options", {}).get("budgets", "proportional")
        if rule not in RULES:
            raise TrainerError(f"budgets {rule!r} is unknown; known: {', '.join(sorted(RULES))}")
        self.reason = ""
        if schedule == "auto":
            choice = auto.choose(manifest, fraction, filters)
            schedule, filters, self.reason = choice.schedule, choice.filters, choice.reason
        elif not callable(schedule) and schedule not in SCHEDULES:
            known = ", ".join(sorted(["auto", *SCHEDULES]))
            raise TrainerError(f"schedule {schedule!r} is unknown; known: {known}")
        self.manifest, self.fraction, self.epochs, self.seed = manifest, fraction, epochs, seed
        self.refresh_every, self.budgets = refresh_every, rule
        self.schedule = schedule if isinstance(schedule, str) else getattr(schedule, "__name__", "custom")
        self._schedule = OwnSchedule(schedule) if callable(schedule) else SCHEDULES[schedule]
        self._custom = callable(schedule)
        self.filters = tuple(filters or ())
        self._kept, self.left_out = filtered(manifest, self.filters) if self.filters else (None, {})
        self.n = manifest.n if self._kept is None else int(self._kept.sum())
        if not self.n:
            raise TrainerError(f"Curriculum: filters={self.filters} leave none of n={manifest.n} examples")
        self.units = Units.of(manifest, fraction, self._kept)
        self.unit, self.budget, self.full = self.units.name, self.units.budget, self.units.full
        drawn = not self._custom and not self.full
        shares = {**FIRST_PHASE, "milo": easy_fraction} if drawn else {}
        self.rungs = rungs_of(per_rung, epochs)
        if per_rung and not self.reason and self.schedule not in FIRST_PHASE:
            raise TrainerError(
                f"Curriculum: per_rung: schedule {self.schedule!r} has no phases to begin anew"
            )
        self.phases = Phases(epochs, shares.get(self.schedule, 0.0), self.rungs)
        self.easy_epochs = self.phases.first_epochs
        self._by_subset = drawn and self.schedule == "milo" and self.easy_epochs > 0
        weighted = drawn and not (self._by_subset and self.easy_epochs == epochs)
        self.importance = {**DRAWS_BY, "milo": importance}.get(self.schedule, "") if weighted else ""
        # The cycle of ``fresh`` that a partition's members are in the order of.
        self._cycles: dict[int, int] = {}
        self._weights: dict[str, tuple[Strata, np.ndarray]] = {}
        self._last: tuple[int, np.ndarray] | None = None
        self._counts: dict[int, int] = {}
        self._check_stored()
        if drawn and may_be_empty(self):
            for epoch in range(epochs):
                self.count(epoch)  # raises where there is none: better here than in mid-training
        cautions.warn(self)
        if self.reason:
            auto.say(self.reason)

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
        return self.units.seats

    def count(self, epoch: int) -> int:
        """Return how many examples the epoch has.

        Cost: O(1) where the unit is an example; else what `indices` costs, once.
        """
        self._check(epoch, "count")
        if self.full:
            return self.n
        if self.units.weights is None:
            return self.units.seats
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
        self._check(epoch, "indices")
        if self.full:
            return self.examples.copy()
        if self._last and self._last[0] == epoch:
            return self._last[1].copy()
        chosen = self._schedule(self, epoch)  # made for this call
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

    def subset_of(self, epoch: int) -> int | None:
        """Return which stored subset the epoch trains on; None where it is drawn.

        The subsets are walked in a seeded shuffle, each once, before any comes again.
        """
        self._check(epoch, "subset_of")
        easy, number = self.phases.of(epoch)
        if not (easy and self._by_subset):
            return None
        count = self.manifest.subset_count(self.fraction)
        return subset_at(number // self.refresh_every, count, self.seed)

    def identity(self) -> dict[str, str | int | float]:
        """Return what decides the epochs' indices, in plain values: two that are equal draw the same."""
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
            **({} if self.units.weights is None else {"unit": self.unit, "total": self.manifest.total}),
        }

    @cached_property
    def examples(self) -> np.ndarray:
        """(n,) int64 ascending indices of the examples that may be drawn."""
        return self._every()

    @cached_property
    def strata(self) -> Strata:
        """The examples that may be drawn, by partition; their order inside one is not fixed."""
        partitions = self.manifest.partitions()
        if self._kept is not None:
            partitions = partitions[self._kept]
        # Not `examples`: that would be kept, and most schedules never ask for it.
        examples = self._every()
        strata = Strata.of(examples, partitions, len(self.manifest.partition_sizes))
        return replace(strata, units=self.units.of_members(strata.members, examples))

    @cached_property
    def lines(self) -> Lines:
        """The lines that ``fresh`` cuts, where the unit is not an example."""
        return Lines(self.strata, self.seed)

    def weights(self, importance: str) -> tuple[Strata, np.ndarray]:
        """Return the examples that may be drawn, by partition and rank, and (n,) float64, log p of each."""
        if importance not in self._weights:
            table = f"importances/{importance}"
            with ThreadPoolExecutor(2) as pool:  # decoding leaves Python's lock alone
                index, p = pool.map(lambda name: self.manifest.column(table, name), ("index", "probability"))
            starts = starts_of(self.manifest.partition_sizes)
            if self._kept is not None:
                known = np.zeros(int(index.max()) + 1, np.bool_)
                known[self.examples] = True
                mask = known[index]
                index, p, starts = index[mask], p[mask], starts_of(mask)[starts]
            # What underflowed to 0 stays behind everything else, but can still fill a budget.
            np.log(np.maximum(p, 1e-300, out=p), out=p)
            # Without weights nothing is looked up, nor `examples` kept.
            counts = None if self.units.weights is None else self.units.of_members(index, self.examples)
            self._weights[importance] = Strata(index, starts, counts), p
        return self._weights[importance]

    def permuted(self, partition: int, cycle: int) -> np.ndarray:
        """Return the partition's members, int64, in the order of a cycle of ``fresh``: a view."""
        members = self.strata.members[self.strata.starts[partition] : self.strata.starts[partition + 1]]
        if self._cycles.get(partition) != cycle:
            # In place, which saves the memory of a second array: the order by words does not depend on the
            # order before, and no other draw on the order at all.
            members[:] = counter_rng.permuted(counter_rng.key(self.seed, "fresh", cycle), members)
            self._cycles[partition] = cycle
        return members

    def _every(self) -> np.ndarray:
        examples = self.manifest.examples()
        return examples if self._kept is None else examples[self._kept]

    def _check(self, epoch: int, call: str) -> None:
        if not 0 <= epoch < self.epochs:
            raise TrainerError(f"Curriculum.{call}: epoch={epoch} is outside [0, epochs={self.epochs})")

    def _check_stored(self) -> None:
        """Check that the manifest has what a schedule takes from it."""
        if self._by_subset and self.filters:
            raise TrainerError(
                f"Curriculum: filters={self.filters}: milo's stored subsets were chosen without; give"
                " easy_fraction=0 or another schedule"
            )
        if self.importance and self.importance not in self.manifest.importances:
            known = ", ".join(self.manifest.importances) or "none"
            raise TrainerError(f"importance {self.importance!r} is not in the manifest; stored: {known}")
        if self._by_subset:
            self.manifest.subset_count(self.fraction)
