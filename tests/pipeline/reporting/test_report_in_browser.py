"""The report in a real browser: it opens, answers, and nothing of the data becomes HTML or script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Page, browser
from job_sources import sentences, table
from jobs import run
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.pipeline.reporting.html.content import gather
from syllabus.pipeline.reporting.html.page import write_report

pytest.importorskip("plotly", reason="plotly is missing: pip install 'syllabus[report]'")
pytest.importorskip("websockets", reason="websockets is missing: pip install 'syllabus[dev]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium")

HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=2</script>",
    "<b>bold</b><a href='javascript:window.hacked=3'>link</a>",
    "\"><svg onload=window.hacked=4> ' && {{7*7}} ${window.hacked=5} %{x} \u202etxet",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile labels, ids, texts, file names, and details of rejects; suspects, copies and test rows."""
    folder = tmp_path_factory.mktemp("browser")
    source = folder / "s" / "<i>'&amp;\" onload=x.jsonl"
    source.parent.mkdir()
    rows = [
        {
            "text": f"{text} {HOSTILE[row % 4]}",
            "label": HOSTILE[row % 13 % 4],
            "id": f"{HOSTILE[row % 4]} {row}",
        }
        for row, text in enumerate(sentences(300, 0))
    ]
    rows += [{**rows[row], "id": f"copy {row}"} for row in range(12)]
    rows += [{**rows[0], "id": None}, {**rows[1], "label": {HOSTILE[0]: 1}, "id": "bad"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[20:26]), encoding="utf-8")
    options = {"subsets": 2, "id": "id", "max_reject_rate": 0.1, "holdout": str(folder / "h.jsonl")}
    run(folder / "s", folder / "m<u>", text="text", **options)
    write_report(Manifest.open(folder / "m<u>"), str(folder / "report.html"), umap=False)
    return folder


@pytest.fixture(scope="module")
def tab(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.open(made / "report.html")
        yield page


def test_it_opens_without_errors_and_asks_no_network(tab: Page) -> None:
    assert tab.log == []
    shown = tab.value("[...document.querySelectorAll('section')].map((each) => each.id)")
    assert shown == [
        "overview", "map", "subsets", "overlap", "classes", "importances", "orders", "suspects", "duplicates",
        "holdout", "extremes", "input", "options",
    ]  # fmt: skip
    assert tab.value("window.Plotly === undefined")
    assert tab.draw_charts() >= 6
    assert tab.log == []


def test_nothing_of_the_data_is_html_or_script(tab: Page) -> None:
    assert tab.value("window.hacked === undefined")
    assert tab.value(
        "document.querySelectorAll('#main b, #main a, #main i:not(.choice i), #main u').length"
    ) == tab.value("document.querySelectorAll('.fact b').length")
    assert tab.value("document.querySelectorAll('img:not(.thumb), iframe, [onload], [onerror]').length") == 0
    text = tab.value("document.getElementById('main').textContent")
    assert all(each in text for each in HOSTILE)
    assert tab.value("document.title") == "m<u> – syllabus report"
    tab.draw_charts()
    # In charts, too: plotly would make bold text and links of tags.
    ticks = tab.value("[...document.querySelectorAll('#classes .ytick')].map((each) => each.textContent)")
    assert any(tick.startswith("<b>bold") for tick in ticks)
    assert tab.value("document.querySelectorAll('svg a').length") == 0
    details = tab.value("[...document.querySelectorAll('#input td')].map((each) => each.textContent)")
    assert "<i>'&amp;\" onload=x.jsonl" in details
    assert tab.log == []


def point(tab: Page, number: int) -> dict[str, Any]:
    """A live point: where on the screen, which row of the columns."""
    return tab.value(f"""(() => {{
        const map = window.syllabusMap; map.canvas.scrollIntoView({{block: "center"}});
        const box = map.canvas.getBoundingClientRect(), [x, y] = map.place({number});
        const near = map.nearest(x, y), at = map.points.mapped[near];
        const [text] = map.points.contents[at];
        return {{x: box.x + x, y: box.y + y, at, id: map.points.id[at], text}}; }})()""")


def test_hovering_shows_the_text_of_the_point(tab: Page) -> None:
    for number in (0, 17, 123):
        found = point(tab, number)
        tab.mouse("mouseMoved", found["x"], found["y"])
        tab.wait("!document.getElementById('card').hidden")
        shown = tab.value("document.getElementById('card').textContent")
        assert " ".join(found["id"].split()) in shown
        assert found["text"] in shown
    tab.mouse("mouseMoved", 5, 5)
    tab.wait("document.getElementById('card').hidden")


def test_a_label_can_be_hidden_and_shown_alone(tab: Page, made: Path) -> None:
    sizes = table(made / "m<u>", "examples").to_pandas()["label"].value_counts()
    image = "window.syllabusMap.canvas.toDataURL()"
    before, everything = tab.value("window.syllabusMap.counts.points"), tab.value(image)
    assert before == sizes.sum()
    label = tab.value("document.querySelector('#labels .choice span:not(.swatch)').textContent")
    tab.click("#labels .choice input")
    assert tab.value("window.syllabusMap.counts.points") == before - sizes[label]
    assert tab.value(image) != everything
    tab.click("#labels .choice input")
    assert tab.value(image) == everything
    tab.click("#labels .links button:nth-child(2)")
    assert tab.value("window.syllabusMap.counts.points") == 0
    tab.click("#labels .links button")
    assert tab.value("window.syllabusMap.counts.points") == before


def test_the_slider_shows_any_smaller_budget(tab: Page, made: Path) -> None:
    rows, ranked = (table(made / "m<u>", name).to_pandas() for name in ("subsets", "importances/radius"))
    sizes = table(made / "m<u>", "examples").to_pandas()["partition"].value_counts()
    first = rows[rows["subset"] == 0]
    for value in (100, 250, 316, 700, 1000):
        tab.value(
            f"(() => {{ const slider = document.getElementById('budget'); slider.value = {value};"
            " slider.dispatchEvent(new Event('input')); })()"
        )
        share = (value / 1000) ** 2
        chosen = [
            int((-(-(each["rank"] + 1) * 10_000 // each["partition"].map(sizes)) <= share * 10_000).sum())
            for each in (first, ranked)
        ]
        assert tab.value("[window.syllabusMap.counts.easy, window.syllabusMap.counts.hard]") == chosen
        assert f"{chosen[0]} easy and {chosen[1]} hard" in tab.value(
            "document.getElementById('told').textContent"
        )
    assert chosen == [len(first), len(ranked)]


def test_another_map_of_the_same_points_can_be_chosen(tab: Page, made: Path) -> None:
    pytest.importorskip("umap", reason="umap-learn is missing: pip install 'syllabus[umap]'")
    manifest = Manifest.open(made / "m<u>")
    write_report(manifest, str(made / "two.html"), umap=True)
    tab.open(made / "two.html")
    content, places = gather(manifest, umap=True)[0]["maps"], []
    for place, told in ((0, "UMAP puts points"), (1, "two leading principal axes"), (0, "UMAP puts points")):
        tab.click(f"#maps label:nth-of-type({place + 1}) input")
        assert told in tab.value("document.querySelector('#map .lead').textContent")
        places.append(tab.value("window.syllabusMap.place(7)"))
        assert tab.value("window.syllabusMap.map.x[7]") == content[place]["x"][7]
        assert tab.value("window.syllabusMap.counts.points") == manifest.description["counts"]["accepted"]
    assert places[0] == places[2] != places[1]
    tab.open(made / "report.html")
    assert tab.value("document.getElementById('maps')") is None
    assert tab.log == []


def test_wheel_and_keys_zoom_and_the_button_goes_back(tab: Page) -> None:
    found = point(tab, 3)
    tab.mouse("mouseWheel", found["x"], found["y"], deltaX=0, deltaY=-400)
    scale = tab.wait("window.syllabusMap.view.scale > 2 && window.syllabusMap.view.scale")
    # What was under the pointer stays there.
    moved = point(tab, 3)
    assert abs(moved["x"] - found["x"]) + abs(moved["y"] - found["y"]) < 16
    tab.click(".zoom button")
    assert tab.value("window.syllabusMap.view.scale") > scale
    tab.click(".zoom button:nth-child(3)")
    assert tab.value("window.syllabusMap.view.scale") == 1


def test_dark_and_narrow_pages_fit(tab: Page, made: Path) -> None:
    light = tab.value("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    assert tab.value("getComputedStyle(document.body).backgroundColor") != light
    for width in (400, 1280):
        tab.open(made / "report.html", width=width)
        tab.draw_charts(width)
        assert tab.value("document.documentElement.scrollWidth") <= width
        beyond = """[...document.querySelectorAll('main *')]
            .filter((each) => !each.closest('.scroll, pre, .labels, svg, details'))
            .filter((each) => each.getBoundingClientRect().right > innerWidth + 1).length"""
        assert tab.value(beyond) == 0
        assert overlapping(tab) == []
    assert tab.log == []


def overlapping(tab: Page) -> list[str]:
    """The texts of charts that lie on one another."""
    return tab.value("""[...document.querySelectorAll('.chart')].flatMap((chart) => {
        const texts = [...chart.querySelectorAll('text')]
            .filter((each) => each.textContent && each.getBBox().width)
            .map((each) => [each.textContent, each.getBoundingClientRect()]);
        const meet = (a, b) => a.left < b.right - 2 && b.left < a.right - 2
            && a.top < b.bottom - 4 && b.top < a.bottom - 4;
        return texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) => meet(a, b))
            .map(([other]) => `${chart.closest('section').id}: ${one} / ${other}`)); })""")


def test_a_manifest_without_a_preview_is_shown_too(tmp_path: Path, tab: Page) -> None:
    write_small_manifest(tmp_path / "m", n=80, classes=0, neighbours=True)
    write_report(Manifest.open(tmp_path / "m"), str(tmp_path / "r.html"))
    tab.open(tmp_path / "r.html")
    assert tab.draw_charts() >= 3
    assert tab.log == []
    assert tab.value("document.getElementById('map')") is None
    assert "has no preview" in tab.value("document.getElementById('overview').textContent")
