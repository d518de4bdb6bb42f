"""The table of subsets, and the section on those of each fraction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import ManifestWriter, budget, schema
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.select.quality import subset_quality
from syllabus.pipeline.stages.select.subsets import partition_budgets


def write_subsets(context: CommitContext, writer: ManifestWriter, buckets: Buckets) -> list[dict[str, Any]]:
    """Write the table; return the section of manifest.json."""
    options = context.options
    table = writer.table(schema.SUBSETS)
    described = []
    for number, fraction in enumerate(options.fraction if options.subset_count else ()):
        wanted = budget(fraction, context.census.units_of_budgets)
        chosen: list[np.ndarray] = []
        weights: list[int] = []
        taken: set[int] = set()
        for subset in range(options.subset_count):
            rows = context.work.read("order", context.ordering.subset_key(number, subset))
            chosen.append(np.sort(rows.column("index").to_numpy()))
            count = rows.num_rows
            if options.weight is not None:
                weights.append(sum(rows.column("weight").to_pylist()))
                taken.update(rows.column("partition").to_pylist())
            columns = {
                "fraction": np.full(count, fraction),
                "budget": np.full(count, wanted, np.int64),
                "subset": np.full(count, subset, np.int32),
                **{name: rows.column(name) for name in ("partition", "rank", "index", "gain")},
                "position": np.arange(count, dtype=np.int32),
            }
            table.write(pa.table(columns, schema=schema.SUBSETS.schema))
        keys = map(context.ordering.selecting.subsets_key, buckets.rows)
        qualities = [context.work.metadata("subsets", key).get(str(number)) for key in keys]
        found = [quality for quality in qualities if quality is not None]
        shares = partition_budgets(buckets.units, fraction, options.budgets).tolist()
        # The last clusters may have no rows.
        shares += [0] * (len(context.layout.buckets) - len(shares))
        described.append(
            {
                "fraction": fraction,
                "budget": wanted,
                "count": options.subset_count,
                "objective": options.objective,
                **subset_quality(found, chosen, context.census.accepted),
                "partitions": shares,
                **(_costs(chosen, weights, buckets, taken) if weights else {}),
                **({"interleaved": True} if context.ordering.apart(max(map(len, chosen))) else {}),
            }
        )
    return described


def _costs(chosen: list[np.ndarray], weights: list[int], buckets: Buckets, taken: set[int]) -> dict[str, Any]:
    """Rows and weights of the subsets, and the partitions with no example that their share can buy."""
    empty = [number for number in buckets.of_partitions() if number not in taken]
    return {"rows": [len(index) for index in chosen], "weights": weights, "empty_partitions": empty}
