"""The flow of particles between maps as a Sankey diagram: geometry only, drawn by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.rundir.wording import counted

#: In drawing units: bars, and the room about them.
_NODE_WIDTH, _COLUMN, _HEIGHT, _GAP, _TOP, _SIDE = 14.0, 130.0, 210.0, 10.0, 22.0, 18.0


@dataclass(frozen=True)
class Node:
    """A map or set of junk in an iteration: a bar whose height is its number of particles."""

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


@dataclass(frozen=True)
class _Look:
    """Names and colours of all sets."""

    names: Sequence[str]
    colours: Sequence[str]

    def label(self, place: int) -> str:
        """Return what stands in a bar: a map's number, or the first letter of junk."""
        name = self.names[place]
        return name.removeprefix("map ") if name.startswith("map ") else name[0]


def sankey(
    iterations: Sequence[int],
    tables: Sequence[npt.NDArray[np.int64]],
    names: Sequence[str],
    colours: Sequence[str],
) -> Sankey:
    """Lay out the flow of particles.

    Parameters
    ----------
    iterations : sequence of int, n
        Numbers of the iterations, at least two.
    tables : sequence of ndarray of shape (n_sets, n_sets), n - 1
        Particles that went from set (row) to set (column) between successive iterations.
    names, colours : sequence of str, n_sets
    """
    look = _Look(names, colours)
    n_models, total = len(tables[0]), int(tables[0].sum())
    room = _HEIGHT - _GAP * (n_models - 1)
    unit = room / max(total, 1)
    counts = [tables[0].sum(axis=1), *(table.sum(axis=0) for table in tables)]
    tops = [_tops(count, unit) for count in counts]
    nodes = [
        _node(
            column, model, iterations[column], int(counts[column][model]), tops[column], unit, look
        )
        for column in range(len(counts))
        for model in range(n_models)
    ]
    ribbons = [
        ribbon
        for column, table in enumerate(tables)
        for ribbon in _ribbons(column, table, (tops[column], tops[column + 1]), unit, look)
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
    look: _Look,
) -> Node:
    return Node(
        x=_SIDE + column * _COLUMN,
        y=round(float(tops[model]), 2),
        width=_NODE_WIDTH,
        height=round(max(count * unit, 0.5), 2),
        colour=look.colours[model],
        label=look.label(model),
        title=f"iteration {iteration}, {look.names[model]}: {counted(count, 'particle')}",
    )


def _ribbons(
    column: int,
    table: npt.NDArray[np.int64],
    tops: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    unit: float,
    look: _Look,
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
            names = f"{look.names[source]} to {look.names[target]}"
            words = f"{names}: {counted(count, 'particle')}"
            made.append(Ribbon(path, look.colours[source], words, source == target))
    return made
