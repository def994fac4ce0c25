"""Write similarity and classification matrices, and the best matches of each particle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from mapsort.array_types import Float32
from mapsort.engines.chunks import chunk_ranges
from mapsort.io.hdf_header import HeaderValue
from mapsort.io.hdf_writer import DiskSpace, HdfWriter
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.refinement.iteration import Outcome
from mapsort.refinement.run import Run
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.scratch import Scratch
from mapsort.stages.search.similarity import Similarity
from mapsort.stages.search.two_stage import FirstStage

#: Rows, and pairs of a particle and a class, that are written together.
_LONGEST_ROWS, _PAIRS_AT_ONCE = 8192, 2**18

#: Makes a range of a matrix's rows.
Rows = Callable[[slice], npt.NDArray[np.generic]]


def write_matrices(
    path: Path, shape: tuple[int, int], images: Sequence[Rows], scratch: Scratch
) -> None:
    """Write matrices of one shape as the images of a file, some rows at a time."""
    at_once = max(1, min(_LONGEST_ROWS, _PAIRS_AT_ONCE // shape[1]))

    def looked_at(rows: Rows) -> Rows:
        def made(where: slice) -> npt.NDArray[np.generic]:
            part = np.array(rows(where), dtype=np.float32)
            scratch.release()
            return part

        return made

    with atomic_path(path) as part, HdfWriter(part) as writer:
        for rows in images:
            writer.append_rows(shape, looked_at(rows), at_once=at_once)


def classification_images(
    matches: Matches, membership: Membership, values: npt.NDArray[np.generic], columns: int
) -> list[Rows]:
    """Return the seven images of a classification matrix.

    ``values`` of the members are the second one: their weights, or whether they are used.
    """
    members = member_matrix(membership, values, len(matches), columns)

    def kept(name: str) -> Rows:
        return lambda where: getattr(matches, name)[where, :columns]

    return [
        kept("reference"),
        lambda where: members[where],
        *map(kept, ("dx", "dy", "alpha", "mirror")),
        lambda where: np.ones_like(matches.score[where, :columns]),
    ]


def write_classification(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write the classification matrix and the same after averaging (used or not)."""
    iteration, averaged = outcome.state.iteration, outcome.averaged
    membership = averaged.membership
    soft = outcome.state.soft_since > 0
    columns = averaged.matches.reference.shape[1] if soft else run.options.sep
    shape = (len(averaged.matches), columns)
    for path, matches, values in (
        (directory.classify(iteration), outcome.classes.matches, membership.weight),
        (directory.cls_result(iteration), averaged.matches, membership.used),
    ):
        images = classification_images(matches, membership, values, columns)
        write_matrices(path, shape, images, run.execution.scratch)


def member_matrix(
    membership: Membership, values: npt.NDArray[np.generic], n: int, columns: int
) -> Float32:
    """Return a value of each member in the place of its particle and column, (n, columns).

    Zero where a particle's match is no member.
    """
    matrix = np.zeros((n, columns), dtype=np.float32)
    matrix[membership.particle, membership.column] = values
    return matrix


def write_similarity(path: Path, similarity: Similarity, scratch: Scratch) -> None:
    """Write a similarity matrix; its score is negated, so that smaller is better."""

    def part(name: str) -> Rows:
        return lambda where: getattr(similarity, name)[where]

    images = [
        lambda where: -similarity.score[where],
        *map(part, ("dx", "dy", "alpha", "mirror")),
        lambda where: np.ones_like(similarity.score[where]),
    ]
    n, n_references = similarity.score.shape
    write_matrices(path, (n, n_references), images, scratch)


def write_first_stage(run: Run, directory: RunDirectory, iteration: int, first: FirstStage) -> None:
    """Write what the first of two stages found: clusters, and both of its similarity matrices."""
    write_similarity(
        directory.proj_simmx(iteration), first.clusters.similarity, run.execution.scratch
    )
    write_similarity(directory.simmx_stg1(iteration), first.similarity, run.execution.scratch)
    with (
        atomic_path(directory.proj_stg1(iteration)) as part,
        HdfWriter(part, apix=run.inputs.apix) as writer,
    ):
        for members, image in zip(first.clusters.members, first.clusters.averages, strict=True):
            header: dict[str, HeaderValue] = {
                "class_ptcl_idxs": [int(i) for i in members],
                "class_ptcl_src": directory.projections(iteration).name,
            }
            writer.append(image, header)


def write_best_matches(
    directory: RunDirectory, iteration: int, matches: Matches, scratch: Scratch
) -> None:
    """Write only the best matches of each particle, as plain HDF5 arrays (n, top)."""
    names = ("reference", "score", "dx", "dy", "alpha", "mirror")
    size = 2**16 + sum(getattr(matches, name).nbytes for name in names)
    with atomic_path(directory.best_matches(iteration)) as part:
        DiskSpace.check(part, size)
        with h5py.File(part, "w") as file:
            space = DiskSpace(part)
            space.reach(size)
            for name in names:
                array = getattr(matches, name)
                image = file.create_dataset(name, array.shape, array.dtype)
                for where in chunk_ranges(len(matches), _LONGEST_ROWS):
                    image[where] = -array[where] if name == "score" else array[where]
                scratch.release()
            file.flush()
            size = file.id.get_filesize()
        space.release_from(size)
