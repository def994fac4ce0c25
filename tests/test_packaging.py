"""The files for conda, containers and clusters say what pyproject.toml says."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from mapsort import __version__
from mapsort.cli.parser import command_parser, parse_strictly

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
#: On conda-forge, matplotlib itself brings a window system.
OTHER_NAMES = {"matplotlib": "matplotlib-base"}


def listed(section):
    """Return the packages of a section of the recipe's requirements, with their versions."""
    block = re.search(rf"^  {section}:\n((?:    .*\n)+)", RECIPE, re.MULTILINE).group(1)
    return {name: rest.strip() for name, rest in re.findall(r"- ([\w-]+)\s*(>=\S+)?", block)}


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ("host", PROJECT["build-system"]["requires"]),
        ("run", PROJECT["project"]["dependencies"]),
    ],
)
def test_the_recipe_needs_what_the_project_needs(section, wanted):
    needed = {}
    for line in wanted:
        name, _, version = line.partition(">=")
        needed[OTHER_NAMES.get(name, name)] = f">={version}"
    found = listed(section)
    assert {name: version for name, version in found.items() if name in needed} == needed
    assert set(found) - set(needed) <= {"python", "pip"}


def test_versions_and_programs_agree():
    assert f'version: "{__version__}"' in RECIPE
    assert f"Version: {__version__}" in (ROOT / "packaging/modules/mapsort.lua").read_text()
    for name, place in PROJECT["project"]["scripts"].items():
        assert f"- {name} = {place}" in RECIPE
        assert f'set_alias("{name}"' in (ROOT / "packaging/modules/mapsort.lua").read_text()
    assert f"python >={PROJECT['project']['requires-python'].removeprefix('>=')}" in RECIPE


@pytest.mark.parametrize(
    "name",
    ["conda/recipe.yaml", "container/Dockerfile", "container/mapsort.def", "slurm/one_node.sh"],
)
def test_command_lines_parse(name):
    lines = (ROOT / "packaging" / name).read_text().splitlines()
    calls = [
        re.search(r"(?:^|\s)mapsort ([a-z][^&]*)", line)
        for line in lines
        if line.lstrip()[:1] != "#"
    ]
    calls = [call.group(1).split() for call in calls if call]
    assert calls
    for command, *words in calls:
        parse_strictly(command_parser(command), words)


def test_the_script_is_that_of_the_documentation():
    script = (ROOT / "packaging/slurm/one_node.sh").read_text()
    assert subprocess.run([shutil.which("bash"), "-n"], input=script, text=True).returncode == 0
    lines = [line for line in script.splitlines() if line.strip() and not line.startswith("# ")]
    shown = (ROOT / "docs/cluster.md").read_text()
    assert all(line in shown for line in lines)
