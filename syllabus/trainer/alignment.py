"""From the manifest's examples to the rows of a data set that was shuffled, filtered or tokenised since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow.compute as pc

from syllabus.manifests import Manifest
from syllabus.manifests.identity import as_strings
from syllabus.trainer.errors import TrainerError


def rows_of(manifest: Manifest, ids: Iterable[Any]) -> np.ndarray:
    """Return (n,) int64: for each example of the manifest, in index order, the data set's row that holds it.

    Args:
        manifest: of n examples with unique ids.
        ids: the data set's ids, one a row: strings, or integers where the manifest's ids are their text.
            Rows that the manifest does not know (rejected ones, for example) are never drawn.

    Raises:
        TrainerError: ids of the manifest that no row or more than one row has, with counts and three of each.
        ManifestError: ids that are null, or neither strings nor integers.

    Cost: O(n + rows) time and memory, in Arrow.
    """
    given = as_strings(ids)
    known = manifest.table("examples", ["id"])["id"].combine_chunks()
    place = pc.fill_null(pc.index_in(given, value_set=known), -1).to_numpy()
    rows = np.flatnonzero(place >= 0)
    times = np.bincount(place[rows], minlength=len(known))
    missing, repeated = np.flatnonzero(times == 0), np.flatnonzero(times > 1)
    if len(missing) or len(repeated):
        found = [
            f"{len(some)} {what}: {', '.join(map(repr, known.take(some[:3]).to_pylist()))}"
            for some, what in ((missing, "in no row"), (repeated, "in more than one row"))
            if len(some)
        ]
        raise TrainerError(
            f"ids: of {len(known)} in the manifest, {'; '.join(found)}; the data set has {len(given)} rows"
        )
    aligned = np.empty(len(known), np.int64)
    aligned[place[rows]] = rows
    return aligned
