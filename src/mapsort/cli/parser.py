"""An argument parser whose complaints are plain lines and which suggests what was meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from mapsort.errors import ConfigError
from mapsort.modules.suggestion import did_you_mean

HELP_WIDTH = 100


class PlainParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises ConfigError where that one prints usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with argparse's message in our words."""
        match = re.fullmatch(r"argument (.+?): (.*)", message, flags=re.DOTALL)
        if match is None:
            missing = message.removeprefix("the following arguments are required: ")
            if missing != message:
                raise ConfigError(f"{missing} is missing; {self.prog} --help tells what it takes")
            raise ConfigError(message)
        name, reason = match.groups()
        if reason.startswith("expected"):
            reason = "a value is missing"
        elif reason.startswith("ignored explicit argument"):
            reason = "takes no value"
        # argparse lists every spelling, "-v/--verbose"; the long one is enough.
        raise ConfigError(f"{name.split('/')[-1]}: {reason}")

    def option_names(self) -> list[str]:
        """Return every spelling of every option."""
        return [name for action in self._actions for name in action.option_strings]


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wide columns; the examples at the end keep their lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=HELP_WIDTH)


def make_parser(prog: str, description: str) -> PlainParser:
    """Return a parser in which options cannot be abbreviated.

    An abbreviation that works today becomes ambiguous, or another option, when one is added.
    """
    return PlainParser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )


def parse_strictly(parser: PlainParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse, and refuse what is left over with the nearest option as a suggestion.

    Parameters
    ----------
    parser : PlainParser
        The command's parser.
    arguments : sequence of str
        Words after the command.

    Raises
    ------
    ConfigError
        For unknown options, missing values and words without an option.
    """
    parsed, rest = parser.parse_known_args(arguments)
    if not rest:
        return parsed
    unknown = next((word for word in rest if word.startswith("-") and len(word) > 1), None)
    if unknown is None:
        raise ConfigError(
            f"unexpected argument {rest[0]!r}: values are given as --option value, several as A,B"
        )
    name = unknown.partition("=")[0]
    hint = did_you_mean(name, parser.option_names())
    raise ConfigError(f"unknown option {name}{hint or f'; {parser.prog} --help lists them'}")
