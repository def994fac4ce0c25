"""The stubs that editors read are those of this very program."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

import mapsort

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def writer():
    place = importlib.util.spec_from_file_location("write_stubs", ROOT / "ci" / "write_stubs.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def read(name):
    return (ROOT / "src" / "mapsort" / name).read_text(encoding="utf-8")


def test_stubs_are_up_to_date(writer):
    """After a change of options: python ci/write_stubs.py."""
    assert read("commands.pyi") == writer.commands_stub()
    assert read("__init__.pyi") == writer.package_stub()


def test_every_public_name_is_in_the_stub():
    bound = set()
    for node in ast.parse(read("__init__.pyi")).body:
        if isinstance(node, ast.ImportFrom):
            bound |= {item.asname for item in node.names if item.asname}
        elif isinstance(node, ast.FunctionDef):
            bound.add(node.name)
    assert bound == set(mapsort.__all__)


def test_every_command_is_in_the_stub():
    body = ast.parse(read("commands.pyi")).body
    assert {node.name for node in body if isinstance(node, ast.FunctionDef)} == set(
        dir(mapsort.commands)
    )


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Path | None, "File | None"),
        (tuple[Path, ...], "Sequence[File] | File"),
        (tuple[float, ...], "Sequence[float] | float | str"),
        (str | float, "str | float"),
        (bool, "bool"),
    ],
)
def test_what_an_option_takes(writer, hint, expected):
    assert writer.accepted(hint) == expected
