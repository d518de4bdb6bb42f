"""What MILO's two phases are made of: how good and how different easy subsets are, how hard the hard draws.

    python benchmarks/milo.py                        # quality, speed, difficulty: minutes on one thread
    python benchmarks/milo.py --only speed           # or quality, difficulty
    python benchmarks/milo.py --plot docs/milo.svg   # the trade-off over ε, from the rows that quality kept

Quality: 50 subsets of a tenth, class by class: normalised gain (f(S) - r) / (f(greedy) - r), r the mean of 20
stratified random subsets; Jaccard overlap of pairs; share of all rows in any subset. Data: `milo_data.py`;
vectors and the rows of the quality table are kept in --cache, so that a second run resumes. One thread.
"""

import argparse
import csv
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import milo_data
import numpy as np

from syllabus.selectors import (
    DisparityMin,
    FacilityLocation,
    GraphCut,
    explore,
    importances,
    inclusion_probabilities,
    maximize,
    random_value,
)

SUBSETS = 50
FUNCTIONS = {"graph cut": GraphCut, "facility location": FacilityLocation}
EPSILONS = (0.5, 0.2, 0.1, 0.03, 0.01, 0.001)
COLUMNS = (
    "set",
    "function",
    "epsilon",
    "gain",
    "least",
    "jaccard",
    "largest",
    "covered",
    "distinct",
)
Sets = dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]]


def parts(classes: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(classes == name) for name in np.unique(classes)]


def tenth(rows: np.ndarray) -> int:
    return max(1, round(len(rows) / 10))


def quality(sets: Sets, cache: Path) -> None:
    path = cache / "milo.csv"
    done = {tuple(row[:3]): row for row in csv.reader(path.open())} if path.exists() else {}
    heads = f"{'gain':>5} {'least':>6}  {'Jaccard':>7} {'largest':>7}  {'covered':>7} {'distinct':>8}"
    print(f"{'set':15} {'function':18} {'ε':>6}  {heads}")
    for (name, make), function in itertools.product(sets.items(), FUNCTIONS):
        keys = [(name, function, str(epsilon)) for epsilon in EPSILONS]
        if any(key not in done for key in keys):
            for key, cells in zip(keys, measured(FUNCTIONS[function], *make()), strict=True):
                done[key] = [*key, *(f"{cell:.4f}" for cell in cells)]
            cache.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(done.values())
        for key in keys:
            gain, least, jaccard, largest, covered, distinct = map(float, done[key][3:])
            print(
                f"{name:15} {function:18} {key[2]:>6}  {gain:5.3f} {least:6.3f}  {jaccard:7.3f} "
                f"{largest:7.3f}  {covered:7.3f} {distinct:8.0f}",
                flush=True,
            )


def measured(kind: type, rows: np.ndarray, classes: np.ndarray) -> list[list[float]]:
    """Return the cells of the table for each ε."""
    greedy = floor = 0.0
    values = np.zeros((len(EPSILONS), SUBSETS))
    members = np.zeros((len(EPSILONS), SUBSETS, len(rows)), np.bool_)
    for number, part in enumerate(parts(classes)):
        function = kind(rows[part])
        budget = tenth(part)
        greedy += maximize(function, budget, "lazy").objective
        floor += random_value(function, budget, 20, seed=(0, number))
        for case, epsilon in enumerate(EPSILONS):
            found = explore(function, budget, SUBSETS, (0, number), epsilon)
            for subset, selection in enumerate(found):
                values[case, subset] += selection.objective
                members[case, subset, part[selection.indices]] = True
    cells = []
    for value, subsets in zip(values, members, strict=True):
        gains = (value - floor) / (greedy - floor)
        overlap = overlaps(subsets)
        distinct = len({subset.tobytes() for subset in subsets})
        covered = float(subsets.any(0).mean())
        cells.append([gains.mean(), gains.min(), overlap.mean(), overlap.max(), covered, distinct])
    return cells


def overlaps(subsets: np.ndarray) -> np.ndarray:
    """Return the Jaccard overlap of each pair of (subsets, n) memberships."""
    both = subsets.astype(np.float32) @ subsets.T.astype(np.float32)
    sizes = np.diag(both)
    return (both / (sizes[:, None] + sizes - both))[np.triu_indices(len(subsets), 1)]


def seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2]


def clustered() -> list[np.ndarray]:
    """Return 10 classes of 3,000 unit rows."""
    rng = np.random.default_rng(0)
    centres = milo_data.unit(rng.standard_normal((100, 384)))
    rows = centres[rng.integers(0, 100, 30_000)] + 0.5 * milo_data.unit(rng.standard_normal((30_000, 384)))
    return np.split(milo_data.unit(rows), 10)


def speed() -> None:
    classes = clustered()

    def all_classes(kind: type, subsets: int) -> None:
        for number, part in enumerate(classes):
            explore(kind(part), 300, subsets, seed=(0, number))

    print(f"\n{'n = 30,000 in 10 classes, d = 384, 10%':42} {'seconds':>8}")
    for name, kind in FUNCTIONS.items():
        explore(kind(classes[0][:500]), 50, 1, seed=0)  # compiles
        one = seconds(lambda kind=kind: all_classes(kind, 1))
        many = seconds(lambda kind=kind: all_classes(kind, SUBSETS))
        print(f"{name + ', one subset':42} {one:8.3f}")
        print(f"{f'{name}, {SUBSETS} subsets':42} {many:8.3f}  {many / one:.1f}x one", flush=True)


def difficulty(name: str, rows: np.ndarray, classes: np.ndarray, losses: np.ndarray) -> None:
    """Print the mean loss, under a model that saw neither these rows nor their vectors, of what is drawn."""
    sums = dict.fromkeys(("SGE graph cut", "SGE facility location", "uniform", "radius"), 0.0)
    for number, part in enumerate(parts(classes)):
        budget, loss = tenth(part), losses[part]
        for function, kind in FUNCTIONS.items():
            found = explore(kind(rows[part]), budget, 8, seed=(0, number))
            sums[f"SGE {function}"] += float(np.mean([loss[s.indices].sum() for s in found]))
        sums["uniform"] += budget * float(loss.mean())
        ranking = maximize(DisparityMin(rows[part]), len(part), "naive")
        p = importances.tempered_probabilities(importances.insertion_radii(ranking.gains), 0.5)
        sums["radius"] += float(inclusion_probabilities(p, budget) @ loss[ranking.indices])
    total = sum(tenth(part) for part in parts(classes))
    print(
        f"{name:15} " + "  ".join(f"{what} {value / total:.3f}" for what, value in sums.items()), flush=True
    )


def held_out_losses(seen: object, named: np.ndarray, rows: object, classes: np.ndarray) -> np.ndarray:
    """Return each row's logarithmic loss under a linear model of other rows."""
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=15, tol=None, random_state=0).fit(seen, named)
    p = model.predict_proba(rows)[np.arange(len(classes)), np.searchsorted(model.classes_, classes)]
    return -np.log(np.maximum(p, 1e-6))


def difficulties(sets: Sets, options: argparse.Namespace) -> None:
    print("\nmean loss of the rows drawn (a tenth), under a linear model of other rows' pixels or words")
    rows, classes = sets["Fashion-MNIST"]()
    images, labels = milo_data.pixels(options.fashion_mnist, skip=milo_data.ROWS)
    own, _ = milo_data.pixels(options.fashion_mnist)
    difficulty("Fashion-MNIST", rows, classes, held_out_losses(images, labels, own, classes))
    rows, classes = sets["WordNet"]()
    seen, named, own = milo_data.words(options.wordnet)
    difficulty("WordNet", rows, classes, held_out_losses(seen, named, own, classes))


def plot(cache: Path, output: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    look = {
        "svg.fonttype": "none",
        "svg.hashsalt": "milo",
        "font.size": 8,
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    matplotlib.rcParams.update(look)
    with (cache / "milo.csv").open() as file:
        table = [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(file)]
    figure, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharex=True)
    titles = {
        "gain": "normalised gain",
        "jaccard": "Jaccard of two subsets",
        "covered": "share of rows covered",
    }
    for panel, (column, title) in zip(panels, titles.items(), strict=True):
        for name, colour in (("Fashion-MNIST", "#1f5fa8"), ("WordNet", "#c8641e")):
            for function, style in (("graph cut", "-"), ("facility location", "--")):
                shown = [
                    (float(row["epsilon"]), float(row[column]))
                    for row in table
                    if (row["set"], row["function"]) == (name, function)
                ]
                panel.plot(
                    *zip(*sorted(shown), strict=True), style, color=colour, label=f"{name}, {function}"
                )
        panel.set(title=title, xscale="log", ylim=(0, 1), xlabel="ε")
        panel.invert_xaxis()
        panel.minorticks_off()
    panels[0].legend(frameon=False, loc="lower right")
    figure.savefig(output, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fashion-mnist", type=Path, default=Path("data/fashion-mnist"), help="of idx files")
    parser.add_argument(
        "--wordnet", type=Path, default=Path("data/wordnet/data.noun"), help="the file data.noun"
    )
    parser.add_argument("--cache", type=Path, default=Path("runs/milo"))
    parser.add_argument("--only", choices=("quality", "speed", "difficulty"))
    parser.add_argument("--plot", type=Path, metavar="SVG")
    options = parser.parse_args()
    sets: Sets = {
        "Fashion-MNIST": lambda: milo_data.kept(
            options.cache, "fashion-mnist", lambda: milo_data.encoded_images(options.fashion_mnist)
        ),
        "WordNet": lambda: milo_data.kept(
            options.cache, "wordnet", lambda: milo_data.latent_glosses(options.wordnet)
        ),
        "pixels": lambda: milo_data.pixels(options.fashion_mnist),
    }
    if options.plot:
        plot(options.cache, options.plot)
        return
    if options.only in (None, "quality"):
        quality(sets, options.cache)
    if options.only in (None, "speed"):
        speed()
    if options.only in (None, "difficulty"):
        difficulties(sets, options)


if __name__ == "__main__":
    main()
