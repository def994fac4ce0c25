"""Which particles of a set: by conditions on columns, the first ones, or some at random."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mapsort.array_types import Bool, Int64
from mapsort.errors import ConfigError
from mapsort.io.optics import GROUP
from mapsort.modules.modopt import did_you_mean

_CONDITION = re.compile(r"\s*_?(\w+)\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def select(
    table: pd.DataFrame,
    optics: pd.DataFrame,
    *,
    where: str = "",
    first: int | None = None,
    random: int | None = None,
    randomseed: int = 0,
) -> Int64:
    """Choose particles.

    Parameters
    ----------
    table, optics : DataFrame
        The particles and their optics groups.
    where : str
        Conditions ``COLUMN<VALUE`` (also <=, >, >=, ==, !=) joined by ``and``; columns of the
        particles or of their optics groups. Text is compared as it stands.
    first : int, optional
        Only so many from the beginning.
    random : int, optional
        Only so many at random, in their order.

    Returns
    -------
    ndarray of shape (m,), int64
        Positions, ascending.

    Raises
    ------
    ConfigError
        A condition cannot be understood, names no column, or compares text with a number; or
        nothing is left, or less than asked for.
    """
    chosen = np.arange(len(table), dtype=np.int64)
    for condition in re.split(r"\s+and\s+", where) if where else []:
        chosen = chosen[_fulfilled(table, optics, condition)[chosen]]
    if not len(chosen):
        raise ConfigError(f"--where={where}: none of the {len(table)} particles fulfils it")
    for name, number in (("first", first), ("random", random)):
        if number is not None and number > len(chosen):
            raise ConfigError(f"--{name}={number}: there are only {len(chosen)} particles")
    if first is not None:
        return chosen[:first]
    if random is not None:
        rng = np.random.default_rng(randomseed)
        return np.sort(rng.choice(chosen, size=random, replace=False))
    return chosen


def _fulfilled(table: pd.DataFrame, optics: pd.DataFrame, condition: str) -> Bool:
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise ConfigError(
            f"--where: {condition!r} is not a condition like rlnDefocusU<20000 or "
            "rlnMicrographName==a.mrc"
        )
    label, sign, written = match.groups()
    column = _column(table, optics, label)
    if pd.api.types.is_numeric_dtype(column.dtype):
        try:
            value: float | str = float(written)
        except ValueError:
            raise ConfigError(f"--where: {label} holds numbers, not {written!r}") from None
    elif sign in ("==", "!="):
        value = written.strip("'\"")
        column = column.astype(str)
    else:
        raise ConfigError(f"--where: {label} holds text, which is compared by == and != only")
    return np.asarray(_OPERATIONS[sign](column, value), dtype=np.bool_)


def _column(table: pd.DataFrame, optics: pd.DataFrame, label: str) -> pd.Series[Any]:
    if label in table:
        return table[label]
    if label in optics:
        return table[GROUP].map(optics.set_index(GROUP)[label])
    known = [*map(str, table), *map(str, optics)]
    hint = did_you_mean(label, known)
    raise ConfigError(f"--where: no column {label}{hint or ': there are ' + ', '.join(known)}")
