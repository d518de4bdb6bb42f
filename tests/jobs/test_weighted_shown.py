"""What people are told of budgets in units: before the work, in the summary, by `describe`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import document
from rich.cells import cell_len
from rich.console import Console

from syllabus.manifests import Manifest
from syllabus.pipeline import Options, prepare
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.reporting.job_messages import print_summary


def source(folder: Path, weights: np.ndarray, labels: list[str]) -> Path:
    vectors = np.random.default_rng(0).standard_normal((len(labels), 6)).astype(np.float32)
    folder.mkdir()
    pq.write_table(
        pa.table({"vector": list(vectors), "label": labels, "words": weights}), folder / "a.parquet"
    )
    return folder


def shown(folder: Path, output: Path, **options: object) -> tuple[str, str]:
    """What a job says, and what `describe` says of its manifest."""
    said, told = io.StringIO(), io.StringIO()
    given = {"fraction": (0.1, 0.2), "subsets": 3, "neighbours": 0, **options}
    console = Console(file=said, width=300)
    made = Options(
        source=str(folder), output=str(output), embedding="vector", label="label", weight="words", **given
    )
    print_summary(console, prepare(made, console))
    print_description(Console(file=told, width=80), Manifest.open(output))
    return said.getvalue(), told.getvalue()


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 1 to 200 words, and one whose examples have thousands."""
    weights = np.concatenate([np.arange(1, 201), [8000, 9000]])
    return source(tmp_path_factory.mktemp("shown") / "s", weights, ["a", "b"] * 100 + ["heavy"] * 2)


def test_units_are_named_before_the_work_and_after(uneven: Path, tmp_path: Path) -> None:
    said, told = shown(uneven, tmp_path / "m")
    entries, lines = document(tmp_path / "m")["subsets"], said.splitlines()
    assert lines[0].startswith(
        "subsets: 3 of about 3,710, 7,420 words each: 20, 40 rows of 183.7, the mean of the first ones,"
        " 180 rows in all"
    )
    assert (
        "weight: 202 examples have 37,100 words, 183.7 each; budgets of 3,710, 7,420: about 20, 40 rows"
        in lines
    )
    assert "202 examples in 3 partitions; 3 subsets of 3,710 words; 3 subsets of 7,420 words" in lines
    assert "budgets count words: 37,100 in all, 183.7 an example" in told.splitlines()
    assert "3 partitions; budgets in words" in told
    rows = [line.split() for line in told.splitlines()]
    assert ["label", "examples", "words", "in", "0.1", "in", "0.2"] in rows
    assert ["heavy", "2", "17,000", *(f"{entry['partitions'][2]:,}" for entry in entries)] in rows
    for entry in entries:
        least, greatest = min(entry["weights"]), max(entry["weights"])
        spent = f"{least:,}" if least == greatest else f"{least:,} to {greatest:,}"
        mean = sum(entry["weights"]) / sum(entry["rows"])
        for text in (said, " ".join(told.split())):
            assert f"rows spend {spent} of {entry['budget']:,} words; {mean:,.1f} a row" in text
    assert max(map(cell_len, told.splitlines()[2:])) <= 80


def test_a_class_too_heavy_for_its_share_is_named(uneven: Path, tmp_path: Path) -> None:
    said, told = shown(uneven, tmp_path / "m")
    assert [entry["empty_partitions"] for entry in document(tmp_path / "m")["subsets"]] == [[2], [2]]
    for text in (said, told):
        assert text.count("  none of heavy: too heavy for their share") == 2


def test_light_rows_are_warned_of_and_weights_passed_over_are_not_light(uneven: Path, tmp_path: Path) -> None:
    work = str(tmp_path / "w")
    said, told = shown(uneven, tmp_path / "light", weight_power=1.0, work_dir=work)
    shares = [
        sum(entry["weights"]) / sum(entry["rows"]) / (37_100 / 202)
        for entry in document(tmp_path / "light")["subsets"]
    ]
    warning = (
        f"warning: chosen rows weigh less than half the mean ({shares[0]:.2f} at 0.1, {shares[1]:.2f} at 0.2)"
    )
    assert max(shares) < 0.5
    assert warning in said
    assert warning in " ".join(told.split())
    means = [document(tmp_path / "light")["subsets"][0]]
    for power in (0.5, 0.0):
        shown(uneven, tmp_path / str(power), weight_power=power, work_dir=work)
        means.append(document(tmp_path / str(power))["subsets"][0])
    assert sum(means[0]["rows"]) >= sum(means[1]["rows"]) > sum(means[2]["rows"])
    # Greedy by gain per weight is what all are measured by.
    assert len({entry["greedy"] for entry in means}) == 1


def test_equal_weights_warn_of_nothing(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", np.full(120, 3), ["a", "b", "c"] * 40)
    said, _ = shown(folder, tmp_path / "m")
    assert "weigh less" not in said
    assert "warning: subsets of" not in said
    assert "0.1: 12 rows spend 36 of 36 words; 3.0 a row" in said


def test_what_is_left_of_a_budget_that_rows_are_too_heavy_for_is_warned_of(
    uneven: Path, tmp_path: Path
) -> None:
    said, told = shown(uneven, tmp_path / "m")
    entry = document(tmp_path / "m")["subsets"][0]
    spent = sum(entry["weights"]) / entry["count"] / entry["budget"]
    assert spent < 0.9
    for text in (said, " ".join(told.split())):
        assert f"warning: subsets of 0.1 spend {spent:.0%} of their words: some rows are heavier" in text
    assert "prefers light ones" not in said  # at power 0 nothing is preferred
