"""The horizon bias: short runs prefer larger learning rates, by a power of their length that can be fitted.

The best rate of a run on D examples goes as D^−α (Bjorck et al., arXiv:2409.19913, α ≈ .3 for AdamW on
language; .5 to .7 in small networks with annealed schedules). So a configuration whose rate is meant for a
full run is tried, on a share s of it, with its rate times s^−α; and a rate that was good there is carried to
a longer run by the same law. α is fitted from runs of several lengths: with z = log rate + α·log s, the
rate's meaning for a full run, scores are a level for each length plus one parabola in z. The posterior over
a grid of α, under a Gaussian prior and with the residual variance integrated out, gives mean and interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PRIOR, ADAM, SPREAD = 0.5, 0.3, 0.2  # means of the prior, of any optimizer and of Adam's kind; its deviation
GRID = np.linspace(-0.2, 1.2, 281)
CLIPPED = 3.0  # scores further below the median than so many deviations are collapses, and say no more


@dataclass(frozen=True)
class Exponent:
    """α with its central 90% interval, and how many runs of how many lengths told it; 0 runs: the prior."""

    value: float
    low: float
    high: float
    runs: int = 0

    def __str__(self) -> str:
        told = f"fitted from {self.runs} runs" if self.runs else "not fitted: runs of one length"
        return f"{self.value:.2f} (90%: {self.low:.2f} to {self.high:.2f}; {told})"


@dataclass(frozen=True)
class Observation:
    """A finished run: the rate that it was trained with, its share of a full run, its other parameters."""

    rate: float
    share: float
    score: float
    others: Mapping[str, Any]


def prior_of(optimizer: str) -> float:
    """Return the prior's mean for an optimizer's name; "" where it is not known."""
    return ADAM if "adam" in optimizer.lower() else PRIOR


def fit_exponent(observations: Sequence[Observation], prior: float = PRIOR) -> Exponent:
    """Return α by what the observations say, which need two lengths with three runs or more each.

    Args:
        observations: scores, larger is better.
        prior: mean of the Gaussian prior, whose deviation is .2.

    Cost: O(281·m·p²) for m runs with p other parameters.
    """
    shares = np.array([each.share for each in observations])
    counts = {share: int((shares == share).sum()) for share in set(shares.tolist())}
    kept = [each for each in observations if counts[each.share] >= 3]
    log_prior = -0.5 * ((GRID - prior) / SPREAD) ** 2
    lengths = len({each.share for each in kept})
    if lengths < 2:
        return _summarised(log_prior, prior, 0)
    scores = _clipped(kept)
    rates = np.log([each.rate for each in kept])
    short = np.log([each.share for each in kept])
    levels = np.array([[each.share == share for share in sorted(counts)] for each in kept], float)
    base = np.hstack([levels[:, levels.any(0)], _others([each.others for each in kept])])
    left = len(kept) - np.linalg.matrix_rank(base) - 2
    if left < 2:
        return _summarised(log_prior, prior, 0)
    likelihood = np.empty(len(GRID))
    for place, alpha in enumerate(GRID):
        z = rates + alpha * short
        z = (z - z.mean()) / max(z.std(), 1e-12)
        design = np.column_stack([base, z, z**2])
        solution, *_ = np.linalg.lstsq(design, scores, rcond=None)
        if solution[-1] > 0:  # no best rate in sight: the parabola must open downwards
            design = design[:, :-1]
            solution, *_ = np.linalg.lstsq(design, scores, rcond=None)
        residual = float(((scores - design @ solution) ** 2).sum())
        likelihood[place] = -0.5 * left * np.log(max(residual, 1e-12))
    return _summarised(log_prior + likelihood, prior, len(kept))


def _summarised(log_density: np.ndarray, prior: float, runs: int) -> Exponent:
    if not runs:
        return Exponent(prior, prior - 1.645 * SPREAD, prior + 1.645 * SPREAD)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    low, high = np.interp((0.05, 0.95), np.cumsum(weights), GRID)
    return Exponent(float(weights @ GRID), float(low), float(high), runs)


def _clipped(runs: Sequence[Observation]) -> np.ndarray:
    """Scores in units of their spread, those of each length clipped from below."""
    scores = np.array([each.score for each in runs])
    shares = np.array([each.share for each in runs])
    for share in set(shares.tolist()):
        own = scores[shares == share]
        middle = np.median(own)
        spread = 1.4826 * np.median(np.abs(own - middle))
        if spread > 0:
            scores[shares == share] = np.maximum(own, middle - CLIPPED * spread)
    return scores / max(scores.std(), 1e-12)


def _others(parameters: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The other parameters as columns: numbers standardised, texts one column a value but the first."""
    columns = []
    for name in sorted({name for each in parameters for name in each}):
        values = [each.get(name) for each in parameters]
        if all(isinstance(value, (int, float)) for value in values):
            numbers = np.array(values, float)
            if numbers.min() > 0 and numbers.max() / numbers.min() > 8:
                numbers = np.log(numbers)
            if numbers.std() > 0:
                columns.append((numbers - numbers.mean()) / numbers.std())
        else:
            for value in sorted({str(value) for value in values})[1:]:
                columns.append(np.array([str(each) == value for each in values], float))
    return np.column_stack(columns) if columns else np.zeros((len(parameters), 0))
