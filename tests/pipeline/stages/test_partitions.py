"""Partitions by number, by list and by class; rows that a filter leaves out."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from job_sources import digests, document, sentences, table
from jobs import run

from syllabus.manifests import Manifest, validate
from syllabus.pipeline import JobError, UserError
from syllabus.pipeline.source_check import source_problems
from syllabus.pipeline.sources.labels import read_labels
from syllabus.pipeline.stages.partitions import RowLabels, by_class, by_quantile

NAMES = "animal bird cat dog emu fox".split()


def rows_of(values: list[object], numeric: bool = False) -> RowLabels:
    """The rows that labels of a source become."""
    found = read_labels(values, "label", numeric)
    assert not found.bad
    none = [None] * len(values)
    return RowLabels(
        pa.array(found.texts, pa.string()),
        pa.array(found.numbers or none, pa.float64()),
        pa.array(found.lists or none, pa.list_(pa.string())),
    )


def split(values: list[object], numeric: bool = False) -> list[RowLabels]:
    """The same in two chunks."""
    return [rows_of(values[: len(values) // 3], numeric), rows_of(values[len(values) // 3 :], numeric)]


@given(
    numbers=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=60),
    bins=st.integers(2, 12),
)
@example(numbers=[1.0] * 10, bins=4)
@settings(max_examples=150, deadline=None)
def test_bins_are_exact_quantiles(numbers: list[float], bins: int) -> None:
    cut = by_quantile(np.sort(numbers), bins)
    parts = np.concatenate([cut.of(rows) for rows in split(list(numbers), numeric=True)])
    assert np.bincount(parts, minlength=len(cut.sizes)).tolist() == list(cut.sizes)
    assert min(cut.sizes) >= 1
    # What a bin holds by the definition: how many of the quantiles, but for the smallest, are not above.
    ordered = sorted(numbers)
    quantiles = {ordered[place * len(numbers) // bins] for place in range(1, bins)} - {ordered[0]}
    assert parts.tolist() == [sum(edge <= number for edge in quantiles) for number in numbers]
    if len(set(numbers)) == len(numbers) >= bins:
        assert max(cut.sizes) - min(cut.sizes) <= 1
    assert len(set(cut.labels)) == len(cut.labels)


@given(
    st.lists(st.lists(st.sampled_from(NAMES), max_size=4) | st.sampled_from(NAMES), min_size=1, max_size=40)
)
@settings(max_examples=150, deadline=None)
def test_the_rarest_class_of_a_list_is_its_partition(values: list[list[str] | str]) -> None:
    if not any(isinstance(value, list) for value in values):
        values = [*values, []]
    chunks = split(list(values))
    cut = by_class(lambda: iter(chunks))
    lists = [value if isinstance(value, list) else [value] for value in values]
    counts = Counter(name for names in lists for name in set(names))
    expected = [min(names, key=lambda name: (counts[name], name), default=None) for names in lists]
    parts = np.concatenate([cut.of(chunk) for chunk in chunks])
    assert [cut.labels[part] for part in parts] == expected
    names = [name for name in cut.labels if name is not None]
    assert names == sorted(names)
    assert list(cut.sizes) == [expected.count(label) for label in cut.labels]


@given(st.lists(st.sampled_from(NAMES) | st.integers(0, 3) | st.booleans(), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_classes_are_partitions_in_the_order_of_their_names(values: list[object]) -> None:
    chunks = split(values)
    cut = by_class(lambda: iter(chunks))
    texts = [text for chunk in chunks for text in chunk.texts.to_pylist()]
    assert list(cut.labels) == sorted(set(texts))
    assert [cut.labels[part] for chunk in chunks for part in cut.of(chunk)] == texts


def write(path: Path, columns: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        count = len(columns["text"])
        rows = [{name: values[row] for name, values in columns.items()} for row in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.table(columns), path, row_group_size=97)
    return path.parent


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_job_over_bins_of_a_number(tmp_path: Path, suffix: str) -> None:
    draw = np.random.default_rng(3)
    prices = np.round(draw.lognormal(3, 1, 400), 2)
    source = write(tmp_path / "s" / f"a.{suffix}", {"text": sentences(400, 1), "price": prices.tolist()})
    options = {"text": "text", "label": "price", "bins": 5, "subsets": 2, "budgets": "equal"}
    run(source, tmp_path / "m", **options)
    run(source, tmp_path / "m2", workers=2, **options)
    assert digests(tmp_path / "m") == digests(tmp_path / "m2")
    assert validate(str(tmp_path / "m")).problems == []
    assert source_problems(str(tmp_path / "m"), str(source)) == []
    parts = document(tmp_path / "m")["partitions"]
    assert sum(part["examples"] for part in parts) == 400
    assert all(75 <= part["examples"] <= 85 for part in parts)
    assert parts[0]["label"].startswith(f"[{prices.min()}, ")
    rows = table(tmp_path / "m", "examples").to_pydict()
    assert [float(label) for label in rows["label"]] == prices.tolist()
    by_bin = [prices[np.array(rows["partition"]) == part] for part in range(5)]
    assert all(low.max() < high.min() for low, high in pairwise(by_bin))
    with pytest.raises(UserError, match=r"label 'price' holds floating-point numbers.*--bins.*--clusters"):
        run(source, tmp_path / "m3", text="text", label="price")
    with pytest.raises(UserError, match=r"bins=51: is above 50; a bin has 20 or more of 400 examples"):
        run(source, tmp_path / "m3", text="text", label="price", bins=51)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_job_over_lists_of_classes(tmp_path: Path, suffix: str) -> None:
    draw = np.random.default_rng(4)
    tags = [[name for name, p in zip(NAMES, (0.8, 0.5, 0.4, 0.3, 0.2, 0.1), strict=True) if draw.random() < p]
            for _ in range(300)]  # fmt: skip
    tags[7] = None
    source = write(tmp_path / "s" / f"a.{suffix}", {"text": sentences(300, 1), "tags": tags})
    options = {"text": "text", "label": "tags", "subsets": 2, "work_dir": str(tmp_path / "w")}
    run(source, tmp_path / "m", **options)
    assert validate(str(tmp_path / "m")).problems == []
    assert source_problems(str(tmp_path / "m"), str(source)) == []
    described = document(tmp_path / "m")
    assert described["counts"]["reasons"] == {"missing label": 1}
    kept = [names for names in tags if names is not None]
    counts = Counter(name for names in kept for name in names)
    rarest = [min(names, key=lambda name: (counts[name], name), default=None) for names in kept]
    labels = [part["label"] for part in described["partitions"]]
    rows = table(tmp_path / "m", "examples").to_pydict()
    assert [labels[part] for part in rows["partition"]] == rarest
    assert [json.loads(label) for label in rows["label"]] == kept


def test_odd_labels_cost_a_row_each(tmp_path: Path) -> None:
    values = [["a", 1.5], ["a", None], [["a"]], ["a", "a", 2], {"a": 1}, b"\xff", [], ["\ud800"]]
    found = read_labels(values, "tags", numeric=False)
    assert found.texts == [None, None, None, '["a","2"]', None, None, "[]", None]
    assert [found.bad[row][0] for row in (0, 1, 2, 4)] == ["label is not a class"] * 4
    assert [found.bad[row][0] for row in (5, 7)] == ["invalid UTF-8"] * 2
    numbers = read_labels([1, 2.5, b"3.0", "4", True, "x", float("nan"), 1e400, None, [1]], "price", True)
    assert numbers.numbers == [1.0, 2.5, 3.0, 4.0, None, None, None, None, None, None]
    assert numbers.texts == ["1", "2.5", "3", "4", None, None, None, None, None, None]
    assert sorted(numbers.bad) == [4, 5, 6, 7, 9]
    source = write(tmp_path / "s" / "a.jsonl", {"text": sentences(60, 1), "label": ["x"] * 60})
    with pytest.raises(UserError, match=r"label 'label' holds no number, such as 'x'; --bins cuts numbers"):
        run(source, tmp_path / "m", text="text", bins=3)
    table = {"text": sentences(60, 1), "label": ["x"] * 60}
    with pytest.raises(UserError, match=r"label 'label' is a column of string; --bins cuts numbers"):
        run(write(tmp_path / "p" / "a.parquet", table), tmp_path / "m", text="text", bins=3)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_rows_that_the_filter_leaves_out(tmp_path: Path, suffix: str) -> None:
    draw = np.random.default_rng(5)
    split, fold = draw.choice(["train", "test"], 300), draw.integers(0, 3, 300)
    texts: list[str | None] = sentences(300, 1)
    train = np.flatnonzero((split == "train") & (fold == 1))
    test = np.flatnonzero(split == "test")
    texts[train[3]] = texts[test[0]] = None
    columns = {"text": texts, "label": ["a", "b"] * 150, "split": split.tolist(), "fold": fold.tolist()}
    source = write(tmp_path / "s" / f"a.{suffix}", columns)
    options = {"text": "text", "subsets": 2, "max_reject_rate": 0.1, "work_dir": str(tmp_path / "w")}
    where = ("split=train", "fold=1")
    outcome = run(source, tmp_path / "m", where=where, **options)
    assert validate(str(tmp_path / "m")).problems == []
    assert source_problems(str(tmp_path / "m"), str(source)) == []
    expected = [row for row in train.tolist() if row != train[3]]
    assert Manifest.open(tmp_path / "m").examples().tolist() == expected
    assert document(tmp_path / "m")["counts"] == {
        "source_rows": 300,
        "accepted": len(expected),
        "rejected": 1,
        "excluded": 300 - len(train),
        "reasons": {"null text": 1},
    }
    # Nothing is encoded that is left out.
    assert outcome.stages[1].counters["encoded"] == len(expected)
    assert run(source, tmp_path / "again", where=where[::-1], **options).stages[1].counters == {}
    assert digests(tmp_path / "m") == digests(tmp_path / "again")
    with pytest.raises(UserError, match=r"where=split=trian: holds for none of 300 source rows"):
        run(source, tmp_path / "m3", where="split=trian", **options)
    with pytest.raises(UserError, match="column 'splt' is unknown; did you mean 'split'"):
        run(source, tmp_path / "m3", where="splt=train", **options)
    # One in sixteen or so: the share of bad rows is that of the rows that were looked at.
    with pytest.raises(JobError, match=rf"1 of {len(train)} rows are bad"):
        run(source, tmp_path / "m3", where=where, **{**options, "max_reject_rate": 0.01})
