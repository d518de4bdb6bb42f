"""The tables of importances: the rankings of buckets merged, and probabilities for weighted draws."""

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
            score = merged_ranking(context, importance.base, parts)[2]
            check_scores(importance, partition_name(partition, context.layout.labels[partition]), score)


def write_importance(
    context: CommitContext, writer: ManifestWriter, importance: Importance, buckets: Buckets
) -> dict[str, Any]:
    """Write one importance, partition by partition; return what the manifest says of it.

    Effective sample sizes are of the probabilities, and of what becomes of them in a draw of each fraction:
    large draws saturate, since an example can be drawn once only. With weights, a draw has as many examples
    as its share holds of the partition's mean weight.
    """
    options = context.options
    table = writer.table(schema.importance(importance.name))
    draws = {fraction: _draws(buckets, fraction, options.budgets) for fraction in options.fraction}
    sizes: list[float] = []
    drawn: dict[float, list[float]] = {fraction: [] for fraction in options.fraction}
    for partition, parts in buckets.of_partitions().items():
        index, gain, score = merged_ranking(context, importance.base, parts)
        probability = _probabilities(importance, score)
        sizes.append(effective_sample_size(probability))
        for fraction, budgets in draws.items():
            if budgets[partition]:
                inclusion = inclusion_probabilities(probability, int(budgets[partition]))
                drawn[fraction].append(effective_sample_size(inclusion / budgets[partition]))
        count = len(index)
        columns = {
            "partition": np.full(count, partition, np.int32),
            "rank": np.arange(count, dtype=np.int32),
            "index": index,
            "gain": gain,
            "score": score,
            "probability": probability,
        }
        for first in range(0, count, PIECE):
            piece = {key: values[first : first + PIECE] for key, values in columns.items()}
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


def merged_ranking(
    context: CommitContext, base: str, parts: list[Bucket]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indices, gains and scores of a partition: the rankings of its buckets by (rank, bucket)."""
    selecting, function = context.ordering.selecting, RANKED_BY[base]
    shards = [context.work.read("ranking", selecting.ranking_key(bucket, function)) for bucket in parts]
    place = np.concatenate([np.arange(shard.num_rows) for shard in shards])
    which = np.repeat(np.arange(len(shards)), [shard.num_rows for shard in shards])
    order = np.lexsort((which, place))
    index, gain = (
        np.concatenate([shard.column(column).to_numpy() for shard in shards])[order]
        for column in ("index", "gain")
    )
    return index, gain, np.concatenate([score_of(base, shard) for shard in shards])[order]


def _probabilities(importance: Importance, score: np.ndarray) -> np.ndarray:
    if importance.ess is None:
        return published_probabilities(score)
    return tempered_probabilities(score, importance.ess)


def _spread(values: list[float]) -> dict[str, float]:
    """Mean, least and greatest over the partitions."""
    return {"mean": float(np.mean(values)), "least": min(values), "greatest": max(values)}
