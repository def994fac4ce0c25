"""What a shell needs to complete a command line, and the manual page: both from the parsers."""

from __future__ import annotations

import argparse
import re

from mapsort._version import __version__
from mapsort.cli.parser import whole_parser
from mapsort.errors import ConfigError
from mapsort.modules.modopt import did_you_mean

SHELLS = ("bash", "zsh", "tcsh")

# Options take words as written, so argparse knows of no choices and no files; what the help shows
# in the place of the value tells which are which.
_FILES = ("FILE", "A,B,...", "PNG", "MAP", "INPUT", "INPUT OUTPUT", "SIMMX")
_DIRECTORIES = ("DIR", "RUN")


def completion_script(shell: str) -> str:
    """Return the script that makes a shell complete commands, options, files and choices.

    Parameters
    ----------
    shell : {"bash", "zsh", "tcsh"}

    Raises
    ------
    ConfigError
        For another shell.
    """
    if shell not in SHELLS:
        hint = did_you_mean(shell, SHELLS)
        raise ConfigError(f"--print-completion={shell}: takes {', '.join(SHELLS)}{hint}")
    # Here and not above: nothing else needs it.
    import shtab

    parser = whole_parser()
    for action in _actions(parser):
        _complete(action, files=shtab.FILE, directories=shtab.DIRECTORY)
    return str(shtab.complete(parser, shell=shell))


def man_page() -> str:
    """Return the manual page, section 1, in roff."""
    # Here and not above: nothing else needs it.
    from argparse_manpage.manpage import Manpage

    page = Manpage(whole_parser(), format="single-commands-section")
    page.description = "3D classification and heterogeneous refinement for cryo-EM"
    page.manual = "mapsort manual"
    page.source = f"mapsort {__version__}"
    # A line of text that begins with a dot (".mrc") would be taken for a macro.
    return re.sub(r"^\.(?=[a-z])", r"\\&.", str(page), flags=re.MULTILINE)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the actions of a parser and of its commands' parsers."""
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                found += _actions(one)
    return found


def _complete(action: argparse.Action, *, files: object, directories: object) -> None:
    """Say how the value of an option is completed."""
    shown = action.metavar
    if not isinstance(shown, str):
        return
    if shown in _FILES:
        action.complete = files  # type: ignore[attr-defined]
    elif shown in _DIRECTORIES:
        action.complete = directories  # type: ignore[attr-defined]
    elif shown.startswith("{") and action.choices is None:
        action.choices = shown.strip("{}").split(",")
