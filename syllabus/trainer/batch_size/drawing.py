"""The record of a run as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError


def draw(records: Sequence[Decision], path: str | os.PathLike[str]) -> None:
    """Draw batch size, learning-rate factor, and what was measured over the examples, as a PNG file.

    Args:
        records: `adaptive.records`.
        path: of the file, which ends in .png.

    Raises:
        TrainerError: no record, another ending, or matplotlib is not installed.
    """
    if not records:
        raise TrainerError("draw: there is no record; train first")
    if not os.fspath(path).lower().endswith(".png"):
        raise TrainerError(f"draw: {os.fspath(path)!r} does not end in .png")
    # Here and not above: training itself does not need it.
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainerError("draw: matplotlib is not installed; pip install matplotlib") from None
    examples = [record.examples for record in records]
    series = measured(records)
    figure = Figure(figsize=(8, 2.2 * (2 + bool(series))), layout="constrained")
    axes = figure.subplots(2 + bool(series), sharex=True)
    axes[0].step(examples, [record.batch_size for record in records], where="post")
    axes[0].set(ylabel="batch size", yscale="log")
    axes[1].step(examples, [record.lr_factor for record in records], where="post")
    axes[1].set(ylabel="learning-rate factor")
    for name, values in series.items():
        axes[2].plot(examples, values, label=name)
    if series:
        axes[2].set(yscale="log", ylabel="measured")
        axes[2].legend()
    axes[-1].set(xlabel="examples")
    figure.savefig(os.fspath(path), format="png")


def measured(records: Sequence[Decision]) -> dict[str, list[float]]:
    """Return what was measured at the records, by name; NaN where it was not, or is not above 0."""

    def noise_scale(record: Decision) -> float | None:
        noise, squared = record.averages.noise, record.averages.squared_gradient
        return noise / squared if noise is not None and squared else None

    series = {
        "batch loss": [record.averages.loss for record in records],
        "probe loss": [record.signals.probe_loss for record in records],
        "‖g‖² of the probe": [record.signals.probe_norm for record in records],
        "noise scale": [noise_scale(record) for record in records],
    }
    positive = {
        name: [math.nan if value is None or not value > 0 else value for value in values]
        for name, values in series.items()
    }
    return {name: values for name, values in positive.items() if not all(map(math.isnan, values))}
