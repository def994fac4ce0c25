"""Write the stubs that static tools read: functions with the options of commands spelled out.

    python ci/write_stubs.py

`src/mapsort/commands.pyi` and `src/mapsort/__init__.pyi` are made from the table of commands and
the options' types; tests/test_stubs.py holds them to the program.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any

import mapsort
from mapsort.cli.commands import COMMANDS, Command, load
from mapsort.options.fields import Options

SOURCE = Path(__file__).resolve().parents[1] / "src" / "mapsort"
_HEAD = '''"""{words}

Written by ci/write_stubs.py: change the options, not this file.
"""

# fmt: off
'''
_WIDTH = 100
#: What an option of a type of our own takes from Python besides.
_PLAIN = {"Path": "File", "Automask3D": "str"}


def accepted(hint: Any) -> str:
    """Return what an option takes from Python, which is more than it holds: text as well."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " | ".join(dict.fromkeys(accepted(item) for item in inner))
    if origin is tuple:
        one = accepted(inner[0])
        return f"Sequence[{one}] | {one}" + ("" if one in ("str", "File") else " | str")
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"Literal[{', '.join(repr(str(member)) for member in hint)}]".replace("'", '"')
    return _PLAIN.get(hint.__name__, hint.__name__)


def keywords(kind: type[Options], *, but: tuple[str, ...] = ()) -> list[str]:
    """Return ``name: type = ...`` for each option that is not positional."""
    hints = typing.get_type_hints(kind)
    return [
        f"{item.name}: {_told(item, accepted(hints[item.name]))}"
        + ("" if item.default is dataclasses.MISSING else " = ...")
        for item in dataclasses.fields(kind)
        if not item.metadata["positional"] and item.name not in but
    ]


def _told(item: dataclasses.Field[Any], hint: str) -> str:
    """Return an option's type with the words that it takes besides."""
    kind = item.metadata["kind"]
    wordy = kind is not None and "auto" in kind.words and "str" not in hint and "auto" not in hint
    return f'Literal["auto"] | {hint}' if wordy else hint


def definition(name: str, parameters: list[str], result: str, words: str) -> str:
    """Return a function without a body, its parameters filled into lines."""
    head = f"def {name}({', '.join(parameters)}) -> {result}:"
    if len(head) > _WIDTH:
        # A parameter is not broken.
        joined = ", ".join(item.replace(" ", "\0") for item in parameters)
        lines = textwrap.wrap(joined, _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
        body = "\n".join(f"    {line}".replace("\0", " ") for line in lines)
        head = f"def {name}(\n{body},\n) -> {result}:"
    return f'{head}\n    """{words}"""\n'


def command_stub(name: str, command: Command) -> str:
    """Return a command's function; where it checks and resumes, these are told apart."""
    kind = command.options_type()
    fields = dataclasses.fields(kind)
    positional = [item.name for item in fields if item.metadata["positional"]]
    parameters = keywords(kind)
    if command.job and command.shows_progress:
        parameters.append("progress: Progress | None = ...")
    first = f"*{positional[0]}: File" if positional else "*"
    parameters = [first, *parameters] if parameters or positional else []
    job = load("jobs", command.job) if command.job else None
    result = _result(typing.get_type_hints(job)["return"]) if job else "str"
    words = f"{command.summary[0].upper()}{command.summary[1:].removesuffix('.')}."
    if not command.plan:
        return definition(name, parameters, result, words)
    parameters = [item.replace("check: bool", "check: Literal[False]") for item in parameters]
    asked = definition(name, ["*", "check: Literal[True]", "**options: Any"], "str", words)
    resumed = definition(name, ["*", "resume: File", "**options: Any"], result, words)
    begun = definition(name, parameters, result, words)
    return "".join(f"@overload\n{one}" for one in (asked, resumed, begun))


def _result(hint: Any) -> str:
    inner = typing.get_args(hint)
    if inner:
        return f"tuple[{', '.join('...' if item is ... else _result(item) for item in inner)}]"
    return str(hint.__name__)


def _imports(text: str, homes: dict[str, str]) -> str:
    """Return the imports of the names that a stub uses."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    by_home: dict[str, list[str]] = {}
    for name in sorted(used & homes.keys()):
        by_home.setdefault(homes[name], []).append(name)
    order = sorted(by_home, key=lambda home: (home.startswith("mapsort"), home))
    lines = [f"from {home} import {', '.join(by_home[home])}" for home in order]
    first = next((i for i, home in enumerate(order) if home.startswith("mapsort")), len(order))
    return "\n".join([*lines[:first], *([""] if 0 < first < len(lines) else []), *lines[first:]])


def _homes() -> dict[str, str]:
    """Return where the names in stubs come from."""
    known = {
        "Any": "typing",
        "Literal": "typing",
        "overload": "typing",
        "Sequence": "collections.abc",
        "Path": "pathlib",
        "Progress": "mapsort.engines.progress",
        "Particles": "mapsort.model.particles",
        "Volume": "mapsort.model.volume",
    }
    for command in COMMANDS.values():
        hint = typing.get_type_hints(load("jobs", command.job))["return"] if command.job else str
        for kind in typing.get_args(hint) or (hint,):
            if getattr(kind, "__module__", "").startswith("mapsort."):
                known[kind.__name__] = kind.__module__
    return known


def commands_stub() -> str:
    """Return the text of ``commands.pyi``."""
    stubs = [command_stub(name.replace("-", "_"), item) for name, item in COMMANDS.items()]
    body = "File = str | Path\n\n" + "\n".join(stubs)
    head = _HEAD.format(words="Every command of the program as a function.")
    return f"{head}{_imports(body, _homes())}\n\n{body}"


def package_stub() -> str:
    """Return the text of ``__init__.pyi``."""
    stubs, made = [], set()
    for name in sorted(mapsort.__all__):
        function = getattr(mapsort, name)
        if not hasattr(function, "__takes_options__"):
            continue
        made.add(name)
        kind, filled, own = function.__takes_options__
        *written, _ = own.parameters.values()
        parameters = [_written(item) for item in written]
        first = next((i for i, item in enumerate(written) if item.kind is item.KEYWORD_ONLY), None)
        parameters.insert(len(written) if first is None else first, "*")
        parameters += keywords(kind, but=(*own.parameters, *filled))
        words = function.__doc__.splitlines()[0]
        stubs.append(definition(name, parameters, own.return_annotation, words))
    body = "\n".join(stubs)
    homes = {**_homes(), "MultiRun": "mapsort.jobs.refinement"}
    modules = [(home.rpartition(".")[0], name) for name, home in mapsort._MODULES.items()]
    others = [(home, name) for name, home in mapsort._HOME.items() if name not in made]
    version = ("mapsort._version", "__version__")
    exported = [
        f"from {home} import {name} as {name}"
        for home, name in sorted([*modules, version, *others])
    ]
    homes = {name: home for name, home in homes.items() if (home, name) not in others}
    head = _HEAD.format(words=(mapsort.__doc__ or "").splitlines()[0])
    lines = [head + _imports(body, homes), *exported, "", "File = str | Path", "", body]
    return "\n".join(lines)


def _written(item: inspect.Parameter) -> str:
    default = "" if item.default is item.empty else " = ..."
    return f"{item.name}: {item.annotation}{default}"


if __name__ == "__main__":
    (SOURCE / "commands.pyi").write_text(commands_stub(), encoding="utf-8")
    (SOURCE / "__init__.pyi").write_text(package_stub(), encoding="utf-8")
