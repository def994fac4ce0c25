"""Decorators by which users add modules of their own.

A function becomes a module: its name and kind are given by the decorator, its parameters by its
keyword-only arguments with their types and defaults, its help by its docstring::

    import mapsort

    @mapsort.processor("my.gamma")
    def gamma(image, *, exponent: float = 2.0):
        "Raise densities to a power."
        return abs(image) ** exponent

    mapsort.process("my.gamma:exponent=3", image)

Modules of installed packages are found by the entry-point group ``mapsort.modules``.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from mapsort.errors import ConfigError
from mapsort.modules.array_parameter import IMAGE
from mapsort.modules.catalogue import registry_of
from mapsort.modules.registry import ArrayKind, Limits, ModuleKind, Parameter

F = TypeVar("F", bound=Callable[..., Any])
_Decorator = Callable[[F], F]

_UNDESCRIBED = "(no description)"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")

# Keyword-only arguments that the caller fills and that are no parameters of a specification.
_CONTEXT: Mapping[ModuleKind, frozenset[str]] = {
    ModuleKind.PROCESSOR: frozenset({"apix"}),
    ModuleKind.COMPARATOR: frozenset({"apix", "ctf"}),
    ModuleKind.ALIGNER: frozenset({"score", "start", "apix"}),
    ModuleKind.AVERAGER: frozenset({"weights", "ctf", "snr", "apix"}),
    ModuleKind.PROJECTOR: frozenset({"apix", "n_threads"}),
    ModuleKind.RECONSTRUCTOR: frozenset(
        {"shifts", "ctf", "weights", "symmetry", "apix", "n_threads"}
    ),
}


def processor(name: str) -> _Decorator[F]:
    """Declare a processor: ``f(image, *, [apix,] parameters) -> image``.

    Parameters
    ----------
    name : str
        Letters, digits, underscores and dots, for example ``"my.filter"``.

    Returns
    -------
    callable
        Decorator that declares the function and returns it unchanged.

    Raises
    ------
    ConfigError
        If the name is taken or malformed, or a parameter has no type that a specification can
        give: ``int``, ``float``, ``bool``, ``str``, one of these ``| None``, an ndarray (a file
        with an image), or such a type as ``Annotated[float, "help", Limits(low=0)]``.

    Examples
    --------
    >>> @processor("example.negative")
    ... def negative(image, *, offset: float = 0.0):
    ...     "Negate."
    ...     return offset - image
    >>> from mapsort.modules.processors import process
    >>> import numpy as np
    >>> process("example.negative:offset=1", np.zeros((2, 2)))[0, 0]
    np.float32(1.0)
    """
    return _declare(ModuleKind.PROCESSOR, name)


def comparator(name: str) -> _Decorator[F]:
    """Declare a comparator: ``f(this, with_, *, [apix, ctf,] parameters) -> float``.

    Smaller is better. Arguments and errors as for `processor`.
    """
    return _declare(ModuleKind.COMPARATOR, name)


def aligner(name: str) -> _Decorator[F]:
    """Declare an aligner: ``f(moving, fixed, *, [score, start, apix,] parameters) -> Transform2D``.

    ``score(moved, fixed)`` compares, smaller is better; ``start`` is a transform to start from, or
    None. Arguments and errors as for `processor`.
    """
    return _declare(ModuleKind.ALIGNER, name)


def averager(name: str) -> _Decorator[F]:
    """Declare an averager: ``f(images, *, [weights, ctf, snr, apix,] parameters) -> image``.

    Arguments and errors as for `processor`.
    """
    return _declare(ModuleKind.AVERAGER, name)


def projector(name: str) -> _Decorator[F]:
    """Declare a projector: ``f(volume, rotations, *, parameters) -> images``.

    Arguments and errors as for `processor`.
    """
    return _declare(ModuleKind.PROJECTOR, name)


def reconstructor(name: str) -> _Decorator[F]:
    """Declare a reconstructor: ``f(images, rotations, *, [...,] parameters) -> volume``.

    It may take ``shifts, ctf, weights, symmetry, apix``. Arguments and errors as for `processor`.
    """
    return _declare(ModuleKind.RECONSTRUCTOR, name)


def _declare(kind: ModuleKind, name: str) -> _Decorator[F]:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{kind.value} {name!r}: a name has letters, digits, underscores and dots and does not "
            "begin with a digit"
        )

    def declare(function: F) -> F:
        owner = f"{kind.value} {name}"
        keywords = {
            argument.name: argument
            for argument in inspect.signature(function).parameters.values()
            if argument.kind is argument.KEYWORD_ONLY
        }
        context = _CONTEXT[kind] & keywords.keys()
        hints = get_type_hints(function, include_extras=True)
        parameters = tuple(
            _parameter(argument, hints.get(argument.name), owner)
            for argument in keywords.values()
            if argument.name not in context
        )
        known = _CONTEXT[kind]

        def run(*args: Any, **given: Any) -> Any:
            if kind is ModuleKind.AVERAGER:
                images, members = args
                args, given = (images,), {**vars(members), **given}
            wanted = {k: v for k, v in given.items() if k in context or k not in known}
            return function(*args, **wanted)

        registry_of(kind).register(name, help=_first_line(function), parameters=parameters)(run)
        return function

    return declare


def _first_line(function: Callable[..., Any]) -> str:
    """First line of the docstring: what listings show."""
    lines = (inspect.getdoc(function) or "").splitlines()
    return lines[0].rstrip(".") if lines else _UNDESCRIBED


def _parameter(argument: inspect.Parameter, hint: Any, owner: str) -> Parameter:
    words, limits = _UNDESCRIBED, Limits()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Limits):
                limits = note
            elif isinstance(note, str):
                words = note
    required = argument.default is argument.empty
    kind = _type_of(hint)
    if kind is None:
        raise ConfigError(
            f"{owner}: {argument.name}: expected a type int, float, bool, str or an array, got "
            f"{'none' if hint is None else hint}"
        )
    default = None if required else argument.default
    return Parameter(argument.name, kind, default, words, limits, required=required)


def _type_of(
    hint: Any,
) -> type[int] | type[float] | type[bool] | type[str] | ArrayKind | None:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _type_of(inner[0]) if len(inner) == 1 else None
    if hint is np.ndarray or get_origin(hint) is np.ndarray:
        return IMAGE
    return hint if hint in (int, float, bool, str) else None
