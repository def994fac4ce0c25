"""The house: its rooms are those of .importlinter, whose contracts ci/lint.sh holds."""

from __future__ import annotations

import configparser
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "mapsort"
#: A file beyond this length holds more than one concept.
LONGEST = 400


def layers():
    """Return the rooms that import-linter keeps in order."""
    contracts = configparser.ConfigParser()
    contracts.read(SOURCE.parents[1] / ".importlinter")
    lines = contracts["importlinter:contract:rooms"]["layers"].replace("|", "\n").split()
    return {line.removeprefix("mapsort.") for line in lines}


def test_every_directory_is_a_room():
    rooms = {path.parent.relative_to(SOURCE).parts[0] for path in SOURCE.glob("*/*.py")}
    assert rooms - layers() == set()


def test_no_room_without_a_name_of_its_own():
    vague = {"util", "utils", "helper", "helpers", "misc", "common"}
    assert [path for path in SOURCE.rglob("*.py") if path.stem in vague] == []


def test_one_concept_a_file():
    long = {
        str(path.relative_to(SOURCE)): length
        for path in SOURCE.rglob("*.py")
        if (length := len(path.read_text().splitlines())) > LONGEST
    }
    # Those that are still to be parted; none may join them.
    assert set(long) <= STILL_LONG


#: Longer than that today.
STILL_LONG: set[str] = set()
