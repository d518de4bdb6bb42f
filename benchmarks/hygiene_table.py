"""The table of `hygiene_defaults.py`'s results: what each arm gains on `fresh`, and whether `auto` does harm.

    python benchmarks/hygiene_table.py RESULTS.csv ... [--plot FILE.svg]

The last lines compare `auto`, cell by cell and seed by seed, with the better of `fresh` and full data:
one-sided t tests over the paired seeds, Holm's correction over all cells. "Harm" rejects "at most .5 points
lost"; "safe" rejects "at least .5 points lost".
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

LOST = 0.5
ARMS = ("full", "coverage", "group", "cover", "suspects", "auto suspects", "auto copies", "auto")


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values."""
    order, adjusted = np.argsort(p), np.empty(len(p))
    adjusted[order] = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    return np.minimum(adjusted, 1)


def one_sided(differences: np.ndarray, bound: float, below: bool) -> float:
    """Return the p-value of the mean being below (or above) `bound`; (seeds,) differences."""
    spread = differences.std(ddof=1)
    if spread == 0:
        return float((differences.mean() < bound) != below)
    t = (differences.mean() - bound) / (spread / np.sqrt(len(differences)))
    return float(stats.t.cdf(t, len(differences) - 1) if below else stats.t.sf(t, len(differences) - 1))


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a cell: what `auto` is above the better of `fresh` and full data, in points."""
    found = []
    for cell, seeds in rows.groupby(["fault", "set", "fraction"]):
        wide = seeds.pivot_table(index="seed", columns="arm", values="accuracy") * 100
        if "auto" not in wide:
            continue
        best = max(("fresh", "full"), key=lambda arm: wide[arm].mean())
        difference = (wide["auto"] - wide[best]).to_numpy()
        found.append(
            dict(zip(("fault", "set", "fraction"), cell, strict=True))
            | {"best": best, "mean": difference.mean(), "to fresh": (wide["auto"] - wide["fresh"]).mean()}
            | {"error": difference.std(ddof=1) / np.sqrt(len(difference))}
            | {"harm": one_sided(difference, -LOST, True), "safe": one_sided(difference, -LOST, False)}
        )
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    rows = pd.concat([pd.read_csv(path) for path in given.results])
    rows = rows.drop_duplicates(["set", "fault", "fraction", "arm", "seed"], keep="last")
    means = rows.groupby(["fault", "set", "fraction", "arm"])["accuracy"].mean().unstack() * 100
    table = means[["fresh"]].join(means[[arm for arm in ARMS if arm in means]].sub(means["fresh"], axis=0))
    print(table.round(1).to_string())
    cells = compared(rows[rows["arm"].isin(("full", "fresh", "auto"))])
    acted = cells["to fresh"] != 0
    print(f"\n{len(cells)} cells; auto is fresh in {int((~acted).sum())}")
    for name in ("harm", "safe"):
        corrected = holm(cells[name].to_numpy()) < 0.05
        print(f"{name}: {int(corrected.sum())} by Holm, {int((cells[name] < 0.05).sum())} alone")
    print(cells[acted].sort_values("mean").head(12).round(3).to_string(index=False))
    print(
        cells[acted]
        .groupby(["fault", "fraction"])["to fresh"]
        .agg(["count", "min", "mean", "max"])
        .round(2)
        .to_string()
    )
    if given.plot is not None:
        plot(cells, table, given.plot)


def plot(cells: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Draw what `auto` and one row a group gain on `fresh` in every cell."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hygiene"})
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, sharex=True, layout="constrained")
    faults = list(dict.fromkeys(cells["fault"]))
    for axis, arm in zip(axes, ("group", "auto"), strict=True):
        for number, fault in enumerate(faults):
            values = table.loc[fault, arm].dropna().to_numpy()
            axis.plot(
                values,
                number + np.random.default_rng(0).uniform(-0.3, 0.3, len(values)),
                "o",
                ms=3,
                alpha=0.6,
            )
        axis.axvline(0, color="grey", lw=0.8)
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks([-80, -10, -1, 0, 1, 10], ["−80", "−10", "−1", "0", "1", "10"])
        axis.set_yticks(range(len(faults)), faults)
        axis.set_xlabel("points above fresh")
        axis.set_title({"group": "one row a duplicate group", "auto": "auto"}[arm])
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
