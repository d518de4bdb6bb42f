"""The description of manifests of other writers, of hostile names, and the legends of its figures."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from rich.console import Console
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.reporting.sections import meaning_lines


@pytest.fixture
def manifest(tmp_path: Any) -> Manifest:
    return write_small_manifest(tmp_path / "m", neighbours=True)


def shown(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    held = type("Held", (), {"description": document, "location": "/m", "fingerprint": "0"})()
    print_description(Console(width=80), held)
    return " ".join(capsys.readouterr().out.split())


def test_a_manifest_of_another_writer_that_holds_less_is_described(
    manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    document = copy.deepcopy(manifest.description)
    document["orders"] = {name: {} for name in document["orders"]}
    document["importances"] = {name: {} for name in document["importances"]}
    document["options"] = {}
    for each in document["subsets"]:
        for key in set(each) - {"fraction", "budget", "count"}:
            del each[key]
        each["upper_bound"] = 3.0
    assert "balance – – – –" in shown(document, capsys)


def test_no_name_gives_the_terminal_orders(manifest: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    document = copy.deepcopy(manifest.description)
    evil = "a\x1b[31m\x9b[bold]\u202eb:smile:"
    document["counts"]["reasons"] = {evil: 2}
    document["encoder"]["name"] = evil
    for part in document["partitions"]:
        part["label"] = evil
    groups = sum(len(each["partitions"]) for each in document["neighbours"]["duplicates"]["largest"])
    text = shown(document, capsys)
    assert text.isprintable()
    assert text.count("a\\x1b[31m\\x9b[bold]\\u202eb:smile:") == 2 + len(document["partitions"]) + groups


@pytest.mark.parametrize(
    ("kind", "legend"),
    [
        ("number", "distance from the neighbours' mean, in its standard deviations"),
        ("class", "share of the neighbours with the same label"),
        ("list", "mean Jaccard index"),
    ],
)
def test_figures_have_legends(
    manifest: Manifest, capsys: pytest.CaptureFixture[str], kind: str, legend: str
) -> None:
    document = copy.deepcopy(manifest.description)
    document["neighbours"]["agreement"] = {"kind": kind, "median": 0.5, "zero_share": None}
    text = shown(document, capsys)
    assert legend in text
    assert "discrepancy: greatest norm of the sum" in text


def test_an_importance_that_draws_uniformly_is_told(
    manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    document = copy.deepcopy(manifest.description)
    spread = {"mean": 0.99, "least": 0.98, "greatest": 1.0}
    document["importances"]["radius"] = {"base": "radius", "ess": spread}
    document["importances"]["disparity_min"] = {"ess": {**spread, "mean": 0.5}}
    text = shown(document, capsys)
    assert "radius draws nearly uniformly: effective sample size 0.990 of 1; --importance radius:0.5" in text
    assert "disparity_min draws nearly" not in text


@pytest.mark.parametrize(("preprocess", "advised"), [("none", True), ("standardise", False)])
def test_a_preprocessing_that_was_taken_is_not_advised(preprocess: str, advised: bool) -> None:
    crowded = {"against": ["crowded"], "random_share": 0.0, "crowded": 0.4, "mixed": None}
    same = {
        "separation": crowded,
        "cover": {"separation": crowded},
        "threshold": 0.95,
        "groups": 2,
        "chance": None,
    }
    document = {"options": {"preprocess": preprocess}, "neighbours": {"duplicates": same}}
    (line,) = meaning_lines(document)
    assert ("--preprocess" in line) == advised
    assert "a larger --relative-threshold may tell them" in line
