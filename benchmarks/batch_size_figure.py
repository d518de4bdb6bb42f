"""Draws what `batch_size.py convex` found: updates and gradients against the loss that they lead to."""

from __future__ import annotations

import csv
from pathlib import Path

COLOURS = {
    "gradient descent": "#000000",
    "SGD, rate ~ 1/k": "#808080",
    "SGD, rate ~ 1/√k": "#b8b8b8",
    "AdaDamp, exact loss": "#1f5fa8",
    "AdaDamp, loss ± 20%": "#7fa8d8",
    "its probe counted": "#2a8a4a",
    "PadaDamp": "#b5532c",
    "GeoDamp": "#e0a080",
}


def draw(results: Path, output: Path) -> None:
    """Draw the problems, updates above and gradients below."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "batch",
            "font.size": 8,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    found: dict[str, dict[str, dict[float, tuple[float, float]]]] = {}
    with results.open(newline="") as file:
        for problem, method, *numbers in csv.reader(file):
            loss, updates, gradients = map(float, numbers)
            found.setdefault(problem, {}).setdefault(method, {})[loss] = updates, gradients
    figure, panels = plt.subplots(2, len(found), figsize=(8.6, 4.6), layout="constrained", sharex=True)
    for column, (problem, methods) in zip(panels.T, found.items(), strict=True):
        column[0].set_title(problem)
        for method, colour in COLOURS.items():
            losses = sorted(methods[method])
            counts = [methods[method][loss] for loss in losses]
            column[0].plot(losses, [u for u, _ in counts], color=colour, linewidth=1.4, label=method)
            if method != "gradient descent":
                column[1].plot(losses, [g for _, g in counts], color=colour, linewidth=1.4)
        for panel in column:
            panel.set(xscale="log", yscale="log")
        column[0].invert_xaxis()
        column[1].set_xlabel("loss" if problem != "non-convex" else "squared gradient norm")
    panels[0, 0].set_ylabel("updates")
    panels[1, 0].set_ylabel("gradients")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    figure.savefig(output, metadata={"Date": None})
