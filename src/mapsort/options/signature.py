"""The signatures of Python functions that take a command's options as keywords."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from mapsort.options.fields import Options

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
