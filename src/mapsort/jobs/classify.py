"""``mapsort classify``: the best references of each particle from a similarity matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapsort.errors import ConfigError, FormatError
from mapsort.model.matches import Matches
from mapsort.options.stages import ClassifyOptions
from mapsort.rundir.scratch import Scratch
from mapsort.rundir.similarity import read_similarity
from mapsort.runfiles.matrices import classification_images, write_matrices
from mapsort.stages.classify.classify import classify


def classification_matrix(options: ClassifyOptions) -> tuple[int, int]:
    """Classify the particles of a similarity matrix and write the classification matrix.

    Returns
    -------
    tuple of int
        Number of particles, and of references that got any.

    Raises
    ------
    FormatError, ConfigError
        The file is no similarity matrix, or has fewer references than ``--sep`` asks for.
    """
    matches = _best(options.files[0], options.sep)
    membership = classify(matches, int(matches.reference.max()) + 1, sep=options.sep)
    images = classification_images(matches, membership, membership.weight, options.sep)
    write_matrices(options.out, (len(matches), options.sep), images, Scratch())
    return len(matches), int(np.count_nonzero(np.diff(membership.start)))


def _best(path: Path, sep: int) -> Matches:
    reference, values = read_similarity(path)
    score, dx, dy, alpha, mirror = values
    if sep > score.shape[1]:
        raise ConfigError(f"--sep={sep}: at most {score.shape[1]}, the references in {path}")
    if not np.isfinite(score).any(axis=1).all():
        raise FormatError(f"{path}: a particle has no finite score")
    order = np.argsort(score, axis=1, kind="stable")[:, :sep]
    taken = [
        np.take_along_axis(v, order, axis=1) for v in (reference, score, alpha, dx, dy, mirror)
    ]
    return Matches(
        reference=taken[0].astype(np.int32),
        score=-taken[1].astype(np.float32),
        quality=-taken[1].astype(np.float32),
        alpha=taken[2].astype(np.float32),
        dx=taken[3].astype(np.float32),
        dy=taken[4].astype(np.float32),
        mirror=taken[5].astype(np.int32),
    )
