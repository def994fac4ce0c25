"""Write the reference of the command line from the program's own parsers: a page per command.

python docs/write_cli.py DIRECTORY
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from mapsort.cli.commands import COMMANDS
from mapsort.cli.parser import command_parser


def write(directory: Path) -> None:
    """Write ``index.md`` and a page for every command."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "index.md").write_text(index_page(), encoding="utf-8")
    for name in COMMANDS:
        (directory / f"{name}.md").write_text(command_page(name), encoding="utf-8")


def index_page() -> str:
    """Return the page that lists the commands in their groups."""
    lines = ["# Commands", ""]
    for group, rows in groupby(COMMANDS.items(), lambda row: row[1].group):
        lines += [f"## {group.capitalize()}", ""]
        lines += [f"* [`mapsort {name}`]({name}.md): {_plain(row.summary)}" for name, row in rows]
        lines.append("")
    lines += ["```{toctree}", ":hidden:", "", *COMMANDS, "```", ""]
    return "\n".join(lines)


def command_page(name: str) -> str:
    """Return the page of a command: usage, examples, every option in its group."""
    parser, command = command_parser(name), COMMANDS[name]
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    lines = [f"# mapsort {name}", "", _sentence(command.summary), ""]
    lines += ["```text", usage, "```", ""]
    lines += ["## Examples", ""]
    for words, purpose in command.examples:
        call = f"mapsort {name} {words}".rstrip()
        lines += [_sentence(purpose, end=":"), "", "```bash", call, "```", ""]
    lines += [f"```{{program}} mapsort {name}", "```", ""]
    for group in parser._action_groups:
        if group._group_actions:
            lines += [f"## {str(group.title).capitalize()}", "", *_options(group._group_actions)]
    return "\n".join(lines)


def _options(actions: list[argparse.Action]) -> Iterator[str]:
    for action in actions:
        help_text = _plain(_expanded(action))
        if not action.option_strings:
            yield from (f"`{_value(action)}`", f": {help_text}", "")
            continue
        value = "" if action.nargs == 0 else f" {_value(action)}"
        names = ", ".join(f"{name}{value}" for name in reversed(action.option_strings))
        yield from (f"````{{option}} {names}", help_text, "````", "")


def _value(action: argparse.Action) -> str:
    shown = action.metavar if action.metavar is not None else action.dest.upper()
    return shown if isinstance(shown, str) else " ".join(shown)


def _expanded(action: argparse.Action) -> str:
    # argparse's own texts and ours double a per cent sign.
    return (action.help or "").replace("%%", "%")


def _sentence(text: str, *, end: str = ".") -> str:
    plain = _plain(text)
    return f"{plain[0].upper()}{plain[1:]}{end}"


def _plain(text: str) -> str:
    """Keep Markdown from reading what are plain characters."""
    for character in "\\|*_<>[]{}$":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    write(Path(sys.argv[1]))
