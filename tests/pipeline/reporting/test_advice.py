"""What the figures of a manifest warn of, and that they can be read in 80 columns."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from syllabus.pipeline.reporting.advice import cautions
from syllabus.pipeline.reporting.describe import _importances


@pytest.mark.parametrize(
    ("fraction", "jaccard", "warned"),
    [(0.01, 1.0, True), (0.1, 0.9, True), (0.1, 0.89, False), (0.1, None, False), (0.9, 0.95, False)],
)
def test_subsets_that_hardly_differ_are_warned_of(
    fraction: float, jaccard: float | None, warned: bool
) -> None:
    entry = {"fraction": fraction, "budget": 10, "count": 3, "jaccard": jaccard}
    found = cautions({"subsets": [entry], "options": {}})
    assert bool(found) is warned
    assert all(f"the 3 subsets of {fraction:g} hardly differ" in line for line in found)


@pytest.mark.parametrize(
    ("trade_off", "words"), [(0.5, "heavier than the share"), (3.0, "--trade-off 3 rows like those chosen")]
)
def test_what_is_not_spent_has_the_reason_that_left_it(trade_off: float, words: str) -> None:
    entry = {"fraction": 0.5, "budget": 100, "count": 1, "rows": [4], "weights": [40]}
    document = {
        "subsets": [entry],
        "options": {"objective": "graph_cut", "trade_off": trade_off},
        "weight": {"column": "tokens", "total": 200},
        "counts": {"accepted": 20},
    }
    [line] = cautions(document)
    assert line.startswith("subsets of 0.5 spend 40% of their tokens: ")
    assert words in line


def test_seven_importances_of_three_fractions_fit_into_80_columns() -> None:
    spread = {"mean": 0.123, "least": 0.011, "greatest": 0.999}
    draws = [{"fraction": fraction, **spread} for fraction in (0.01, 0.125, 0.3)]
    names = [f"{base}{ess}" for base in ("facility_location", "radius") for ess in ("", "-0.3", "-0.55")]
    each = {"map": "published", "ess": spread, "inclusion_ess": draws}
    told = io.StringIO()
    Console(file=told, width=80).print(_importances({"importances": dict.fromkeys(names, each)}))
    lines = told.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in told.getvalue()
    for name in names:
        [line] = [line for line in lines if line.split()[0] == name]
        assert line.split()[1:] == ["0.123", "0.011", "0.999", *["0.123"] * 3, "published"]
