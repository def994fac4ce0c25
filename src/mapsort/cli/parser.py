"""Parsers made from the table of commands and the options' types, and what they parse.

Complaints are plain lines that suggest what was meant. Words are kept as written until `given`
turns them into values, so that a bad value is refused with our message, which names what the option
takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from mapsort._version import __version__
from mapsort.cli.commands import COMMANDS, DESCRIPTION, Command
from mapsort.cli.other_names import hint_for
from mapsort.cli.output import terminal_width
from mapsort.errors import ConfigError
from mapsort.options.fields import flag_of, parsed
from mapsort.options.types import ValueKind


class PlainParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises ConfigError where that one prints usage and exits.

    Options cannot be abbreviated: an abbreviation that works today becomes ambiguous, or another
    option, when one is added.
    """

    def __init__(self, prog: str, description: str, **more: Any) -> None:
        kept = {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(prog=prog, description=description, **{**more, **kept})

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


class _HelpFormatter(argparse.HelpFormatter):
    """As wide as the terminal; the examples at the end keep their lines."""

    def __init__(self, prog: str) -> None:
        width = terminal_width()
        super().__init__(prog, max_help_position=min(32, width // 3), width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_EXAMPLES) else super()._fill_text(text, width, indent)


_EXAMPLES = "examples:"
#: The beginning of an option; a negative number is none.
_OPTION = re.compile(r"-(-|[^\W\d])")


def command_parser(name: str, *, prog: str | None = None) -> PlainParser:
    """Return the parser of a command with everything that its help shows.

    Parameters
    ----------
    name : str
        One of `COMMANDS`.
    prog : str, optional
        What the program is called in the help; ``mapsort NAME`` by default.
    """
    command = COMMANDS[name]
    parser = PlainParser(prog or f"mapsort {name}", command.summary)
    _fill(parser, command)
    return parser


def whole_parser() -> PlainParser:
    """Return one parser of the whole program, for shell completion and the manual page.

    The program itself parses with `command_parser`, which imports the options of one command only.
    """
    parser = PlainParser("mapsort", DESCRIPTION)
    _add_version(parser)
    parser.add_argument("--print-completion", metavar="{bash,zsh,tcsh}", help=COMPLETION_HELP)
    parser.add_argument("--print-man-page", action="store_true", help=MAN_PAGE_HELP)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=PlainParser)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.summary, description=command.summary)
        _fill(one, command)
    return parser


COMPLETION_HELP = "print a completion script for a shell: bash, zsh or tcsh"
MAN_PAGE_HELP = "print the manual page; mapsort --print-man-page | man -l - shows it"


def _fill(parser: PlainParser, command: Command) -> None:
    """Add a command's options, those that every command has, and the examples."""
    options = command.options_type()
    add_options(parser, options)
    own = {field.name for field in dataclasses.fields(options)}
    if command.job and command.shows_progress and "quiet" not in own:
        parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")
    _add_version(parser)
    if "verbose" not in own:
        parser.add_argument("-v", "--verbose", metavar="0..9", help="9 shows tracebacks")
    lines = [
        line
        for words, purpose in command.examples
        for line in (f"  {parser.prog} {words}".rstrip(), f"      {purpose}")
    ]
    parser.epilog = "\n".join([_EXAMPLES, *lines])


def _add_version(parser: PlainParser) -> None:
    parser.add_argument("--version", action="version", version=f"mapsort {__version__}")


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
    unknown = [word.partition("=")[0] for word in rest if _OPTION.match(word)]
    if not unknown:
        raise ConfigError(
            f"unexpected argument {rest[0]!r}: values are given as --option value, several as A,B"
        )
    bare = "".join(str(action.metavar) for action in parser._actions if not action.option_strings)
    # All at once: who writes another program's options writes several.
    told = (
        f"unknown option {name}"
        + (hint_for(name, parser.option_names(), bare=bare) or f"; {parser.prog} --help lists them")
        for name in dict.fromkeys(unknown)
    )
    raise ConfigError("\n".join(told))


def add_options(parser: argparse.ArgumentParser, options: type[Any]) -> None:
    """Add an argument for every field of an options' type, under the headings of its metadata."""
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for field in dataclasses.fields(options):
        name = field.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        _add_option(groups[name], field)


def given_values(options: type[Any], args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, typed, by name.

    Raises
    ------
    ConfigError
        When a value is not of its option's kind.
    """
    values = {}
    for field in dataclasses.fields(options):
        written = getattr(args, field.name, None)
        if written is not None and written != []:
            values[field.name] = _value(field, written)
    return values


def _add_option(group: argparse._ActionsContainer, field: dataclasses.Field[Any]) -> None:
    meta = field.metadata
    is_required = field.default is dataclasses.MISSING
    said = meta["help"].replace("%", "%%")
    if meta["positional"]:
        count = "+" if is_required else "*"
        group.add_argument(
            field.name, nargs=count, metavar=meta["metavar"], help=said + _default_text(field)
        )
        return
    more: dict[str, Any] = {"metavar": meta["metavar"]}
    if meta["kind"] is None:
        more = {"action": "store_true", "default": None}
    elif meta["repeated"]:
        more["action"] = "append"
    elif meta["bare"] is not None:
        more |= {"nargs": "?", "const": meta["bare"]}
    said += " (required)" if is_required else _default_text(field)
    group.add_argument(*meta["flags"], flag_of(field.name), dest=field.name, help=said, **more)


def _default_text(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value in (dataclasses.MISSING, None, (), "") or value is False:
        return ""
    if isinstance(value, tuple):
        value = ",".join(map(_short, value))
    return f" (default {_short(value)})"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(field: dataclasses.Field[Any], written: Any) -> Any:
    kind: ValueKind | None = field.metadata["kind"]
    if kind is None:
        return True
    if isinstance(written, list):
        return tuple(item for word in written for item in parsed(field.name, kind, word))
    return parsed(field.name, kind, written)
