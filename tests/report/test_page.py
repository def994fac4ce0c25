"""The page: complete, self-contained, escaped, and right at every moment of a run."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from mapsort.errors import FormatError
from mapsort.jobs.describe import describe_run
from mapsort.report.page import report_keeper, write_report
from mapsort.rundir.run_lock import LockHolder
from mapsort.rundir.run_record import RunState, read_run
from mapsort.rundir.wording import readable_time

ALWAYS = {"maps", "resources", "settings", "log"}
FULL = ALWAYS | {"course", "fsc", "flow", "particles", "classes", "images"}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What the tests need of a page: elements with attributes, cells of tables, nesting."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.rows, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(reported):
    return Page((reported / "report" / "index.html").read_text(encoding="utf-8"))


def sections(page):
    return {attributes["id"] for attributes in page.all("section")}


def test_elements_are_nested_rightly_and_all_sections_are_there(page):
    assert page.open == []
    assert sections(page) == FULL


def test_nothing_is_loaded_from_elsewhere(page):
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (name, value)
        assert "@import" not in (attributes.get("style") or "")
    text = "".join(page.words)
    assert "@import" not in text
    assert "url(" not in text.replace("url(#", "")


def test_names_in_the_page_are_unique(page):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for _, attributes in page.elements:
        for name in ("href", "xlink:href", "clip-path"):
            value = attributes.get(name) or ""
            target = value.removeprefix("url(").removesuffix(")")
            if target.startswith("#"):
                assert target[1:] in names


def test_every_picture_says_what_it_shows(page):
    assert all(attributes.get("alt") for attributes in page.all("img"))
    drawn = [a for _, a in page.elements if a.get("role") == "img"]
    assert all(len(attributes["aria-label"]) > 10 for attributes in drawn)
    # occupancy, changes, resolution; three FSC charts, Guinier plot; scores, probabilities; four
    # properties; two maps' directions; times, memory; flow;
    # of each map a surface, and slices and differences along three axes
    assert len(drawn) == 18 + 2 * (1 + 3 + 3)
    # two maps: cards, four rows of two strips each, particles; and a picture per class
    n_pairs = len([a for _, a in page.elements if "data-likeness" in a])
    assert n_pairs > 10
    assert len(page.all("img")) == 2 + 4 * 2 * 2 + 2 + n_pairs


def test_tables_hold_the_runs_figures(page, reported):
    entries = json.loads((reported / "convergence.json").read_text())["iterations"]
    for entry in entries:
        row = [str(entry["iteration"]), *map(str, entry["occupancy"])]
        assert any(found[: len(row)] == row for found in page.rows)
        for item in entry["maps"] if entry is entries[-1] else ():
            assert any(f"{item['resolution_fsc_0143_ang']:.2f}" in found for found in page.rows)


def test_an_iteration_lasts_as_long_as_its_stages_but_for_the_writing_beside_the_next(
    page, reported
):
    entries = json.loads((reported / "convergence.json").read_text())["iterations"]
    for entry in entries:
        seconds = entry["seconds"]
        assert seconds["write"] > 0
        lasted = f"{sum(seconds.values()) - seconds['write']:.1f}"
        rows = [row for row in page.rows if row[0] == str(entry["iteration"]) and len(row) > 8]
        assert [row[-1] for row in rows] == [lasted]


def test_automatic_choices_have_their_reasons(page):
    rows = {row[0]: row for row in page.rows if len(row) == 3}
    assert rows["--pad"][1:] == ["80 px", "2.5 times the 32 px box"]
    assert "--orientgen" not in rows  # it was given
    assert "--randomseed" not in rows


def test_a_finished_page_does_not_reload(page, reported):
    assert read_run(reported).state is RunState.FINISHED
    assert page.all("body")[0]["data-running"] == "0"
    assert "refresh" not in {attributes.get("http-equiv") for attributes in page.all("meta")}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_in_the_middle_of_a_run(stopped, n):
    run = stopped(n)
    record = read_run(run)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert record.state is RunState.RUNNING
    assert page.open == []
    assert page.all("body")[0]["data-running"] == "1"
    assert "refresh" in {attributes.get("http-equiv") for attributes in page.all("meta")}
    expected = {0: ALWAYS, 1: FULL - {"flow"}, 2: FULL}[n]
    assert sections(page) == expected
    bar = next(a for a in page.all("div") if a.get("role") == "progressbar")
    assert (bar["aria-valuenow"], bar["aria-valuemax"]) == (str(n), "3")


def test_the_time_left_is_that_of_the_last_iteration_times_those_to_come(stopped):
    assert read_run(stopped(0)).seconds_left is None
    record = read_run(stopped(1))
    seconds = record.iterations[0]["seconds"]
    expected = 2 * (sum(seconds.values()) - seconds["write"])
    assert record.seconds_left == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("ERROR map 1 holds NaN or infinite values", RunState.FAILED),
        ("ERROR interrupted by SIGTERM; finished files are kept", RunState.INTERRUPTED),
        ("INFO interrupted by SIGHUP; finished files are kept", RunState.INTERRUPTED),
        ("INFO cancelled; finished files are kept", RunState.INTERRUPTED),
    ],
)
def test_a_run_that_ended_early_says_so(stopped, line, state):
    run = stopped(1, f"2026-01-01 00:00:00 {line}")
    assert read_run(run).state is state
    words = " ".join(Page(write_report(run).read_text(encoding="utf-8")).words)
    assert line.partition(" ")[2] in words


def gone():
    """Return a process number that is given to nobody."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_that_was_killed_is_told_as_stopped(stopped):
    """By its lock, which names the process; one that runs, or may on another host, is running."""
    run = stopped(1)
    dead = LockHolder.here().__dict__ | {"pid": gone()}
    (run / "run.lock").write_text(json.dumps(dead))
    record = read_run(run)
    assert record.state is RunState.STOPPED
    words = " ".join(Page(write_report(run).read_text(encoding="utf-8")).words)
    assert f"Process {dead['pid']} on {dead['host']} was killed" in words
    facts = {fact.name: fact.text for fact in describe_run(run)}
    assert facts["state"].startswith(f"stopped: process {dead['pid']} was killed")
    for alive in (LockHolder.here().__dict__, dead | {"host": "elsewhere"}):
        (run / "run.lock").write_text(json.dumps(alive))
        assert read_run(run).state is RunState.RUNNING
        assert not any(fact.text.startswith("stopped") for fact in describe_run(run))


def test_text_from_outside_is_escaped(stopped):
    run = stopped(1, "2026-01-01 00:00:00 WARNING <script>alert(1)</script> & so on")
    parms = run / "0_refine_parms.json"
    content = json.loads(parms.read_text())
    content["options"]["models"] = ["<img src=x onerror=alert(1)>.mrc", "b.mrc"]
    parms.write_text(json.dumps(content))
    text = write_report(run).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "<script>alert(1)</script> & so on" in " ".join(Page(text).words)


def test_without_intermediate_files_the_rest_is_shown(reported, tmp_path):
    run = tmp_path / "multi_00"
    shutil.copytree(reported, run)
    for pattern in ("*.hdf", "threed_0[0-2]*", "fsc_mutual*"):
        for path in run.glob(pattern):
            path.unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert sections(page) == FULL - {"classes"}  # the flow comes from the particle tables
    for path in run.glob("particles_*"):
        path.unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert sections(page) == FULL - {"classes", "flow", "particles", "images"}


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such run directory"):
        write_report(tmp_path / "none")
    with pytest.raises(FormatError, match="is this a run directory"):
        write_report(tmp_path)


def test_the_page_tells_how_views_settled(stopped, page):
    run = stopped(1)
    path = run / "convergence.json"
    content = json.loads(path.read_text())
    content["iterations"][0]["views_elsewhere"] = [[0.355, 0.29], [0.2, 0.01], [0.02, 0.0]]
    path.write_text(json.dumps(content))
    rows = Page(write_report(run).read_text(encoding="utf-8")).rows
    head = rows.index(["search", "class 1", "class 2"])
    assert rows[head + 1 : head + 4] == [
        ["a sample", "35.5", "29.0"],
        ["2", "20.0", "1.0"],
        ["3", "2.0", "0.0"],
    ]
    # this run began with maps of its own
    assert not [row for row in page.rows if row[:1] == ["search"]]


def test_a_report_that_fails_is_a_warning_and_no_end(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="mapsort"):
        report_keeper()(tmp_path / "none")
    assert "the report was not written" in caplog.text


def test_the_run_wrote_its_report_without_a_warning(reported):
    assert read_run(reported).warnings() == []


def test_an_ended_run_lasted_from_its_first_to_its_last_line(stopped):
    run = stopped(1)
    lines = ["2026-01-01 23:59:50 INFO a", "not of the log", "2026-01-02 00:01:00 ERROR b"]
    (run / "run.log").write_text("\n".join(lines) + "\n")
    record = read_run(run)
    assert record.elapsed_seconds == 70
    assert [line.level for line in record.log] == ["INFO", "INFO", "ERROR"]
    (run / "run.log").unlink()
    assert read_run(run).state is RunState.RUNNING
    assert read_run(run).elapsed_seconds > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59, "59 s"), (61, "1 min 01 s"), (7322, "2 h 02 min"), (9e4, "1 d 1 h")],
)
def test_durations(seconds, words):
    assert readable_time(seconds) == words
