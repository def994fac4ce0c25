"""How one option is declared: a dataclass field that carries its help, group and values.

A command's options are one frozen dataclass. From its fields the command line is built, text is
read into typed values, and values given from Python are checked, so that the three cannot differ.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from mapsort.errors import ConfigError
from mapsort.modules.suggestion import did_you_mean

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class ValueKind:
    """The values an option takes.

    Attributes
    ----------
    words : str
        For messages, after "expected".
    parse : callable
        Text to value; raises ValueError.
    accepts : callable
        Whether a value (of any type) is one of them.
    """

    words: str
    parse: Callable[[str], Any]
    accepts: Callable[[Any], bool]


def whole_number(low: int, high: int | None = None) -> ValueKind:
    """Return the kind of whole numbers from `low`, up to and including `high`."""
    words = f"a whole number from {low}" + ("" if high is None else f" to {high}")

    def accepts(value: Any) -> bool:
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        return is_whole and low <= int(value) and (high is None or int(value) <= high)

    return ValueKind(words, _parse_whole, accepts)


def real_number(*, above: float | None = None, low: float | None = None) -> ValueKind:
    """Return the kind of finite numbers, larger than `above` or not below `low`."""
    words = "a number"
    if above is not None:
        words += f" above {above:g}"
    if low is not None:
        words += f" of at least {low:g}"

    def accepts(value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return (above is None or float(value) > above) and (low is None or float(value) >= low)

    return ValueKind(words, float, accepts)


def text(words: str) -> ValueKind:
    """Return the kind of non-empty strings, called `words` in messages."""
    return ValueKind(words, str, _is_text)


def chain_of(words: str) -> ValueKind:
    """Return the kind of several specifications separated by commas, or none."""
    return ValueKind(f"{words}, several separated by commas, or none", str, _is_text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def file_path(words: str) -> ValueKind:
    """Return the kind of paths, called `words` in messages; whether they exist is not looked at."""

    def parse(written: str) -> Path:
        if not written.strip():
            raise ValueError("empty")
        return Path(written)

    return ValueKind(words, parse, lambda value: isinstance(value, Path))


def one_of(choices: type[StrEnum]) -> ValueKind:
    """Return the kind of an enumeration's members, written as their values."""
    words = "one of " + ", ".join(member.value for member in choices)
    return ValueKind(words, choices, lambda value: isinstance(value, choices))


def list_of(kind: ValueKind, words: str) -> ValueKind:
    """Return the kind of non-empty comma-separated lists of another kind, held as tuples."""

    def parse(written: str) -> tuple[Any, ...]:
        return tuple(kind.parse(item.strip()) for item in written.split(","))

    def accepts(value: Any) -> bool:
        return isinstance(value, tuple) and bool(value) and all(map(kind.accepts, value))

    return ValueKind(words, parse, accepts)


def option(
    kind: ValueKind | None,
    *,
    group: str,
    help: str,
    metavar: str | None = None,
    flags: Sequence[str] = (),
    positional: bool = False,
    bare: str | None = None,
) -> Mapping[str, Any]:
    """Return the metadata that makes a dataclass field an option.

    A field without a default is a required option; the default itself is always accepted.

    Parameters
    ----------
    kind : ValueKind or None
        Values it takes; None for a flag.
    group, help : str
        Heading and text in ``--help``.
    metavar : str, optional
        Placeholder of the value in ``--help``.
    flags : sequence of str
        Short spellings, and others that are not the field's name, for example ``-v``.
    positional : bool
        Taken as bare words instead of by name.
    bare : str, optional
        The value when the option stands without one; by default it needs one.

    Returns
    -------
    mapping
        For ``dataclasses.field(metadata=...)``.
    """
    return {
        "kind": kind,
        "group": group,
        "help": help,
        "metavar": metavar,
        "flags": tuple(flags),
        "positional": positional,
        "bare": bare,
    }


def flag_of(name: str) -> str:
    """Return a field's name as it is written on the command line; ``class_`` is ``--class``."""
    return "--" + name.rstrip("_").replace("_", "-")


def refuse(name: str, value: object, words: str) -> ConfigError:
    """Return the error for a value that option `name` does not take."""
    return ConfigError(f"{flag_of(name)}={_written(value)}: expected {words}")


def check_values(options: Any) -> None:
    """Check every field of an options dataclass against the values it takes.

    Raises
    ------
    ConfigError
        Naming the first wrong option, its value, and the values it takes.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        kind: ValueKind | None = field.metadata["kind"]
        if kind is None:
            if not isinstance(value, bool):
                raise refuse(field.name, value, "True or False")
        # `is` and not `==`: a default is the very object; 1 == True would let a wrong type by.
        elif value is not field.default and not kind.accepts(value):
            raise refuse(field.name, value, kind.words)


def typed_options(options: type[T], values: Mapping[str, Any]) -> T:
    """Return options from values given in Python, which may be less strictly typed than ours.

    Text is read as on the command line, lists and tuples as their items separated by commas, and
    one value as a tuple of one; everything else is left to the options' own checks.

    Raises
    ------
    ConfigError
        For a name that is no option, a required option that is missing, and text that an option
        does not take.
    """
    fields = {item.name: item for item in dataclasses.fields(options)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            hint = did_you_mean(name, list(fields))
            raise ConfigError(
                f"unknown option {name!r}{hint or ': known are ' + ', '.join(fields)}"
            )
    typed = {name: _typed(fields[name], value) for name, value in values.items()}
    for item in fields.values():
        if item.default is dataclasses.MISSING and item.name not in typed:
            raise ConfigError(f"{item.name} is missing: {item.metadata['help']}")
    return options(**typed)


def _typed(item: dataclasses.Field[Any], value: Any) -> Any:
    kind: ValueKind | None = item.metadata["kind"]
    if isinstance(value, list):
        value = tuple(value)
    if kind is None or value is item.default or kind.accepts(value):
        return value
    if isinstance(value, str | tuple):
        try:
            return kind.parse(_written(value))
        except ConfigError:
            # The kind has said already what is wrong.
            raise
        except ValueError as error:
            raise refuse(item.name, value, kind.words) from error
    return (value,) if kind.accepts((value,)) else value


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


def _parse_whole(written: str) -> int:
    # int() alone would take "1_000" and surrounding blanks.
    if not _WHOLE.fullmatch(written):
        raise ValueError("not a whole number")
    return int(written)


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
