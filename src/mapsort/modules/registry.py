"""Registries of named modules, declared here or by plugins: typed parameters, help, function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, ParamSpec, TypeVar

from mapsort.array_types import Array, Float32
from mapsort.errors import ConfigError
from mapsort.geometry.transforms import Transform2D, Transform3D
from mapsort.modules.modopt import ModuleCall, did_you_mean, parse_modopt
from mapsort.modules.parameter import Argument, Parameter, keywords, names_all, signature_parameters
from mapsort.physics.averaging import Average

#: Entry-point group in which packages name the Python modules that declare theirs.
GROUP = "mapsort.modules"


@cache
def load_plugins() -> tuple[str, ...]:
    """Import what packages announce in the entry-point group ``mapsort.modules``, once.

    An entry point names a Python module, which uses the decorators `mapsort.processor` and so on
    when it is imported::

        [project.entry-points."mapsort.modules"]
        mine = "my_package.filters"

    Returns
    -------
    tuple of str
        Names of the entry points loaded.

    Raises
    ------
    ConfigError
        If one of them cannot be imported; the message names it and its package.
    """
    loaded = []
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist is not None else "an unknown package"
            raise ConfigError(
                f"modules {entry.name!r} ({entry.value}) of {package} cannot be loaded: {error}\n"
                f"repair or uninstall {package}"
            ) from error
        loaded.append(entry.name)
    return tuple(loaded)


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


#: Keyword-only arguments that the caller fills and that are no parameters of a specification.
CONTEXT: Mapping[ModuleKind, frozenset[str]] = {
    ModuleKind.ALIGNER: frozenset({"score", "start", "apix"}),
    ModuleKind.AVERAGER: frozenset({"weights", "ctf", "snr", "apix"}),
    ModuleKind.COMPARATOR: frozenset({"apix", "ctf"}),
    ModuleKind.ORIENTATION_GENERATOR: frozenset({"rng"}),
    ModuleKind.PROCESSOR: frozenset({"apix"}),
    ModuleKind.PROJECTOR: frozenset({"apix", "n_threads"}),
    ModuleKind.RECONSTRUCTOR: frozenset(
        {"shifts", "ctf", "weights", "symmetry", "apix", "n_threads"}
    ),
}


_WORKS_ON = {
    2: "works on images, not on maps; if this cube is a stack of images, say so (stack=True, "
    "--stack)",
    3: "works on maps, not on images",
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
    takes : frozenset of str or None
        Keywords that the function takes; None for any. What else the caller knows is not told.
    ndim : int or None
        Axes of what it works on: 2 for images, 3 for maps; None for both.
    """

    name: str
    kind: ModuleKind
    help: str
    parameters: tuple[Parameter, ...]
    function: Callable[P, R]
    check: Callable[[Mapping[str, Any]], None] | None = None
    takes: frozenset[str] | None = None
    ndim: int | None = None

    @property
    def owner(self) -> str:
        """How messages call it."""
        return f"{self.kind.value} {self.name}"


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

        Raises
        ------
        ConfigError
            For a map where images are needed, or the other way round.
        """
        function: Callable[..., R] = self.module.function
        takes, ndim = self.module.takes, self.module.ndim
        if ndim is not None and args[0].ndim != ndim:
            raise ConfigError(f"{self.module.owner}: {_WORKS_ON[ndim]}")
        context = {k: v for k, v in kwargs.items() if takes is None or k in takes}
        given = {k: v for k, v in self.arguments.items() if v is not None or k not in context}
        return function(*args, **{**context, **given})


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
        parameters: Sequence[Parameter] | None = None,
        check: Callable[[Mapping[str, Any]], None] | None = None,
        ndim: int | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that declares a function as the module `name`.

        Parameters
        ----------
        name, help : str
            Name in specifications, and one line of explanation.
        parameters : sequence of Parameter, optional
            Of a function that takes some of them as ``**arguments``, and names what else it is to
            be told; by default those of its signature (`mapsort.modules.parameter`).
        check : callable, optional
            Refuses combinations of parameters with a ConfigError.
        ndim : int, optional
            Axes of what it works on, if it is images (2) or maps (3) only.

        Raises
        ------
        ConfigError
            When the name is taken.
        """

        def declare(function: Callable[P, R]) -> Callable[P, R]:
            if name in self._modules:
                raise ConfigError(f"{self.kind.value} {name} is registered twice")
            own = parameters
            if own is None:
                owner = f"{self.kind.value} {name}"
                own = signature_parameters(function, context=CONTEXT[self.kind], owner=owner)
            takes = None
            if parameters is not None or names_all(function):
                takes = keywords(function) | {parameter.name for parameter in own}
            self._modules[name] = Module(
                name, self.kind, help, tuple(own), function, check, takes, ndim
            )
            return function

        return declare

    def modules(self) -> tuple[Module[P, R], ...]:
        """Return every module, by name; those of installed plugins are among them."""
        load_plugins()
        return tuple(self._modules[name] for name in sorted(self._modules))

    def bind(
        self, call: ModuleCall | str, given: Mapping[str, Any] | None = None
    ) -> BoundModule[P, R]:
        """Find the module that a specification, as ``"eman:delta=10"``, names and set parameters.

        Those given from Python win over those of the specification, and may be arrays where the
        parameter is a file's content.

        Raises
        ------
        ConfigError
            For an unknown name or parameter (the nearest known one is suggested), a value of the
            wrong type, or a combination the module refuses.
        FormatError
            A file that a parameter names cannot be read.
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
        owner = module.owner
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


Pixels = Array
Transform = Transform2D | Transform3D
Score = Callable[[Pixels, Pixels], float]

#: The moving and the fixed image or map, ``score=`` (compares a moved image with the fixed one,
#: smaller is better), ``start=`` (or None) and ``apix=`` [A] -> transform of moving onto fixed.
ALIGNERS: Registry[..., Transform] = Registry(ModuleKind.ALIGNER)
#: Aligned images (n, box, box) or maps (n, box, box, box), and the `Members` -> their average.
AVERAGERS: Registry[..., Average] = Registry(ModuleKind.AVERAGER)
#: Two aligned images or maps (particle, reference), ``apix=`` [A] and ``ctf=`` (or None) -> a
#: number, smaller is better.
COMPARATORS: Registry[..., float] = Registry(ModuleKind.COMPARATOR)
#: One image (n, n) or map (n, n, n) and ``apix=`` [A] -> the new one.
PROCESSORS: Registry[..., Float32] = Registry(ModuleKind.PROCESSOR)
