"""The view in ChimeraX: every command is one that it has, every file is there."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from mapsort.io.mrc import write_map
from mapsort.report.page import write_report
from mapsort.report.palette import set_colours
from mapsort.rundir.text import write_json

#: Commands and their keywords, as ChimeraX's user guide has them.
KNOWN = {
    "open": {"id", "name"},
    "volume": {"style", "step", "level", "color"},
    "color": set(),
    "tile": set(),
    "view": {"position", "sameAsModels"},
}
IDENTIFIER = re.compile(r"#\d+(-\d+)?")
COLOUR = re.compile(r"#[0-9A-F]{6}")


@pytest.fixture
def run(run_tiny):
    return run_tiny(iter=1, randomseed=1).path


def commands(run):
    """Return the commands of the view, each checked: command, what it is of, keywords."""
    found = []
    for line in (run / "view.cxc").read_text().splitlines():
        if line.startswith("#"):
            continue
        command, *words = shlex.split(line)
        assert command in KNOWN, line
        of = [] if not words or words[0] in KNOWN[command] else [words.pop(0)]
        if command == "open":
            assert (run / of[0]).is_file()
        elif of:
            assert IDENTIFIER.fullmatch(of[0]), line
        if command == "color":
            assert COLOUR.fullmatch(words.pop()), line
        given = list(zip(words[::2], words[1::2], strict=True))
        assert {name for name, _ in given} <= KNOWN[command], line
        found.append((command, of, given))
    return found


def test_maps_are_shown_at_one_level_side_by_side_in_the_colours_of_the_report(run):
    write_report(run)
    made = commands(run)
    opened = [(of[0], dict(given)["id"]) for command, of, given in made if command == "open"]
    assert opened == [("threed_filt_01_01.mrc", "1"), ("threed_filt_01_02.mrc", "2")]
    levels = {dict(given)["level"] for command, _, given in made if command == "volume"}
    assert len(levels) == 1
    text = (run / "view.cxc").read_text()
    for number, colour in enumerate(set_colours(2, 0), start=1):
        assert f"color #{number} {colour}" in text
    assert "tile #1-2" in text
    assert text.endswith("view\n")


def test_significant_differences_lie_on_the_first_of_two_maps(run):
    path = run / "difference_01_01_02.mrc"
    write_map(path, np.zeros((16, 16, 16), dtype=np.float32), 8.0)
    write_json(path.with_suffix(".json"), {"least_standard_errors_called": 4.25})
    write_report(run)
    commands(run)
    lines = (run / "view.cxc").read_text().splitlines()
    assert any(
        line.startswith("volume #101") and "level -4.25 level 4.25" in line for line in lines
    )
    placed = lines.index("view position #101 sameAsModels #1")
    assert placed > lines.index("tile #1-2")
    write_json(path.with_suffix(".json"), {"least_standard_errors_called": np.inf})
    write_report(run)
    assert "difference" not in (run / "view.cxc").read_text()


def test_a_run_that_has_only_begun(run):
    for file in run.glob("threed_filt_*"):
        file.unlink()
    write_report(run)
    assert commands(run) == []
