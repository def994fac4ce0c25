"""Overview, examples, shell completion and manual page: all made from the parsers."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from inspect import signature
from itertools import groupby

import pytest

from mapsort.cli import results
from mapsort.cli.commands import COMMANDS, load
from mapsort.cli.main import main
from mapsort.cli.parser import command_parser, given_values, parse_strictly, whole_parser
from mapsort.errors import ConfigError
from mapsort.options.fields import typed_options


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_are_good_requests(command):
    assert COMMANDS[command].examples
    for words, _ in COMMANDS[command].examples:
        args = parse_strictly(command_parser(command), shlex.split(words))
        if "--resume" not in words:
            kind = COMMANDS[command].options_type()
            typed_options(kind, given_values(kind, args)).validated()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_row_of_the_table_fits_together(command):
    """What is told takes the options and what the job returns; the job takes the options."""
    row = COMMANDS[command]
    told = signature(getattr(results, command.replace("-", "_"))).parameters.values()
    taken = [parameter.annotation for parameter in told]
    options = row.options_type().__name__
    if not row.job:
        assert taken == [options]
        return
    job = signature(load("jobs", row.job))
    assert taken == [options, job.return_annotation]
    assert next(iter(job.parameters.values())).annotation == options
    assert ("progress" in job.parameters) == row.shows_progress
    assert ("watcher" in job.parameters) == row.is_watched
    assert row.is_watched or not row.plan
    assert not row.refreshes or "run" in row.options_type().__dataclass_fields__


def test_the_overview_shows_every_command_once_under_its_group(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    groups = [group for group, _ in groupby(row.group for row in COMMANDS.values())]
    assert len(groups) == len(set(groups))
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.removesuffix(":") for line in lines if line.removesuffix(":") in groups] == groups
    for command, row in COMMANDS.items():
        assert sum(line.split(maxsplit=1) == [command, row.summary] for line in lines) == 1


def test_help_of_a_command_by_the_word_help(capsys):
    assert main(["help", "multi"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: mapsort multi")
    assert "\nexamples:\n  mapsort multi --input particles.star --models a.mrc,b.mrc" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--hlp", "unknown option --hlp; did you mean --help?"),
        ("--models a.mrc", "unknown option --models; known: --help"),
        ("--print-completion fihs", "--print-completion=fihs: takes bash, zsh, tcsh"),
        ("--print-completion", "--print-completion=: takes bash, zsh, tcsh"),
    ],
)
def test_wrong_program_options_are_refused(capsys, words, message):
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def completions(script, words, *, count):
    """Ask bash what it would offer for the last word."""
    ask = (
        f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={count}; "
        "COMP_TYPE=9; _shtab_mapsort mapsort; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    from mapsort.cli.shell_completion import completion_script

    path = tmp_path_factory.mktemp("completion") / "mapsort.bash"
    path.write_text(completion_script("bash"))
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_choices(bash_script):
    assert completions(bash_script, ["mapsort", "mu"], count=1) == ["multi"]
    assert set(completions(bash_script, ["mapsort", "multi", "--mod"], count=2)) == {
        "--model",
        "--models",
    }
    asked = ["mapsort", "multi", "--assign", ""]
    assert set(completions(bash_script, asked, count=3)) == {"auto", "hard", "soft"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_scripts_know_every_command(capsys, shell):
    assert main([f"--print-completion={shell}"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_completion_offers_every_command(bash_script):
    assert set(completions(bash_script, ["mapsort", ""], count=1)) >= set(COMMANDS)


def test_the_manual_page_holds_every_option(capsys):
    assert main(["--print-man-page"]) == 0
    page = capsys.readouterr().out.replace("\\-", "-")
    for command in COMMANDS:
        for option in set(command_parser(command).option_names()) - {"--help"}:
            assert option in page, (command, option)


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_the_manual_page_is_good_roff(capsys):
    assert main(["--print-man-page"]) == 0
    page = capsys.readouterr().out
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, check=True
    )
    assert "macro" not in done.stderr
    assert "classify particles against several references and refine" in done.stdout


def test_the_whole_parser_takes_a_whole_command_line():
    args = whole_parser().parse_args(["show", "a.mrc", "-o", "b.png"])
    assert (args.files, args.output) == (["a.mrc"], "b.png")
    with pytest.raises(ConfigError, match="invalid choice"):
        whole_parser().parse_args(["nonesuch"])


@pytest.mark.parametrize("columns", [60, 80])
def test_help_fits_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ([], ["--help"], *([name, "--help"] for name in COMMANDS)):
        assert main(words) == 0
        text = capsys.readouterr().out.partition("\nexamples:")[0]
        # An option and its choices are one word, an example is there to be copied.
        lines = [line for line in text.splitlines() if "{" not in line and "example:" not in line]
        assert max(map(len, lines)) <= (columns if words else 80), words


def test_help_is_not_wider_than_a_hundred_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["multi", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("multi --i p.star", "--i; did you mean --input?"),
        ("multi --o run", "--o; did you mean --path?"),
        ("multi --K 4", "--K; did you mean --nmodels?"),
        ("multi -j 4", "-j; did you mean --parallel?"),
        ("multi --ini_high 40", "--ini_high; did you mean --startres?"),
        ("multi --ref a.mrc", "--ref; did you mean --models or --model?"),
        ("multi --skip_align", "--skip_align; did you mean --skipalign?"),
        ("multi --targ 9", "--targ; did you mean --targetres?"),
        ("multi --gpu 0", "--gpu; mapsort computes on processors: leave it out"),
        ("refine --particle_diameter 9", "--particle_diameter; did you mean --diameter?"),
        ("reconstruct --i p.star", "--i; INPUT is given without an option"),
        ("convert --angpix 2", "--angpix; did you mean --apix?"),
    ],
)
def test_names_of_other_programs_are_hinted_at(capsys, words, hint):
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"mapsort: unknown option {hint}\n"


def test_all_unknown_options_are_told_at_once(capsys):
    assert (
        main(["multi", "--i", "p.star", "--zzzzz", "-3", "--K", "4", "--sym", "c1", "--i", "q"])
        == 2
    )
    assert capsys.readouterr().err.splitlines() == [
        "mapsort: unknown option --i; did you mean --input?",
        "mapsort: unknown option --zzzzz; mapsort multi --help lists them",
        "mapsort: unknown option --K; did you mean --nmodels?",
    ]
