"""The flow of particles between maps as a Sankey diagram: geometry only, drawn by the template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mapsort.array_types import Float64, Int64
from mapsort.rundir.wording import counted

#: In drawing units: bars, and the room about them.
_NODE_WIDTH, _COLUMN, _HEIGHT, _GAP, _TOP, _SIDE = 14.0, 130.0, 210.0, 10.0, 22.0, 18.0


class Node(NamedTuple):
    """A map or set of junk in an iteration: a bar whose height is its number of particles."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    label: str
    title: str


class Ribbon(NamedTuple):
    """Particles that went from one map to another between two iterations."""

    path: str
    colour: str
    title: str
    stays: bool


class Sankey(NamedTuple):
    """A diagram: bars, bands between them, iteration names above; sizes in drawing units."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    ribbons: tuple[Ribbon, ...]
    heads: tuple[tuple[float, str], ...]


def sankey(
    iterations: Sequence[int], tables: Sequence[Int64], names: Sequence[str], colours: Sequence[str]
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
    total = int(tables[0].sum())
    unit = (_HEIGHT - _GAP * (len(names) - 1)) / max(total, 1)
    counts = [tables[0].sum(axis=1), *(table.sum(axis=0) for table in tables)]
    tops = [_tops(count, unit) for count in counts]
    lefts = [_SIDE + column * _COLUMN for column in range(len(counts))]
    nodes = tuple(
        Node(
            x=left,
            y=round(float(top), 2),
            width=_NODE_WIDTH,
            height=round(max(int(n) * unit, 0.5), 2),
            colour=colour,
            # a map's number, or the first letter of junk
            label=name.removeprefix("map ") if name.startswith("map ") else name[0],
            title=f"iteration {iteration}, {name}: {counted(int(n), 'particle')}",
        )
        for left, iteration, column, places in zip(lefts, iterations, counts, tops, strict=True)
        for n, top, name, colour in zip(column, places, names, colours, strict=True)
    )
    ribbons = []
    for table, left, (leaving, arriving) in zip(tables, lefts[:-1], pairwise(tops), strict=True):
        # Where the next band begins on either side.
        starts, ends = leaving.copy(), arriving.copy()
        for source, target in np.argwhere(table).tolist():
            n = int(table[source, target])
            path = _band(left + _NODE_WIDTH, starts[source], ends[target], n * unit)
            starts[source] += n * unit
            ends[target] += n * unit
            title = f"{names[source]} to {names[target]}: {counted(n, 'particle')}"
            ribbons.append(Ribbon(path, colours[source], title, source == target))
    return Sankey(
        width=2 * _SIDE + _NODE_WIDTH + _COLUMN * len(tables),
        height=_TOP + _HEIGHT + 6,
        nodes=nodes,
        ribbons=tuple(ribbons),
        heads=tuple(
            (left + _NODE_WIDTH / 2, f"it. {number}")
            for left, number in zip(lefts, iterations, strict=True)
        ),
    )


def _tops(counts: Int64, unit: float) -> Float64:
    below = np.concatenate([[0], np.cumsum(counts)[:-1]]) * unit
    return np.asarray(_TOP + below + _GAP * np.arange(len(counts)))


def _band(left: float, y0: float, y1: float, thick: float) -> str:
    """Return the outline of a band of one thickness between two columns."""
    right = left + _COLUMN - _NODE_WIDTH
    middle = (left + right) / 2
    return (
        f"M{left:.1f} {y0:.2f}C{middle:.1f} {y0:.2f} {middle:.1f} {y1:.2f} "
        f"{right:.1f} {y1:.2f}V{y1 + thick:.2f}C{middle:.1f} {y1 + thick:.2f} "
        f"{middle:.1f} {y0 + thick:.2f} {left:.1f} {y0 + thick:.2f}Z"
    )
