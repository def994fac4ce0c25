"""Which map each particle was with in each iteration, and how particles moved between maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapsort.io.star_columns import read_columns
from mapsort.report.file_cache import FileCache
from mapsort.rundir.classification import map_starts, read_classification
from mapsort.rundir.layout import RunDirectory

Int64 = npt.NDArray[np.int64]


def assigned_maps(
    directory: RunDirectory, iteration: int, n_models: int, cache: FileCache
) -> Int64 | None:
    """Return the map (from 0) of each particle after an iteration, (n,).

    From the classification matrix, which is read fast, else from the particle table; None where
    the run kept neither.
    """
    matrix, projections = directory.cls_result(iteration), directory.projections(iteration)
    if matrix.exists() and projections.exists():
        starts = cache.get("starts", projections, lambda path: map_starts(path, n_models))
        found = cache.get("classification", matrix, read_classification)
        return np.searchsorted(starts, found.class_of[:, 0], side="right") - 1
    table = directory.particles(iteration)
    if table.exists():
        return cache.get("class numbers", table, _class_numbers) - 1
    return None


def _class_numbers(path: Path) -> Int64:
    table = read_columns(path, "particles", ["rlnClassNumber"])
    return np.asarray(table["rlnClassNumber"].to_numpy(dtype=np.int64))


def transitions(before: Int64, after: Int64, n_models: int) -> Int64:
    """Return how many particles went from each map to each, (n_models, n_models): [from, to]."""
    pairs = np.bincount(before * n_models + after, minlength=n_models**2)
    return pairs.reshape(n_models, n_models).astype(np.int64)
