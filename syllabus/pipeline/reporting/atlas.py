"""The preview as one table that embedding-atlas opens: places, contents, and nearest neighbours."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from syllabus.manifests import Manifest, ManifestError, schema
from syllabus.pipeline.reporting.sketch_neighbours import sketch_neighbours

EXAMPLE = ["id", "label", "partition", "source_file", "source_row", "neighbour_agreement", "duplicate_group"]
NEIGHBOURS = 10


def atlas_rows(manifest: Manifest) -> pa.Table:
    """Return the rows of the preview, ascending by index, for embedding-atlas.

    Columns: those of the preview, an image as it takes them, columns of ``examples``; easy_rank, the rank in
    the first subset of the largest fraction, and <importance>_rank of each importance, inside the partition;
    and, where the manifest has sketches, neighbors: {ids, distances} of the 10 nearest rows of this table by
    their sketches, ids its rows from 0, distances 1 - cosine.

    Raises:
      ManifestError: the manifest has no preview.

    Cost: of 20,000 rows of 384 dimensions about 8 s of one core, nearly all for the neighbours.
    """
    if "preview" not in manifest.description:
        raise ManifestError("export: the manifest has no preview: prepare it without --no-preview")
    preview = manifest.table(schema.PREVIEW)
    index = preview["index"].to_numpy()
    columns = {name: preview[name] for name in ("index", "x", "y", "text")}
    if preview["thumbnail"].null_count < len(index):
        images = preview["thumbnail"].to_pylist()
        made = [None if image is None else {"bytes": image, "path": None} for image in images]
        columns["image"] = pa.array(made, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    examples = manifest.records(index, EXAMPLE)
    columns.update({name: examples[name] for name in EXAMPLE})
    if manifest.fractions:
        picks = manifest.table("subsets", ["index", "rank"], *manifest.subset_rows(manifest.fractions[-1], 0))
        columns["easy_rank"] = _ranks(index, picks)
    for name in manifest.importances:
        columns[f"{name}_rank"] = _ranks(index, manifest.table(schema.importance(name), ["index", "rank"]))
    if manifest.sketch_dimension is not None and len(index) > 1:
        columns["neighbors"] = _neighbours(manifest, index)
    return pa.table(columns)


def _ranks(index: np.ndarray, ranked: pa.Table) -> pa.Array:
    """The rank of each example, null for those that have none."""
    own, rank = ranked["index"].to_numpy(), ranked["rank"].to_numpy()
    order = np.argsort(own)
    place = np.minimum(np.searchsorted(own, index, sorter=order), len(own) - 1)
    return pa.array(rank[order[place]], pa.int32(), mask=own[order[place]] != index)


def _neighbours(manifest: Manifest, index: np.ndarray) -> pa.StructArray:
    ids, cosines = sketch_neighbours(manifest, index, NEIGHBOURS)
    starts = pa.array(np.arange(0, ids.size + 1, ids.shape[1]), pa.int32())
    near = pa.ListArray.from_arrays(starts, ids.ravel())
    far = pa.ListArray.from_arrays(starts, np.clip(1 - cosines.ravel(), 0, 2).round(6))
    return pa.StructArray.from_arrays([near, far], ["ids", "distances"])
