"""Searches played on scores that are known: what they cost and what they lose."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PLAYED = 2_000
STARTS = (1 / 60, 1 / 30, 1 / 20, 1 / 10)


@dataclass(frozen=True)
class Pool:
    """Scores of a pool of configurations.

    Attributes:
        full: (2, pool) of full runs on the seeds that searches see.
        reference: (pool,) means of full runs on other seeds.
        cheap: (share, alpha) -> (pool,) scores of one seed.
    """

    full: np.ndarray
    reference: np.ndarray
    cheap: Mapping[tuple[float, float], np.ndarray]


@dataclass(frozen=True)
class Scheme:
    """Rungs of cheap runs, (share, part of the configurations), and how many are trained in full.

    No rungs and no finalists: all in full. No rungs and finalists: random search.
    """

    name: str
    rungs: tuple[tuple[float, float], ...]
    finalists: int
    alpha: float = 0.5

    def cost(self, count: int, seeds: int) -> float:
        """Return what it costs in full runs, as many configurations on a second seed as there are finalists.

        Full-data search trains its best three on the further seeds, too.
        """
        cheap = sum(share * round(part * count) for share, part in self.rungs)
        if not self.finalists:
            return count + 3 * (seeds - 1)
        return cheap + self.finalists * seeds

    def picks(self, pool: Pool, drawn: np.ndarray, seeds: int) -> np.ndarray:
        """Return the configuration that each search names: (searches, count) drawn -> (searches,)."""
        left, scores = drawn, np.empty(0)
        for share, part in self.rungs:
            left = _best(scores, left, round(part * drawn.shape[1])) if len(scores) else left
            scores = pool.cheap[share, self.alpha]
        if self.rungs:
            left = _best(scores, left, self.finalists)
        if not self.rungs and self.finalists:
            left = left[:, : self.finalists]
        if not self.finalists and seeds > 1:
            left = _best(pool.full[0], left, 3)
        return _best(pool.full[:seeds].mean(0), left, 1)[:, 0]


def _best(scores: np.ndarray, left: np.ndarray, count: int) -> np.ndarray:
    return np.take_along_axis(left, np.argsort(-scores[left], 1, kind="stable")[:, :count], 1)


TWO = (
    ((1 / 60, 1.0), (1 / 20, 1 / 3)),
    ((1 / 60, 1.0), (1 / 10, 1 / 9)),
    ((1 / 30, 1.0), (1 / 10, 1 / 3)),
    ((1 / 60, 1.0), (1 / 20, 1 / 3), (1 / 10, 1 / 9)),
)


def schemes() -> Iterator[Scheme]:
    """Yield the searches that are compared."""
    yield Scheme("full", (), 0)
    for count in (1, 2, 3, 4, 5, 6, 8):
        yield Scheme(f"random, {count}", (), count)
    cheap = [((share, 1.0),) for share in STARTS]
    for rungs, finalists, alpha in itertools.product((*cheap, *TWO), (1, 2, 3, 4, 5), (0.0, 0.3, 0.5)):
        kind = "i-epoch" if len(rungs) == 1 else "rungs"
        shares = ", ".join(f"1/{round(1 / share)}" for share, _ in rungs)
        yield Scheme(f"{kind} {shares}, {finalists}, alpha {alpha:g}", rungs, finalists, alpha)


def shown(scheme: Scheme) -> bool:
    """Whether a search is in the table: others are in the figure only."""
    if not scheme.rungs:
        return scheme.finalists in (0, 3, 4, 6)
    return scheme.finalists == 3 or (scheme.finalists < 3 and scheme.alpha == 0.5)


@dataclass(frozen=True)
class Played:
    """A search: its cost in full runs; its regret in points, an interval of it, the mean of the worst 5%."""

    name: str
    seeds: int
    cost: float
    regret: float
    interval: tuple[float, float]
    bad: float


def draws(size: int, count: int, members: np.ndarray, searches: int = PLAYED) -> np.ndarray:
    """Draw (searches, count) of the pool's members without replacement; `size` seeds the draw as well."""
    rng = np.random.default_rng(size)
    return members[np.argsort(rng.random((searches, len(members))), 1)[:, :count]]


def regrets(scheme: Scheme, pool: Pool, drawn: np.ndarray, seeds: int) -> np.ndarray:
    """Return (searches,) regrets in points."""
    return 100 * (pool.reference[drawn].max(1) - pool.reference[scheme.picks(pool, drawn, seeds)])


def played(pool: Pool, count: int, resamples: int = 40) -> Iterator[Played]:
    """Yield what the searches of the table cost and lose, on one seed and on two.

    Intervals are over resamples of the pool itself: which configurations it has is chance.
    """
    everyone = np.arange(len(pool.reference))
    drawn = draws(
        0, count, everyone
    )  # of the whole pool: orders of it, in which random search takes the first
    rng = np.random.default_rng(1)
    pools = [np.unique(rng.choice(everyone, len(everyone))) for _ in range(resamples)]
    others = [draws(k, min(count, len(part)), part, 200) for k, part in enumerate(pools)]
    for scheme, seeds in itertools.product(filter(shown, schemes()), (1, 2)):
        lost = regrets(scheme, pool, drawn, seeds)
        low, high = np.quantile([regrets(scheme, pool, each, seeds).mean() for each in others], (0.05, 0.95))
        bad = np.sort(lost)[-max(len(lost) // 20, 1) :].mean()
        yield Played(
            scheme.name,
            seeds,
            scheme.cost(count, seeds),
            float(lost.mean()),
            (float(low), float(high)),
            float(bad),
        )


def draw_fronts(pools: Mapping[tuple[str, float, str], Pool], count: int, output: Path) -> None:
    """Draw cost against regret, a panel for each set, noise and optimizer."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "tuning",
            "font.size": 8,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    kinds = {
        "random": ("#808080", "random search"),
        "i-epoch, alpha 0": ("#e0a080", "one cheap rung, no correction"),
        "i-epoch": ("#b5532c", "one cheap rung"),
        "rungs": ("#1f5fa8", "two cheap rungs"),
        "full": ("#000000", "all in full"),
    }
    columns = max(len(pools) // 2, 1)
    figure, panels = plt.subplots(
        -(-len(pools) // columns), columns, figsize=(2.6 * columns + 1, 5), layout="constrained",
        squeeze=False, sharex=True,
    )  # fmt: skip
    for panel, ((name, noise, optimizer), pool) in zip(panels.T.flat, pools.items(), strict=False):
        everyone = np.arange(len(pool.reference))
        drawn = draws(0, count, everyone)
        points: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for scheme in schemes():
            kind = scheme.name.split()[0].strip(",")
            if scheme.rungs and scheme.alpha != 0.5:
                kind = f"{kind}, alpha {scheme.alpha:g}"
            if kind in points:
                lost = regrets(scheme, pool, drawn, 1).mean()
                points[kind].append((scheme.cost(count, 1), float(lost)))
        for kind, (colour, label) in kinds.items():
            best = _lower(points[kind])
            panel.plot(*zip(*best, strict=True), "o-", color=colour, markersize=3, linewidth=1.3, label=label)
        panel.axhline(0.3, color="#2a8a4a", linewidth=0.8, linestyle="--")
        panel.axvline(count / 6.5, color="#2a8a4a", linewidth=0.8, linestyle="--")
        title = f"{name}, {optimizer}" + (f", {noise:.0%} wrong labels" if noise else "")
        panel.set(title=title, xscale="log", ylim=(0, None))
        panel.set_yscale("symlog", linthresh=0.1)
        panel.set_yticks([0, 0.1, 0.3, 1, 3, 10], ["0", ".1", ".3", "1", "3", "10"])
        panel.set_xticks([1, 2, 4, 8, 27], ["1", "2", "4", "8", "27"])
        panel.minorticks_off()
    for panel in panels[-1]:
        panel.set_xlabel("cost in full runs")
    for row in panels:
        row[0].set_ylabel("mean regret, points")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.savefig(output, metadata={"Date": None})


def _lower(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no cheaper one matches, by cost."""
    found: list[tuple[float, float]] = []
    for cost, regret in sorted(points):
        if not found or regret < found[-1][1]:
            found.append((cost, regret))
    return found
