"""Read back the classification that a run wrote: classes, alignments, and who was averaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader

_CLASS, _SECOND, _DX, _DY, _ALPHA, _MIRROR = range(6)


@dataclass(frozen=True)
class Classification:
    """The classification matrix of one iteration; all arrays are (n, sep), the best class first.

    Attributes
    ----------
    class_of : ndarray, int64
        Class (reference) of each particle.
    used : ndarray, bool
        Whether the particle counts in that class's average; all True in ``classify_YY.hdf``.
    """

    class_of: npt.NDArray[np.int64]
    used: npt.NDArray[np.bool_]

    @property
    def sep(self) -> int:
        """Number of classes a particle is in."""
        return int(self.class_of.shape[1])


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

    class_of: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    used: npt.NDArray[np.bool_]

    @property
    def entering(self) -> npt.NDArray[np.bool_]:
        """Whether any of the particle goes into the average."""
        return np.asarray(self.used & (self.weight > 0))

    @property
    def kept_out(self) -> npt.NDArray[np.bool_]:
        """Whether a member is kept out of the average (``--classkeep``)."""
        return np.asarray(~self.used & (self.weight > 0))


@dataclass(frozen=True)
class Alignments:
    """EMAN's transform of each particle onto its references, all (n, sep).

    ``dx``, ``dy`` [pixels] and ``alpha`` [degrees] are float32, ``mirror`` int32.
    """

    dx: npt.NDArray[np.float32]
    dy: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    mirror: npt.NDArray[np.int32]


def read_classification(path: str | Path) -> Classification:
    """Read classes and use from ``cls_result_YY.hdf`` (or ``classify_YY.hdf``).

    Raises
    ------
    FormatError
        The file is missing or holds no such matrices.
    """
    classes, used = _matrices(path, (_CLASS, _SECOND))
    return Classification(classes.astype(np.int64), used > 0)


def read_members(classify: str | Path, cls_result: str | Path) -> Members:
    """Read weights from ``classify_YY.hdf`` and use from ``cls_result_YY.hdf``.

    Raises
    ------
    FormatError
        A file is missing or holds no such matrices, or the two are of different shape.
    """
    (weight,) = _matrices(classify, (_SECOND,))
    result = read_classification(cls_result)
    if weight.shape != result.class_of.shape:
        raise FormatError(
            f"{classify}: {weight.shape[0]} particles in {weight.shape[1]} classes each, but "
            f"{cls_result} has {result.class_of.shape[0]} in {result.sep}."
        )
    return Members(result.class_of, weight, result.used)


def read_alignments(path: str | Path) -> Alignments:
    """Read shifts, angles and mirrors from ``cls_result_YY.hdf`` (or ``classify_YY.hdf``).

    Raises
    ------
    FormatError
        The file is missing or holds no such matrices.
    """
    dx, dy, alpha, mirror = _matrices(path, (_DX, _DY, _ALPHA, _MIRROR))
    return Alignments(dx, dy, alpha, mirror.astype(np.int32))


def _matrices(path: str | Path, wanted: tuple[int, ...]) -> list[npt.NDArray[np.float32]]:
    with HdfReader(path) as reader:
        if reader.n_images <= max(wanted):
            raise FormatError(
                f"{path}: {reader.n_images} images; a classification matrix has at least "
                f"{max(wanted) + 1}."
            )
        images = [reader.image(index) for index in wanted]
    if any(image.ndim != 2 or image.shape != images[0].shape for image in images):
        raise FormatError(f"{path}: not a classification matrix: images differ in shape.")
    return images


def map_starts(path: str | Path, n_models: int) -> npt.NDArray[np.int64]:
    """Return where each map's images start in a file ordered by map, and its end, (n_models + 1,).

    Parameters
    ----------
    path : str or Path
        ``projections_YY.hdf`` or ``classes_YY.hdf``, whose headers hold ``model_id``.
    n_models : int

    Raises
    ------
    FormatError
        The file is missing, or a header has no ``model_id``.
    """
    with HdfReader(path) as reader:
        starts = [0]
        for model in range(1, n_models):
            low, high = starts[-1], reader.n_images
            while low < high:
                middle = (low + high) // 2
                if _model_id(path, reader, middle) <= model:
                    low = middle + 1
                else:
                    high = middle
            starts.append(low)
        return np.array([*starts, reader.n_images], dtype=np.int64)


def _model_id(path: str | Path, reader: HdfReader, index: int) -> int:
    number = reader.header(index).get("model_id")
    if not isinstance(number, int):
        raise FormatError(f"{path}: image {index} does not say which map it is of (model_id).")
    return number
