"""Which subset each epoch trains on: a pure function of (manifest, options, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from syllabus.manifests import Manifest, budget
from syllabus.manifests.budgets import RULES
from syllabus.trainer import auto, cautions, noise
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.hygiene import filtered
from syllabus.trainer.phases import Phases, rungs_of
from syllabus.trainer.schedules import DRAWS_BY, FIRST_PHASE, SCHEDULES, Schedule
from syllabus.trainer.strata import Strata, starts_of


class Curriculum:
    """The indices of every epoch, drawn from a manifest by a schedule.

    Nothing is kept between calls but caches: `indices(7)` is the same in any process, whether or not
    `indices(6)` was asked for. At fraction 1 every schedule gives the full data.

    Args:
        manifest: an opened manifest of n examples.
        fraction: share of the data in an epoch, in (0, 1]. `len(curriculum)` is k = ⌊fraction·n + ½⌋, of all
            n whatever is filtered out, so that an epoch costs the same with and without, or what is left if
            that is less.
        epochs: how many epochs there will be; ``milo`` and ``coverage`` divide them into two phases.
        schedule: ``coverage``, ``fresh``, ``milo``, ``radius``, ``redraw``: see `syllabus.trainer.schedules`;
            ``auto``, which takes one of them and the filters by what the manifest says of its examples, and
            prints why on standard error; or any function (curriculum, epoch) -> (k,) int64 indices without
            repeats that keeps nothing between calls.
        seed: of every draw.
        easy_fraction: κ of ``milo``: epoch e is easy iff e < ⌈κ·epochs⌉.
        refresh_every: R: the draw changes every R epochs. Above 1 costs accuracy (measured).
        importance: name of the importance that ``milo`` draws by in its hard phase.
        budgets: how k is divided over partitions when an epoch is drawn: ``proportional``, ``equal`` (as
            published for MILO) or ``sqrt``; by default the rule that the manifest's subsets were made with.
        filters: names of `syllabus.trainer.hygiene`, for what is never drawn; by default none, or what
            ``auto`` decides. The stored subsets of ``milo`` were chosen without them, so it needs
            easy_fraction=0.
        per_rung: begin both phases anew in each rung of a bandit scheduler, which otherwise judges trials by
            their first phase. The epochs that end a rung, or True for 1, 3, 9, … (Hyperband's, η = 3).

    Attributes:
        n: how many examples may be drawn.
        schedule: the schedule's name; what ``auto`` chose.
        reason: why ``auto`` chose it, one line; else empty.
        left_out: how many examples each filter left out.
        easy_epochs: epochs of the first phase.

    It warns of what is measured to cost accuracy: R above 1, stored subsets that are alike, too few or all
    there is, draws of the unlike where labels are suspect, a function that gives a set twice.

    Raises:
        TrainerError: an option outside its bounds, an unknown schedule or filter, a manifest without the
            importance or the neighbours that are asked for.
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
        size = budget(fraction, manifest.n)
        if size < 1:
            raise TrainerError(f"Curriculum: fraction={fraction} of n={manifest.n} is no example at all")
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
        self._schedule = schedule if callable(schedule) else SCHEDULES[schedule]
        self._custom = callable(schedule)
        self.filters = tuple(filters or ())
        self._kept, self.left_out = filtered(manifest, self.filters) if self.filters else (None, {})
        self.n = manifest.n if self._kept is None else int(self._kept.sum())
        if not self.n:
            raise TrainerError(f"Curriculum: filters={self.filters} leave none of n={manifest.n} examples")
        self._budget = min(size, self.n)
        drawn = not self._custom and self._budget < self.n
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
        self._cycles: dict[
            int, int
        ] = {}  # the cycle of ``fresh`` that a partition's members are in the order of
        self._weights: dict[str, tuple[Strata, np.ndarray]] = {}
        self._before: tuple[int, np.ndarray] | None = None
        self._told = False
        self._check_stored()
        cautions.warn(self)
        if self.reason:
            auto.say(self.reason)

    def __len__(self) -> int:
        """Examples in an epoch."""
        return self._budget

    def indices(self, epoch: int) -> np.ndarray:
        """Return the epoch's (k,) int64 example indices in ascending order.

        Cost: O(k log k) for a stored subset; a draw reads all n examples once; about 24 n bytes are kept.
        """
        self._check(epoch, "indices")
        if len(self) == self.n:
            return self.examples.copy()
        chosen = np.asarray(self._schedule(self, epoch))
        if not self._custom:
            chosen.sort()  # in place: it was made for this call
            return chosen
        chosen = np.sort(chosen)
        self._check_drawn(chosen, epoch)
        return chosen.copy()  # the last one is kept, to be compared with the next

    def subset_of(self, epoch: int) -> int | None:
        """Return which stored subset the epoch trains on; None where it is drawn.

        The subsets are walked in a seeded shuffle, each once, before any comes again.
        """
        self._check(epoch, "subset_of")
        easy, number = self.phases.of(epoch)
        if not (easy and self._by_subset):
            return None
        count = self.manifest.subset_count(self.fraction)
        lap, step = divmod(number // self.refresh_every, count)
        walk = self._lap(lap, count)
        if lap and count > 2 and walk[0] == self._lap(lap - 1, count)[-1]:
            # A swap at the front leaves the lap's last subset alone: no lap depends on one before the last.
            walk[[0, 1]] = walk[[1, 0]]
        return int(walk[step])

    def identity(self) -> dict[str, str | int | float]:
        """Return what decides the epochs' indices, in plain values: two that are equal draw the same."""
        return {
            "schedule": self.schedule,
            "budget": len(self),
            "seed": self.seed,
            "refresh_every": self.refresh_every,
            "budgets": self.budgets,
            "easy_epochs": self.easy_epochs,
            "importance": self.importance,
            "filters": ", ".join(sorted(self.filters)),
            "rungs": ", ".join(map(str, self.rungs)),
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
        return Strata.of(self._every(), partitions, len(self.manifest.partition_sizes))

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
            self._weights[importance] = Strata(index, starts), p
        return self._weights[importance]

    def permuted(self, partition: int, cycle: int) -> np.ndarray:
        """Return the partition's members, int64, in the order of a cycle of ``fresh``: a view."""
        members = self.strata.members[self.strata.starts[partition] : self.strata.starts[partition + 1]]
        if self._cycles.get(partition) != cycle:
            # In place, which saves the memory of a second array: the order by words does not depend on the
            # order before, and no other draw on the order at all.
            members[:] = noise.permuted(noise.key(self.seed, "fresh", cycle), members)
            self._cycles[partition] = cycle
        return members

    def _every(self) -> np.ndarray:
        examples = self.manifest.examples()
        return examples if self._kept is None else examples[self._kept]

    def _lap(self, lap: int, count: int) -> np.ndarray:
        # Of two subsets, only one alternation has no equal neighbours, so every lap is the first.
        return noise.permutation(noise.key(self.seed, "subsets", lap if count > 2 else 0), count)

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

    def _check_drawn(self, chosen: np.ndarray, epoch: int) -> None:
        """Check what a user's schedule returned; `chosen` is sorted."""
        where = f"schedule {self.schedule!r}: epoch {epoch}"
        if chosen.dtype.kind not in "iu" or chosen.shape != (len(self),):
            raise TrainerError(
                f"{where} gave {chosen.dtype} of shape {chosen.shape}; expected integers ({len(self)},)"
            )
        repeated = chosen[1:][chosen[1:] == chosen[:-1]]
        if len(repeated):
            raise TrainerError(f"{where} gave index {repeated[0]} more than once")
        place = np.minimum(np.searchsorted(self.examples, chosen), self.n - 1)
        strange = chosen[self.examples[place] != chosen]
        if len(strange):
            raise TrainerError(f"{where} gave index {strange[0]}, which is no example of the manifest")
        before, self._before = self._before, (epoch, chosen)
        if before and not self._told and before[0] != epoch and np.array_equal(before[1], chosen):
            self._told = True
            cautions.warn_fixed(self.schedule, (before[0], epoch))
