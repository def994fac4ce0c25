"""The parser of one command, and of all of them together, as help and documentation show them."""

from __future__ import annotations

from mapsort._version import __version__
from mapsort.cli.commands import COMMANDS, DESCRIPTION, Command, load
from mapsort.cli.examples import examples_text
from mapsort.cli.parser import PlainParser, make_parser


def command_parser(name: str, *, prog: str | None = None) -> PlainParser:
    """Return the parser of a command with everything that its help shows.

    Parameters
    ----------
    name : str
        One of `COMMANDS`.
    prog : str, optional
        What the program is called in the help; ``mapsort NAME`` by default.

    Returns
    -------
    PlainParser
    """
    command = load(name)
    parser = make_parser(prog or f"mapsort {name}", command.HELP)
    _fill(parser, name, command)
    return parser


def whole_parser() -> PlainParser:
    """Return one parser of the whole program, for shell completion and the manual page.

    The program itself parses with `command_parser`, which imports one command only.
    """
    parser = make_parser("mapsort", DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mapsort {__version__}")
    parser.add_argument("--print-completion", metavar="{bash,zsh,tcsh}", help=COMPLETION_HELP)
    parser.add_argument("--print-man-page", action="store_true", help=MAN_PAGE_HELP)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=PlainParser)
    for name, text in COMMANDS.items():
        plain = make_parser(f"mapsort {name}", text)
        one = commands.add_parser(
            name,
            help=text,
            description=text,
            allow_abbrev=False,
            formatter_class=plain.formatter_class,
        )
        _fill(one, name, load(name))
    return parser


COMPLETION_HELP = "print a completion script for a shell: bash, zsh or tcsh"
MAN_PAGE_HELP = "print the manual page; mapsort --print-man-page | man -l - shows it"


def _fill(parser: PlainParser, name: str, command: Command) -> None:
    """Add a command's options, those that every command has, and the examples."""
    command.add_arguments(parser)
    names = parser.option_names()
    if "--version" not in names:
        parser.add_argument("--version", action="version", version=f"mapsort {__version__}")
    if "--verbose" not in names:
        parser.add_argument("-v", "--verbose", metavar="0..9", help="9 shows tracebacks")
    parser.epilog = examples_text(name, prog=parser.prog)
