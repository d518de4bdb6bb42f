"""The parts of the stages: shards, transforms, budgets of buckets, ranks, orders, what a failure says."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sources import write_embeddings
from rich.console import Console

from syllabus.manifests import allocate, budget
from syllabus.pipeline import JobError, Options, UserError
from syllabus.pipeline.runners import run as runners
from syllabus.pipeline.runtime import progress
from syllabus.pipeline.stages.order.stage import _merged_ranks
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.pipeline.stages.select.quality import subset_quality
from syllabus.pipeline.stages.select.subsets import bucket_budgets
from syllabus.pipeline.stages.transform import Transform, principal_axes
from syllabus.pipeline.work_directory import VERSIONS, WorkDirectory, key_of, vectors_column, vectors_of


@given(rows=st.integers(0, 40), width=st.integers(1, 9), cut=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_vectors_survive_their_column(rows: int, width: int, cut: int) -> None:
    vectors = np.random.default_rng(rows).standard_normal((rows, width)).astype(np.float32)
    column = vectors_column(vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column])), vectors)
    parts = [column.slice(0, cut), column.slice(cut)]
    assert np.array_equal(vectors_of(pa.chunked_array(parts)), vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column.slice(cut)])), vectors[cut:])


def test_a_shard_is_whole_or_not_there(tmp_path: Path) -> None:
    work = WorkDirectory(str(tmp_path))
    key = key_of("fit", a=1)
    table = pa.table({"x": [1, 2]})

    def broken() -> None:
        with work.writer("fit", key, table.schema) as writer:
            writer.write_table(table)
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        broken()
    assert not work.has("fit", key)
    assert work.store.files() == {}
    work.write("fit", key, table, {"note": 1})
    assert work.keys("fit") == {key}
    assert work.read("fit", key).equals(table)
    assert work.metadata("fit", key) == {"note": 1}


def test_a_key_says_everything_that_it_was_made_from() -> None:
    keys = {key_of("fit", a=1, b=2), key_of("fit", a=1, b=3), key_of("fit", a=1), key_of("order", a=1, b=2)}
    assert len(keys) == 4
    assert key_of("fit", b=2, a=1) == key_of("fit", a=1, b=2)
    before = key_of("fit", a=1)
    VERSIONS["fit"] += 1
    try:
        assert key_of("fit", a=1) != before
    finally:
        VERSIONS["fit"] -= 1


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), min_size=1, max_size=6),
    fraction=st.floats(0.05, 1),
    rule=st.sampled_from(["proportional", "equal", "sqrt"]),
)
@settings(max_examples=150, deadline=None)
def test_buckets_share_the_budget_exactly(sizes: list[list[int]], fraction: float, rule: str) -> None:
    counts = {(p, b): rows for p, parts in enumerate(sizes) for b, rows in enumerate(parts)}
    total = sum(counts.values())
    shares = bucket_budgets(counts, fraction, rule)
    assert sum(shares.values()) == budget(fraction, total)
    assert all(0 <= shares[bucket] <= counts[bucket] for bucket in counts)
    by_partition = [sum(shares[p, b] for b in range(len(parts))) for p, parts in enumerate(sizes)]
    expected = allocate(budget(fraction, total), np.array([sum(parts) for parts in sizes]), rule)
    assert by_partition == expected.tolist()
    assert bucket_budgets(dict(reversed(counts.items())), fraction, rule) == shares


def test_ranks_of_buckets_are_merged_by_rank_then_bucket() -> None:
    partitions = np.array([0, 0, 0, 1, 0, 1], np.int32)
    buckets = np.array([1, 0, 0, 0, 1, 0], np.int32)
    ranks = np.array([0, 0, 1, 1, 1, 0], np.int32)
    # Partition 0: (0, bucket 0), (0, bucket 1), (1, bucket 0), (1, bucket 1); partition 1: its own order.
    assert _merged_ranks(partitions, ranks, buckets).tolist() == [1, 0, 2, 1, 3, 0]


def test_buckets_follow_seed_and_id_and_are_even() -> None:
    layout = Layout(None, (8, 1), seed=3)
    names = [f"row {number}" for number in range(8000)]
    partitions = np.zeros(8000, np.int32)
    buckets = layout.bucket_of(names, partitions)
    counts = np.bincount(buckets, minlength=8)
    assert counts.min() > 850
    assert counts.max() < 1150
    assert np.array_equal(layout.bucket_of(names[::-1], partitions)[::-1], buckets)
    assert not np.array_equal(Layout(None, (8, 1), seed=4).bucket_of(names, partitions), buckets)
    assert layout.bucket_of(names[:5], np.ones(5, np.int32)).tolist() == [0] * 5


def test_centring_and_pca_are_what_they_say() -> None:
    draw = np.random.default_rng(0)
    sample = (draw.standard_normal((500, 12)) * np.linspace(3, 0.1, 12) + 5).astype(np.float32)
    mean = sample.mean(axis=0)
    components = principal_axes(sample, mean, 4)
    centred = sample.astype(np.float64) - mean
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(components @ right[:4].T), np.eye(4), atol=1e-4)
    embedded = Transform(mean, components).apply(sample)
    assert embedded.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-6)
    assert abs(float(embedded.mean())) < 0.1
    assert Transform(mean).apply(mean[None]).tolist() == [[1.0] + [0.0] * 11]


def test_normalised_gain_is_0_for_random_and_1_for_greedy() -> None:
    qualities = [
        {"greedy": 10.0, "random": 6.0, "upper_bound": 11.0, "subsets": [10.0, 6.0]},
        {"greedy": 5.0, "random": 3.0, "upper_bound": 6.0, "subsets": [5.0, 3.0]},
    ]
    chosen = [np.array([1, 2, 3]), np.array([3, 4, 5])]
    quality = subset_quality(qualities, chosen, 10)
    assert quality["normalised_gain"] == {"least": 0.0, "mean": 0.5}
    assert quality["upper_bound"] == 17.0
    assert quality["jaccard"] == pytest.approx(1 / 5)
    assert quality["covered"] == pytest.approx(0.5)
    flat = [{"greedy": 1.0, "random": 1.0, "upper_bound": None, "subsets": [1.0, 1.0]}]
    assert subset_quality(flat, chosen, 10)["normalised_gain"] is None


def test_progress_in_a_log_is_a_line_a_tenth() -> None:
    shown = io.StringIO()
    counted = iter(range(0, 1000, 40))
    with progress.watching(
        Console(file=shown, width=200), "embed", 1000, "rows", lambda: next(counted, 1000), interval=0.001
    ):
        import time

        time.sleep(0.3)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[1].split("%")[0].strip() for line in lines] == [str(10 * n) for n in range(1, 10)]
    assert "of 1,000 rows" in lines[0]


def options(tmp_path: Path, **more: object) -> Options:
    write_embeddings(tmp_path / "s" / "a.parquet", 60)
    given = {"source": str(tmp_path / "s"), "output": str(tmp_path / "m"), "embedding": "vector", **more}
    return Options(**given)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("DaskRunner", "runner='DaskRunner' is refused: it silently loses data"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", "is refused: it silently loses data"),
        ("DirectRunner", "is refused: it looks for another runner on the network"),
        ("FlinkRuner", "runner 'FlinkRuner' is unknown; did you mean 'FlinkRunner'?"),
    ],
)
def test_runners_that_are_refused(tmp_path: Path, name: str, line: str) -> None:
    with pytest.raises(UserError, match=line.replace("?", r"\?")):
        runners.check_runner(options(tmp_path, runner=name))


def test_options_of_another_runner_are_no_use_to_the_embedded_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="FnApiRunner takes no options after --"):
        runners.check_runner(options(tmp_path, runner_options=("--flink_master=x",)))
    with pytest.raises(UserError, match="workers=2: is for FnApiRunner"):
        runners.check_runner(options(tmp_path, runner="PrismRunner", workers=2))


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "--environment_typ=LOOPBACK",
            "runner option '--environment_typ' is unknown; did you mean '--environment_type'?",
        ),
        ("--prism_location=/nowhere/prism", "--prism_location=/nowhere/prism: no such file"),
    ],
)
def test_options_that_beam_would_pass_over(tmp_path: Path, flag: str, line: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        runners.check_runner(options(tmp_path, runner="PrismRunner", runner_options=(flag,)))


def _fail(element: int) -> int:
    raise UserError(f"element {element} is odd")


def _interrupt(element: int) -> int:  # noqa: ARG001
    raise KeyboardInterrupt


def test_an_interrupt_in_a_worker_is_an_interrupt(tmp_path: Path) -> None:
    import apache_beam as beam

    with pytest.raises(KeyboardInterrupt):
        runners.run(options(tmp_path), "test", lambda p: p | beam.Create([3]) | beam.Map(_interrupt))


def _crash(element: int) -> int:
    return element // 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_worker_is_one_line(tmp_path: Path, workers: int) -> None:
    import apache_beam as beam

    own = options(tmp_path, workers=workers)
    with pytest.raises(UserError, match=r"^element 3 is odd$"):
        runners.run(own, "test", lambda p: p | beam.Create([3]) | beam.Map(_fail))
    with pytest.raises(JobError, match=r"^test: ZeroDivisionError: .*zero; finished shards are kept in "):
        runners.run(own, "test", lambda p: p | beam.Create([3]) | beam.Map(_crash))
