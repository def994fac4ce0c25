"""The house's one direction of dependency: a room imports only from rooms below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "mapsort"

# Top to bottom. The compiled kernels and book-keeping, the errors and the version are the ground
# that every room may stand on.
ROOMS = (
    "cli",
    "report",
    "workflows",
    "stages",
    "engines",
    "rundir",
    "modules",
    "model",
    "io",
    "physics",
    "geometry",
)
GROUND = {"_core", "_membership", "_processor", "_version", "errors"}


def imported_rooms(tree, package):
    """Yield what a file imports from mapsort: the name after ``mapsort.``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) + 1 - node.level], base]).rstrip(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "mapsort" and len(parts) > 1:
                yield parts[1], node.lineno


def violations(path, source):
    relative = path.relative_to(SOURCE)
    room = relative.parts[0]
    package = ["mapsort", *relative.parts[:-1]]
    for target, line in imported_rooms(ast.parse(source), package):
        if target in GROUND or target == room:
            continue
        if target not in ROOMS or ROOMS.index(target) < ROOMS.index(room):
            yield f"{relative}:{line} imports mapsort.{target}"


FILES = sorted(path for room in ROOMS for path in (SOURCE / room).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_from_rooms_below(path):
    assert list(violations(path, path.read_text())) == []


def test_every_directory_is_a_room():
    directories = {path.parent.relative_to(SOURCE).parts[0] for path in SOURCE.glob("*/*.py")}
    assert directories <= set(ROOMS)


def test_no_room_without_a_name_of_its_own():
    vague = {"util", "utils", "helper", "helpers", "misc", "common"}
    assert [path for path in SOURCE.rglob("*.py") if path.stem in vague] == []


@pytest.mark.parametrize(
    ("room", "line", "allowed"),
    [
        ("io", "from mapsort.errors import FormatError", True),
        ("io", "from mapsort.model.volume import Volume", False),
        ("io", "from mapsort.physics import fsc", True),
        ("io", "import mapsort.workflows.multi", False),
        ("io", "from ..stages import project", False),
        ("io", "from .mrc import read_map", True),
        ("stages", "def f():\n    from mapsort.cli import main", False),
        ("stages", "from mapsort import _core", True),
        ("stages", "from mapsort import refine_multi", False),
    ],
)
def test_the_rule_itself(room, line, allowed):
    assert (list(violations(SOURCE / room / "x.py", line)) == []) is allowed
