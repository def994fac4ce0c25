"""The house: its rooms are those of .importlinter, whose contracts ci/lint.sh holds."""

from __future__ import annotations

import ast
import configparser
import tomllib
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


def test_nothing_here_needs_the_job_types_of_another_program():
    needs = [path for path in SOURCE.rglob("*.py") if "ccpem_jobs" in path.read_text()]
    assert needs == []
    with (SOURCE.parents[1] / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["entry-points"]["ccpem_pipeliner.jobs"]
    tree = ast.parse((SOURCE / "ccpem_jobs.py").read_text())
    names = {
        statement.value.value: node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "PROCESS_NAME"
    }
    assert declared == {kind: f"mapsort.ccpem_jobs:{name}" for kind, name in names.items()}


#: Longer than that today.
STILL_LONG: set[str] = set()
