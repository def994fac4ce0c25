"""Write the table "option, where it acts" from the sources.

python docs/write_option_map.py PAGE.md

An option acts where its value is read: ``options.NAME``, ``run.options.NAME`` and the like, or a
property of the option table that is made from it.
"""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections import defaultdict
from pathlib import Path

import mapsort
from mapsort.options.fields import flag_of
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import RefineOptions

SOURCES = Path(mapsort.__file__).parent


def readers(room: str) -> dict[str, list[str]]:
    """Return for each name the functions of a room that read it from an object called options."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((SOURCES / room).rglob("*.py")):
        module = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in _read(node, "options"):
                place = f"{module}.{getattr(node, 'name', '')}".rstrip(".")
                if place not in found[name]:
                    found[name].append(place)
    return found


def derived() -> dict[str, set[str]]:
    """Return for each option the properties of the option tables that are made from it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (SOURCES / "options").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                for name in _read(node, "self"):
                    found[name].add(node.name)
    return found


def _read(node: ast.AST, owner: str) -> list[str]:
    """Return the attributes that are read from what is called owner."""
    attributes = (inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute))
    return [inner.attr for inner in attributes if _name(inner.value) == owner]


def _name(node: ast.expr) -> str:
    """Return the last word of a name: "options" of ``options`` and of ``run.options``."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def option_map() -> str:
    """Return the page."""
    lines = [
        "# Where an option acts",
        "",
        "Written from the sources by `docs/write_option_map.py`: for each option of",
        "`mapsort multi` and `mapsort refine`, the functions of the engine that read its value;",
        "where there are none, those of other rooms.",
        "",
        "| option | is read in |",
        "|---|---|",
    ]
    tables = (MultiOptions, RefineOptions)
    properties = derived()
    by_room = [readers(room) for room in ("refinement", "runfiles", "jobs", "cli")]
    for name in sorted({item.name for table in tables for item in dataclasses.fields(table)}):
        read = {name, *properties[name]}
        places: list[str] = []
        for found in by_room:
            places = places or sorted({place for each in read for place in found.get(each, ())})
        shown = ", ".join(f"`{place}`" for place in places)
        lines.append(f"| `{flag_of(name)}` | {shown or 'the parser only'} |")
    return "\n".join([*lines, ""])


def write(path: Path) -> None:
    """Write the page."""
    path.write_text(option_map(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
