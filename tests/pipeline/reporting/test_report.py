"""The file of a report, as far as no browser is needed: its size, its policy, what it replaces."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from job_sources import document, table, write_texts
from jobs import run
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, list_holdout
from syllabus.pipeline import UserError
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.command_line.config import read_options
from syllabus.pipeline.reporting.html import page, points, subsets
from syllabus.pipeline.reporting.html.content import gather


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("plotly", reason="plotly is missing: pip install 'syllabus[report]'")
    folder = tmp_path_factory.mktemp("report")
    write_texts(folder / "s" / "a.jsonl", 400)
    options = {"fraction": (0.1, 0.25), "subsets": 3, "epsilon": 0.1, "id": "key", "trade_off": 0.3}
    run(folder / "s", folder / "m", text="text", **options)
    return folder / "m"


def content_of(file: Path) -> dict[str, Any]:
    packed = re.search(rb'id="content">([A-Za-z0-9+/=]+)</script>', file.read_bytes())
    assert packed
    return json.loads(zlib.decompress(base64.b64decode(packed[1])))


def test_a_report_is_one_file_that_may_fetch_nothing(made: Path, tmp_path: Path) -> None:
    assert cli.run(["report", str(made), "--no-umap", "--output", str(tmp_path / "r.html")]) == 0
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.encode().startswith(page.MARK)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert not re.search(r"https?://", re.sub(r">[A-Za-z0-9+/=]{1000,}<", "><", html))
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}' blob:"
    found = content_of(tmp_path / "r.html")
    assert found["counts"] == document(made)["counts"]
    # The same manifest gives the same file.
    again = page.write_report(Manifest.open(made), str(tmp_path / "again.html"), umap=False)
    assert Path(again).read_text(encoding="utf-8") == html


def test_a_report_lies_beside_its_manifest_and_replaces_only_reports(made: Path, tmp_path: Path) -> None:
    target = page.write_report(Manifest.open(made), umap=False)
    assert target == f"{made}.html"
    assert page.write_report(Manifest.open(made), umap=False) == target
    other = tmp_path / "other.html"
    other.write_text("<!doctype html>mine")
    with pytest.raises(UserError, match=r"other\.html: is there already, and is no report"):
        page.write_report(Manifest.open(made), str(other))
    assert other.read_text() == "<!doctype html>mine"
    with pytest.raises(UserError, match=r"report: .*: is there already, and is no report"):
        page.write_report(Manifest.open(made), str(tmp_path))
    with pytest.raises(UserError, match=r"/dev/full/r\.html: cannot be written"):
        page.write_report(Manifest.open(made), "/dev/full/r.html", umap=False)


def test_without_plotly_one_line_says_what_to_install(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert cli.run(["report", str(made)]) == 2
    assert "plotly is missing: pip install 'syllabus[report]'" in capsys.readouterr().err


def test_contents_are_left_out_where_they_do_not_fit_the_listed_ones_last(made: Path) -> None:
    content, examples = gather(Manifest.open(made))
    whole = page.render(content, examples, b"plotly")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "MOST_BYTES", int(len(whole) * 0.96))
        smaller = page.render(content, examples, b"plotly")
    assert len(smaller) <= 0.96 * len(whole)
    packed = re.search(rb'id="content">([A-Za-z0-9+/=]+)</script>', smaller)
    assert packed
    kept = json.loads(zlib.decompress(base64.b64decode(packed[1])))["points"]
    there = {index for index, each in zip(kept["index"], kept["contents"], strict=True) if each}
    listed = {index for each in content["extremes"] for side in ("easy", "hard") for index in each[side]}
    listed |= {each["index"] for each in content["suspects"]}
    assert listed <= there
    assert len(listed) < len(there) < 400


def test_points_have_their_ranks_and_contents(made: Path) -> None:
    found = points.read_points(Manifest.open(made), np.empty(0, np.int64)).columns
    sizes = table(made, "examples").to_pandas()["partition"].value_counts()
    rows = table(made, "subsets").to_pandas()
    first = rows[(rows["budget"] == 100) & (rows["subset"] == 0)].set_index("index")
    ranked = table(made, "importances/radius").to_pandas().set_index("index")
    for place, index in enumerate(found["index"]):
        expected = -1
        if index in first.index:
            expected = np.ceil((first["rank"][index] + 1) / sizes[first["partition"][index]] * 10_000)
        assert found["easy"][place] == expected
        hard = np.ceil((ranked["rank"][index] + 1) / sizes[ranked["partition"][index]] * 10_000)
        assert found["hard"][place] == hard
    assert sum(share >= 0 for share in found["easy"]) == 100


def test_overlaps_are_those_of_the_sets(made: Path) -> None:
    manifest = Manifest.open(made)
    (figures,) = (each for each in subsets.subset_figures(manifest) if each["fraction"] == 0.25)
    sets = [set(manifest.subset(0.25, number).tolist()) for number in range(3)]
    expected = [[len(a & b) / len(a | b) for b in sets] for a in sets]
    np.testing.assert_allclose(figures["overlaps"], expected, atol=1e-4)
    off = [expected[0][1], expected[0][2], expected[1][2]]
    assert np.mean(off) == pytest.approx(figures["jaccard"])


def test_gains_are_means_over_the_classes_by_their_picks(made: Path) -> None:
    manifest = Manifest.open(made)
    shares, gains = subsets.subset_figures(manifest)[0]["gains"]
    assert len(shares) == len(gains) == subsets.POINTS
    rows = table(made, "subsets").to_pandas()
    first = rows[(rows["budget"] == 40) & (rows["subset"] == 0)]
    assert np.mean(gains) == pytest.approx(first["gain"].mean(), rel=0.02)
    assert gains[0] == pytest.approx(
        sum(len(part) * part.sort_values("rank")["gain"].iloc[0] for _, part in first.groupby("partition"))
        / len(first)
    )


def test_the_command_gives_the_options_of_the_manifest(made: Path) -> None:
    words = shlex.split(gather(Manifest.open(made))[0]["command"])
    assert words[:2] == ["syllabus", "prepare"]
    given: dict[str, Any] = {}
    for flag, value in zip(words[2::2], words[3::2], strict=True):
        given.setdefault(flag[2:].replace("-", "_"), []).append(value)
    kinds = {"fraction": float, "subsets": int, "epsilon": float, "trade_off": float}
    values = {name: list(map(kinds.get(name, str), each)) for name, each in given.items()}
    many = ("fraction", "importance", "where")
    flags = {name: value if name in many else value[0] for name, value in values.items()}
    recorded = read_options(None, flags).recorded()
    assert json.loads(json.dumps(recorded)) == document(made)["options"]


def test_test_rows_are_in_the_order_of_the_list(tmp_path: Path) -> None:
    write_texts(tmp_path / "s" / "a.jsonl", 60)
    rows = [json.loads(line) for line in (tmp_path / "s" / "a.jsonl").read_text().splitlines()]
    texts = [f"{row['text']} {'seldom' * (at % 4 < 2)}" for at, row in enumerate(rows)]
    held = tmp_path / "held.jsonl"
    held.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    run(tmp_path / "s", tmp_path / "m", text="text", holdout=str(held), duplicate_threshold=0.8, subsets=1)
    manifest = Manifest.open(tmp_path / "m")
    content = gather(manifest)[0]
    listed = list_holdout(manifest)["test_index"].to_pylist()
    assert [each["test_index"] for each in content["tested"]] == listed[:50]
    assert listed != sorted(listed)
    assert "--holdout HOLDOUT" in content["command"]


def test_a_manifest_without_a_preview_has_a_report(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="plotly is missing: pip install 'syllabus[report]'")
    write_small_manifest(tmp_path / "m", n=80, classes=0, neighbours=True, fractions=(0.1, 0.3))
    found = content_of(Path(page.write_report(Manifest.open(tmp_path / "m"))))
    assert (found["maps"], found["suspects"], found["groups"]) == ([], [], [])
    assert [each["fraction"] for each in found["subsets"]] == [0.1, 0.3]
    assert len(found["extremes"][0]["easy"]) == 10


def test_a_report_lies_beside_a_manifest_whose_url_has_more_than_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("plotly", reason="plotly is missing: pip install 'syllabus[report]'")
    written: list[str] = []

    class Nowhere:
        def __init__(self, location: str) -> None:
            self.location = location

        def exists(self, name: str) -> bool:
            return name == ""

        def sweep(self, name: str) -> None:
            assert name == "m.html"

        def write(self, name: str, _: bytes) -> None:
            written.extend((self.location, name))

    class Remote:
        location = "s3://bucket/a/m?endpoint_override=http://127.0.0.1:5555"

    monkeypatch.setattr(page, "Store", Nowhere)
    monkeypatch.setattr(page, "gather", lambda *_: ({}, None))
    monkeypatch.setattr(page, "render", lambda *_: b"")
    beside = "s3://bucket/a/m.html?endpoint_override=http://127.0.0.1:5555"
    for output in (None, beside):
        written.clear()
        assert page.write_report(Remote(), output) == beside  # type: ignore[arg-type]
        assert written == ["s3://bucket/a?endpoint_override=http://127.0.0.1:5555", "m.html"]
