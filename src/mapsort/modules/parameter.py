"""What a parameter of a module is: its type, its default, and the values it takes.

It is declared by the signature of the module's function. A keyword-only argument is a parameter;
its default is that of the signature, its type that of the annotation, and ``Annotated[float,
"help [unit]", Limits(low=0)]`` says the rest: a text is the help, `Limits` the values a number may
take, a tuple of words those a word may take, an `ArrayKind` that the value is the content of a
file. A whole `Parameter` may stand there in place of them.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.mrc import read_map
from mapsort.modules.modopt import ParameterValue

#: A parameter's value as a module's function gets it.
Argument = ParameterValue | Array | None


@dataclass(frozen=True)
class ArrayKind:
    """A parameter's type where the value is pixels or numbers of a file."""

    #: For messages and listings: what the file holds.
    words: str
    #: Takes the file's name; returns the array or raises FormatError.
    read: Callable[[str], Array]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Values that a number may take."""

    #: low and high: smallest and largest value allowed.
    low: float | None = None
    high: float | None = None
    #: Limit that the value must exceed.
    above: float | None = None

    def accept(self, value: float) -> bool:
        """Whether a value is within the limits."""
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )

    def __str__(self) -> str:
        """Words for messages, for example ``from 0 to 1``; empty without limits."""
        parts = [
            f"{word} {limit:g}"
            for word, limit in (("above", self.above), ("from", self.low), ("to", self.high))
            if limit is not None
        ]
        return " ".join(parts)


_ANY = Limits()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a module.

    Attributes
    ----------
    name, help : str
        Name as written in a specification, and one line of explanation with the unit.
    type : type or ArrayKind
        ``int``, ``float``, ``bool``, ``str``, or the content of a file.
    default : int, float, bool, str or None
        Value when not given; None where the function decides.
    limits : Limits
        What numbers it takes.
    choices : tuple of str
        What words it takes; empty for any.
    required : bool
        Whether it must be given.
    """

    name: str
    type: type[int] | type[float] | type[bool] | type[str] | ArrayKind
    default: ParameterValue | None
    help: str
    limits: Limits = _ANY
    choices: tuple[str, ...] = ()
    required: bool = False

    @property
    def words(self) -> str:
        """What values it takes."""
        if isinstance(self.type, ArrayKind):
            return self.type.words
        if self.choices:
            return " or ".join(self.choices)
        return f"{_WORDS[self.type]} {self.limits}".strip()

    def convert(self, value: ParameterValue | Array, *, owner: str) -> Argument:
        """Return `value` as this parameter's type, or raise ConfigError naming `owner`."""
        if isinstance(self.type, ArrayKind):
            return self.type.read(value) if isinstance(value, str) else np.asarray(value)
        if self.type is str:
            if not self.choices or value in self.choices:
                return str(value)
        elif not isinstance(value, str | np.ndarray) and math.isfinite(value):
            number = self._number(value)
            if number is not None and self.limits.accept(number):
                return number
        shown = "(array)" if isinstance(value, np.ndarray) else value
        raise ConfigError(f"{owner}: {self.name}={shown}: expected {self.words}")

    def _number(self, value: int | float) -> int | float | None:
        if self.type is float:
            return float(value)
        if self.type is int:
            return int(value) if value == int(value) else None
        return bool(value) if value in (0, 1) else None


_WORDS: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "0 or 1",
    str: "a word",
}


def read_image(path: str) -> Float32:
    """Read the one image or map of an MRC or EMAN2 HDF file, (ny, nx) or (nz, ny, nx) float32."""
    if Path(path).suffix.lower() not in HDF_SUFFIXES:
        pixels, _ = read_map(path)
    else:
        with HdfReader(path) as reader:
            if reader.n_images != 1:
                raise FormatError(f"{path}: {reader.n_images} images; one image or map is needed.")
            pixels = reader.image(0)
    return pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels


def read_curve(path: str) -> Float64:
    """Read the first two columns of a text file, (n, 2) float64; # begins a comment.

    Raises
    ------
    FormatError
        If the file is missing or is not two columns of finite numbers.
    """
    try:
        table = np.loadtxt(path, ndmin=2, usecols=(0, 1))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: expected two columns of numbers: {error}") from error
    if len(table) < 2 or not np.isfinite(table).all():
        raise FormatError(f"{path}: expected at least two lines of finite numbers")
    return table


IMAGE = ArrayKind("a file with one image or map", read_image)
CURVE = ArrayKind("a text file with two columns", read_curve)


UNDESCRIBED = "(no description)"


def signature_parameters(
    function: Callable[..., Any], *, context: Collection[str], owner: str
) -> tuple[Parameter, ...]:
    """Return the parameters that a function declares, in the order of its signature.

    Keyword-only arguments of ``context`` are filled by the caller: no parameters, unless they are
    annotated with a help text. ``owner`` is for messages.

    Raises
    ------
    ConfigError
        An argument has no type that a specification can give.
    """
    hints = get_type_hints(function, include_extras=True)
    return tuple(
        _parameter(argument, hints.get(argument.name), owner)
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is argument.KEYWORD_ONLY
        and (argument.name not in context or get_origin(hints.get(argument.name)) is Annotated)
    )


def keywords(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a function's arguments."""
    return frozenset(inspect.signature(function).parameters)


def names_all(function: Callable[..., Any]) -> bool:
    """Whether a function takes no keyword but those that it names."""
    arguments = inspect.signature(function).parameters.values()
    return all(argument.kind is not argument.VAR_KEYWORD for argument in arguments)


def _parameter(argument: inspect.Parameter, hint: Any, owner: str) -> Parameter:
    words, limits, choices, array = UNDESCRIBED, Limits(), (), None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Parameter):
                return note
            words = note if isinstance(note, str) else words
            limits = note if isinstance(note, Limits) else limits
            choices = note if isinstance(note, tuple) else choices
            array = note if isinstance(note, ArrayKind) else array
    required = argument.default is argument.empty
    kind = array or _type_of(hint)
    if kind is None:
        raise ConfigError(
            f"{owner}: {argument.name}: expected a type int, float, bool, str or an array, got "
            f"{'none' if hint is None else hint}"
        )
    default = None if required else argument.default
    return Parameter(argument.name, kind, default, words, limits, choices, required=required)


def _type_of(hint: Any) -> type[int] | type[float] | type[bool] | type[str] | ArrayKind | None:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _type_of(inner[0]) if len(inner) == 1 else None
    if hint is np.ndarray or get_origin(hint) is np.ndarray:
        return IMAGE
    return hint if hint in (int, float, bool, str) else None
