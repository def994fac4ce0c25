"""Write what an iteration found into the run directory, every file whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.disk_space import DiskSpace
from mapsort.io.hdf import EmanTransform, HdfWriter
from mapsort.io.hdf_header import HeaderValue
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
from mapsort.rundir.text import write_fsc
from mapsort.stages.average import wiener_images
from mapsort.stages.fourier_grid import Float32, centred_images
from mapsort.stages.map_register import in_register
from mapsort.stages.particle_fit import outlier_scores
from mapsort.stages.similarity import Similarity
from mapsort.stages.two_stage import FirstStage
from mapsort.workflows.multi_reconstruction import scaled_to_mass
from mapsort.workflows.multi_state import Outcome, Run, State

LOGGER = logging.getLogger(__name__)

#: Class averages and projections are turned into images in blocks of this many.
IMAGE_BLOCK = 256
#: An item of an EMAN2 header holds at most 64 KiB. Larger classes are in cls_result_YY.hdf only.
MOST_LISTED = 16_000


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


def _blocks(n: int) -> Iterator[slice]:
    for first in range(0, n, IMAGE_BLOCK):
        yield slice(first, min(first + IMAGE_BLOCK, n))


def write_projections(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write all projections, those of map 1 first."""
    headers, box = _projection_headers(run), run.plan.grid.box
    with (
        atomic_path(directory.projections(outcome.state.iteration)) as part,
        HdfWriter(part, apix=run.inputs.apix) as writer,
    ):
        for block in _blocks(len(headers)):
            images = centred_images(outcome.slices[block], box, n_threads=run.plan.n_threads)
            for image, header in zip(images, headers[block], strict=True):
                writer.append(image, header)


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
        for block in _blocks(len(headers)):
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


def _listed(name: str, numbers: npt.NDArray[np.integer]) -> dict[str, HeaderValue]:
    """Return a header item that lists particles, or one that says they are too many to list."""
    if not len(numbers):
        return {}
    if len(numbers) > MOST_LISTED:
        return {f"{name}_omitted": len(numbers)}
    return {name: [int(number) for number in numbers]}


def write_matrix(path: Path, images: list[npt.NDArray[np.generic]]) -> None:
    """Write matrices of one shape as the images of a file."""
    with atomic_path(path) as part, HdfWriter(part) as writer:
        for image in images:
            writer.append(np.asarray(image, dtype=np.float32))


def classification_images(
    matches: Matches, membership: Membership, columns: int
) -> list[npt.NDArray[np.generic]]:
    """Return the seven images of a classification matrix."""
    kept = slice(0, columns)
    return [
        matches.reference[:, kept],
        member_matrix(membership, membership.weight, len(matches), columns),
        matches.dx[:, kept],
        matches.dy[:, kept],
        matches.alpha[:, kept],
        matches.mirror[:, kept],
        np.ones_like(matches.score[:, kept]),
    ]


def write_classification(run: Run, directory: RunDirectory, outcome: Outcome) -> None:
    """Write the classification matrix and the same after averaging (used or not)."""
    iteration, membership = outcome.state.iteration, outcome.membership
    soft = outcome.state.soft_since > 0
    columns = outcome.matches.reference.shape[1] if soft else run.options.sep
    found = classification_images(outcome.classified, membership, columns)
    write_matrix(directory.classify(iteration), found)
    images = classification_images(outcome.matches, membership, columns)
    images[1] = member_matrix(membership, membership.used, len(outcome.matches), columns)
    write_matrix(directory.cls_result(iteration), images)


def member_matrix(
    membership: Membership, values: npt.NDArray[np.generic], n: int, columns: int
) -> npt.NDArray[np.float32]:
    """Return a value of each member in the place of its particle and column, (n, columns).

    Zero where a particle's match is no member.
    """
    matrix = np.zeros((n, columns), dtype=np.float32)
    matrix[membership.particle, membership.column] = values
    return matrix


def write_similarity(path: Path, similarity: Similarity) -> None:
    """Write a similarity matrix; its score is negated, so that smaller is better."""
    images: list[npt.NDArray[np.generic]] = [
        -similarity.score,
        similarity.dx,
        similarity.dy,
        similarity.alpha,
        similarity.mirror,
        np.ones_like(similarity.score),
    ]
    write_matrix(path, images)


def write_first_stage(run: Run, directory: RunDirectory, iteration: int, first: FirstStage) -> None:
    """Write what the first of two stages found: clusters, and both of its similarity matrices."""
    write_similarity(directory.proj_simmx(iteration), first.clusters.similarity)
    write_similarity(directory.simmx_stg1(iteration), first.similarity)
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


def write_best_matches(directory: RunDirectory, iteration: int, matches: Matches) -> None:
    """Write only the best matches of each particle, as plain HDF5 arrays (n, top)."""
    arrays = {
        "reference": matches.reference,
        "score": -matches.score,
        **{name: getattr(matches, name) for name in ("dx", "dy", "alpha", "mirror")},
    }
    size = 2**16 + sum(array.nbytes for array in arrays.values())
    with atomic_path(directory.simmx(iteration, sparse=True)) as part:
        DiskSpace.check(part, size)
        with h5py.File(part, "w") as file:
            space = DiskSpace(part)
            space.reach(size)
            for name, array in arrays.items():
                file[name] = array
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


def image_names(particles: Particles) -> list[str]:
    """Return ``000001@stack`` with the stack's path as seen from the working directory.

    RELION resolves names from the directory it runs in; names that the input gives relative to its
    own place would be lost.
    """
    seen = seen_from_here(particles.files)
    return [
        f"{index + 1:06d}@{seen[owner]}"
        for index, owner in zip(particles.index_in_file, particles.file_of, strict=True)
    ]


def assignment_table(run: Run, outcome: Outcome) -> pd.DataFrame:
    """Return the particle table with class, pose, score and probability of every particle.

    Junk is in classes of its own, after the last map's; ``mapsortJunkProbability`` says how surely.
    ``mapsortScale`` is the particle's scale over the mean one, ``mapsortOutlierScore`` how unlike
    the others it is, in standard deviations.
    """
    table = run.inputs.particles.table.copy()
    matches, references = outcome.matches, run.plan.references
    if outcome.poses is None:
        rotations, origins = matches.poses(references)
    else:
        rotations, origins = outcome.poses.rotation[:, 0], outcome.poses.origin[:, 0]
    angles = matrix_to_relion(rotations)
    model = references.model[matches.reference[:, 0]]
    probability = matches.map_probabilities(references)[np.arange(len(matches)), model]
    apix = run.inputs.apix
    table["rlnImageName"] = image_names(run.inputs.particles)
    number = model.astype(int) + 1
    if run.options.halves:
        table["rlnRandomSubset"] = np.arange(len(matches)) % N_HALVES + 1
    if outcome.junk is not None and outcome.junk_kind is not None:
        number = np.where(outcome.junk_kind > 0, references.n_models + outcome.junk_kind, number)
        table["mapsortJunkProbability"] = np.round(outcome.junk, 6)
    table["rlnClassNumber"] = number
    for column, name in enumerate(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")):
        table[name] = np.round(angles[:, column], 4)
    for column, name in enumerate(("rlnOriginXAngst", "rlnOriginYAngst")):
        table[name] = np.round(origins[:, column] * apix, 4)
    table["rlnLogLikeliContribution"] = np.round(matches.score[:, 0].astype(float), 4)
    table["rlnMaxValueProbDistribution"] = np.round(probability, 6)
    if outcome.fit is not None:
        table["mapsortScale"] = np.round(outcome.fit.scales(), 4)
        table["mapsortOutlierScore"] = np.round(
            outlier_scores(outcome.fit, matches.quality[:, 0]), 3
        )
    return table.drop(columns=[c for c in ("rlnOriginX", "rlnOriginY") if c in table])


def write_table(run: Run, directory: RunDirectory, iteration: int, table: pd.DataFrame) -> None:
    """Write particles_YY.star."""
    write_particles(directory.particles(iteration), run.inputs.particles.optics, table)
