"""The parameters of a module, from the signature of its function.

A keyword-only argument is a parameter; its default is that of the signature, its type that of the
annotation, and ``Annotated[float, "help [unit]", Limits(low=0)]`` says the rest: a text is the
help, `Limits` the values a number may take, a tuple of words those a word may take, an `ArrayKind`
that the value is the content of a file. A whole `Parameter` may stand there in place of them.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from mapsort.errors import ConfigError
from mapsort.modules.array_parameter import IMAGE
from mapsort.modules.parameter import ArrayKind, Limits, Parameter

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
