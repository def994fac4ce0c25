"""The documentation's code: command lines parse, Python compiles, and some pages are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mapsort.cli.command_parser import command_parser
from mapsort.cli.commands import COMMANDS
from mapsort.cli.main import _PROGRAM_OPTIONS
from mapsort.cli.parser import parse_strictly
from mapsort.errors import ConfigError
from mapsort.workflows.simulate import simulate
from mapsort.workflows.simulate_options import SimulateOptions

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = ("reference/cli", "reference/generated", "_build", "tutorial_data")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if not any(part in path.as_posix() for part in WRITTEN)
)
BLOCK = re.compile(r"^```(bash|sh|console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("mapsort", "e2refinemulti")


def blocks(path, language):
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [code for name, code in found if name == language]


def command_lines(code):
    """Yield the words of every call of ours; pipes, redirections and && end a call."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        call = []
        for word in [*lexer, ";"]:
            if word[0] not in "|&;<>()":
                call.append(word)
                continue
            while call and re.fullmatch(r"\w+=.*|\$|srun|nice|time", call[0]):
                call = call[1:]
            if call and call[0] in PROGRAMS:
                yield call
            call = []


def check(call):
    """Parse a call as the program would, without doing anything."""
    program, *words = call
    if program == "e2refinemulti":
        words = ["multi", *words]
    if not words or words[0] in _PROGRAM_OPTIONS or words[0].partition("=")[0] in _PROGRAM_OPTIONS:
        return
    assert words[0] in COMMANDS, call
    if not {"--help", "-h"} & set(words):
        parse_strictly(command_parser(words[0]), words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_of_a_page_parse(page):
    for code in blocks(page, "bash"):
        syntax = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True)
        assert syntax.returncode == 0, (code, syntax.stderr)
        for call in command_lines(code):
            check(call)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_of_a_page_compiles(page):
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


def test_the_check_sees_wrong_command_lines():
    [call] = command_lines("time mapsort multi --input a.star \\\n  --modles b.mrc | tail > x\n")
    assert call == ["mapsort", "multi", "--input", "a.star", "--modles", "b.mrc"]
    with pytest.raises(ConfigError, match="did you mean --models"):
        check(call)
    with pytest.raises(AssertionError):
        check(["mapsort", "nonesuch"])


def test_there_are_pages_with_commands():
    calls = [c for page in PAGES for code in blocks(page, "bash") for c in command_lines(code)]
    assert len(calls) > 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A directory as the Python page asks for."""
    out = tmp_path_factory.mktemp("docs")
    made = simulate(SimulateOptions(phantom=2, out=out, n=80, box=24, apix=6.0, seedres=30.0))
    for path, name in zip(made.seeds, ("a.mrc", "b.mrc"), strict=True):
        path.rename(out / name)
    return out


@pytest.mark.parametrize("name", ["docs/howto/python.md", "docs/concepts/conventions.md"])
def test_python_pages_run(name, data):
    program = "\n".join(blocks(ROOT / name, "python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=data, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_readmes_python_runs(data):
    [program] = blocks(ROOT / "README.md", "python")
    short = program.replace("iter=4", 'iter=1, orientgen="eman:delta=30"')
    assert short != program
    done = subprocess.run([sys.executable, "-c", short], cwd=data, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rlnClassNumber" in done.stdout
