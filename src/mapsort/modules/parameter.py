"""What a parameter of a module is: its type, its default, and the values it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Array
from mapsort.errors import ConfigError
from mapsort.modules.modopt import ParameterValue

#: A parameter's value as a module's function gets it.
Argument = ParameterValue | Array | None


@dataclass(frozen=True)
class ArrayKind:
    """A parameter's type where the value is pixels or numbers of a file.

    Attributes
    ----------
    words : str
        For messages and listings: what the file holds.
    read : callable
        Takes the file's name; returns the array or raises FormatError.
    """

    words: str
    read: Callable[[str], Array]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Values that a number may take.

    Attributes
    ----------
    low, high : float or None
        Smallest and largest value allowed.
    above : float or None
        Limit that the value must exceed.
    """

    low: float | None = None
    high: float | None = None
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
