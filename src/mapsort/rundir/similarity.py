"""Read back a similarity matrix that a run wrote."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader

Array = npt.NDArray[np.float32]

#: Images of the full matrix, and names in the file of the best matches.
_NAMES = ("score", "dx", "dy", "alpha", "mirror")


def read_similarity(path: str | Path) -> tuple[npt.NDArray[np.int64], tuple[Array, ...]]:
    """Read ``simmx_YY.hdf`` (every reference) or ``simmx_YY.h5`` (the best of each particle).

    Returns
    -------
    reference : ndarray of shape (n, k), int64
        Reference of each column.
    values : tuple of 5 ndarray of shape (n, k)
        Score (smaller is better), dx, dy [pixels], alpha [degrees], mirror.

    Raises
    ------
    FormatError
        The file is missing or holds no such matrix.
    """
    path = Path(path)
    if path.suffix.lower() == ".h5":
        return _best_matches(path)
    with HdfReader(path) as reader:
        if reader.n_images < len(_NAMES):
            raise FormatError(
                f"{path}: {reader.n_images} images; a similarity matrix has at least {len(_NAMES)}"
            )
        values = tuple(reader.image(index) for index in range(len(_NAMES)))
    if any(v.ndim != 2 or v.shape != values[0].shape for v in values):
        raise FormatError(f"{path}: not a similarity matrix: images differ in shape")
    columns = np.arange(values[0].shape[1], dtype=np.int64)
    return np.broadcast_to(columns, values[0].shape), values


def _best_matches(path: Path) -> tuple[npt.NDArray[np.int64], tuple[Array, ...]]:
    try:
        with h5py.File(path, "r") as file:
            reference = np.asarray(file["reference"], dtype=np.int64)
            values = tuple(np.asarray(file[name], dtype=np.float32) for name in _NAMES)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: holds no best matches of a run: {error}") from error
    if any(v.shape != reference.shape or v.ndim != 2 for v in values):
        raise FormatError(f"{path}: its arrays differ in shape")
    score = np.where(reference >= 0, values[0], np.inf).astype(np.float32)
    return reference, (score, *values[1:])
