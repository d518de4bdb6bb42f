"""The pool: what the epochs of a curriculum are drawn from, and by which settings."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from syllabus.manifests import Manifest, allocate
from syllabus.trainer.curriculum.budget import Units
from syllabus.trainer.curriculum.phases import Phases, subset_of_step
from syllabus.trainer.curriculum.strata import CountedStrata, Strata, WeightedStrata, by_partition, starts_of


@dataclass(frozen=True, eq=False)
class Pool:
    """The examples and settings that epochs are drawn from; it keeps caches only, no state.

    Attributes:
        manifest: of all examples.
        fraction: share of the data in an epoch.
        seed: of every draw.
        refresh_every: R: the draw changes every R epochs.
        rule: how a budget is divided over partitions.
        filters: names of those that leave examples out, and
        kept: (manifest.n,) bool, which ones they keep, in index order; None for all.
        units: the budget of an epoch, and what the examples count for.
        phases: which phase each epoch is in.
        importance: that weighted draws go by; empty where there are none.
        stored: whether epochs of the first phase are the manifest's subsets.
    """

    manifest: Manifest
    fraction: float
    seed: int
    refresh_every: int
    rule: str
    filters: tuple[str, ...]
    kept: np.ndarray | None
    units: Units
    phases: Phases
    importance: str
    stored: bool
    _log_probabilities: dict[str, tuple[Strata, np.ndarray]] = field(default_factory=dict, init=False)

    @cached_property
    def n(self) -> int:
        """The number of examples that may be drawn."""
        return self.manifest.n if self.kept is None else int(self.kept.sum())

    @cached_property
    def examples(self) -> np.ndarray:
        """(n,) int64 ascending indices of the examples that may be drawn."""
        return self._every()

    @cached_property
    def strata(self) -> Strata:
        """The examples that may be drawn, by partition; their order inside one is not fixed."""
        partitions = self.manifest.partitions()
        if self.kept is not None:
            partitions = partitions[self.kept]
        # Not `examples`: that would be kept, and most schedules never ask for it.
        examples = self._every()
        return self._strata(*by_partition(examples, partitions, len(self.manifest.partition_sizes)), examples)

    def log_probabilities(self, importance: str) -> tuple[Strata, np.ndarray]:
        """Return the examples that may be drawn, by partition and rank, and (n,) float64, log p of each."""
        if importance not in self._log_probabilities:
            table = f"importances/{importance}"
            with ThreadPoolExecutor(2) as pool:  # decoding leaves Python's lock alone
                index, p = pool.map(lambda name: self.manifest.column(table, name), ("index", "probability"))
            starts = starts_of(self.manifest.partition_sizes)
            if self.kept is not None:
                known = np.zeros(int(index.max()) + 1, np.bool_)
                known[self.examples] = True
                mask = known[index]
                index, p, starts = index[mask], p[mask], starts_of(mask)[starts]
            # What underflowed to 0 stays behind everything else, but can still fill a budget.
            np.log(np.maximum(p, 1e-300, out=p), out=p)
            self._log_probabilities[importance] = self._strata(index, starts), p
        return self._log_probabilities[importance]

    def shares(self, strata: Strata) -> np.ndarray:
        """Return the (C,) int64 steps of an epoch that each partition is due."""
        return allocate(self.units.budget_steps, strata.sizes, self.rule)

    def stored_subset(self, epoch: int) -> int | None:
        """Return which of the manifest's subsets the epoch is; None where it is drawn."""
        first, number = self.phases.of(epoch)
        if not (first and self.stored):
            return None
        count = self.manifest.subset_count(self.fraction)
        return subset_of_step(number // self.refresh_every, count, self.seed)

    def _every(self) -> np.ndarray:
        examples = self.manifest.examples()
        return examples if self.kept is None else examples[self.kept]

    def _strata(self, members: np.ndarray, starts: np.ndarray, examples: np.ndarray | None = None) -> Strata:
        if self.units.heaviest == 1:
            return CountedStrata(members, starts)  # nothing is looked up, nor `examples` kept
        weights = self.units.of_members(members, self.examples if examples is None else examples)
        return WeightedStrata(members, starts, weights)
