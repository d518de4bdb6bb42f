"""Selection of an epoch's rows from a data set of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Subset

from syllabus.manifests import Manifest
from syllabus.trainer.curriculum.row_matching import RowMap, check_labels, match_rows
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import column, kind_of


def select_rows(
    manifest: Manifest, dataset: Any, indices: np.ndarray, ids: Any, labels: Any, seed: int
) -> Any:
    """Return the rows of `dataset` that hold the examples `indices`: see `Curriculum.select`."""
    where = "Curriculum.select"
    count = getattr(dataset, "__len__", None)
    if count is None:
        raise TrainerError(f"{where}: dataset is a {kind_of(dataset)} without a length; give one with rows")
    rows: RowMap | None = None
    if ids is None:
        if count() != manifest.source_rows:
            raise TrainerError(
                f"{where}: the data set has {count()} rows, the manifest's source has {manifest.source_rows};"
                " give the data set's ids"
            )
    else:
        ids = _column_of(dataset, "ids", ids)
        if len(ids) != count():
            raise TrainerError(f"{where}: ids: {len(ids)} for {count()} rows of the data set")
        rows = RowMap(manifest, match_rows(manifest, ids))
    if labels is not None:
        labels = _column_of(dataset, "labels", labels)
        if len(labels) != count():
            raise TrainerError(f"{where}: labels: {len(labels)} for {count()} rows of the data set")
        check_labels(manifest, labels, rows, seed)
    chosen = indices if rows is None else rows[indices]
    if hasattr(dataset, "iloc"):  # of pandas: its places are columns
        return dataset.iloc[chosen]
    if isinstance(dataset, (pa.Table, pa.RecordBatch)):
        return dataset.take(pa.array(chosen))
    if type(dataset).__module__.partition(".")[0] == "polars":  # its `select` is of columns
        return dataset[chosen]
    if callable(getattr(dataset, "select", None)) and not isinstance(dataset, torch.Tensor):
        return dataset.select(chosen)
    if not hasattr(dataset, "__getitem__"):
        raise TrainerError(f"{where}: dataset is a {kind_of(dataset)}, which has neither select nor places")
    return Subset(dataset, chosen.tolist())


def _column_of(dataset: Any, name: str, given: Any) -> Any:
    """The values themselves, or those of the column that `given` names."""
    if isinstance(given, str):
        try:
            given = dataset[given]
        except (KeyError, TypeError, IndexError, ValueError):
            raise TrainerError(f"Curriculum.select: {name}: the data set has no column {given!r}") from None
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TrainerError(
            f"Curriculum.select: {name} are a {kind_of(given)}; give one a row, or a column's name"
        )
    column(name, given)
    return given if hasattr(given, "__len__") else list(given)
