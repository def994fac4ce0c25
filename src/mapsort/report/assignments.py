"""Which map each particle was with in each iteration, and how particles moved between maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapsort.io.hdf import HdfReader
from mapsort.io.star import read_particles
from mapsort.report.file_cache import FileCache
from mapsort.rundir.layout import RunDirectory

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Classification:
    """Classes of one iteration.

    Attributes
    ----------
    class_of : ndarray of shape (n, sep), int64
        Classes of each particle, the best first.
    used : ndarray of shape (n, sep), bool
        Whether it counts in the average.
    """

    class_of: Int64
    used: npt.NDArray[np.bool_]


def read_classification(path: Path) -> Classification:
    """Read ``cls_result_YY.hdf``.

    Raises
    ------
    FormatError
        The file is missing or not such a matrix.
    """
    with HdfReader(path) as reader:
        classes, used = reader.image(0), reader.image(1)
    # A matrix of one column is stored as (n, 1) or, by some writers, flat.
    n = classes.shape[0]
    return Classification(classes.reshape(n, -1).astype(np.int64), used.reshape(n, -1).astype(bool))


def map_starts(path: Path, n_models: int) -> Int64:
    """Return where each map's images start in a file ordered by map, and its end, (n_models + 1,).

    Parameters
    ----------
    path : Path
        ``projections_YY.hdf`` or ``classes_YY.hdf``, whose headers hold ``model_id``.
    n_models : int
    """
    with HdfReader(path) as reader:
        starts = [0]
        for model in range(1, n_models):
            low, high = starts[-1], reader.n_images
            while low < high:
                middle = (low + high) // 2
                if int(str(reader.header(middle)["model_id"])) <= model:
                    low = middle + 1
                else:
                    high = middle
            starts.append(low)
        return np.array([*starts, reader.n_images], dtype=np.int64)


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
    return np.asarray(read_particles(path)[1]["rlnClassNumber"].to_numpy(dtype=np.int64))


def transitions(before: Int64, after: Int64, n_models: int) -> Int64:
    """Return how many particles went from each map to each, (n_models, n_models): [from, to]."""
    pairs = np.bincount(before * n_models + after, minlength=n_models**2)
    return pairs.reshape(n_models, n_models).astype(np.int64)
