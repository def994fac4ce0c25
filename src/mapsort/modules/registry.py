"""Registries of named modules: each declared once with its typed parameters, help and function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall, ParameterValue, parse_modopt
from mapsort.modules.plugins import load_plugins
from mapsort.modules.suggestion import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

#: A parameter's value as a module's function gets it.
Argument = ParameterValue | NDArray[Any] | None


class ModuleKind(Enum):
    """What a module does; the value is how messages and listings call it."""

    ALIGNER = "aligner"
    AVERAGER = "averager"
    COMPARATOR = "comparator"
    ORIENTATION_GENERATOR = "orientation generator"
    PROCESSOR = "processor"
    PROJECTOR = "projector"
    RECONSTRUCTOR = "reconstructor"


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
    read: Callable[[str], NDArray[Any]]


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

    def convert(self, value: ParameterValue | NDArray[Any], *, owner: str) -> Argument:
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


@dataclass(frozen=True)
class Module(Generic[P, R]):
    """A declared module.

    Attributes
    ----------
    name, help : str
        Name in specifications, and one line of explanation.
    kind : ModuleKind
        What it does.
    parameters : tuple of Parameter
        Every parameter the function takes from a specification.
    function : callable
        Takes the kind's own arguments, then the parameters as keywords.
    check : callable or None
        Refuses combinations of parameters with a ConfigError.
    """

    name: str
    kind: ModuleKind
    help: str
    parameters: tuple[Parameter, ...]
    function: Callable[P, R]
    check: Callable[[Mapping[str, Any]], None] | None = None


@dataclass(frozen=True)
class BoundModule(Generic[P, R]):
    """A module with the values of all its parameters settled; call it with the kind's arguments."""

    module: Module[P, R]
    arguments: Mapping[str, Argument]

    def with_arguments(self, **changed: Argument) -> BoundModule[P, R]:
        """Return the same module with some values changed; they are not checked again."""
        return replace(self, arguments={**self.arguments, **changed})

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the module's function.

        A keyword that is a parameter's name, too, counts where the parameter was not given: so
        ``apix=1.4`` in a specification wins over the pixel size of the image.
        """
        function: Callable[..., R] = self.module.function
        given = {k: v for k, v in self.arguments.items() if v is not None or k not in kwargs}
        return function(*args, **{**kwargs, **given})


class Registry(Generic[P, R]):
    """All modules of one kind.

    Parameters
    ----------
    kind : ModuleKind
        The kind; used in messages.
    not_yet : sequence of str
        Names that the original program knows and this version does not have.
    """

    def __init__(self, kind: ModuleKind, *, not_yet: Sequence[str] = ()) -> None:
        self.kind = kind
        self._not_yet = frozenset(not_yet)
        self._modules: dict[str, Module[P, R]] = {}

    def register(
        self,
        name: str,
        *,
        help: str,
        parameters: Sequence[Parameter] = (),
        check: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that declares a function as the module `name`.

        Raises
        ------
        ConfigError
            When the name is taken.
        """

        def declare(function: Callable[P, R]) -> Callable[P, R]:
            if name in self._modules:
                raise ConfigError(f"{self.kind.value} {name} is registered twice")
            self._modules[name] = Module(name, self.kind, help, tuple(parameters), function, check)
            return function

        return declare

    def modules(self) -> tuple[Module[P, R], ...]:
        """Return every module, by name; those of installed plugins are among them."""
        load_plugins()
        return tuple(self._modules[name] for name in sorted(self._modules))

    def bind(
        self, call: ModuleCall | str, given: Mapping[str, Any] | None = None
    ) -> BoundModule[P, R]:
        """Find the module a specification names and settle its parameters.

        Parameters
        ----------
        call : ModuleCall or str
            For example ``"eman:delta=10"``.
        given : mapping of str to values, optional
            More parameters, from Python; they win over those of the specification, and may be
            arrays where the parameter is a file's content.

        Returns
        -------
        BoundModule
            Callable with the kind's own arguments.

        Raises
        ------
        ConfigError
            For an unknown name or parameter (the nearest known one is suggested), a value of the
            wrong type, or a combination the module refuses.
        """
        parsed = parse_modopt(call) if isinstance(call, str) else call
        if parsed is None:
            raise ConfigError(f"{call}: a {self.kind.value} is needed here")
        module = self._find(parsed.name)
        arguments = self._arguments(module, {**parsed.parameters, **(given or {})})
        if module.check is not None:
            module.check(arguments)
        return BoundModule(module, arguments)

    def _find(self, name: str) -> Module[P, R]:
        if name in self._not_yet:
            raise ConfigError(f"{self.kind.value} {name}: not yet in this version of mapsort")
        if name not in self._modules:
            load_plugins()
        if name not in self._modules:
            hint = did_you_mean(name, self._modules)
            raise ConfigError(f"unknown {self.kind.value} {name!r}{hint}")
        return self._modules[name]

    def _arguments(self, module: Module[P, R], given: Mapping[str, Any]) -> dict[str, Argument]:
        known = {parameter.name: parameter for parameter in module.parameters}
        owner = f"{self.kind.value} {module.name}"
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known) if known else "; it takes none"
                raise ConfigError(f"{owner}: unknown parameter {name!r}{hint}")
        for parameter in module.parameters:
            if parameter.required and parameter.name not in given:
                raise ConfigError(f"{owner}: {parameter.name} is missing: {parameter.help}")
        return {
            name: parameter.convert(given[name], owner=owner)
            if name in given
            else parameter.default
            for name, parameter in known.items()
        }
