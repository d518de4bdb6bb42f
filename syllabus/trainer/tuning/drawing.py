"""A search as a picture: what each run cost, and its score."""

from __future__ import annotations

import os

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.tuning.result import Result
from syllabus.trainer.tuning.summary import Summary

AXES = ("share of a full run", "score")
PALE, STRONG = "#9aa5b1", "#c2410c"


def draw(summary: Summary, path: str | os.PathLike[str]) -> None:
    """Draw every run at its cost and score, those of one configuration joined, the best one marked.

    Args:
        summary: of a search.
        path: of the file: ``.png`` (matplotlib), or ``.html`` (plotly), which shows the parameters of the
            run under the pointer.

    Raises:
        TrainerError: another ending, or the library is not installed.
    """
    name = os.fspath(path)
    if name.lower().endswith(".png"):
        _png(summary, name)
    elif name.lower().endswith(".html"):
        _html(summary, name)
    else:
        raise TrainerError(f"draw: {name!r} ends neither in .png nor in .html")


def _lines(summary: Summary) -> list[tuple[int, list[Result]]]:
    """The runs of each configuration, shortest first; the best configuration last, to lie on top."""
    found: dict[int, list[Result]] = {}
    for result in sorted(summary.results, key=lambda each: each.share):
        if result.score is not None:
            found.setdefault(result.configuration, []).append(result)
    return sorted(found.items(), key=lambda item: (item[0] == summary.configuration, item[0]))


def _png(summary: Summary, name: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainerError("draw: matplotlib is not installed; pip install 'syllabus[tune]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for configuration, runs in _lines(summary):
        best = configuration == summary.configuration
        colour, width = (STRONG, 2.0) if best else (PALE, 0.8)
        shares, scores = [run.share for run in runs], [run.score for run in runs]
        axes.plot(shares, scores, color=colour, linewidth=width, marker="o", markersize=4 + 2 * best)
    axes.set(xscale="log", xlabel=AXES[0], ylabel=AXES[1])
    axes.set_xticks([rung.share for rung in summary.rungs], [rung.name for rung in summary.rungs])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        f"{summary.rungs[0].count} configurations for {summary.full_runs:.1f} full runs;"
        f" best: configuration {summary.configuration}, {summary.score:.4f}",
        fontsize=10,
    )
    figure.savefig(name, format="png", dpi=120)


def _html(summary: Summary, name: str) -> None:
    try:
        from plotly.graph_objects import Figure, Scatter
    except ImportError:
        raise TrainerError("draw: plotly is not installed; pip install 'syllabus[tune]'") from None
    figure = Figure()
    for configuration, runs in _lines(summary):
        best = configuration == summary.configuration
        figure.add_trace(
            Scatter(
                x=[run.share for run in runs],
                y=[run.score for run in runs],
                mode="lines+markers",
                line={"color": STRONG if best else PALE, "width": 2.5 if best else 1},
                marker={"size": 9 if best else 6},
                # Names and values of a search space are the user's own, and shown as text.
                text=[_told(run) for run in runs],
                hovertemplate="%{text}<extra></extra>",
                showlegend=False,
            )
        )
    ticks = {"tickvals": [rung.share for rung in summary.rungs], "ticktext": [r.name for r in summary.rungs]}
    figure.update_xaxes(type="log", title=AXES[0], **ticks)
    figure.update_yaxes(title=AXES[1])
    figure.update_layout(template="plotly_white", margin={"l": 60, "r": 20, "t": 30, "b": 50})
    figure.write_html(name, include_plotlyjs=True)


def _told(run: Result) -> str:
    from html import escape

    values = [f"{n} = {v:.4g}" if isinstance(v, float) else f"{n} = {v}" for n, v in run.params.items()]
    head = f"configuration {run.configuration}, score {run.score:.4f}"
    return "<br>".join([head, *(escape(value) for value in values)])
