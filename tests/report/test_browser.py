"""The report in a browser: no errors, no requests, pictures shown, tables sort."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image
from tests.report.chromium import chromium

from mapsort.report.page import write_report

chromium()


@pytest.fixture
def opened(browser, reported):
    """Open the report at a width; gather what goes wrong."""
    pages = []

    def make(width, path=reported / "report" / "index.html"):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.wrong, page.asked = [], []
        page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1400, 400])
def test_shown_without_errors_requests_or_overflow(opened, reported, width):
    page = opened(width)
    shown = "d => { d.open = true; d.hidden = false; }"
    page.evaluate(f"document.querySelectorAll('details').forEach({shown})")
    page.wait_for_timeout(200)
    assert page.wrong == []
    elsewhere = [url for url in page.asked if not url.startswith("data:")]
    assert elsewhere == [(reported / "report" / "index.html").as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    blank = "i => !i.complete || i.naturalWidth === 0 || i.getBoundingClientRect().width < 20"
    assert page.evaluate(f"[...document.images].filter({blank}).length") == 0
    flat = "s => s.getBoundingClientRect().width < 200 || s.getBoundingClientRect().height < 60"
    assert page.evaluate(f"[...document.querySelectorAll('.plot svg')].filter({flat}).length") == 0
    assert page.locator(".plot svg").count() == 17


def column(page, section, table, number):
    cells = page.locator(f"#{section} table").nth(table).locator(f"tbody td:nth-child({number})")
    return cells.all_inner_texts()


def test_tables_sort_both_ways(opened):
    page = opened(1400)
    before = column(page, "course", 0, 2)
    head = page.locator("#course table thead th").nth(1)
    head.locator("button").click()
    assert column(page, "course", 0, 2) == sorted(before, key=int)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert column(page, "course", 0, 2) == sorted(before, key=int, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("#settings table thead button").first.click()
    words = column(page, "settings", 0, 1)
    key = "(a, b) => a.localeCompare(b)"
    assert words == page.evaluate(f"words => words.sort({key})", words)


def test_a_slider_goes_through_the_iterations(opened):
    page = opened(1400)
    row = page.locator("details.row:visible summary")
    assert row.all_inner_texts() == ["Iteration 3"]
    page.locator("input.iterations").fill("0")
    assert row.all_inner_texts() == ["Starting maps"]


def test_the_viewer_shows_one_slice_and_view_of_all_maps(opened):
    page = opened(1400)

    def places(kind):
        script = "items => items.map(item => item.style.backgroundPosition)"
        return set(page.locator(kind).evaluate_all(script))

    first = places(".sheet"), places(".surface")
    assert [len(seen) for seen in first] == [1, 1]
    page.locator("input.slice").fill("0")
    page.locator("input.turn").fill("5")
    assert places(".sheet") == {"0px 0%"}
    assert len(places(".surface")) == 1
    assert places(".surface") != first[1]
    page.locator(".axes button").nth(2).click()
    assert set(
        page.locator(".sheet:visible").evaluate_all("items => items.map(i => i.dataset.axis)")
    ) == {"2"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_systems_colours(browser, reported, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto((reported / "report" / "index.html").as_uri())
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(n) for n in re.findall(r"\d+", colour)[:3])
    assert (brightness > 600) is (scheme == "light")
    page.close()


def test_class_averages_sort(opened):
    page = opened(1400)
    gallery = page.locator("#classes-1")

    def values(key):
        script = f"items => items.map(item => Number(item.dataset.{key}))"
        return gallery.locator(".pairs figure").evaluate_all(script)

    assert values("count") == sorted(values("count"), reverse=True)
    gallery.get_by_role("button", name="quality").click()
    assert values("likeness") == sorted(values("likeness"), reverse=True)
    gallery.get_by_role("button", name="number").click()
    assert values("number") == sorted(values("number"))


def test_a_running_page_reloads_itself_and_keeps_what_is_unfolded(opened, stopped, monkeypatch):
    monkeypatch.setattr("mapsort.report.page.REFRESH_SECONDS", 0.5)
    run = stopped(1)
    page = opened(1400, write_report(run))
    page.locator("#settings-1 summary").click()
    with page.expect_navigation(timeout=10_000):
        pass
    page.wait_for_load_state()
    assert page.wrong == []
    assert page.locator("#settings-1").get_attribute("open") is not None
    assert page.locator("#silent").is_hidden()


def test_the_pictures_of_the_manual_are_drawn(browser, reported, tmp_path):
    """Every section that they show, and every part that they number, is there."""
    path = Path(__file__).parents[2] / "docs" / "draw_report.py"
    drawing = importlib.util.module_from_spec(
        found := importlib.util.spec_from_file_location("draw_report", path)
    )
    found.loader.exec_module(drawing)
    drawing.draw(browser, reported / "report" / "index.html", tmp_path)
    for name, picture in drawing.PICTURES.items():
        with Image.open(tmp_path / f"{name}.png") as drawn:
            assert drawn.width > 1000
            assert 100 < drawn.height <= picture.height


def test_it_prints(opened):
    page = opened(1400)
    assert page.pdf(format="A4")[:4] == b"%PDF"
