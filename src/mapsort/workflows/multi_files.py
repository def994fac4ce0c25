"""Write what an iteration found into the run directory, every file whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.engines.chunks import chunk_ranges
from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.disk_space import DiskSpace
from mapsort.io.hdf_header import EmanTransform, HeaderValue
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.mrc import write_map
from mapsort.io.star import write_particles
from mapsort.model.class_averages import N_HALVES, ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.particles import Particles
from mapsort.physics.fsc import frequencies_per_ang, fsc
from mapsort.physics.half_maps import COLUMN_WORDS
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.scratch import Scratch
from mapsort.rundir.text import write_fsc
from mapsort.stages.average import wiener_images
from mapsort.stages.fourier_grid import Float32, centred_images
from mapsort.stages.map_register import in_register
from mapsort.stages.particle_fit import ParticleFit, outlier_scores
from mapsort.stages.similarity import Similarity
from mapsort.stages.two_stage import FirstStage
from mapsort.workflows.multi_reconstruction import scaled_to_mass
from mapsort.workflows.multi_state import Outcome, Run, State

LOGGER = logging.getLogger(__name__)

#: Class averages and projections are turned into images in blocks of this many.
IMAGE_BLOCK = 256
#: An item of an EMAN2 header holds at most 64 KiB. Larger classes are in cls_result_YY.hdf only.
MOST_LISTED = 16_000
#: Rows of tables, and pairs of matrices, that are written together.
_LONGEST_ROWS, _PAIRS_AT_ONCE = 8192, 2**18


def write_volume(path: Path, volume: Float32, apix: float) -> None:
    """Write one map, as MRC2014 or, where the name ends so, as EMAN2 HDF."""
    with atomic_path(path) as part:
        if path.suffix == ".hdf":
            with HdfWriter(part, apix=apix) as writer:
                writer.append(volume)
        else:
            write_map(part, volume, apix)


def write_seeds(run: Run, directory: RunDirectory, state: State) -> None:
    """Write the prepared seeds as threed_00_ZZ."""
    for model, volume in enumerate(state.references):
        path = directory.maps(0, model + 1)
        write_volume(path, scaled_to_mass(run, volume, model), run.inputs.apix)
    if state.halves is not None:
        for model, (even, odd) in enumerate(zip(*state.halves, strict=True)):
            write_half_maps(run, directory, 0, model, even, odd)


def write_half_maps(
    run: Run, directory: RunDirectory, iteration: int, model: int, even: Float32, odd: Float32
) -> None:
    """Write the half maps of one map (from 0)."""
    apix, number = run.inputs.apix, model + 1
    write_volume(directory.threed_even(iteration, number), even, apix)
    write_volume(directory.threed_odd(iteration, number), odd, apix)


def write_halves(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write half maps and their FSC curves, with ``--halves``."""
    iteration = outcome.state.iteration
    for model, item in enumerate(outcome.halves or ()):
        write_half_maps(run, directory, iteration, model, item.even, item.odd)
        write_fsc(
            directory.fsc_eo(iteration, model + 1),
            frequencies_per_ang(run.plan.grid.box, run.inputs.apix),
            item.curves.columns,
            title=f"1/A, even and odd particles of map {model + 1}: {COLUMN_WORDS}",
        )


def write_maps(run: Run, directory: RunDirectory, outcome: Outcome, previous: State) -> None:
    """Write maps, their filtered versions, masks and FSC curves."""
    iteration, apix = outcome.state.iteration, run.inputs.apix
    for model in range(run.plan.n_models):
        number = model + 1
        write_volume(
            directory.maps(iteration, number), scaled_to_mass(run, outcome.maps[model], model), apix
        )
        write_volume(
            directory.threed_filt(iteration, number),
            scaled_to_mass(run, outcome.state.references[model], model),
            apix,
        )
        write_volume(directory.threed_mask(iteration, number), outcome.masks[model], apix)
        write_fsc(
            directory.fsc(iteration, number),
            frequencies_per_ang(run.plan.grid.box, apix),
            fsc(previous.references[model], outcome.state.references[model]),
            title=f"1/A, FSC of map {number} with that of iteration {iteration - 1}",
        )
    pairs = list(combinations(range(run.plan.n_models), 2))
    if pairs:
        curves = [_mutual_fsc(run, outcome, a, b) for a, b in pairs]
        names = ", ".join(f"{a + 1}-{b + 1}" for a, b in pairs)
        write_fsc(
            directory.fsc_mutual(iteration),
            frequencies_per_ang(run.plan.grid.box, apix),
            np.stack([np.mean(curves, axis=0), *curves], axis=1),
            title=f"1/A, mean FSC between maps in register, then of maps {names}",
        )


def _mutual_fsc(run: Run, outcome: Outcome, first: int, second: int) -> npt.NDArray[np.float64]:
    """Return the FSC of two maps (from 0), the second brought into register with the first."""
    maps, groups = outcome.maps, run.plan.symmetries
    found = in_register(
        maps[second], maps[first], (groups[second], groups[first]), apix=run.inputs.apix
    )
    if found.mirrored:
        LOGGER.warning(
            "iteration %d: map %d fits map %d better in the other hand (correlation %.3f)",
            outcome.state.iteration,
            second + 1,
            first + 1,
            found.correlation,
        )
    return fsc(maps[first], found.applied(maps[second]))


def _projection_headers(run: Run) -> list[dict[str, HeaderValue]]:
    references = run.plan.references
    rotations = references.rotations
    return [
        {
            "model_id": int(references.model[index]) + 1,
            "xform.projection": EmanTransform(np.hstack([rotations[index], np.zeros((3, 1))])),
            "ptcl_repr": 0,
        }
        for index in range(len(references))
    ]


def write_projections(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write all projections, those of map 1 first."""
    headers, box = _projection_headers(run), run.plan.grid.box
    with (
        atomic_path(directory.projections(outcome.state.iteration)) as part,
        HdfWriter(part, apix=run.inputs.apix) as writer,
    ):
        for block in chunk_ranges(len(headers), IMAGE_BLOCK):
            images = centred_images(outcome.slices[block], box, n_threads=run.plan.n_threads)
            for image, header in zip(images, headers[block], strict=True):
                writer.append(image, header)
            run.scratch.release()


def write_averages(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write the class averages of an iteration."""
    iteration = outcome.state.iteration
    write_class_averages(
        directory.classes(iteration),
        run,
        _projection_headers(run),
        outcome.averages,
        outcome.membership,
        outcome.particle_noise_to_signal,
        projections=directory.projections(iteration).name,
        rejected=frozenset(outcome.rejected.tolist()),
    )


def write_class_averages(
    path: Path,
    run: Run,
    headers: list[dict[str, HeaderValue]],
    averages: ClassAverages,
    membership: Membership,
    noise_to_signal: npt.NDArray[np.float64],
    *,
    projections: str,
    rejected: frozenset[int] = frozenset(),
) -> None:
    """Write class averages in the order of the projections; empty classes are zero.

    Those that were left out of their map (``rejected``) have ``threed_excl`` 1. ``headers`` are
    those of the projections, ``projections`` is their file's name.
    """
    source = str(run.inputs.particles.source)
    with atomic_path(path) as part, HdfWriter(part, apix=run.inputs.apix) as writer:
        for block in chunk_ranges(len(headers), IMAGE_BLOCK):
            images = wiener_images(averages, noise_to_signal, block, n_threads=run.plan.n_threads)
            for index, image in zip(range(block.start, block.stop), images, strict=True):
                header = headers[index] | {
                    "ptcl_repr": int(averages.count[index]),
                    "projection_image": projections,
                    "projection_image_idx": index,
                    "class_ptcl_src": source,
                }
                header |= _listed("class_ptcl_idxs", membership.members(index))
                header |= _listed("exc_class_ptcl_idxs", membership.excluded(index))
                if index in rejected:
                    header["threed_excl"] = 1
                writer.append(image, header)
            run.scratch.release()


def _listed(name: str, numbers: npt.NDArray[np.integer]) -> dict[str, HeaderValue]:
    """Return a header item that lists particles, or one that says they are too many to list."""
    if not len(numbers):
        return {}
    if len(numbers) > MOST_LISTED:
        return {f"{name}_omitted": len(numbers)}
    return {name: [int(number) for number in numbers]}


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
    iteration, membership = outcome.state.iteration, outcome.membership
    soft = outcome.state.soft_since > 0
    columns = outcome.matches.reference.shape[1] if soft else run.options.sep
    shape = (len(outcome.matches), columns)
    for path, matches, values in (
        (directory.classify(iteration), outcome.classified, membership.weight),
        (directory.cls_result(iteration), outcome.matches, membership.used),
    ):
        images = classification_images(matches, membership, values, columns)
        write_matrices(path, shape, images, run.scratch)


def member_matrix(
    membership: Membership, values: npt.NDArray[np.generic], n: int, columns: int
) -> npt.NDArray[np.float32]:
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
    write_similarity(directory.proj_simmx(iteration), first.clusters.similarity, run.scratch)
    write_similarity(directory.simmx_stg1(iteration), first.similarity, run.scratch)
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
    with atomic_path(directory.simmx(iteration, sparse=True)) as part:
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


def seen_from_here(paths: Sequence[Path]) -> list[str]:
    """Return files' paths as seen from the working directory, absolute where they lie outside."""
    here = Path.cwd()
    seen = []
    for path in paths:
        # Not resolve(): a link's own name is the one that the user knows.
        absolute = Path(os.path.normpath(path.absolute()))
        inside = absolute.is_relative_to(here)
        seen.append(str(absolute.relative_to(here)) if inside else str(absolute))
    return seen


def image_names(particles: Particles, where: slice = slice(None)) -> list[str]:
    """Return ``000001@stack`` with the stack's path as seen from the working directory.

    RELION resolves names from the directory it runs in; names that the input gives relative to its
    own place would be lost.
    """
    seen = seen_from_here(particles.files)
    places = zip(particles.index_in_file[where], particles.file_of[where], strict=True)
    return [f"{index + 1:06d}@{seen[owner]}" for index, owner in places]


@dataclass(frozen=True)
class AssignmentTable:
    """The particle table with class, pose, score and probability of every particle.

    Junk is in classes of its own, after the last map's; ``mapsortJunkProbability`` says how surely.
    ``mapsortScale`` is the particle's scale over the mean one, ``mapsortOutlierScore`` how unlike
    the others it is, in standard deviations.

    Attributes
    ----------
    run : Run
    outcome : Outcome
    """

    run: Run
    outcome: Outcome

    def parts(self) -> Iterator[pd.DataFrame]:
        """Yield consecutive rows."""
        fit = self.outcome.fit
        marks = {} if fit is None else self._marks(fit)
        for where in chunk_ranges(len(self.outcome.matches), _LONGEST_ROWS):
            yield self._rows(where, marks)
            self.run.scratch.release()

    def _marks(self, fit: ParticleFit) -> dict[str, npt.NDArray[np.float64]]:
        """Return what is told of a particle among all others."""
        quality = np.array(self.outcome.matches.quality[:, 0])
        self.run.scratch.release()
        return {
            "mapsortScale": np.round(fit.scales(), 4),
            "mapsortOutlierScore": np.round(outlier_scores(fit, quality), 3),
        }

    def _rows(self, where: slice, marks: Mapping[str, npt.NDArray[np.float64]]) -> pd.DataFrame:
        run, outcome = self.run, self.outcome
        table = run.inputs.rows(where)
        matches, references = outcome.matches.part(where), run.plan.references
        if outcome.poses is None:
            rotations, origins = matches.poses(references)
        else:
            rotations, origins = outcome.poses.rotation[where, 0], outcome.poses.origin[where, 0]
        angles = matrix_to_relion(rotations)
        model = references.model[matches.reference[:, 0]]
        probability = matches.map_probabilities(references)[np.arange(len(matches)), model]
        apix = run.inputs.apix
        table["rlnImageName"] = image_names(run.inputs.particles, where)
        number = model.astype(int) + 1
        if run.options.halves:
            table["rlnRandomSubset"] = np.arange(where.start, where.stop) % N_HALVES + 1
        if outcome.junk is not None and outcome.junk_kind is not None:
            kind = outcome.junk_kind[where]
            number = np.where(kind > 0, references.n_models + kind, number)
            table["mapsortJunkProbability"] = np.round(outcome.junk[where], 6)
        table["rlnClassNumber"] = number
        for column, name in enumerate(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")):
            table[name] = np.round(angles[:, column], 4)
        for column, name in enumerate(("rlnOriginXAngst", "rlnOriginYAngst")):
            table[name] = np.round(origins[:, column] * apix, 4)
        table["rlnLogLikeliContribution"] = np.round(matches.score[:, 0].astype(float), 4)
        table["rlnMaxValueProbDistribution"] = np.round(probability, 6)
        for name, values in marks.items():
            table[name] = values[where]
        return table.drop(columns=[c for c in ("rlnOriginX", "rlnOriginY") if c in table])


def write_table(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write particles_YY.star."""
    write_particles(
        directory.particles(outcome.state.iteration),
        run.inputs.particles.optics,
        AssignmentTable(run, outcome).parts(),
    )
