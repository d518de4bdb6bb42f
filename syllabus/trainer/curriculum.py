"""Which subset each epoch trains on: a pure function of (manifest, options, epoch)."""

from __future__ import annotations

import math
import warnings
from functools import cached_property

import numpy as np

from syllabus.manifests import Manifest, budget
from syllabus.manifests.budgets import RULES
from syllabus.trainer import noise
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.schedules import SCHEDULES, Schedule
from syllabus.trainer.strata import Strata


class Curriculum:
    """The indices of every epoch, drawn from a manifest by a schedule.

    Nothing is kept between calls but caches: `indices(7)` is the same in any process, whether or not
    `indices(6)` was asked for. At fraction 1 every schedule gives the full data.

    Args:
        manifest: an opened manifest of n examples.
        fraction: share of the data in an epoch, in (0, 1]; k = ⌊fraction·n + ½⌋ is `len(curriculum)`.
        epochs: how many epochs there will be; ``milo`` divides them into easy and hard ones.
        schedule: ``fresh``, ``milo``, ``redraw`` (see `syllabus.trainer.schedules`), or any function
            (curriculum, epoch) -> (k,) int64 indices without repeats that keeps nothing between calls.
        seed: of every draw.
        easy_fraction: κ of ``milo``: epoch e is easy iff e < ⌈κ·epochs⌉.
        refresh_every: R: the draw changes every R epochs. Above 1 costs accuracy (measured).
        importance: name of the importance that ``milo`` draws by in its hard phase.
        budgets: how k is divided over partitions when an epoch is drawn: ``equal`` (as published for MILO),
            ``proportional`` or ``sqrt``; by default the rule that the manifest's subsets were made with.

    Raises:
        TrainerError: an option outside its bounds, an unknown schedule, a manifest without the importance.
        ManifestError: a manifest without subsets of the fraction that the schedule needs.
    """

    def __init__(
        self,
        manifest: Manifest,
        fraction: float,
        epochs: int,
        schedule: str | Schedule = "fresh",
        *,
        seed: int,
        easy_fraction: float = 1 / 6,
        refresh_every: int = 1,
        importance: str = "disparity_min",
        budgets: str | None = None,
    ) -> None:
        if not 0 < fraction <= 1:
            raise TrainerError(f"Curriculum: fraction={fraction} is outside (0, 1]")
        if epochs < 1:
            raise TrainerError(f"Curriculum: epochs={epochs} is below 1")
        if not 0 <= easy_fraction <= 1:
            raise TrainerError(f"Curriculum: easy_fraction={easy_fraction} is outside [0, 1]")
        if refresh_every < 1:
            raise TrainerError(f"Curriculum: refresh_every={refresh_every} is below 1")
        if not callable(schedule) and schedule not in SCHEDULES:
            raise TrainerError(f"schedule {schedule!r} is unknown; known: {', '.join(sorted(SCHEDULES))}")
        rule = budgets or manifest.description.get("options", {}).get("budgets", "proportional")
        if rule not in RULES:
            raise TrainerError(f"budgets {rule!r} is unknown; known: {', '.join(sorted(RULES))}")
        self._budget = budget(fraction, manifest.n)
        if self._budget < 1:
            raise TrainerError(f"Curriculum: fraction={fraction} of n={manifest.n} is no example at all")
        self.manifest, self.fraction, self.epochs, self.seed = manifest, fraction, epochs, seed
        self.refresh_every, self.importance, self.budgets = refresh_every, importance, rule
        self.schedule = schedule if isinstance(schedule, str) else getattr(schedule, "__name__", "custom")
        self._schedule = schedule if callable(schedule) else SCHEDULES[schedule]
        self._permutations: dict[int, tuple[int, np.ndarray]] = {}
        # The guard keeps ⌈κ·epochs⌉ right where the product should be whole and rounds up.
        self.easy_epochs = math.ceil(easy_fraction * epochs - 1e-9) if self._is_milo else 0
        if self._is_milo:
            self._check_milo()

    def __len__(self) -> int:
        """Examples in an epoch."""
        return self._budget

    def indices(self, epoch: int) -> np.ndarray:
        """Return the epoch's (k,) int64 example indices in ascending order.

        Cost: O(k log k) for a stored subset; a draw reads all n examples once; about 40 n bytes are kept.
        """
        self._check(epoch, "indices")
        if len(self) == self.manifest.n:
            return self.examples.copy()
        chosen = np.sort(np.asarray(self._schedule(self, epoch)))
        if self._schedule not in SCHEDULES.values():
            self._check_drawn(chosen, epoch)
        return chosen

    def subset_of(self, epoch: int) -> int | None:
        """Return which stored subset the epoch trains on; None where it is drawn.

        The subsets are walked in a seeded shuffle, each once, before any comes again.
        """
        self._check(epoch, "subset_of")
        if epoch >= self.easy_epochs:
            return None
        count = self.manifest.subset_count(self.fraction)
        lap, step = divmod(epoch // self.refresh_every, count)
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
            "importance": self.importance if self._is_milo else "",
        }

    @cached_property
    def examples(self) -> np.ndarray:
        """(n,) int64 ascending indices of the manifest's examples."""
        return self.manifest.examples()

    @cached_property
    def strata(self) -> Strata:
        """The examples that may be drawn, by partition."""
        return Strata.of(self.examples, self.manifest.partitions(), len(self.manifest.partition_sizes))

    @cached_property
    def log_probability(self) -> np.ndarray:
        """(n,) float64 log of the importance's probability, aligned with `strata.members`."""
        table = self.manifest.table(f"importances/{self.importance}", columns=["index", "probability"])
        index = table["index"].to_numpy()
        if len(index) != self.manifest.n:
            raise TrainerError(
                f"importance {self.importance!r} covers {len(index)} of n={self.manifest.n} examples"
            )
        probability = table["probability"].to_numpy()[np.argsort(index)][self.strata.rows]
        # What underflowed to 0 stays behind everything else, but can still fill a budget.
        return np.log(np.maximum(probability, 1e-300))

    def permuted(self, partition: int, cycle: int) -> np.ndarray:
        """Return the partition's members, int64, in the order of a cycle of ``fresh``. The last is cached."""
        cached, members = self._permutations.get(partition, (-1, None))
        if cached != cycle or members is None:
            members = self.strata.members[self.strata.starts[partition] : self.strata.starts[partition + 1]]
            members = members[np.argsort(noise.words(noise.key(self.seed, "fresh", cycle), members))]
            self._permutations[partition] = (cycle, members)
        return members

    @property
    def _is_milo(self) -> bool:
        return self._schedule is SCHEDULES["milo"] and len(self) < self.manifest.n

    def _lap(self, lap: int, count: int) -> np.ndarray:
        # Of two subsets, only one alternation has no equal neighbours, so every lap is the first.
        return noise.permutation(noise.key(self.seed, "subsets", lap if count > 2 else 0), count)

    def _check(self, epoch: int, call: str) -> None:
        if not 0 <= epoch < self.epochs:
            raise TrainerError(f"Curriculum.{call}: epoch={epoch} is outside [0, epochs={self.epochs})")

    def _check_milo(self) -> None:
        if self.easy_epochs < self.epochs and self.importance not in self.manifest.importances:
            known = ", ".join(self.manifest.importances) or "none"
            raise TrainerError(f"importance {self.importance!r} is not in the manifest; stored: {known}")
        if not self.easy_epochs:
            return
        count = self.manifest.subset_count(self.fraction)
        needed = -(-self.easy_epochs // self.refresh_every)
        if count < needed:
            warnings.warn(
                f"milo: {self.easy_epochs} easy epochs of fraction {self.fraction:g} need {needed} subsets "
                f"and the manifest holds {count}: they will come again",
                stacklevel=3,
            )

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
        place = np.minimum(np.searchsorted(self.examples, chosen), self.manifest.n - 1)
        strange = chosen[self.examples[place] != chosen]
        if len(strange):
            raise TrainerError(f"{where} gave index {strange[0]}, which is no example of the manifest")
