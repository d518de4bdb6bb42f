"""The tables of importances: the rankings of buckets merged, and probabilities for weighted draws."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import ManifestWriter, schema
from syllabus.pipeline.options import RANKED_BY, Importance
from syllabus.pipeline.stages.commit.context import PIECE, Buckets, CommitContext
from syllabus.pipeline.stages.partitions import partition_name
from syllabus.pipeline.stages.regroup.buckets import Bucket, by_partition
from syllabus.pipeline.stages.select.sample_sizes import check_scores, score_of
from syllabus.pipeline.stages.select.subsets import partition_budgets
from syllabus.selectors.importances import (
    effective_sample_size,
    inclusion_probabilities,
    published_probabilities,
    tempered_probabilities,
)


def check_importances(context: CommitContext, buckets: Buckets) -> None:
    """Refuse a sample size that the scores of some partition do not allow.

    Before anything is written: what is written first deletes the manifest that it replaces.
    """
    sized = [importance for importance in context.options.importances if importance.ess is not None]
    for importance in sized:
        for partition, parts in buckets.of_partitions().items():
            score = _merged_scores(context, importance.base, parts, buckets)
            check_scores(importance, partition_name(partition, context.layout.labels[partition]), score)


def write_importance(
    context: CommitContext, writer: ManifestWriter, importance: Importance, buckets: Buckets
) -> dict[str, Any]:
    """Write one importance, partition by partition; return what the manifest says of it.

    Effective sample sizes are of the probabilities, and of what becomes of them in a draw of each fraction:
    large draws saturate, since an example can be drawn once only. With weights, a draw has as many examples
    as its share holds of the partition's mean weight.

    Memory: 40 bytes an example of the largest partition.
    """
    options = context.options
    table = writer.table(schema.importance(importance.name))
    draws = {fraction: _draws(buckets, fraction, options.budgets) for fraction in options.fraction}
    sizes: list[float] = []
    drawn: dict[float, list[float]] = {fraction: [] for fraction in options.fraction}
    for partition, parts in buckets.of_partitions().items():
        score = _merged_scores(context, importance.base, parts, buckets)
        probability = _probabilities(importance, score)
        sizes.append(effective_sample_size(probability))
        for fraction, budgets in draws.items():
            if budgets[partition]:
                inclusion = inclusion_probabilities(probability, int(budgets[partition]))
                drawn[fraction].append(effective_sample_size(inclusion / budgets[partition]))
        index, gain = _merged_ranking(context, importance.base, parts, buckets)
        for first in range(0, len(index), PIECE):
            stop = min(first + PIECE, len(index))
            piece = {
                "partition": np.full(stop - first, partition, np.int32),
                "rank": np.arange(first, stop, dtype=np.int32),
                "index": index[first:stop].astype(np.int64),
                "gain": gain[first:stop],
                "score": score[first:stop],
                "probability": probability[first:stop],
            }
            table.write(pa.table(piece, schema=schema.importance(importance.name).schema))
    return {
        "base": importance.base,
        "map": "published" if importance.ess is None else "tempered",
        "ess": _spread(sizes),
        "inclusion_ess": [{"fraction": fraction, **_spread(values)} for fraction, values in drawn.items()],
    }


def _draws(buckets: Buckets, fraction: float, rule: str) -> np.ndarray:
    """Return about how many examples of each partition a draw has, (partitions,) int64; 1 of any share."""
    shares = partition_budgets(buckets.units, fraction, rule)
    rows, units = (by_partition(held) for held in (buckets.rows, buckets.units))
    a_unit = [rows[number] / max(1, units[number]) for number in range(len(shares))]
    return np.maximum(np.floor(shares * np.array(a_unit) + 0.5), shares > 0).astype(np.int64)


def best_ranked(context: CommitContext, base: str, parts: list[Bucket], most: int) -> np.ndarray:
    """Return the indices of the best rows of a partition, at most so many: by (rank, bucket)."""
    best = [_ranking(context, base, bucket, ["index"]).column(0).to_numpy()[:most] for bucket in parts]
    place = np.concatenate([np.arange(len(index)) for index in best])
    # Buckets stand one after the other: equal ranks stay in their order.
    return np.concatenate(best)[np.argsort(place, kind="stable")][:most]


def _merged_ranking(
    context: CommitContext, base: str, parts: list[Bucket], buckets: Buckets
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices and gains of a partition: the rankings of its buckets by (rank, bucket)."""
    count = sum(buckets.rows[bucket] for bucket in parts)
    index, gain = np.empty(count, context.index.dtype), np.empty(count)
    for bucket, places in _merged_places(parts, buckets):
        shard = _ranking(context, base, bucket, ["index", "gain"])
        index[places], gain[places] = shard.column("index").to_numpy(), shard.column("gain").to_numpy()
    return index, gain


def _merged_scores(context: CommitContext, base: str, parts: list[Bucket], buckets: Buckets) -> np.ndarray:
    """Return the scores of the same rows."""
    score = np.empty(sum(buckets.rows[bucket] for bucket in parts))
    for bucket, places in _merged_places(parts, buckets):
        score[places] = score_of(base, _ranking(context, base, bucket))
    return score


def _ranking(context: CommitContext, base: str, bucket: Bucket, columns: list[str] | None = None) -> pa.Table:
    key = context.ordering.selecting.ranking_key(bucket, RANKED_BY[base])
    return context.work.read("ranking", key, columns)


def _merged_places(parts: list[Bucket], buckets: Buckets) -> Iterator[tuple[Bucket, np.ndarray]]:
    """Yield each bucket and the places of its rows, by rank, where those of all are by (rank, bucket)."""
    sizes = np.array([buckets.rows[bucket] for bucket in parts])
    longer = len(sizes) - np.searchsorted(np.sort(sizes), np.arange(sizes.max()), side="right")
    # Before a row of rank r stand the rows of lesser rank, and of its own rank those of earlier buckets.
    places = np.cumsum(longer) - longer
    for bucket, size in zip(parts, sizes.tolist(), strict=True):
        yield bucket, places[:size].copy()
        places[:size] += 1


def _probabilities(importance: Importance, score: np.ndarray) -> np.ndarray:
    if importance.ess is None:
        return published_probabilities(score)
    return tempered_probabilities(score, importance.ess)


def _spread(values: list[float]) -> dict[str, float]:
    """Mean, least and greatest over the partitions."""
    return {"mean": float(np.mean(values)), "least": min(values), "greatest": max(values)}
