"""A small but complete manifest for tests, written with the real writer; no selector is asked.

    manifest = write_small_manifest(tmp_path / "m", n=200, fractions=(0.1, 0.3))

Every table is there and consistent; what would be computed from embeddings is drawn from the seed instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import Fingerprint, Manifest, ManifestWriter, allocate, budget, schema, sketches_table
from syllabus.manifests.budgets import fill

REJECTED = 2


def write_small_manifest(
    location: Any,
    n: int = 60,
    classes: int = 3,
    fractions: Sequence[float] = (0.1,),
    subsets: int = 4,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    importances: Sequence[str] = ("disparity_min", "radius"),
    orders: Sequence[str] = ("balance",),
    sketch_dim: int = 4,
    gap: int = 7,
    neighbours: bool = False,
    split: int = 0,
    weights: Sequence[int] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write a manifest of `n` examples and return it opened.

    Args:
      location: directory or Store.
      n: accepted examples.
      classes: labels "class-0" … one partition each; 0 for no labels, one partition.
      fractions: ascending, with distinct budgets.
      subsets: how many for each fraction.
      seed: of everything that is drawn.
      ids: (n,) unique; by default "example-00000" and so on, by index.
      importances: their names.
      orders: their names.
      sketch_dim: 0 for no sketches.
      gap: a source row is missing (rejected) after so many examples, so that indices have gaps; 0 for none.
      split: where not 0, the source rows before it are of a/one.parquet and the others of two.parquet.
      weights: (n,) of the column "tokens", which budgets then count; None for budgets in examples.
      neighbours: whether to draw neighbour_agreement and duplicate_group too.
      overwrite: as in ManifestWriter.
    """
    rng = np.random.default_rng(seed)
    place = np.arange(n)
    index = place + np.minimum(place // gap, REJECTED) if gap else place
    rejected = int(index[-1]) + 1 - n
    partition = rng.integers(0, max(classes, 1), n)
    partition[: max(classes, 1)] = np.arange(max(classes, 1))[:n]
    sizes = np.bincount(partition, minlength=max(classes, 1))
    units = np.ones(n, np.int64) if weights is None else np.asarray(weights, np.int64)
    of_parts = np.bincount(partition, units, minlength=len(sizes)).astype(np.int64)
    total = int(units.sum())
    names = pa.array([f"example-{i:05d}" for i in index] if ids is None else list(ids), pa.string())
    labels = pa.array([f"class-{p}" for p in partition] if classes else [None] * n, pa.string())
    content = np.frombuffer(b"".join(hashlib.sha256(b"%d" % i).digest() for i in index), np.uint8)
    fingerprint = Fingerprint()
    fingerprint.update(index, names, labels, content.reshape(n, 32))
    agreement, groups, covers, section = (
        _neighbours(rng, index, partition, classes) if neighbours else ([None] * n, [None] * n, None, {})
    )
    with ManifestWriter(location, overwrite=overwrite) as writer:
        files = np.where(index < split, "a/one.parquet", "two.parquet") if split else ["data.parquet"] * n
        row = index - split * (index >= split)
        columns = [index, names, labels, partition, files, row, agreement, groups]
        if weights is not None:
            columns.append(units)
        if covers is not None:
            columns.append(covers)
        _write(writer, schema.examples(weights is not None, covers is not None), columns)
        entries = []
        for fraction in fractions:
            k = budget(fraction, total)
            share = allocate(k, of_parts)
            made = [_subset(rng, share, index, partition, units) for _ in range(subsets)]
            for subset, (rows, _) in enumerate(made):
                constant = [np.full(len(rows[0]), value) for value in (fraction, k, subset)]
                _write(writer, schema.SUBSETS, [*constant, *rows])
            entry = {"fraction": fraction, "budget": k, "count": subsets, "objective": "graph_cut"}
            if weights is not None:
                entry["rows"] = [len(rows[0]) for rows, _ in made]
                entry["weights"] = [weight for _, weight in made]
            entries.append(entry)
        for name in importances:
            _write(writer, schema.importance(name), _importance(rng, index, partition))
        for name in orders:
            _write(writer, schema.order(name), [place, rng.permutation(index)])
        if sketch_dim:
            steps = rng.integers(-127, 128, (n, sketch_dim)).astype(np.int8)
            writer.table(schema.sketches(sketch_dim)).write(sketches_table(index, steps))
        missing = np.setdiff1d(np.arange(n + rejected), index)
        lost = [["data.parquet"] * rejected, missing, ["null_text"] * rejected, ["text is null"] * rejected]
        _write(writer, schema.REJECTS, lost)
        writer.commit(
            {
                "code_version": "0",
                "fingerprint": fingerprint.as_section(),
                "encoder": {
                    "kind": "embedding",
                    "name": "vector",
                    "weights_sha256": None,
                    "dtype": "float32",
                    "dimension": 8,
                },
                "options": {"seed": seed, "fraction": list(fractions), "budgets": "proportional"},
                "counts": {
                    "source_rows": n + rejected,
                    "accepted": n,
                    "rejected": rejected,
                    "reasons": {"null_text": rejected} if rejected else {},
                },
                "partitions": [
                    {
                        "partition": p,
                        "label": f"class-{p}" if classes else None,
                        "examples": int(size),
                        **({} if weights is None else {"weight": int(of_parts[p])}),
                    }
                    for p, size in enumerate(sizes)
                ],
                **({} if weights is None else {"weight": {"column": "tokens", "total": total}}),
                "subsets": entries,
                "importances": {name: {} for name in importances},
                "orders": {
                    name: {
                        "discrepancy": {"l2": 1.0, "linf": 0.5},
                        "random": {"l2": 2.0, "linf": 1.0},
                        "curve": [0.5, 1.0],
                        "random_curve": [1.0, 2.0],
                    }
                    for name in orders
                },
                **(
                    {"sketches": {"dimension": sketch_dim, "step": 0.01, "projection": "none"}}
                    if sketch_dim
                    else {}
                ),
                **section,
            }
        )
    return Manifest.open(location)


def _subset(
    rng: np.random.Generator,
    share: np.ndarray,
    index: np.ndarray,
    partition: np.ndarray,
    units: np.ndarray,
) -> tuple[list[Any], int]:
    """The columns of one subset from `partition` on, and its weight: random examples of each partition, all
    that fit into its `share`, in a random herding order."""
    picks = []
    for p, limit in enumerate(share):
        mixed = rng.permutation(np.flatnonzero(partition == p))
        picks.append(mixed[fill(units[mixed], int(limit))])
    rank = np.concatenate([np.arange(len(pick)) for pick in picks])
    gain = np.concatenate([np.sort(rng.random(len(pick)))[::-1] for pick in picks])
    mixed = rng.permutation(len(rank))
    rows = np.concatenate(picks)[mixed]
    columns = [partition[rows], rank[mixed], index[rows], gain[mixed], np.arange(len(rows))]
    return columns, int(units[rows].sum())


def _neighbours(
    rng: np.random.Generator, index: np.ndarray, partition: np.ndarray, classes: int
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Agreements in tenths, groups of one to four examples, the first of each class in a group for the others
    of it; the section of manifest.json."""
    n = len(index)
    agreement = (rng.integers(0, 11, n) / 10).astype(np.float32)
    member = rng.integers(0, max(1, n // 2), n)
    first = np.full(n, index[-1])
    np.minimum.at(first, member, index)
    sizes = np.bincount(member, minlength=n)
    able = np.flatnonzero(agreement != 0) if classes else np.arange(n)
    keys = (member * (partition.max() + 1) + partition)[able]
    _, starts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    covers = index.copy()
    covers[able] = index[able[starts[inverse]]]
    apart = {"random_share": 0.001, "crowded": 0.1, "mixed": 0.1 if classes else None, "against": []}
    repeated = int((sizes[member] > 1).sum())
    section = {
        "k": 10,
        "method": "exact",
        "recall": 1.0,
        "agreement": {
            "kind": "class",
            "median": float(np.median(agreement)),
            "zero_share": float((agreement == 0).mean()),
        }
        if classes
        else None,
        "duplicates": {
            "threshold": 0.95,
            "groups": int((sizes > 1).sum()),
            "examples": repeated,
            "share": repeated / n,
            "random": [-0.4, -0.1, 0.0, 0.1, 0.4],
            "nearest": [0.5, 0.6, 0.7, 0.8, 0.9],
            "chance": 0.6 if classes else None,
            "separation": apart,
            "largest": [
                {
                    "index": index[0],
                    "examples": 2,
                    "least_cosine": 0.96,
                    "labels": 1 if classes else None,
                    "partitions": [0] if classes else [],
                }
            ],
            "cover": {
                "threshold": 0.96,
                "left_out": int((covers != index).sum()),
                "not_compared": 0,
                "separation": apart,
            },
        },
    }
    return agreement if classes else [None] * n, first[member], covers, {"neighbours": section}


def _importance(rng: np.random.Generator, index: np.ndarray, partition: np.ndarray) -> list[Any]:
    rows = np.lexsort((rng.random(len(index)), partition))
    owner = partition[rows]
    starts = np.searchsorted(owner, np.arange(owner[-1] + 1))
    rank = np.arange(len(rows)) - starts[owner]
    score = 1.0 / (1.0 + rank)
    probability = score / np.bincount(owner, score)[owner]
    return [owner, rank, index[rows], score, score, probability]


def _write(writer: ManifestWriter, table: schema.Table, columns: Sequence[Any]) -> None:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field, column in zip(table.schema, columns, strict=True)
    ]
    writer.table(table).write(pa.Table.from_arrays(arrays, schema=table.schema))
