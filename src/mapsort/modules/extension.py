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
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from mapsort.errors import ConfigError
from mapsort.modules.listing import registry_of
from mapsort.modules.parameter import UNDESCRIBED, keywords, names_all
from mapsort.modules.registry import ModuleKind

F = TypeVar("F", bound=Callable[..., Any])
_Decorator = Callable[[F], F]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


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
        run = _of_members(function) if kind is ModuleKind.AVERAGER else function
        registry_of(kind).register(name, help=_first_line(function))(run)
        return function

    return declare


def _of_members(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an averager that takes what is known of the images as keywords, as far as it does."""

    @wraps(function)
    def run(images: Any, members: Any, **parameters: Any) -> Any:
        told = vars(members)
        if names_all(function):
            told = {name: told[name] for name in told.keys() & keywords(function)}
        return function(images, **{**told, **parameters})

    return run


def _first_line(function: Callable[..., Any]) -> str:
    """First line of the docstring: what listings show."""
    lines = (inspect.getdoc(function) or "").splitlines()
    return lines[0].rstrip(".") if lines else UNDESCRIBED
