"""``mapsort classify``: the best references of each particle from a similarity matrix."""

from __future__ import annotations

import numpy as np

from mapsort.errors import ConfigError, FormatError
from mapsort.options.stages import ClassifyOptions
from mapsort.rundir.matrices import read_similarity
from mapsort.rundir.outputs import check_output
from mapsort.rundir.scratch import Scratch
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
    path = options.files[0]
    check_output(options.out, path)
    matches = read_similarity(path).ordered()
    n_references = matches.score.shape[1]
    if options.sep > n_references:
        raise ConfigError(f"--sep={options.sep}: at most {n_references}, the references in {path}")
    if not np.isfinite(matches.score).any(axis=1).all():
        raise FormatError(f"{path}: a particle has no finite score")
    membership = classify(matches, int(matches.reference.max()) + 1, sep=options.sep)
    images = classification_images(matches, membership, membership.weight, options.sep)
    write_matrices(options.out, (len(matches), options.sep), images, Scratch())
    return len(matches), int(np.count_nonzero(np.diff(membership.start)))
