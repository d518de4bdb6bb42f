"""The rows that a report shows: those of the preview, and whatever its lists name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from syllabus.manifests import Manifest, list_suspects, schema

CLASSES, EXTREMES = 30, 10
SUSPECTS, GROUPS, MEMBERS, TESTED = 50, 40, 6, 50


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists by index of the examples."""

    extremes: list[dict[str, Any]]
    suspects: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    tested: list[dict[str, Any]]

    def indices(self) -> np.ndarray:
        """Return every example that is named, ascending."""
        named = [each["index"] for each in (*self.suspects, *self.tested)]
        named += [index for each in self.suspects for index in each["neighbours"]]
        named += [index for each in self.groups for index in each["members"]]
        named += [index for each in self.extremes for side in ("easy", "hard") for index in each[side]]
        return np.unique(np.array(named, np.int64))


def read_lists(manifest: Manifest) -> Lists:
    """Return what a report lists, empty where the manifest has no tables for it.

    Cost: the tables of hygiene, one column of the examples, and the rankings of the shown classes.
    """
    held = set(manifest.description.get("hygiene", {}))
    preview = (
        manifest.column(schema.PREVIEW, "index")
        if "preview" in manifest.description
        else np.empty(0, np.int64)
    )
    return Lists(
        _extremes(manifest),
        _suspects(manifest) if "suspects" in held else [],
        _groups(manifest, preview) if "duplicates" in held else [],
        _tested(manifest) if "holdout" in held else [],
    )


def importance_of(manifest: Manifest) -> str | None:
    """Return the importance by which hard examples are shown: by radius where there is one."""
    by_radius = [name for name in manifest.importances if name.startswith("radius")]
    return next(iter((*by_radius, *manifest.importances)), None)


def _extremes(manifest: Manifest) -> list[dict[str, Any]]:
    """The first of the largest partitions, by the first subset and by an importance."""
    sizes = manifest.partition_sizes
    shown = np.argsort(-sizes, kind="stable")[:CLASSES].tolist()
    easy: dict[int, list[int]] = {}
    if manifest.fractions:
        first, last = manifest.subset_rows(manifest.fractions[-1], 0)
        names = ("partition", "rank", "index")
        partition, rank, index = (manifest.column(schema.SUBSETS, name, first, last) for name in names)
        few = np.flatnonzero(rank < EXTREMES)
        few = few[np.lexsort((rank[few], partition[few]))]
        for number, example in zip(partition[few].tolist(), index[few].tolist(), strict=True):
            easy.setdefault(number, []).append(example)
    hard: dict[int, list[int]] = {}
    if (name := importance_of(manifest)) is not None:
        firsts = np.concatenate([[0], np.cumsum(sizes)])
        for number in shown:
            stop = int(firsts[number] + min(EXTREMES, sizes[number]))
            table = schema.importance(name)
            hard[number] = manifest.column(table, "index", int(firsts[number]), stop).tolist()
    return [
        {"partition": number, "easy": easy.get(number, []), "hard": hard.get(number, [])}
        for number in shown
        if sizes[number]
    ]


def _suspects(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {name: row[name] for name in ("index", "cosine", "neighbours", "cosines")}
        for row in list_suspects(manifest).slice(0, SUSPECTS).to_pylist()
    ]


def _tested(manifest: Manifest) -> list[dict[str, Any]]:
    """The test rows nearest to an example, in the order of `list_holdout`."""
    nearest = np.argsort(-manifest.column(schema.HOLDOUT, "cosine"), kind="stable")[:TESTED]
    return list(manifest.table(schema.HOLDOUT).take(nearest).to_pylist())


def _groups(manifest: Manifest, preview: np.ndarray) -> list[dict[str, Any]]:
    """Groups in several partitions, then the largest; with two rows in the preview where there is one."""
    index, groups = manifest.examples(), manifest.column(schema.EXAMPLES, "duplicate_group")
    names, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
    partition = manifest.partitions()
    # A group is named by its first example.
    mixed = np.isin(names, groups[partition != partition[firsts[np.searchsorted(names, groups)]]])
    repeated = names[sizes > 1]
    if len(preview):
        seen, times = np.unique(groups[np.searchsorted(index, preview)], return_counts=True)
        repeated = np.intersect1d(repeated, seen[times > 1])
    place = np.searchsorted(names, repeated)
    of_groups = sizes[place]
    order = np.lexsort((repeated, -of_groups, ~mixed[place]))[:GROUPS]
    one, cosine = (manifest.column(schema.DUPLICATES, name) for name in ("index", "cosine"))
    group_of_pair = groups[np.searchsorted(index, one)]
    found = []
    for name, size in zip(repeated[order].tolist(), of_groups[order].tolist(), strict=True):
        members = index[groups == name]
        shown = np.intersect1d(members, preview) if len(preview) else members
        cosines = cosine[group_of_pair == name]
        found.append(
            {
                "size": size,
                "members": shown[:MEMBERS].tolist(),
                "least": float(cosines.min()) if len(cosines) else None,
                # Of larger groups only pairs of near neighbours are known.
                "all_pairs": len(cosines) == size * (size - 1) // 2,
            }
        )
    return found
