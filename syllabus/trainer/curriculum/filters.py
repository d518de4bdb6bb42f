"""Filters: examples kept out of every draw, by what the manifest knows of their neighbours.

A filter is a function (manifest, kept) -> kept: two (n,) boolean arrays over the examples in index order.

``drop_suspects``            leaves out the examples whose label none of their nearest neighbours has.
``one_per_duplicate_group``  of the near-duplicates that are left keeps the one of smallest index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.compute as pc

from syllabus.manifests import Manifest
from syllabus.trainer.errors import TrainerError

Filter = Callable[[Manifest, np.ndarray], np.ndarray]


def drop_suspects(manifest: Manifest, kept: np.ndarray) -> np.ndarray:
    """Without the examples of zero neighbour agreement; those without a label stay."""
    agreement = manifest.neighbours and manifest.neighbours.agreement
    if agreement is None:
        raise TrainerError("filter 'drop_suspects': the manifest has no neighbour agreement")
    if agreement.zero_share is None:
        raise TrainerError(
            f"filter 'drop_suspects': where labels are of kind {agreement.kind!r} no agreement is suspect"
        )
    return kept & (_column(manifest, "neighbour_agreement", 1) != 0)


def one_per_duplicate_group(manifest: Manifest, kept: np.ndarray) -> np.ndarray:
    """With the first of each duplicate group that is kept so far."""
    if manifest.neighbours is None:
        raise TrainerError("filter 'one_per_duplicate_group': the manifest has no duplicate groups")
    places = np.flatnonzero(kept)
    _, first = np.unique(_column(manifest, "duplicate_group", -1)[places], return_index=True)
    alone = np.zeros_like(kept)
    alone[places[first]] = True
    return alone


FILTERS: dict[str, Filter] = {
    "drop_suspects": drop_suspects,
    "one_per_duplicate_group": one_per_duplicate_group,
}


def filtered(manifest: Manifest, names: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Return which examples the filters keep, (n,) bool, and how many each one left out.

    They run in the order of `FILTERS`: a suspect must not stand for its group.

    Cost: reads the column of each filter. O(n).

    Raises:
        TrainerError: an unknown name; a manifest that does not know what a filter asks for.
    """
    for name in names:
        if name not in FILTERS:
            raise TrainerError(f"filter {name!r} is unknown; known: {', '.join(sorted(FILTERS))}")
    kept, counts = np.ones(manifest.n, np.bool_), {}
    for name, keep in FILTERS.items():
        if name in names:
            before = int(kept.sum())
            kept = keep(manifest, kept)
            counts[name] = before - int(kept.sum())
    return kept, counts


def _column(manifest: Manifest, name: str, null: int) -> np.ndarray:
    """Return a column of the examples in which nulls are `null`; holds one row group beside it."""
    pieces = [
        pc.fill_null(rows.column(name), null).to_numpy() for rows in manifest.batches("examples", [name])
    ]
    return np.concatenate(pieces)
