"""How good the selections of chance are, and what each function's gains look like.

    python benchmarks/selection_quality.py                                 # the table, about two minutes
    python benchmarks/selection_quality.py --epsilon 1e-8                  # the same, with larger samples
    python benchmarks/selection_quality.py --lead                          # what limits `stochastic` instead
    python benchmarks/selection_quality.py --plot docs/selectors-gains.svg # gains against rank instead

The table: normalised gain (f(S) - r) / (f(greedy) - r), r = the mean of f over 20 random sets, as the mean of
four subsets at --epsilon, and their mean Jaccard overlap: 1 is greedy, and 1 is all alike. Data: 3,000
vectors around 20 centres (noise of norm 0.5, d = 384), 3,000 Fashion-MNIST training images as pixels,
scikit-learn's 1,797 digits. Fashion-MNIST is read as idx files from --fashion-mnist.

The lead: what share of the best row's lead over the mean one the best row of a random sample keeps, on
average over greedy's picks; samples as large as those of `stochastic` at k/n = 0.1, the expectation in closed
form.
"""

import argparse
import gzip
import itertools
import os
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

from syllabus.selectors import (
    DisparityMin,
    DisparitySum,
    FacilityLocation,
    FeatureBased,
    GraphCut,
    LogDeterminant,
    SaturatedCoverage,
    SetFunction,
    explore,
    maximize,
    random_value,
)
from syllabus.selectors.optimizers.stochastic import sample_size

SUBSETS = 4


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((20, 384)))
    return unit(centres[rng.integers(0, 20, 3000)] + 0.5 * unit(rng.standard_normal((3000, 384))))


def fashion_mnist(folder: Path, name: str, n: int) -> np.ndarray:
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + n * 784), np.uint8, offset=16)
    return pixels.reshape(-1, 784)


def digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return unit(load_digits().data)


def data(folder: Path) -> dict[str, np.ndarray]:
    return {
        "clustered": clustered(),
        "Fashion-MNIST": unit(fashion_mnist(folder, "train", 3000)),
        "digits": digits(),
    }


def lead(folder: Path) -> None:
    print(f"{'set':14} {'function':18} {'sample':>6}  {'lead kept':>9}")
    for (name, rows), kind in itertools.product(data(folder).items(), (GraphCut, FacilityLocation)):
        function = kind(rows)
        size = sample_size(function.n, function.n // 10, 0.01)
        state, left, kept = function.state(), np.arange(function.n), []
        for _ in range(function.n // 10):
            scores = state.scores(left)
            gains = np.sort(state.gains(scores))[::-1]
            # The i-th best is the best of a sample if all of the sample comes from it and those behind it.
            behind = np.arange(len(gains), size - 1, -1)
            none_before = np.cumprod(np.append(1.0, (behind[:-1] - size) / behind[:-1]))
            chance = none_before * size / behind
            expected = chance @ gains[: len(chance)]
            kept.append((expected - gains.mean()) / (gains[0] - gains.mean()))
            place = int(scores.argmax())
            state.add(int(left[place]), float(scores[place]))
            left = np.delete(left, place)
        print(f"{name:14} {function.name:18} {size:6}  {np.mean(kept):9.2f}", flush=True)


def table(folder: Path, epsilon: float) -> None:
    sets = data(folder)
    heads = f"{'stochastic':>10} {'Jaccard':>8}  {'lazier':>7} {'Jaccard':>8}"
    print(f"{'set':14} {'function':18} {'k/n':>5}  {heads}")
    for (name, rows), kind, share in itertools.product(
        sets.items(), (GraphCut, FacilityLocation), (0.1, 0.02)
    ):
        function = kind(rows)
        budget = int(share * len(rows))
        best = maximize(function, budget, "lazy").objective
        floor = random_value(function, budget, 20, seed=0)
        cells = []
        for optimizer in ("stochastic", "lazier"):
            found = explore(function, budget, SUBSETS, seed=0, epsilon=epsilon, optimizer=optimizer)
            gain = np.mean([(selection.objective - floor) / (best - floor) for selection in found])
            pairs = itertools.combinations([set(selection.indices.tolist()) for selection in found], 2)
            cells += [gain, np.mean([len(a & b) / len(a | b) for a, b in pairs])]
        print(
            f"{name:14} {function.name:18} {share:5.2f}  {cells[0]:10.3f} {cells[1]:8.2f}  "
            f"{cells[2]:7.3f} {cells[3]:8.2f}",
            flush=True,
        )


def gains_in_order(function: SetFunction, indices: np.ndarray) -> np.ndarray:
    """Return the gains of rows added in a given order."""
    return maximize(function, len(indices), "naive", include=indices).gains


def plot(folder: Path, output: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "gains",
            "font.size": 8,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    pixels = fashion_mnist(folder, "t10k", 3000)
    rows = unit(pixels)
    functions: list[SetFunction] = [
        GraphCut(rows),
        FacilityLocation(rows),
        SaturatedCoverage(rows, share=0.05),
        FeatureBased(pixels.astype(np.float32) / 255),
        LogDeterminant(rows, regularisation=0.01),
        DisparitySum(rows),
        DisparityMin(rows),
    ]
    budget = 300
    order = np.random.default_rng(0).permutation(len(rows))[:budget]
    ranks = np.unique(np.geomspace(1, budget, 50).astype(int))
    figure, panels = plt.subplots(2, 4, figsize=(10, 4.6), layout="constrained")
    for panel, function in zip(panels.flat, functions, strict=False):
        optimizer = "naive" if isinstance(function, DisparityMin) else "lazy"
        title = function.name.replace("_", " ")
        greedy = maximize(function, budget, optimizer).gains
        chance = gains_in_order(function, order)
        if isinstance(function, DisparityMin):
            title, greedy, chance = f"{title}: f itself", np.cumsum(greedy), np.cumsum(chance)
        first = 1 if isinstance(function, (DisparityMin, DisparitySum)) else 0
        shown = ranks[ranks > first]
        panel.plot(shown, chance[shown - 1], color="#b0b0b0", linewidth=1, label="rows in random order")
        panel.plot(shown, greedy[shown - 1], color="#1f5fa8", linewidth=1.6, label="greedy")
        panel.set(title=title, xscale="log")
        panel.minorticks_off()
        if isinstance(function, FacilityLocation):
            panel.set_yscale("log")  # the first gain is 30 times the second
    panels[0, 0].legend(frameon=False)
    panels.flat[-1].axis("off")
    figure.supxlabel("rank")
    figure.supylabel("gain")
    figure.savefig(output, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fashion-mnist", type=Path, default=Path("data/fashion-mnist"))
    parser.add_argument("--epsilon", type=float, default=0.01, help="of the table (0.01)")
    parser.add_argument("--lead", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="SVG")
    options = parser.parse_args()
    if options.plot:
        plot(options.fashion_mnist, options.plot)
    elif options.lead:
        lead(options.fashion_mnist)
    else:
        table(options.fashion_mnist, options.epsilon)


if __name__ == "__main__":
    main()
