"""Registries of named modules: each declared once with its typed parameters, help and function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, ParamSpec, TypeVar

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall, ParameterValue, parse_modopt
from mapsort.modules.suggestion import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


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
class Parameter:
    """One parameter of a module.

    Attributes
    ----------
    name, help : str
        Name as written in a specification, and one line of explanation with the unit.
    type : type
        ``int``, ``float``, ``bool`` or ``str``.
    default : int, float, bool, str or None
        Value when not given; None where the function decides.
    """

    name: str
    type: type[int] | type[float] | type[bool] | type[str]
    default: ParameterValue | None
    help: str

    def convert(self, value: ParameterValue, *, owner: str) -> ParameterValue:
        """Return `value` as this parameter's type, or raise ConfigError naming `owner`."""
        if self.type is str:
            return str(value)
        if not isinstance(value, str):
            if self.type is float:
                return float(value)
            if self.type is int and value == int(value):
                return int(value)
            if self.type is bool and value in (0, 1):
                return bool(value)
        raise ConfigError(f"{owner}: {self.name}={value}: expected {_WORDS[self.type]}")


_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "0 or 1"}


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
    arguments: Mapping[str, ParameterValue | None]

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the module's function."""
        function: Callable[..., R] = self.module.function
        return function(*args, **self.arguments, **kwargs)


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
        """Return every module, by name."""
        return tuple(self._modules[name] for name in sorted(self._modules))

    def bind(self, call: ModuleCall | str) -> BoundModule[P, R]:
        """Find the module a specification names and settle its parameters.

        Parameters
        ----------
        call : ModuleCall or str
            For example ``"eman:delta=10"``.

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
        arguments = self._arguments(module, parsed)
        if module.check is not None:
            module.check(arguments)
        return BoundModule(module, arguments)

    def _find(self, name: str) -> Module[P, R]:
        if name in self._not_yet:
            raise ConfigError(f"{self.kind.value} {name}: not yet in this version of mapsort")
        if name not in self._modules:
            hint = did_you_mean(name, self._modules)
            raise ConfigError(f"unknown {self.kind.value} {name!r}{hint}")
        return self._modules[name]

    def _arguments(
        self, module: Module[P, R], call: ModuleCall
    ) -> dict[str, ParameterValue | None]:
        known = {parameter.name: parameter for parameter in module.parameters}
        owner = f"{self.kind.value} {module.name}"
        for name in call.parameters:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfigError(f"{owner}: unknown parameter {name!r}{hint}")
        return {
            name: parameter.convert(call.parameters[name], owner=owner)
            if name in call.parameters
            else parameter.default
            for name, parameter in known.items()
        }
