"""From an options dataclass to argparse arguments, and from parsed words back to the dataclass."""

from __future__ import annotations

import argparse
import dataclasses
from enum import Enum
from typing import Any, TypeVar

from mapsort.errors import ConfigError
from mapsort.options.fields import ValueKind, flag_of, refuse

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser, options: type[Any]) -> None:
    """Add an argument for every field of an options dataclass, grouped as its metadata says.

    Words are kept as written; `options_from` turns them into values, so that a bad value is
    refused with our message, which names the values the option takes.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    for field in dataclasses.fields(options):
        name = field.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        _add_option(groups[name], field)


def options_from(options: type[T], args: argparse.Namespace) -> T:
    """Return the options that were given, typed, the others at their defaults.

    Raises
    ------
    ConfigError
        When a required option is missing or a value is not of its kind.
    """
    values = given_values(options, args)
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.name not in values:
            raise ConfigError(f"{flag_of(field.name)} is missing: {field.metadata['help']}")
    return options(**values)


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


def _add_option(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    meta = field.metadata
    help_text = meta["help"].replace("%", "%%") + _default_text(field)
    if meta["positional"]:
        group.add_argument(field.name, nargs="*", metavar=meta["metavar"], help=help_text)
        return
    names = [*meta["flags"], flag_of(field.name)]
    if meta["kind"] is None:
        group.add_argument(
            *names, dest=field.name, action="store_true", default=None, help=help_text
        )
        return
    if meta["bare"] is not None:
        group.add_argument(
            *names,
            dest=field.name,
            nargs="?",
            const=meta["bare"],
            metavar=_metavar(field),
            help=help_text,
        )
        return
    group.add_argument(*names, dest=field.name, metavar=_metavar(field), help=help_text)


def _metavar(field: dataclasses.Field[Any]) -> str:
    given: str | None = field.metadata["metavar"]
    if given is not None:
        return given
    if isinstance(field.default, Enum):
        return "{" + ",".join(member.value for member in type(field.default)) + "}"
    return field.name.upper()


def _default_text(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return " (required)"
    value = field.default
    if value is None or value is False or value in ((), ""):
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
    if field.metadata["positional"]:
        return tuple(item for word in written for item in _parsed(field.name, kind, word))
    return _parsed(field.name, kind, written)


def _parsed(name: str, kind: ValueKind, written: str) -> Any:
    try:
        return kind.parse(written)
    except ConfigError:
        # The kind has said already what is wrong.
        raise
    except ValueError as error:
        raise refuse(name, written, kind.words) from error
