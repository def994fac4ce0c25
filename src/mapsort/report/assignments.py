"""Which set each particle was in in each iteration, and how particles moved between them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from mapsort.array_types import Int64
from mapsort.io.star_tables import read_columns
from mapsort.report.content import Cell, Section, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.flow import sankey
from mapsort.report.palette import set_colours
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.matrices import map_starts, read_members
from mapsort.rundir.run_record import RunRecord

#: Columns of the flow diagram; older iterations are left out.
_FLOW_COLUMNS = 11


def flow_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return the flow of particles between maps in the last iterations, where there is any."""
    n_models, n_junk = record.n_models, record.n_junk
    known = [
        (number, found)
        for number in record.iteration_numbers[-_FLOW_COLUMNS:]
        if (found := assigned_sets(record.directory, number, n_models, n_junk, cache)) is not None
    ]
    if len(known) < 2 or n_models + n_junk < 2:
        return None
    names = record.counts[-1].names
    tables = [transitions(before, after, len(names)) for (_, before), (_, after) in pairwise(known)]
    first, last = known[-2][0], known[-1][0]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(int(count) for count in row), int(row.sum()))
        for name, row in zip(names, tables[-1], strict=True)
    )
    columns = (f"from (iteration {first})", *(f"to {name}" for name in names), "all")
    what = "Bars are maps and junk" if n_junk else "Bars are maps"
    return Section(
        words=(f"{what}; bands are particles, strong colours those that changed class.",),
        sankey=sankey(
            [number for number, _ in known], tables, names, set_colours(n_models, n_junk)
        ),
        tables=(Table(f"Particles that went to iteration {last}", columns, rows),),
    )


def assigned_sets(
    directory: RunDirectory, iteration: int, n_models: int, n_junk: int, cache: FileCache
) -> Int64 | None:
    """Return the set of each particle after an iteration, (n,): a map from 0, junk after them.

    From the classification matrix, which is read fast, else from the particle table, which alone
    knows of junk; None where the run kept neither.
    """
    matrix, projections = directory.cls_result(iteration), directory.projections(iteration)
    if n_junk == 0 and matrix.exists() and projections.exists():
        starts = cache.get("starts", projections, lambda path: map_starts(path, n_models))
        found = cache.get("classes", matrix, read_members)
        return np.searchsorted(starts, found.class_of[:, 0], side="right") - 1
    table = directory.particles(iteration)
    if table.exists():
        numbers = cache.get("class numbers", table, _class_numbers)
        return np.minimum(numbers, n_models + n_junk) - 1
    return None


def _class_numbers(path: Path) -> Int64:
    table = read_columns(path, "particles", ["rlnClassNumber"])
    return np.asarray(table["rlnClassNumber"].to_numpy(dtype=np.int64))


def transitions(before: Int64, after: Int64, n_sets: int) -> Int64:
    """Return how many particles went from each set to each, (n_sets, n_sets): [from, to]."""
    pairs = np.bincount(before * n_sets + after, minlength=n_sets**2)
    return pairs.reshape(n_sets, n_sets).astype(np.int64)
