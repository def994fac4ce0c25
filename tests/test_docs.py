"""The documentation's code: command lines parse, Python compiles, and some pages are run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mapsort.cli.commands import COMMANDS
from mapsort.cli.main import _PROGRAM_OPTIONS
from mapsort.cli.parser import command_parser, parse_strictly
from mapsort.errors import ConfigError
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

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


def generator(name):
    """A program of docs/, as a module."""
    found = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_option_with_its_help(command):
    page = generator("write_cli").command_page(command)
    parser = command_parser(command)
    for action in parser._actions:
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
            names = ", ".join(f"{name}{value}" for name in reversed(action.option_strings))
            assert f"{{option}} {names}\n" in page
        start = (action.help or "").split(";")[0].split("%")[0].split("<")[0].split("_")[0][:30]
        assert start in page.replace("\\", "")
    for code in BLOCK.findall(page):
        for call in command_lines(code[1]):
            check(call)


def test_the_reference_lists_every_command():
    page = generator("write_cli").index_page()
    assert all(f"[`mapsort {name}`]({name}.md)" in page for name in COMMANDS)


def test_the_option_map_tells_where_an_option_acts():
    page = generator("write_option_map").option_map()
    [row] = [line for line in page.splitlines() if line.startswith("| `--classkeep` |")]
    assert "`refinement.classification._kept`" in row
    # By way of a property of the option table.
    [row] = [line for line in page.splitlines() if line.startswith("| `--mass` |")]
    assert "`refinement." in row


def test_files_that_the_guide_names_are_there():
    text = (ROOT / "docs" / "developer.md").read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:refinement|stages|physics|rundir|jobs|io|options|modules)/[\w/.]*)`", text
    )
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / "src" / "mapsort" / name).exists()]


def test_a_page_is_executed_block_by_block(tmp_path):
    execute = generator("execute_tutorial")
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\necho one > a.txt\necho done\n```\n\n```python\nprint(open('a.txt').read())\n```\n"
    )
    execute.execute_if_stale(page, tmp_path / "out")
    assert (tmp_path / "out" / "output_1.txt").read_text() == "done\n"
    assert (tmp_path / "out" / "output_2.txt").read_text() == "one\n\n"
    # What was executed is not executed again; what has changed is.
    (tmp_path / "out" / "output_1.txt").write_text("kept")
    execute.execute_if_stale(page, tmp_path / "out")
    assert (tmp_path / "out" / "output_1.txt").read_text() == "kept"
    page.write_text("```bash\necho before; false\n```\n")
    with pytest.raises(RuntimeError, match=r"(?s)block 1 failed.*before"):
        execute.execute_if_stale(page, tmp_path / "out")


def test_without_a_browser_the_pages_show_the_pictures_that_are_kept(tmp_path, monkeypatch):
    drawing = generator("draw_report")
    monkeypatch.setattr(drawing, "chromium", lambda: None)
    kept = ROOT / "docs" / "_static"
    assert not drawing.draw_or_copy(tmp_path / "index.html", kept, tmp_path)
    shown = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert shown == {f"{n}.png": (kept / f"{n}.png").read_bytes() for n in drawing.PICTURES}
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"tutorial_data/(report_\w+\.png)", pages)) == set(shown)


def test_the_conventions_are_drawn_the_same_each_time(tmp_path):
    draw = generator("draw_conventions").draw
    draw(tmp_path / "a.svg")
    draw(tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<svg" in (tmp_path / "a.svg").read_text()
