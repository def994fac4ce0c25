"""The console entry points: find the command, run it, turn errors into lines and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from textwrap import fill

from mapsort._version import __version__
from mapsort.cli.commands import COMMANDS, DESCRIPTION
from mapsort.cli.output import explained, say, terminal_width, warn
from mapsort.errors import ConfigError, FormatError, Interrupted

# Threads of OpenMP that spin while they wait take the time of other work on shared processors and,
# a share being a share, their own: matching ran at a third of its speed beside one busy process.
# Read once, when the kernels are loaded; a program that imports mapsort decides for itself.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

DONE = 0
FAILED = 1
WRONG_REQUEST = 2
INTERRUPTED = 75

_GREETING = f"""mapsort {__version__}: 3D classification and heterogeneous refinement for cryo-EM

The three commands one needs:
  mapsort demo                               a small problem, solved and scored
  mapsort info particles.star                what a file is
  mapsort multi --input FILE --models A,B    the job itself

mapsort --help lists all commands, mapsort multi --help all options;
mapsort doctor checks the installation."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mapsort``.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name; the process's own by default.

    Returns
    -------
    int
        Exit status: 0 done, 1 the run failed, 2 the request was wrong, 75 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return _guarded(words, prog="mapsort")


def e2refinemulti(argv: Sequence[str] | None = None) -> int:
    """Run ``mapsort multi`` under the original program's name; arguments as `main`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _guarded(["multi", *words], prog="e2refinemulti")


def e2refine(argv: Sequence[str] | None = None) -> int:
    """Run ``mapsort refine`` under the original program's name; arguments as `main`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _guarded(["refine", *words], prog="e2refine")


#: What prints and does nothing else.
_TELLING = ("info", "modules", "doctor", "build-info", "help", "-h", "--help", "--version")


def _guarded(words: list[str], *, prog: str) -> int:
    """Run, and turn every error into plain lines on stderr and an exit status."""
    try:
        return _dispatch(words, prog=prog)
    except BrokenPipeError:
        # The reader of our output has gone (`mapsort info x | head`). Python would complain once
        # more when it flushes stdout at exit, unless stdout leads elsewhere by then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Who reads the first lines only has what they wanted; work is not done by halves.
        return DONE if not words or words[0] in _TELLING else FAILED
    except (Exception, KeyboardInterrupt) as error:
        # Without a terminal (SIGHUP) nobody can be told; the status still tells.
        with suppress(OSError):
            if _wants_traceback(words):
                traceback.print_exc()
            warn(explained(error))
        return _status(error)


def _dispatch(words: list[str], *, prog: str) -> int:
    if not words:
        say(_GREETING)
        return DONE
    command, *rest = words
    if command in ("-h", "--help", "help"):
        if not rest:
            say(_overview())
            return DONE
        command, rest = rest[0], ["--help"]
    if command.startswith("-"):
        return _program_option(*command.partition("=")[::2], rest)
    if command not in COMMANDS:
        hint = _nearest(command, tuple(COMMANDS))
        raise ConfigError(f"unknown command {command!r}{hint or '; mapsort --help lists them'}")
    return _run(command, rest, prog=prog if prog != "mapsort" else f"mapsort {command}")


def _program_option(name: str, value: str, rest: Sequence[str]) -> int:
    """Do what an option asks for that stands before any command."""
    if name == "--version":
        say(f"mapsort {__version__}")
    elif name == "--print-completion":
        from mapsort.cli.shell_completion import completion_script

        say(completion_script(value or " ".join(rest)))
    elif name == "--print-man-page":
        from mapsort.cli.shell_completion import man_page

        say(man_page())
    else:
        hint = _nearest(name, _PROGRAM_OPTIONS)
        raise ConfigError(f"unknown option {name}{hint or '; a command comes first'}")
    return DONE


def _nearest(word: str, known: Sequence[str]) -> str:
    # Not above: what the modules are called by loads more than the overview needs.
    from mapsort.modules.modopt import did_you_mean

    return did_you_mean(word, known)


_PROGRAM_OPTIONS = ("--help", "--version", "--print-completion", "--print-man-page")


def _run(name: str, words: list[str], *, prog: str) -> int:
    # Here and not above: the overview does without the options' types.
    from mapsort.cli.other_names import as_started
    from mapsort.cli.parser import command_parser, parse_strictly
    from mapsort.cli.runner import run

    parser = command_parser(name, prog=prog)
    with as_started(words) as ours:
        try:
            args = parse_strictly(parser, ours)
        except SystemExit:
            # argparse leaves this way after --help and --version, having printed them.
            return DONE
        return run(name, args)


_USES = {
    "mapsort COMMAND --help": "options of a command, their defaults, and examples",
    "mapsort --version": "version",
    "mapsort --print-completion bash": "completion script for bash, zsh or tcsh",
    "mapsort --print-man-page": "the manual page",
}


def _overview() -> str:
    blocks = ["usage: mapsort COMMAND [options]", fill(DESCRIPTION, terminal_width())]
    for group, rows in groupby(COMMANDS.items(), lambda row: row[1].group):
        listed = {f"  {name}": row.summary for name, row in rows}
        blocks.append(f"{group}:\n{_columns(listed, 2 + max(map(len, COMMANDS)))}")
    blocks += [
        _columns(_USES, max(map(len, _USES))),
        "example: mapsort multi --input particles.star --models a.mrc,b.mrc",
        fill(
            "exit status: 0 done; 1 the run failed; 2 the request was wrong, found before any "
            "work; 75 interrupted by a signal",
            terminal_width(),
        ),
    ]
    return "\n\n".join(blocks)


def _columns(rows: Mapping[str, str], width: int) -> str:
    """Return names and what they are, in two columns as wide as the terminal allows."""
    beside = " " * (width + 2)
    return "\n".join(
        fill(
            text,
            max(terminal_width(), width + 24),
            initial_indent=f"{name:{width}}  ",
            subsequent_indent=beside,
            break_on_hyphens=False,
        )
        for name, text in rows.items()
    )


def _wants_traceback(words: Sequence[str]) -> bool:
    """Whether verbosity 9 was asked for; looked for in the words, as parsing may be what failed."""
    joined = " ".join(words)
    return any(f" {form}" in f" {joined} " for form in _TRACEBACK_FORMS)


_TRACEBACK_FORMS = ("-v 9 ", "-v9 ", "-v=9 ", "--verbose 9 ", "--verbose=9 ")


def _status(error: BaseException) -> int:
    if isinstance(error, ConfigError | FormatError):
        return WRONG_REQUEST
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return INTERRUPTED
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
