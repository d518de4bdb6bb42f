"""What a search found, what it cost, and how far the truth may be from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syllabus.trainer.tuning.horizon import Exponent
from syllabus.trainer.tuning.result import Result, ranked
from syllabus.trainer.tuning.schemes import Rung, cost

DRAWS = 10_000


@dataclass(frozen=True)
class Summary:
    """The outcome of a search; its text is what a person reads.

    Attributes:
        params: the best configuration's, for a full run.
        score: of it, the mean over its seeds.
        configuration: its number.
        results: every run.
        rungs: the plan.
        seeds: runs of a finalist.
        full_runs: what was trained, in full runs' examples.
        instead_of: what training every configuration in full would have cost, the finalists on as many seeds.
        exponents: of the learning rate in the length of a run, by optimizer ("" where there is one).
        regret: by how much the best of all configurations may be expected to be better than the one found;
            None where nothing tells.
        maximize: whether larger scores are better.
    """

    params: Mapping[str, Any]
    score: float
    configuration: int
    results: tuple[Result, ...]
    rungs: tuple[Rung, ...]
    seeds: int
    full_runs: float
    instead_of: float
    exponents: Mapping[str, Exponent]
    regret: float | None
    maximize: bool

    def __str__(self) -> str:
        runs = ", ".join(f"{rung.count} at {rung.name}" for rung in self.rungs)
        seeds = f" on {self.seeds} seeds" if self.seeds > 1 else ""
        lines = [
            f"runs: {runs}{seeds}: {self.full_runs:.1f} full runs' worth of examples instead of"
            f" {self.instead_of:g} ({self.instead_of / self.full_runs:.1f} times fewer)",
            f"best: configuration {self.configuration}, score {self.score:.4f}{self._spread()}",
        ]
        for group, exponent in self.exponents.items():
            name = f" of {group}" if group else ""
            lines.append(f"learning rates{name} go with (examples)^-α, α = {exponent}")
        if self.regret is not None:
            lines.append(f"the best of all configurations may be better by {self.regret:.4f}, by expectation")
        failed = Counter(result.error for result in self.results if result.error)
        lines += [f"failed: {count} × {reason}" for reason, count in failed.most_common()]
        arguments = ", ".join(f"{name}={_shown(value)}" for name, value in self.params.items())
        return "\n".join([*lines, f"retrain in full with: {arguments}"])

    def _spread(self) -> str:
        best = next(r for r in self.results if r.share == 1 and r.configuration == self.configuration)
        if len(best.seed_scores) < 2:
            return ""
        return f" (from {min(best.seed_scores):.4f} to {max(best.seed_scores):.4f} over seeds)"


def summarise(
    rungs: Sequence[Rung],
    results: Sequence[Result],
    exponents: Mapping[str, Exponent],
    maximize: bool,
    seeds: int,
    full_examples: int,
) -> Summary:
    """Return the summary of a search that is done.

    Args:
        rungs: of the plan, the last of full runs.
        results: of all rungs.
        exponents: that were fitted last.
        maximize: whether larger scores are better.
        seeds: runs of a finalist.
        full_examples: of one full run.
    """
    best = ranked(results, 1.0, maximize)[0]
    finalists = rungs[-1].count
    whole = rungs[0].count + finalists * (seeds - 1)
    planned = cost(rungs, seeds)
    trained = sum(result.examples for result in results) / full_examples
    return Summary(
        best.params,
        float(best.score or 0.0),
        best.configuration,
        tuple(results),
        tuple(rungs),
        seeds,
        trained or planned,
        float(whole),
        exponents,
        expected_regret(results, maximize),
        maximize,
    )


def expected_regret(results: Sequence[Result], maximize: bool) -> float | None:
    """Return how much better the best of all configurations is, in expectation, than the best finalist.

    A configuration that had no full run is predicted from its last one: by the mean gain of those that had
    both, with their residual deviation, taken from 10,000 draws of a fixed seed. None where fewer than three
    had both: two tell no deviation. The finalists were chosen by their luck, too, so this is a lower bound
    for searches of few finalists.
    """
    sign = 1 if maximize else -1
    last: dict[int, float] = {}
    full: dict[int, float] = {}
    for result in sorted(results, key=lambda each: each.share):
        if result.score is not None:
            (full if result.share == 1 else last)[result.configuration] = sign * result.score
    both = sorted(set(full) & set(last))
    rest = sorted(set(last) - set(full))
    if len(both) < 3:
        return None
    if not rest:
        return 0.0
    gains = np.array([full[k] - last[k] for k in both])
    deviation = float(gains.std(ddof=1)) * math.sqrt(1 + 1 / len(both))
    predicted = np.array([last[k] for k in rest]) + gains.mean()
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(rest)))
    best_of_rest = (predicted + deviation * noise).max(1)
    return float(np.maximum(best_of_rest - max(full.values()), 0).mean())


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
