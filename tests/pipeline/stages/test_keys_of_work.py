"""Keys of elements of work: all differ in one job, and what a stage reads changes those of that stage alone.

Of two elements with one key the later would find the other's shard, and be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from syllabus.pipeline import Options
from syllabus.pipeline.stages.neighbours.coarse_quantizer import CoarseQuantizer
from syllabus.pipeline.stages.neighbours.inverted_lists import InvertedLists
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.pipeline.stages.order.stage import Ordering
from syllabus.pipeline.stages.partitions import Partitioning
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.pipeline.stages.select.selecting import SERVED, UNION, Selecting, united_partitions

BUCKETS = [*product(range(3), range(3)), (-1, -1)]
UNITED: list[dict[int, int]] = [dict.fromkeys(numbers, SERVED) for numbers in ((), (1,), (0, 1, 2))]

Key = Callable[[Ordering], str]
KEYS: dict[str, Key] = {
    "subsets": lambda of: of.selecting.subsets_key((0, 0)),
    "measured": lambda of: of.selecting.parts_key(0),
    "sample": lambda of: of.selecting.sample_key((0, 0)),
    "kept": lambda of: of.selecting.sample_key((1, 0)),  # of a united partition
    "ranking": lambda of: of.selecting.ranking_key((0, 0), "graph_cut"),
    "order": lambda of: of.full_key(),
    "part": lambda of: of.part_key(0),
    "subset": lambda of: of.subset_key(1, 0),
}
CHOICE = "subsets measured sample kept subset"
READ: dict[str, tuple[Any, str]] = {
    "groups of the source": ("other", " ".join(KEYS)),
    "guide of a query": ("other", CHOICE),
    "objective": ("facility_location", CHOICE),
    "trade_off": (0.1, f"{CHOICE} ranking"),
    "optimizer": ("lazier", "subsets subset"),
    "epsilon": (0.1, "subsets subset"),
    "subsets": (2, "subsets subset"),
    "fraction": ((0.1, 0.3), CHOICE),
    "budgets": ("equal", CHOICE),
    "weight_power": (0.25, "subsets subset"),
    "order": ("none", "order part subset"),
    "passes": (3, "order part subset"),
    # 10,000 vectors are more than a worker holds, before and after. A subset of 2,000 is less, but it has
    # rows of a united partition, of which so little memory holds few neighbours.
    "memory_per_worker": (0.95e-4, "order part subset"),
    "neighbours": (3, ""),
    "importance": ("radius", ""),
}
"""Another value of what is read, and the keys that it changes."""


def selecting(united: dict[int, int] | None = None, **options: Any) -> Selecting:
    given = {"fraction": (0.1, 0.2), "subsets": 3, "seed": 0, "memory_per_worker": 1.0, **options}
    return Selecting(
        Options(source="s", output="m", embedding="vector", label="label", **given),
        "groups",
        None,
        united or {},
    )


def assert_all_differ(keys: list[str]) -> None:
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", READ)
def test_what_a_stage_reads_is_in_its_keys_and_in_no_others(name: str) -> None:
    def ordering(**given: Any) -> Ordering:
        options = {"memory_per_worker": 1e-4, **given}
        return Ordering(selecting(UNITED[1], **options), 10_000, 8)

    before, (value, changed) = ordering(), READ[name]
    if name in ("guide of a query", "groups of the source"):
        field = name.partition(" ")[0]
        after = replace(before, selecting=replace(before.selecting, **{field: value}))
    elif name == "weight_power":
        before, after = ordering(weight="tokens"), ordering(weight="tokens", weight_power=value)
    else:
        after = ordering(**{name: value})
    assert {each for each, key in KEYS.items() if key(after) != key(before)} == set(changed.split())


@pytest.mark.parametrize("united", UNITED, ids=len)
def test_buckets_and_partitions(united: dict[int, int]) -> None:
    every = selecting(united)
    assert_all_differ([key(bucket) for key in (every.subsets_key, every.chosen_key) for bucket in BUCKETS])
    samples, partitions = map(every.sample_key, BUCKETS), map(every.parts_key, range(3))
    assert_all_differ([*samples, *partitions])
    functions = ("disparity_min", "graph_cut", "facility_location")
    assert_all_differ([every.ranking_key(*each) for each in product(BUCKETS, functions)])


def test_what_is_chosen_from_all_buckets_of_a_partition_has_keys_of_its_own() -> None:
    apart, one, every = map(selecting, UNITED)
    # Orders of subsets have rows of every partition.
    assert_all_differ([each.subsets_key((-1, -1)) for each in (apart, one, every)])
    keys: list[Callable[[Selecting], str]] = [
        lambda each: each.subsets_key((1, 0)),
        lambda each: each.sample_key((1, 0)),
        lambda each: each.parts_key(1),
    ]
    for key in keys:
        assert key(apart) != key(one) == key(every)


def test_the_memory_decides_how_many_neighbours_a_row_of_a_united_partition_may_have() -> None:
    more, enough, little, less = (selecting(UNITED[1], memory_per_worker=gb) for gb in (8.0, 4.0, 0.5, 0.4))
    for bucket in ((1, UNION), (-1, -1)):
        assert more.subsets_key(bucket) == enough.subsets_key(bucket)
        assert_all_differ([each.subsets_key(bucket) for each in (enough, little, less)])
    assert less.subsets_key((0, 0)) == enough.subsets_key((0, 0))


def test_the_rows_served_are_in_the_keys_of_what_is_chosen_by_them() -> None:
    few, many = (selecting({1: served}, memory_per_worker=8.0) for served in (SERVED, SERVED + 1))
    for key in (
        lambda each: each.subsets_key((1, UNION)),
        lambda each: each.subsets_key((-1, -1)),
        lambda each: each.sample_key((1, 0)),
        lambda each: each.parts_key(1),
    ):
        assert key(few) != key(many)


@pytest.mark.parametrize(
    ("rows", "fraction", "memory", "served"),
    [
        (100_000, 0.1, 4.0, 100_000),  # 16 a pick are all
        (1_000_000, 0.001, 4.0, 65_536),
        (1_000_000, 0.01, 4.0, 160_000),
        (1_000_000, 0.1, 4.0, None),  # 600,000 kept and all served are more than a worker holds
        (100_000, 0.1, 0.5, None),
    ],
)
def test_facility_location_serves_several_rows_a_pick_or_is_left_to_the_buckets(
    rows: int, fraction: float, memory: float, served: int | None
) -> None:
    pytest.importorskip("faiss")
    layout = Layout(Partitioning("class", ("a", "b"), (rows, 1000)), (10, 1), 0)
    options = selecting(objective="facility_location", fraction=(fraction,), memory_per_worker=memory).options
    found = united_partitions(options, layout, rows + 1000, 384)
    assert found == ({} if served is None else {0: served})


@pytest.mark.parametrize("memory", [1.0, 1e-6])
@pytest.mark.parametrize("weight", [None, "tokens"])
def test_orders(weight: str | None, memory: float) -> None:
    ordering = Ordering(selecting(weight=weight, memory_per_worker=memory), 1000, 8)
    assert ordering.apart(1000) == (memory < 1)
    subsets = [ordering.subset_key(*each) for each in ordering.subsets()]
    assert len(subsets) == 6
    parts = [key(part) for key in (ordering.part_key, ordering.sums_key) for part in range(4)]
    assert_all_differ([ordering.full_key(), *subsets, *parts])


def test_lists_blocks_and_widths() -> None:
    vectors: Any = SimpleNamespace(digest="vectors", n=21, most_rows=lambda *_: 7)
    knn = NeighbourSearch(vectors, 10, 0.95)
    coarse = CoarseQuantizer(np.eye(9, dtype=np.float32), 1, np.arange(2), np.eye(2, 9, dtype=np.float32))
    blocks, groups = [Block((), first, 7) for first in (0, 7, 14)], [(0, 3), (3, 6), (6, 9)]
    searches = [
        InvertedLists(knn, replace(coarse, probes=probes), key)
        for probes, key in product((1, 2, 4), ("fit", "other"))
    ]
    assert_all_differ([lists.group_key(group) for lists in searches for group in groups])
    cells = [lists.list_shard_key(block) for lists in searches for block in blocks]
    assert_all_differ([*cells, *(lists.joined_key(group) for lists in searches for group in groups)])
    # The exact nearest do not depend on how many lists are searched.
    assert_all_differ([lists.truth_key(block) for lists in searches[:2] for block in blocks])
    assert searches[0].truth_key(blocks[0]) == searches[2].truth_key(blocks[0])
