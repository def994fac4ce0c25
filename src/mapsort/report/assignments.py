"""Which set each particle was in in each iteration, and how particles moved between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapsort.io.star_columns import read_columns
from mapsort.report.file_cache import FileCache
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.matrices import map_starts, read_members

Int64 = npt.NDArray[np.int64]


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
