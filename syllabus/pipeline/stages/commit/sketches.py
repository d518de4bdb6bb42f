"""The table of sketches: every embedding less the mean of all, in 8 bits, written group by group."""

from typing import Any

import numpy as np

from syllabus.manifests import ManifestWriter, schema, sketches_table
from syllabus.manifests.format import SKETCH_LEVELS
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.commit.centred import centred_chunks, even_sample
from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.transform import principal_axes

SAMPLE = 65_536


def check_sketches(options: Options, dimension: int) -> None:
    """Refuse more dimensions than the embeddings have, before any work is lost."""
    if options.sketch_dim is not None and options.sketch_dim > dimension:
        raise UserError(f"sketch_dim={options.sketch_dim}: is above the {dimension} dimensions")


def write_sketches(context: CommitContext, writer: ManifestWriter, mean: np.ndarray) -> dict[str, Any]:
    """Write the table; return its section of manifest.json, or none where none are wanted.

    One step for all values, so that sketches add up as embeddings do, and wide enough for the largest. The
    extremes are known from regroup; on principal axes two more passes find the axes and the extremes.

    Args:
      context: everything that the stages have made.
      writer: of the manifest.
      mean: (d,) float64 of all embeddings.

    Memory: one group of chunks, as regroup held it.
    """
    wanted = context.options.sketch_dim
    if wanted == 0:
        return {}
    projected = wanted is not None and wanted < len(mean)
    axes = _axes(context, mean, wanted) if projected else None
    step = _largest(context, mean, axes) / SKETCH_LEVELS or 1.0
    dimension = len(mean) if axes is None else len(axes)
    table = writer.table(schema.sketches(dimension))
    for index, centred in centred_chunks(context, mean, axes):
        table.write(sketches_table(index, np.rint(centred / step).astype(np.int8)))
    projection = "none" if axes is None else "pca"
    return {"sketches": {"dimension": dimension, "step": step, "projection": projection}}


def _axes(context: CommitContext, mean: np.ndarray, wanted: int | None) -> np.ndarray:
    """Return the (wanted, d) leading principal axes of evenly spaced examples, at most 65,536."""
    sample = even_sample(context, mean, SAMPLE)
    return principal_axes(sample, np.zeros(len(mean)), int(wanted or 0)).astype(np.float64)


def _largest(context: CommitContext, mean: np.ndarray, axes: np.ndarray | None) -> float:
    """Return the largest absolute value that a sketch has to hold."""
    if axes is not None:
        return max(float(np.abs(block).max()) for _, block in centred_chunks(context, mean, axes))
    extremes = [context.work.metadata("regroup", group.key)["extremes"] for group in context.groups]
    least, greatest = (np.array([each[side] for each in extremes if each]) for side in (0, 1))
    return float(max((mean - least).max(), (greatest - mean).max()))
