"""How one option is declared: a field of `Options` that carries its help, group and values.

A command's options are one table. From its fields the command line is built, text is
read into typed values, values given from Python are checked, and the signatures of Python functions
are made, so that they cannot differ.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, dataclass_transform

from mapsort.errors import ConfigError
from mapsort.modules.modopt import did_you_mean
from mapsort.options.types import ValueKind, one_of

T = TypeVar("T", bound="Options")


def option(
    kind: ValueKind | None,
    metavar: str | None,
    help: str,
    default: Any = None,
    *,
    group: str | None = None,
    flags: Sequence[str] = (),
    positional: bool = False,
    repeated: bool = False,
    bare: str | None = None,
    names: str = "",
) -> Any:
    """Declare a field of `Options` as an option; the default itself is always accepted.

    Parameters
    ----------
    kind : ValueKind or None
        Values it takes; None for a flag.
    metavar : str or None
        Placeholder of the value in ``--help``.
    help : str
        Text in ``--help``.
    default : object, optional
        Its value where it is not given.
    group : str, optional
        Heading in ``--help``; by default that of the first class with a group.
    flags : sequence of str
        Short spellings, and others that are not the field's name, for example ``-v``.
    positional : bool
        Taken as bare words instead of by name.
    repeated : bool
        Given once for each item.
    bare : str, optional
        The value when the option stands without one; by default it needs one.
    names : str
        Function in mapsort that refuses a value which names nothing, as ``room.module:function``;
        it is loaded when another value than the default is given.
    """
    metadata = {
        "kind": kind,
        "group": group,
        "help": help,
        "metavar": metavar,
        "flags": tuple(flags),
        "positional": positional,
        "repeated": repeated,
        "bare": bare,
        "names": names,
    }
    return field(default=default, metadata=metadata)


def required(kind: ValueKind, metavar: str, help: str, **more: Any) -> Any:
    """Declare an option that must be given; `more` as for `option`."""
    return option(kind, metavar, help, MISSING, **more)


def flag(help: str, *flags: str, group: str | None = None) -> Any:
    """Declare an option without a value, off by default."""
    return option(None, None, help, False, group=group, flags=flags)


def choice(default: StrEnum, help: str, *, group: str | None = None) -> Any:
    """Declare an option that takes the members of its default's enumeration."""
    kinds = type(default)
    return option(one_of(kinds), "{" + ",".join(kinds) + "}", help, default, group=group)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(required,))
@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every option table, and of the parts that tables are composed of.

    A class that inherits from it is a frozen dataclass whose fields are options: first its own,
    then those of its bases from left to right. ``group`` is the heading in ``--help`` of all that
    have none yet; ``words`` are helps that replace those of inherited options.
    """

    def __init_subclass__(cls, *, group: str = "", words: Mapping[str, str] | None = None) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        known = cls.__dataclass_fields__
        order = dict.fromkeys(
            name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())
        )
        cls.__dataclass_fields__ = {
            name: _said(known[name], group, (words or {}).get(name))
            for name in order
            if name in known and "kind" in known[name].metadata
        }

    def validated(self) -> Self:
        """Return self after the checks that need no files."""
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            kind: ValueKind | None = item.metadata["kind"]
            if kind is None:
                if not isinstance(value, bool):
                    raise refuse(item.name, value, "True or False")
            # `is` and not `==`: a default is the very object; 1 == True would let a wrong type by.
            elif value is not item.default and not kind.accepts(value):
                raise refuse(item.name, value, kind.words)
            if item.metadata["names"] and value not in (None, item.default):
                _check_names(item, value if isinstance(value, tuple) else (value,))
        self._check()
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the options are taken; one line each."""
        return ()

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}

    def _check(self) -> None:
        """Refuse what no single value tells; parts of a table call the next one's."""


def _said(item: dataclasses.Field[Any], group: str, words: str | None) -> dataclasses.Field[Any]:
    """Return a copy of a field with its heading, and its help if there is another."""
    changed = copy.copy(item)
    meta = item.metadata
    changed.metadata = MappingProxyType(
        {**meta, "group": meta["group"] or group, "help": words or meta["help"]}
    )
    return changed


def flag_of(name: str) -> str:
    """Return a field's name as it is written on the command line; ``class_`` is ``--class``."""
    return "--" + name.rstrip("_").replace("_", "-")


def refuse(name: str, value: object, words: str) -> ConfigError:
    """Return the error for a value that option `name` does not take."""
    return ConfigError(f"{flag_of(name)}={_written(value)}: expected {words}")


def typed_options(options: type[T], values: Mapping[str, Any]) -> T:
    """Return options from values as `typed_values` takes them, the others at their defaults.

    Raises
    ------
    ConfigError
        For a name that is no option, a required option that is missing, and text that an option
        does not take.
    """
    typed = typed_values(options, values)
    for item in dataclasses.fields(options):
        if item.default is MISSING and item.name not in typed:
            raise ConfigError(f"{flag_of(item.name)} is missing: {item.metadata['help']}")
    return options(**typed)


def typed_values(options: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options given in Python, which may be less strictly typed than ours, by name.

    Text is read as on the command line, lists and tuples as their items separated by commas, and
    one value as a tuple of one; everything else is left to the options' own checks.

    Raises
    ------
    ConfigError
        For a name that is no option, and text that an option does not take.
    """
    fields = {item.name: item for item in dataclasses.fields(options)}
    for name in values:
        if name not in fields:
            hint = did_you_mean(name, list(fields))
            raise ConfigError(
                f"unknown option {name!r}{hint or ': known are ' + ', '.join(fields)}"
            )
    return {name: _typed(fields[name], value) for name, value in values.items()}


def _typed(item: dataclasses.Field[Any], value: Any) -> Any:
    kind: ValueKind | None = item.metadata["kind"]
    if isinstance(value, list):
        value = tuple(value)
    if kind is None or value is item.default or kind.accepts(value):
        return value
    if isinstance(value, str | tuple):
        return parsed(item.name, kind, _written(value))
    return (value,) if kind.accepts((value,)) else value


def parsed(name: str, kind: ValueKind, written: str) -> Any:
    """Return the value that is written for option `name`."""
    try:
        return kind.parse(written)
    except ConfigError:
        # The kind has said already what is wrong.
        raise
    except ValueError as error:
        raise refuse(name, written, kind.words) from error


def per_map(name: str, values: tuple[Any, ...], n_maps: int) -> tuple[Any, ...]:
    """Return one value per map from one value for all maps or one for each.

    Raises
    ------
    ConfigError
        When the count is neither 1 nor `n_maps`.
    """
    if len(values) not in (1, n_maps):
        words = f"one value, or one for each of the {n_maps} maps; there are {len(values)}"
        raise refuse(name, values, words)
    return values * n_maps if len(values) == 1 else values


def _written(value: object) -> str:
    """Write a value as it would stand on the command line."""
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def refuse_to_overwrite(path: Path, *, overwrite: bool) -> None:
    """Refuse an output file that exists, unless ``--overwrite`` allows it.

    Raises
    ------
    ConfigError
        The file exists.
    """
    if not overwrite and os.path.lexists(path):
        raise ConfigError(f"{path}: exists already; choose another name, or add --overwrite")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _check_names(item: dataclasses.Field[Any], values: tuple[str, ...]) -> None:
    """Refuse values that name nothing, or none where the default is a choice."""
    # Here and not above: what reads names loads numpy, which `--help` can do without.
    read = pkgutil.resolve_name(f"mapsort.{item.metadata['names']}")
    try:
        for value in values:
            if item.default == "auto" and value.strip().lower() == "none":
                raise ConfigError("a module is needed, or auto")
            read(value)
    except ConfigError as error:
        raise ConfigError(f"{flag_of(item.name)}={_written(values)}: {error}") from error


Function = TypeVar("Function", bound=Callable[..., Any])


def keywords_of(kind: type[Options]) -> list[inspect.Parameter]:
    """Return a keyword-only parameter for each option that is not positional."""
    return [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty
            if item.default is dataclasses.MISSING
            else item.default,
            annotation=item.type,
        )
        for item in dataclasses.fields(kind)
        if not item.metadata["positional"]
    ]


def takes_options(kind: type[Options], *filled: str) -> Callable[[Function], Function]:
    """Spell out a function's ``**options`` in its signature, for editors and ``help``.

    Parameters
    ----------
    kind : type of Options
        What the keywords are read as. Options that are parameters of the function already stay as
        the function has them.
    *filled : str
        Options that its other parameters stand for.

    Returns
    -------
    callable
        A decorator; it returns the function itself.
    """

    def spelled_out(function: Function) -> Function:
        own = inspect.signature(function)
        *kept, rest = own.parameters.values()
        known = {*own.parameters, *filled}
        added = [item for item in keywords_of(kind) if item.name not in known]
        function.__signature__ = own.replace(parameters=[*kept, *added, rest])  # type: ignore[attr-defined]
        # For the stubs that editors read.
        function.__takes_options__ = (kind, filled, own)  # type: ignore[attr-defined]
        return function

    return spelled_out
