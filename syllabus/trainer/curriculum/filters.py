"""Filters: examples kept out of every draw, by what the manifest knows of their neighbours.

A filter is a function (manifest, kept) -> kept: two (n,) boolean arrays over the examples in index order.

``drop_suspects``            leaves out the examples whose label none of their nearest neighbours has, but for
                             classes of which that would be more than half.
``one_per_duplicate_group``  leaves out the near-duplicates for which another example stands that is kept: one
                             of the same label, as near as the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.compute as pc

from syllabus.manifests import Manifest
from syllabus.trainer.curriculum.evidence import Suspects, suspects
from syllabus.trainer.errors import TrainerError

Filter = Callable[[Manifest, np.ndarray], np.ndarray]


def drop_suspects(manifest: Manifest, kept: np.ndarray) -> np.ndarray:
    """Without the examples of zero neighbour agreement, at most half of a class; unknown ones stay."""
    agreement = manifest.neighbours and manifest.neighbours.agreement
    if agreement is None:
        raise TrainerError("filter 'drop_suspects': the manifest has no neighbour agreement")
    if agreement.zero_share is None:
        raise TrainerError(
            f"filter 'drop_suspects': where labels are of kind {agreement.kind!r} no agreement is suspect"
        )
    return kept & ~suspects_of(manifest).rows


def one_per_duplicate_group(manifest: Manifest, kept: np.ndarray) -> np.ndarray:
    """Without the near-duplicates of an example that is kept so far and stands for them."""
    if manifest.neighbours is None:
        raise TrainerError("filter 'one_per_duplicate_group': the manifest has no duplicate groups")
    if manifest.neighbours.cover is None:
        # A training that began with a manifest of an earlier version can go on; `advice` warns.
        places = np.flatnonzero(kept)
        groups = manifest.column("examples", "duplicate_group")[places]
        alone = np.zeros_like(kept)
        alone[places[np.unique(groups, return_index=True)[1]]] = True
        return alone
    # What stands for others is left out by no other, so one look is enough.
    index = manifest.examples()
    covers = manifest.column("examples", "duplicate_of")
    return kept & ~((covers != index) & kept[np.searchsorted(index, covers)])


def suspects_of(manifest: Manifest) -> Suspects:
    """Return the suspects among the examples of a manifest that has agreements."""
    assert manifest.neighbours is not None
    pieces = [
        pc.fill_null(rows.column("neighbour_agreement"), float("nan")).to_numpy()
        for rows in manifest.batches("examples", ["neighbour_agreement"])
    ]
    return suspects(np.concatenate(pieces), manifest.partitions(), manifest.neighbours.k)


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
