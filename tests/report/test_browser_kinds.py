"""Every kind of report in a browser: narrow and wide, light and dark; figures as in the files."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
from tests.report.chromium import chromium

import mapsort
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.report.page import write_report
from mapsort.rundir.run_record import read_run
from mapsort.rundir.verdict_record import read_verdict

chromium()
KINDS = ("junk", "halves", "refine", "followup", "running")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small run of every kind, by name."""
    out = tmp_path_factory.mktemp("kinds")
    made = simulate(
        SimulateOptions(
            phantom=3, out=out / "sim", n=180, box=32, apix=4.0, snr=0.4, shift=1.0, seed=4,
            seedres=24.0,
        )
    )  # fmt: skip
    asked = {
        "orientgen": "eman:delta=24",
        "randomseed": 1,
        "parallel": "thread:1",
        "maxshift": 2,
    }
    found = {
        "junk": mapsort.refine_multi(
            made.particles, made.seeds, iter=3, junk=2, path=out / "junk", **asked
        ),
        "halves": mapsort.refine_multi(
            made.particles, made.seeds[:2], iter=2, halves=True, path=out / "halves", **asked
        ),
        "refine": mapsort.refine(
            made.particles, made.seeds[0], iter=2, path=out / "refine", **asked
        ),
    }
    paths = {name: run.path for name, run in found.items()}
    paths["followup"] = out / "followup"
    shutil.copytree(paths["junk"], paths["followup"])
    mapsort.followup(paths["followup"], no_crossval=True, refineiter=1, parallel="thread:1")
    paths["running"] = out / "running"
    shutil.copytree(paths["junk"], paths["running"])
    stopped_early(paths["running"])
    for path in paths.values():
        write_report(path)
    return paths


def stopped_early(run):
    """Take the last iteration and the end away, as a run stands in the middle."""
    path = run / "convergence.json"
    content = json.loads(path.read_text())
    content["iterations"] = content["iterations"][:2]
    path.write_text(json.dumps(content))
    log = (run / "run.log").read_text().splitlines()
    last = next(i for i, line in enumerate(log) if "iteration=3 " in line)
    (run / "run.log").write_text("\n".join(log[:last]) + "\n")
    (run / "verdict.json").unlink(missing_ok=True)
    for made in run.iterdir():
        # Of the third iteration, not of the third map.
        if re.match(r"[a-z_]+_03[_.]", made.name):
            made.unlink()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_no_errors_requests_or_overflow(browser, runs, kind, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong, asked = [], []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = (runs[kind] / "report" / "index.html").as_uri()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.wait_for_timeout(100)
    assert wrong == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    place = os.environ.get("MAPSORT_SCREENSHOTS")
    if place:
        page.screenshot(path=f"{place}/{kind}_{width}_{scheme}.png", full_page=True)
    page.close()


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_verdict_are_those_of_the_files(browser, runs, kind):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((runs[kind] / "report" / "index.html").as_uri())
    record = read_run(runs[kind])
    assert page.locator(".state").inner_text().lower() == record.state.value
    assert record.state.value == ("running" if kind == "running" else "finished")
    verdict = read_verdict(record.directory, record.last)
    assert page.locator(".verdict li").all_inner_texts() == list(verdict.lines if verdict else ())
    assert (verdict is None) == (kind == "running")
    counts = record.counts[-1]
    cells = page.locator("#fsc table tbody tr").all()
    assert [row.locator("td").nth(0).inner_text() for row in cells] == list(counts.names)
    assert [int(row.locator("td").nth(1).inner_text()) for row in cells] == list(counts.all)
    cards = page.locator(".cards article p").all_inner_texts()
    told = [int(re.search(r"[\d,]+", words)[0].replace(",", "")) for words in cards]
    assert told == list(counts.all)[: len(told)]
    assert len(told) >= record.n_models
    page.close()
