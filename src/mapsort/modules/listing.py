"""What modules there are: all registries, and their text for ``mapsort modules`` and the docs."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import mapsort.modules
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import ALLOWED_NAMES
from mapsort.modules.modopt import did_you_mean
from mapsort.modules.parameter import Parameter
from mapsort.modules.registry import Module, ModuleKind, Registry


def registry_of(kind: ModuleKind) -> Registry[..., Any]:
    """Return the registry of a kind, with everything that mapsort declares of it."""
    return _registries()[kind]


@cache
def _registries() -> dict[ModuleKind, Registry[..., Any]]:
    """Import every file of this room and collect the registries that they define."""
    found = {kind: Registry[..., Any](kind) for kind in ModuleKind}
    package = mapsort.modules
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, Registry):
                found[value.kind] = value
    return found


SYMMETRY = "symmetry"
_PLURALS = {kind.value: f"{kind.value}s" for kind in ModuleKind} | {SYMMETRY: "symmetries"}


def kind_names() -> tuple[str, ...]:
    """Return the names by which kinds are asked for: plural, words joined by a hyphen."""
    return tuple(plural.replace(" ", "-") for plural in _PLURALS.values())


def find_kind(word: str) -> str:
    """Return the kind that a word names: singular or plural, or the first part (``orientgen``).

    Raises
    ------
    ConfigError
        With the kinds there are.
    """
    wanted = word.lower().replace("-", " ").replace("_", " ")
    spellings = {"orientgen": ModuleKind.ORIENTATION_GENERATOR.value, "cmp": "comparator"}
    for singular, plural in _PLURALS.items():
        spellings |= {singular: singular, plural: singular}
    if wanted not in spellings:
        hint = did_you_mean(word, kind_names())
        raise ConfigError(f"unknown kind of module {word!r}{hint}")
    return spellings[wanted]


def title(kind: str) -> str:
    """Return the plural of a kind as `find_kind` gives it."""
    return _PLURALS[kind]


def modules_of(kind: str) -> tuple[Module[..., object], ...]:
    """Return the modules of a kind, by name; none for symmetries, which are no functions."""
    return () if kind == SYMMETRY else registry_of(ModuleKind(kind)).modules()


def listing(kind: str, *, parameters: bool) -> list[str]:
    """Return the lines that list a kind of `find_kind`, perhaps with all parameters."""
    lines = [f"{title(kind)}:"]
    if kind == SYMMETRY:
        return [*lines, f"  {ALLOWED_NAMES}"]
    modules = modules_of(kind)
    width = max((len(module.name) for module in modules), default=0)
    for module in modules:
        lines.append(f"  {module.name:{width}}  {module.help}")
        if parameters:
            lines += [f"      {parameter_line(p)}" for p in module.parameters]
    return lines


def parameter_line(parameter: Parameter) -> str:
    """Return one line about a parameter: name, values, default, help."""
    return f"{parameter.name} ({values_of(parameter)}): {parameter.help}"


def values_of(parameter: Parameter) -> str:
    """Return what values a parameter takes, and its default."""
    if parameter.required:
        return f"{parameter.words}, required"
    if parameter.default is None:
        return parameter.words
    default = parameter.default
    if isinstance(default, bool):
        default = int(default)
    shown = f"{default:g}" if isinstance(default, int | float) else default
    return f"{parameter.words}, default {shown}"


def markdown_page() -> str:
    """Return the documentation page of all modules, in Markdown."""
    lines = [
        "# Modules",
        "",
        "Written by `docs/write_modules.py` from the declarations; `mapsort modules -v` prints the "
        "same.",
        "",
        "A module is named with its parameters as `name:key=value:key=value`, for example "
        "`mask.auto3d:threshold=1.1:radius=30`. `true` and `false` are 1 and 0; double quotes "
        "protect colons. Unknown names and parameters are refused with the nearest one suggested. "
        "In Python, parameters may also be given as keywords, and arrays where a specification "
        "would name a file.",
    ]
    for kind in _PLURALS:
        lines += ["", f"## {title(kind).capitalize()}", ""]
        if kind == SYMMETRY:
            lines.append(f"{ALLOWED_NAMES}.")
            continue
        for module in modules_of(kind):
            lines += [f"### {module.name}", "", f"{_escaped(module.help)}.", ""]
            if module.parameters:
                lines += ["| parameter | values | meaning |", "|---|---|---|"]
                lines += [
                    f"| `{p.name}` | {_escaped(values_of(p))} | {_escaped(p.help)} |"
                    for p in module.parameters
                ]
                lines.append("")
        if lines[-1] == "":
            lines.pop()
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Keep Markdown from reading what are plain characters."""
    for character in "\\|*_<>":
        text = text.replace(character, f"\\{character}")
    return text
