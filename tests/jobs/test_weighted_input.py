"""Weights as they come: missing, bad or too large ones, and columns that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from job_sources import SIZES, add_weights, table, write_embeddings
from jobs import run

from syllabus.manifests import validate
from syllabus.pipeline import JobError, Options, UserError
from syllabus.pipeline.source_check import source_problems


def test_rows_without_a_weight_are_rejected_by_name(tmp_path: Path) -> None:
    path = tmp_path / "s" / "a.csv"
    path.parent.mkdir()
    cells = ["12", "", "0", "1.5", "many"] + [str(10 + number) for number in range(95)]
    lines = [f"word{number % 7} text {number},{cell}" for number, cell in enumerate(cells)]
    path.write_text("\n".join(["text,tokens", *lines]))
    options = {"text": "text", "label": None, "weight": "tokens", "subsets": 1, "neighbours": 0}
    with pytest.raises(
        JobError, match=r"4 of 100 rows are bad .*bad weight 3, missing weight 1; the first is"
    ):
        run(path.parent, tmp_path / "m", **options)
    run(path.parent, tmp_path / "m", **options, max_reject_rate=0.1)
    assert table(tmp_path / "m", "rejects").to_pylist() == [
        {"source_file": "a.csv", "source_row": row, "reason": reason, "detail": f"column tokens{detail}"}
        for row, reason, detail in (
            (1, "missing weight", " is null"),
            (2, "bad weight", ": 0 is outside [1, 2^53]"),
            (3, "bad weight", ": 1.5 is not whole"),
            (4, "bad weight", ": b'many' is no number"),
        )
    ]
    assert validate(str(tmp_path / "m")).problems == []
    assert source_problems(str(tmp_path / "m"), str(path.parent)) == []
    path.write_text(path.read_text().replace("text 50,55", "text 50,56"))
    assert source_problems(str(tmp_path / "m"), str(path.parent)) == [
        f"source {path.parent}: a.csv row 50 has 56 tokens, the manifest says 55"
    ]


@pytest.mark.parametrize(
    ("values", "options", "line"),
    [
        ([1] * 90, {"weight": "token"}, r"column 'token' is unknown"),
        ([0.5] * 90, {}, r"holds no whole number of 1 or more in the first 90 rows: column words: 0.5"),
        ([2**52] * 90, {}, r"weight='words': the weights sum to 405,323,966,463,344,640, above 2\^53"),
        ([1] * 90, {"fraction": 0.005}, r"fraction=0.005 of 90 words is less than one"),
        ([50] * 90, {"fraction": 0.01}, r"fraction=0.01: no class or bucket has an example that is as light"),
        ([1] * 90, {"optimizer": "lazier"}, r"optimizer='lazier': does not go with weight='words'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    tmp_path: Path, values: list[float], options: dict[str, object], line: str
) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 90, dimension=4)
    add_weights(tmp_path / "s" / "a.parquet", np.array(values))
    with pytest.raises((UserError, ValueError), match=line) as error:
        run(tmp_path / "s", tmp_path / "m", **{**SIZES, **options})
    assert isinstance(error.value, ValueError) or len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "m").exists()


def test_weights_are_recorded_only_where_they_are_asked_for() -> None:
    least = {"source": "/s", "output": "/m", "embedding": "v", "label": "l"}
    assert "weight" not in Options(**least).recorded()
    assert Options(**least, weight="w").recorded()["weight"] == "w"
