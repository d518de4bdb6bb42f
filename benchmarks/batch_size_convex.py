"""What rules of batch sizes cost on the problems of `batch_size_problems.py`, over grids of their options.

All configurations of a method and all seeds descend side by side, with the same noise. Rules are formulas
here, checked against the controllers' decisions before anything is counted.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from batch_size_problems import DIMENSIONS, Problem, strongly_convex

from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    BatchSizeController,
    GeoDamp,
    PadaDamp,
    Rule,
    Seesaw,
    Signals,
    cosine,
)

PROBE = 512 / 3  # a forward pass of the default probe, in gradients
PATIENCE = 1.5  # a configuration is given up once it has taken so many times the best one's gradients
CAP = 1e7
FIELDS = ("problem", "method", "loss", "updates", "gradients")


@dataclass(frozen=True)
class Options:
    """The grid of a method, a configuration a row.

    Attributes:
        rate: first learning rates times L.
        half: updates after which a rate is halved; inf for constant rates.
        power: of the decay: (1 + k/half)^−power.
        first: first sizes.
        growth: of PadaDamp's rate, or examples between two steps of GeoDamp.
    """

    rate: np.ndarray
    half: np.ndarray
    power: float
    first: np.ndarray
    growth: np.ndarray

    def take(self, rows: np.ndarray) -> Options:
        """Return some configurations."""
        return Options(self.rate[rows], self.half[rows], self.power, self.first[rows], self.growth[rows])


def grid(
    rates: Sequence[float],
    *,
    halves: Sequence[float] = (math.inf,),
    power: float = 1.0,
    firsts: Sequence[float] = (1.0,),
    growths: Sequence[float] = (0.0,),
) -> Options:
    """Return every combination."""
    rate, half, first, growth = np.array(list(itertools.product(rates, halves, firsts, growths))).T
    return Options(rate, half, power, first, growth)


# Rules: (options, updates, first losses, losses, gradients so far) -> sizes; these (configurations, seeds)
Sizes = Callable[[Options, int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def fixed(options: Options, k: int, start: np.ndarray, losses: np.ndarray, done: np.ndarray) -> np.ndarray:  # noqa: ARG001
    return options.first[:, None]


def damped(options: Options, k: int, start: np.ndarray, losses: np.ndarray, done: np.ndarray) -> np.ndarray:  # noqa: ARG001
    return np.ceil(options.first[:, None] * start / losses * (1 - 1e-12))


def growing(options: Options, k: int, start: np.ndarray, losses: np.ndarray, done: np.ndarray) -> np.ndarray:  # noqa: ARG001
    return np.minimum(np.ceil((options.first + options.growth * k) * (1 - 1e-12)), CAP)[:, None]


def stepped(options: Options, k: int, start: np.ndarray, losses: np.ndarray, done: np.ndarray) -> np.ndarray:  # noqa: ARG001
    steps = np.minimum(done // options.growth[:, None], 60)
    return np.minimum(options.first[:, None] * 2.0**steps, CAP)


def told_within(deviation: float) -> Sizes:
    """`damped` by losses that are known up to a relative standard deviation."""
    rng = np.random.default_rng(1)

    def size(options: Options, k: int, start: np.ndarray, losses: np.ndarray, done: np.ndarray) -> np.ndarray:
        return damped(options, k, start, losses * np.exp(deviation * rng.standard_normal(losses.shape)), done)

    return size


@dataclass(frozen=True)
class Cost:
    """What it took to reach each target: (targets, seeds) of one configuration, and of the best for each."""

    updates: np.ndarray
    gradients: np.ndarray
    chosen: int
    tuned_updates: np.ndarray
    tuned_gradients: np.ndarray


def descend(
    problem: Problem, size: Sizes, options: Options, seeds: int, most_updates: int, probe: float = 0.0
) -> Cost:
    """Train every configuration until the losses are below each target; return those of fewest gradients.

    Args:
        problem: what is minimised.
        size: the rule.
        options: configurations.
        seeds: runs of each.
        most_updates: after which what has not arrived is given up.
        probe: gradients that measuring the loss before an update costs, beside the batch.
    """
    rng = np.random.default_rng(0)
    count, targets = len(options.rate), problem.targets
    found = np.full((2, count, len(targets), seeds), np.nan)
    rows = np.arange(count)
    w = np.tile(problem.start, (count, seeds, 1))
    done = np.zeros((count, seeds))
    reached = np.zeros((count, seeds), int)
    start, part, best = problem.loss(w), options, math.inf
    for k in range(most_updates + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            losses = problem.loss(w)
        while (hit := losses <= np.append(targets, -math.inf)[reached]).any():
            places, columns = np.nonzero(hit)
            found[0, rows[places], reached[hit], columns] = k
            found[1, rows[places], reached[hit], columns] = done[hit]
            reached[hit] += 1
        if k % 64 == 0:
            over = found[1, :, -1].mean(-1)
            best = float(np.nanmin(over)) if not np.isnan(over).all() else math.inf
            kept = (reached < len(targets)).any(1) & np.isfinite(losses).all(1)
            kept &= done.min(1) <= PATIENCE * best
            if not kept.any():
                break
            if not kept.all():
                rows, w, done, reached, start, losses = (
                    each[kept] for each in (rows, w, done, reached, start, losses)
                )
                part = options.take(rows)
        batch = np.broadcast_to(size(part, k, start, losses, done), done.shape)
        rate = part.rate * (1 + k / part.half) ** -part.power / problem.smoothness
        with np.errstate(over="ignore", invalid="ignore"):  # rates too large; those are given up above
            noise = rng.standard_normal(w.shape[1:]) * problem.deviation(w) / np.sqrt(batch)[..., None]
            w -= rate[:, None, None] * (problem.gradient(w) + noise)
        done += batch + probe
    mean = np.where(np.isnan(found).any(-1), np.inf, found.mean(-1))
    least = (mean[1] + 1e-9 * mean[0]).argmin(0)  # gradient descent's gradients are all ∞: by its updates
    tuned = found[:, least, np.arange(len(targets))]
    return Cost(*found[:, least[-1]], int(least[-1]), *tuned)


def exponent(targets: np.ndarray, cost: np.ndarray) -> tuple[float, float]:
    """Return the slope of log cost over log 1/target, the mean over seeds, and its standard error.

    1 where a tenth of the loss costs ten times as much.
    """
    if np.isnan(cost).any():
        return math.nan, math.nan
    slopes = np.polyfit(-np.log(targets), np.log(np.maximum(cost, 1)), 1)[0]
    return float(slopes.mean()), float(slopes.std(ddof=1) / len(slopes) ** 0.5)


def check(rule: Rule, size: Sizes, options: Options, signal: str | None) -> None:
    """Compare a formula with the controller's decisions for losses that fall with noise."""
    rng = np.random.default_rng(2)
    free = {"minimum": 1, "every": 0, "wait": 0, "growth": math.inf, "monotone": False, "beta2": "fixed"}
    controller = BatchSizeController(rule, round(float(options.first[0])), **(free if signal else {}))
    first = done = np.zeros((1, 1))
    for k in range(200):
        loss = np.array([[math.exp(rng.normal(-k / 40, 0.1))]])
        first = loss if k == 0 else first
        signals = Signals(**{signal: float(loss[0, 0])}) if signal else Signals()
        decided = controller.decide(k, round(float(done[0, 0])), signals).batch_size
        expected = size(options, k, first, loss, done)
        if decided != expected[0, 0]:
            raise AssertionError(f"{rule.name}: {decided} by the controller, {expected[0, 0]} by the formula")
        done = done + expected


def compare(problem: Problem, seeds: int, quick: bool, results: Path) -> None:
    """Print what each method takes to the five targets, and the exponents; add it to a CSV file."""
    rates = (1.0, 0.3, 0.1) if quick else (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    # updates after which the rate is halved
    halves = (3.0, 30.0, 300.0) if quick else (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
    firsts = (1.0, 4.0, 16.0) if quick else (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    limit = 200_000 if quick else 3_000_000
    by_norm = problem.name == "non-convex"
    rule = AdaDampNN(guard=0) if by_norm else AdaDamp(guard=0)
    check(rule, damped, grid([1.0], firsts=[4.0]), "probe_norm" if by_norm else "probe_loss")
    check(PadaDamp(rate=0.3), growing, grid([1.0], firsts=[4.0], growths=[0.3]), None)
    check(GeoDamp(examples=1000), stepped, grid([1.0], firsts=[4.0], growths=[1000.0]), None)
    constant = [r * s for r in rates for s in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)]
    adaptive = grid(rates, firsts=firsts)
    methods: dict[str, tuple[Sizes, Options, float]] = {
        "gradient descent": (fixed, grid(rates, firsts=[1e15]), 0.0),
        "AdaDamp, exact loss": (damped, adaptive, 0.0),
        "  its probe counted": (damped, grid(rates, firsts=[f * s for f in firsts for s in (1, 64)]), PROBE),
        "AdaDamp, loss ± 20%": (told_within(0.2), adaptive, 0.0),
        "AdaDamp, rate ~ 1/k": (damped, grid([1.0], halves=halves, firsts=firsts), 0.0),
        "PadaDamp": (growing, grid(rates, firsts=firsts, growths=[0.1, 0.3, 1.0, 3.0, 10.0]), 0.0),
        "GeoDamp": (stepped, grid(rates, firsts=firsts, growths=[100.0, 1000.0, 10_000.0, 100_000.0]), 0.0),
        "SGD, rate ~ 1/k": (fixed, grid(rates, halves=halves), 0.0),
        "SGD, rate ~ 1/√k": (fixed, grid(rates, halves=halves, power=0.5), 0.0),
        "SGD, constant rate": (fixed, grid(constant), 0.0),
    }
    targets = "".join(f"{t:>18.4g}" for t in problem.targets)
    print(
        f"\n{problem.name}: updates / gradients to the loss{targets}   exponents; tuned for each", flush=True
    )
    for name, (size, options, probe) in methods.items():
        cost = descend(problem, size, options, seeds, limit, probe)
        updates, gradients = (np.median(each, -1) for each in (cost.updates, cost.gradients))
        cells = "".join(
            f"{u:>8,.0f} /{g:>8,.0f}" if g < 1e12 else f"{u:>8,.0f} /       ∞"
            for u, g in zip(updates, gradients, strict=True)
        )
        counts = (cost.updates, cost.gradients, cost.tuned_updates, cost.tuned_gradients)
        slopes = [exponent(problem.targets, each) for each in counts]
        if name == "gradient descent":
            slopes[1] = slopes[3] = math.nan, math.nan
        told = " / ".join(f"{slope:.2f} ± {error:.2f}" for slope, error in slopes)
        picked = options.take(np.array([cost.chosen]))
        print(
            f"{name:22}{cells}   {told}   (rate {picked.rate[0]:.3g}, half {picked.half[0]:g},"
            f" first {picked.first[0]:g}, growth {picked.growth[0]:g})",
            flush=True,
        )
        results.parent.mkdir(parents=True, exist_ok=True)
        with results.open("a", newline="") as file:
            rows = zip(problem.targets, updates, gradients, strict=True)
            csv.writer(file).writerows([[problem.name, name.strip(), *row] for row in rows])


def seesaw(seeds: int, examples: int = 40_000, first: int = 8) -> None:
    """Print the serial steps and final losses of a cosine and of Seesaw, under normalised SGD.

    The paper's proxy of Adam: the step is divided by √E‖g‖², known here. Each at its best learning rate.
    """
    problem = strongly_convex()
    trace = DIMENSIONS * problem.noise**2
    schedule = cosine(examples)
    print(f"\nSeesaw beside a cosine: normalised SGD, {examples:,} examples, first size {first}")
    print(f"{'':22}{'steps':>8}{'best rate':>12}{'loss':>12}{'spread':>10}")
    for name in ("cosine, fixed size", "Seesaw", "cosine, size × 1.6"):
        found = []
        for peak in np.geomspace(0.003, 0.3, 13):
            rng = np.random.default_rng(0)
            w, done, steps = np.tile(problem.start, (seeds, 1)), 0, 0
            controller = BatchSizeController(Seesaw(schedule), first, maximum=examples // 10)
            while done < examples:
                size, factor = first if name == "cosine, fixed size" else round(1.6 * first), schedule(done)
                if name == "Seesaw":
                    decision = controller.decide(steps, done)
                    size, factor = decision.batch_size, decision.lr_factor
                size = min(size, examples - done)
                gradient = problem.gradient(w)
                scale = np.sqrt((gradient**2).sum(-1, keepdims=True) + trace / size)
                noise = rng.standard_normal(w.shape) * problem.noise / math.sqrt(size)
                w = w - peak * factor * (gradient + noise) / scale
                done, steps = done + size, steps + 1
            losses = problem.loss(w)
            found.append((float(losses.mean()), float(losses.std()), peak, steps))
        loss, spread, peak, steps = min(found)
        print(f"{name:22}{steps:>8,}{peak:>12.4f}{loss:>12.5f}{spread:>10.5f}", flush=True)
