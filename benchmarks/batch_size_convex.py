"""What rules of batch sizes cost on the problems of `batch_size_problems.py`, over grids of their options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Cost:
    """What it took to reach each target: (targets,) medians over seeds, NaN where too few got there."""

    updates: np.ndarray
    gradients: np.ndarray


Sizes = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


def run(
    problem: Problem,
    size: Sizes,
    rate: Callable[[int], float],
    seeds: int,
    most_updates: int,
    most_gradients: float,
    probe: float = 0.0,
) -> Cost:
    """Train and count until the losses are below each target.

    Args:
        problem: what is minimised.
        size: (updates, (seeds,) losses, (seeds,) gradients so far) -> (seeds,) batch sizes.
        rate: updates -> learning rate times L.
        seeds: runs side by side.
        most_updates: after which a run is given up.
        most_gradients: likewise.
        probe: gradients that measuring the loss before an update costs, beside the batch.
    """
    rng = np.random.default_rng(0)
    w = np.tile(problem.start, (seeds, 1))
    reached = np.full((2, len(problem.targets), seeds), np.nan)
    gradients = np.zeros(seeds)
    for k in range(most_updates + 1):
        losses = problem.loss(w)
        new = (losses <= problem.targets[:, None]) & np.isnan(reached[0])
        reached[0][new] = k
        reached[1][new] = np.broadcast_to(gradients, new.shape)[new]
        if (
            not np.isnan(reached[0][-1]).any()
            or gradients.min() > most_gradients
            or not np.isfinite(losses).all()
        ):
            break
        batch = size(k, losses, gradients)
        noise = rng.standard_normal(w.shape) * (problem.noise / np.sqrt(batch))[:, None]
        w = w - rate(k) / problem.smoothness * (problem.gradient(w) + noise)
        gradients += batch + probe
    enough = (~np.isnan(reached[0])).sum(-1) == seeds
    medians = [np.where(enough, np.nanmedian(np.where(enough[:, None], r, 0), -1), np.nan) for r in reached]
    return Cost(*medians)


def exponent(targets: np.ndarray, cost: np.ndarray) -> float:
    """Return the slope of log cost over log 1/target: 1 where a tenth of the loss costs ten times as much."""
    known = ~np.isnan(cost) & (cost > 0)
    if known.sum() < 3:
        return math.nan
    return float(np.polyfit(-np.log(targets[known]), np.log(cost[known]), 1)[0])


def one_per_seed(
    make: Callable[[], BatchSizeController], signal: str, seeds: int, noise: float = 0.0
) -> Sizes:
    """Return the sizes of the real controllers, one a seed, told the exact loss or norm.

    Args:
        make: returns a fresh controller.
        signal: ``probe_loss`` or ``probe_norm``.
        seeds: how many.
        noise: relative standard deviation of what is told, as of a loss that is estimated.
    """
    controllers, rng = [make() for _ in range(seeds)], np.random.default_rng(1)

    def size(k: int, losses: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        told = losses * np.exp(noise * rng.standard_normal(len(losses)))
        return np.array(
            [
                c.decide(k, round(count), Signals(**{signal: float(value)})).batch_size
                for c, value, count in zip(controllers, told, gradients, strict=True)
            ],
            float,
        )

    return size


def best(configurations: list[Callable[[float], Cost]]) -> tuple[Cost, int]:
    """Return the configuration that reaches the last target with the fewest gradients, and which it is.

    A run is given up once it has taken more than the best so far.
    """
    least, found, chosen = math.inf, None, 0
    for number, make in enumerate(configurations):
        cost = make(least)
        last = cost.gradients[-1]
        if found is None or (not np.isnan(last) and last < least):
            found, chosen = cost, number
            least = least if np.isnan(last) else float(last)
    assert found is not None
    return found, chosen


def compare(problem: Problem, seeds: int, quick: bool) -> None:
    """Print what each method takes to the five targets, and the exponents of updates and gradients."""
    rates = (1.0, 0.3, 0.1) if quick else (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    halves = (
        (3, 30, 300) if quick else (1, 3, 10, 30, 100, 300, 1000)
    )  # updates after which the rate is halved
    firsts = (1, 4, 16) if quick else (1, 2, 4, 8, 16, 32)
    limit = 200_000 if quick else 1_000_000
    measured = "probe_norm" if problem.name == "non-convex" else "probe_loss"
    rule = AdaDampNN(guard=0) if problem.name == "non-convex" else AdaDamp(guard=0)
    free = {"minimum": 1, "every": 0, "wait": 0, "growth": math.inf, "monotone": False, "beta2": "fixed"}

    def adaptive(first: int, told: float) -> Sizes:
        return one_per_seed(lambda: BatchSizeController(rule, first, **free), measured, seeds, told)

    def planned(rule: Rule, first: int) -> Sizes:
        return one_per_seed(lambda: BatchSizeController(rule, first, maximum=10**7), measured, seeds)

    def constant(r: float) -> Callable[[int], float]:
        return lambda _: r

    def decayed(r: float, half: int) -> Callable[[int], float]:
        return lambda k: r / (1 + k / half)

    def rooted(r: float, half: int) -> Callable[[int], float]:
        return lambda k: r / math.sqrt(1 + k / half)

    def trial(
        size: Callable[[], Sizes], rate: Callable[[int], float], most: float = 1e8, probe: float = 0.0
    ) -> Callable[[float], Cost]:
        return lambda least: run(problem, size(), rate, seeds, limit, min(most, 2 * least), probe)

    def fixed(b: float) -> Callable[[], Sizes]:
        return lambda: lambda _, losses, __: np.full(len(losses), float(b))

    every = list(itertools.product(rates, firsts))
    methods: dict[str, list[Callable[[float], Cost]]] = {
        "gradient descent": [trial(fixed(1e15), constant(r), math.inf) for r in rates],
        "SGD, constant rate": [trial(fixed(1), constant(r * s)) for r in rates for s in (0.03, 0.003)],
        "SGD, rate ~ 1/k": [trial(fixed(1), decayed(r, h)) for r in rates for h in halves],
        "SGD, rate ~ 1/√k": [trial(fixed(1), rooted(r, h)) for r in rates for h in halves],
        "AdaDamp, exact loss": [trial(lambda b=b: adaptive(b, 0.0), constant(r)) for r, b in every],
        "  its probe counted": [
            trial(lambda b=b: adaptive(b, 0.0), constant(r), 1e8, PROBE) for r, b in every
        ],
        "AdaDamp, loss ± 20%": [trial(lambda b=b: adaptive(b, 0.2), constant(r)) for r, b in every],
        "AdaDamp, rate ~ 1/k": [
            trial(lambda b=b: adaptive(b, 0.0), decayed(1.0, h)) for h in halves for b in firsts
        ],
        "PadaDamp": [
            trial(lambda b=b, g=g: planned(PadaDamp(rate=g), b), constant(r))
            for r, b in every
            for g in (0.1, 1.0, 10.0)
        ],
        "GeoDamp": [
            trial(lambda b=b, x=x: planned(GeoDamp(examples=x), b), constant(r))
            for r, b in every
            for x in (100, 1000, 10_000)
        ],
    }
    targets = "".join(f"{t:>18.4g}" for t in problem.targets)
    print(f"\n{problem.name}: updates / gradients to the loss{targets}   exponents", flush=True)
    for name, configurations in methods.items():
        cost, chosen = best(configurations)
        cells = "".join(
            f"{u:>8,.0f} /{g:>8,.0f}" if g < 1e12 else f"{u:>8,.0f} /       ∞"
            for u, g in zip(cost.updates, cost.gradients, strict=True)
        )
        gradients = math.nan if name == "gradient descent" else exponent(problem.targets, cost.gradients)
        print(
            f"{name:22}{cells}   {exponent(problem.targets, cost.updates):.2f} / {gradients:.2f}"
            f"   ({chosen + 1} of {len(configurations)})",
            flush=True,
        )


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
