"""One training of one configuration: what the user's function is given."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syllabus.manifests import Manifest
from syllabus.trainer.curriculum import Curriculum


@dataclass(frozen=True)
class Run:
    """What to train and on how much; the function that trains takes one and returns a score.

    Attributes:
        params: the hyperparameters, learning rates as a run of this length is to use them.
        configuration: its number in the search.
        share: of a full run's examples, in (0, 1].
        epochs: of the curriculum; each has `share` of the data.
        seed: for weights and order; configurations share it, so that they are compared on equal terms.
        manifest: opened once a process, for all runs.
        data: what the search's `data` returned, once a process.
        checkpoint: a path of its own, for `fit(checkpoint=...)`: an interrupted run goes on from there. The
            file is removed when the run has its score.
        options: of the curriculum.
    """

    params: Mapping[str, Any]
    configuration: int
    share: float
    epochs: int
    seed: int
    manifest: Manifest
    data: Any
    checkpoint: str
    options: Mapping[str, Any]

    @functools.cached_property
    def curriculum(self) -> Curriculum:
        """The curriculum: all `epochs` of a full run, each with `share` of the data.

        A schedule with phases goes through all of them, and a learning rate annealed over
        `sampler.steps(...)` ends at its end: every run is a whole one, only shorter.
        """
        return Curriculum(self.manifest, self.share, self.epochs, seed=self.seed, **self.options)

    @property
    def examples(self) -> int:
        """How many examples the run sees."""
        return sum(self.curriculum.count(epoch) for epoch in range(self.epochs))
