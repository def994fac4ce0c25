"""The flow of particles between maps as a Sankey diagram: geometry only, drawn by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.report.palette import colour_of

#: In drawing units: bars, and the room about them.
_NODE_WIDTH, _COLUMN, _HEIGHT, _GAP, _TOP, _SIDE = 14.0, 130.0, 210.0, 10.0, 22.0, 18.0


@dataclass(frozen=True)
class Node:
    """A map in an iteration: a bar whose height is its number of particles."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    label: str
    title: str


@dataclass(frozen=True)
class Ribbon:
    """Particles that went from one map to another between two iterations."""

    path: str
    colour: str
    title: str
    stays: bool


@dataclass(frozen=True)
class Sankey:
    """A diagram: bars, bands between them, iteration names above; sizes in drawing units."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    ribbons: tuple[Ribbon, ...]
    heads: tuple[tuple[float, str], ...]


def sankey(iterations: Sequence[int], tables: Sequence[npt.NDArray[np.int64]]) -> Sankey:
    """Lay out the flow of particles.

    Parameters
    ----------
    iterations : sequence of int, n
        Numbers of the iterations, at least two.
    tables : sequence of ndarray of shape (n_models, n_models), n - 1
        Particles that went from map (row) to map (column) between successive iterations.
    """
    n_models, total = len(tables[0]), int(tables[0].sum())
    room = _HEIGHT - _GAP * (n_models - 1)
    unit = room / max(total, 1)
    counts = [tables[0].sum(axis=1), *(table.sum(axis=0) for table in tables)]
    tops = [_tops(count, unit) for count in counts]
    nodes = [
        _node(column, model, iterations[column], int(counts[column][model]), tops[column], unit)
        for column in range(len(counts))
        for model in range(n_models)
    ]
    ribbons = [
        ribbon
        for column, table in enumerate(tables)
        for ribbon in _ribbons(column, table, (tops[column], tops[column + 1]), unit)
    ]
    heads = tuple(
        (_SIDE + column * _COLUMN + _NODE_WIDTH / 2, f"it. {number}")
        for column, number in enumerate(iterations)
    )
    return Sankey(
        width=2 * _SIDE + _NODE_WIDTH + _COLUMN * len(tables),
        height=_TOP + _HEIGHT + 6,
        nodes=tuple(nodes),
        ribbons=tuple(ribbons),
        heads=heads,
    )


def _tops(counts: npt.NDArray[np.int64], unit: float) -> npt.NDArray[np.float64]:
    below = np.concatenate([[0], np.cumsum(counts)[:-1]]) * unit
    return np.asarray(_TOP + below + _GAP * np.arange(len(counts)))


def _node(
    column: int,
    model: int,
    iteration: int,
    count: int,
    tops: npt.NDArray[np.float64],
    unit: float,
) -> Node:
    return Node(
        x=_SIDE + column * _COLUMN,
        y=round(float(tops[model]), 2),
        width=_NODE_WIDTH,
        height=round(max(count * unit, 0.5), 2),
        colour=colour_of(model),
        label=str(model + 1),
        title=f"iteration {iteration}, map {model + 1}: {count} particles",
    )


def _ribbons(
    column: int,
    table: npt.NDArray[np.int64],
    tops: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    unit: float,
) -> list[Ribbon]:
    left, right = _SIDE + column * _COLUMN + _NODE_WIDTH, _SIDE + (column + 1) * _COLUMN
    middle = (left + right) / 2
    leaving, arriving = tops[0].copy(), tops[1].copy()
    made = []
    for source in range(len(table)):
        for target in range(len(table)):
            count = int(table[source, target])
            if count == 0:
                continue
            thick = count * unit
            y0, y1 = leaving[source], arriving[target]
            leaving[source] += thick
            arriving[target] += thick
            path = (
                f"M{left:.1f} {y0:.2f}C{middle:.1f} {y0:.2f} {middle:.1f} {y1:.2f} "
                f"{right:.1f} {y1:.2f}V{y1 + thick:.2f}C{middle:.1f} {y1 + thick:.2f} "
                f"{middle:.1f} {y0 + thick:.2f} {left:.1f} {y0 + thick:.2f}Z"
            )
            words = f"map {source + 1} to map {target + 1}: {count} particles"
            made.append(Ribbon(path, colour_of(source), words, source == target))
    return made
