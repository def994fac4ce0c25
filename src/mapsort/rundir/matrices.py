"""Read back matrices that a run wrote: similarities, classes, alignments, who was averaged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from mapsort.array_types import Bool, Float32, Int64
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.model.matches import Matches

_CLASS, _SECOND, _DX, _DY, _ALPHA, _MIRROR = range(6)
#: Images of the full matrix, and names in the file of the best matches.
_SIMILARITY = ("score", "dx", "dy", "alpha", "mirror")


@dataclass(frozen=True)
class Members:
    """Who enters which class with what weight in one iteration; all arrays are (n, sep).

    Attributes
    ----------
    class_of : ndarray, int64
        Class of each of a particle's matches.
    weight : ndarray, float32
        Share of the particle; 0 where the match is no member of the class.
    used : ndarray, bool
        Whether it goes into the average. A member that does not is kept out.
    """

    class_of: Int64
    weight: Float32
    used: Bool

    @property
    def entering(self) -> Bool:
        """Whether any of the particle goes into the average."""
        return np.asarray(self.used & (self.weight > 0))

    @property
    def kept_out(self) -> Bool:
        """Whether a member is kept out of the average (``--classkeep``)."""
        return np.asarray(~self.used & (self.weight > 0))


def read_members(path: str | Path, *, classify: str | Path | None = None) -> Members:
    """Read classes and use from ``cls_result_YY.hdf`` (or ``classify_YY.hdf``).

    Parameters
    ----------
    classify : str or Path, optional
        ``classify_YY.hdf``, which holds the weights; without, they are 1.

    Raises
    ------
    FormatError
        A file is missing or holds no such matrices, or the two are of different shape.
    """
    classes, used = _matrices(path, (_CLASS, _SECOND))
    weight = np.ones_like(used)
    if classify is not None:
        (weight,) = _matrices(classify, (_SECOND,))
    if weight.shape != used.shape:
        raise FormatError(
            f"{classify}: {weight.shape[0]} particles in {weight.shape[1]} classes each, but "
            f"{path} has {used.shape[0]} in {used.shape[1]}."
        )
    return Members(classes.astype(np.int64), weight, used > 0)


def read_matches(path: str | Path) -> Matches:
    """Read how particles lie on their classes, as `read_members`; scores are not in the file."""
    classes, dx, dy, alpha, mirror = _matrices(path, (_CLASS, _DX, _DY, _ALPHA, _MIRROR))
    nothing = np.zeros_like(dx)
    whole = np.int32
    return Matches(classes.astype(whole), nothing, nothing, alpha, dx, dy, mirror.astype(whole))


def read_similarity(path: str | Path) -> Matches:
    """Read ``simmx_YY.hdf`` (every reference) or ``simmx_YY.h5`` (the best of each particle).

    Returns
    -------
    Matches
        In the file's order, (n, k); both score and quality are the file's, negated.
    """
    if Path(path).suffix.lower() == ".h5":
        reference, values = _best_matches(path)
    else:
        values = _matrices(path, range(len(_SIMILARITY)), "similarity")
        reference = np.broadcast_to(np.arange(values[0].shape[1]), values[0].shape)
    score, dx, dy, alpha, mirror = values
    score = np.where(reference >= 0, -score, -np.inf).astype(np.float32)
    return Matches(reference.astype(np.int32), score, score, alpha, dx, dy, mirror.astype(np.int32))


def _best_matches(path: str | Path) -> tuple[Int64, list[Float32]]:
    try:
        with h5py.File(path, "r") as file:
            reference = np.asarray(file["reference"], dtype=np.int64)
            values = [np.asarray(file[name], dtype=np.float32) for name in _SIMILARITY]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: holds no best matches of a run: {error}") from error
    if any(v.shape != reference.shape or v.ndim != 2 for v in values):
        raise FormatError(f"{path}: its arrays differ in shape")
    return reference, values


def _matrices(
    path: str | Path, wanted: Sequence[int], what: str = "classification"
) -> list[Float32]:
    with HdfReader(path) as reader:
        if reader.n_images <= max(wanted):
            raise FormatError(
                f"{path}: {reader.n_images} images; a {what} matrix has at least {max(wanted) + 1}."
            )
        images = [reader.image(index) for index in wanted]
    if any(image.ndim != 2 or image.shape != images[0].shape for image in images):
        raise FormatError(f"{path}: not a {what} matrix: images differ in shape.")
    return images


def map_starts(path: str | Path, n_models: int) -> Int64:
    """Return where each map's images start in a file ordered by map, and its end, (n_models + 1,).

    Parameters
    ----------
    path : str or Path
        ``projections_YY.hdf`` or ``classes_YY.hdf``, whose headers hold ``model_id``.

    Raises
    ------
    FormatError
        The file is missing, or a header has no ``model_id``.
    """
    with HdfReader(path) as reader:
        images, model_of = range(reader.n_images), partial(_model_id, path, reader)
        starts = [0]
        for model in range(1, n_models):
            starts.append(bisect_right(images, model, lo=starts[-1], key=model_of))
        return np.array([*starts, reader.n_images], dtype=np.int64)


def _model_id(path: str | Path, reader: HdfReader, index: int) -> int:
    number = reader.header(index).get("model_id")
    if not isinstance(number, int):
        raise FormatError(f"{path}: image {index} does not say which map it is of (model_id).")
    return number
