"""A twin of a data set that holds one structure: all else is as in the data.

Each image is what a consensus map looks like at the particle's pose and scale, under its CTF, with
the amplitudes of what is left of the particle's own image then, and random phases. So every image
keeps its noise, ring by ring, and what told several structures apart is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft

from mapsort.array_types import Bool, Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import chunk_length, chunk_ranges, length, over_chunks
from mapsort.engines.progress import Progress
from mapsort.io.mrc import write_stack
from mapsort.io.optics import IMAGE_SIGN
from mapsort.io.star import write_particles
from mapsort.jobs.frames import own_frames
from mapsort.jobs.reconstruct import reconstruct_map
from mapsort.jobs.reconstruct_inputs import transfer_of
from mapsort.jobs.refinement import MultiRun
from mapsort.model.particles import Particles
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.shells import friedel_weight, shell_index
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import pose_columns, table_poses
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.runfiles.tables import image_names, seen_from_here
from mapsort.stages.subtract import PosedParticles

#: Working memory of an image: itself, its twin, spectra of both, CTF, in bytes per pixel.
_BYTES_PER_PIXEL = 64
#: No particle is brighter than this many times the consensus.
_BRIGHTEST = 3.0


@dataclass(frozen=True)
class Twin:
    """Files of a twin."""

    #: table, stack and consensus: the table is there once the others are.
    table: Path
    stack: Path
    consensus: Path

    @classmethod
    def inside(cls, place: Path) -> Twin:
        """Return the names of the files in a directory."""
        return cls(place / "particles.star", place / "particles.mrcs", place / "consensus.mrc")


def make_twin(run: Run, first: MultiRun, made: Twin) -> None:
    """Write the twin of a run's particles, as its last iteration left them.

    Parameters
    ----------
    run : Run
        As it was opened: the twin's table is that of its particles, but for the images.
    first : MultiRun
        What it found.
    made : Twin
        What is written.
    """
    particles, n_maps = Particles.open(first.particles), len(first.maps)
    number = particles.table["rlnClassNumber"].to_numpy(np.int64)
    # There is one of all maps where their number was to be found.
    groups = run.plan.symmetries if run.options.nmodels else run.plan.symmetries[:1] * n_maps
    directory = RunDirectory(first.path, map_suffix=run.options.map_suffix)
    apix = run.inputs.apix
    frames = own_frames(directory, len(first.convergence), groups, apix=apix)
    rotations, origins = frames.moved(
        number, *table_poses(particles.source, particles.table, apix, purpose="the control")
    )
    origins *= apix / particles.apix  # the twin's images are as large as the particles' stacks
    options = _consensus(run, particles, number <= n_maps, (rotations, origins), made)
    volume = reconstruct_map(options, progress=run.execution.progress).volume.data
    # Rows of one image share its twin.
    rows, place = _images(run.inputs.particles)
    shown = particles.subset(rows)
    posed = PosedParticles(
        rotations=rotations[rows], origins=origins[rows], transfer=transfer_of(options, shown)
    )
    projector = FourierProjector.plan(
        -volume if options.invert else volume, n_threads=options.n_threads
    )
    work = _Work(shown, posed, projector, run.plan.seed, options.n_threads)
    with atomic_path(made.stack) as part:
        write_stack(part, work.images(run.execution.progress), particles.apix)
    _write_table(run.inputs.particles, place, made)


def _images(particles: Particles) -> tuple[Indices, Indices]:
    """Return the first row of each image, and which of these images each row has."""
    places = np.stack([particles.file_of, particles.index_in_file], axis=1)
    _, first, place = np.unique(places, axis=0, return_index=True, return_inverse=True)
    return first, place.ravel()


def _consensus(
    run: Run, particles: Particles, good: Bool, poses: tuple[Float64, Float64], made: Twin
) -> ReconstructOptions:
    """Return how the consensus is reconstructed, of particles that are no junk."""
    rotations, origins = (values[good] for values in poses)
    chosen = particles.subset(np.flatnonzero(good))
    columns = pose_columns(rotations, origins, particles.apix)
    posed = made.consensus.with_suffix(".star")
    names = image_names(chosen, target=posed)
    write_particles(posed, chosen.optics, chosen.table.assign(rlnImageName=names, **columns))
    groups = {group.name for group in run.plan.symmetries}
    return ReconstructOptions(
        inputs=(posed,),
        output=made.consensus,
        recon="wiener_fourier",
        sym=groups.pop() if len(groups) == 1 else "c1",
        ctf=run.options.ctf,
        invert=run.options.invert,
        apix=run.options.apix,
        parallel=f"thread:{run.plan.n_threads}",
    )


@dataclass(frozen=True)
class _Work:
    """Particles, and the map that their twins are of."""

    particles: Particles
    posed: PosedParticles
    projector: FourierProjector
    seed: int
    n_threads: int

    def images(self, progress: Progress) -> Iterator[Float32]:
        """Yield the twins in chunks."""
        size = chunk_length(_BYTES_PER_PIXEL * self.particles.box**2)
        ranges = chunk_ranges(len(self.particles), size)
        progress.start("make twin", len(self.particles), iteration=0, n_iterations=0)

        def twins(where: slice, raw: Float32) -> Float32:
            predicted = self.posed.images(self.projector, where, n_threads=self.n_threads)
            rng = np.random.default_rng([self.seed, where.start])
            return twin_images(raw, predicted, rng, n_threads=self.n_threads)

        for where, images in over_chunks(self.particles.images, twins, ranges):
            yield images
            progress.advance(length(where))
        progress.finish(f"{len(self.particles)} images of one structure")


def twin_images(
    images: Float32, predicted: Float32, rng: np.random.Generator, *, n_threads: int = 1
) -> Float32:
    """Return images of what is predicted, at each one's scale, with the noise of each.

    Parameters
    ----------
    images, predicted : ndarray of shape (n, box, box)
        Particles, and a map as they would show it.
    rng : Generator
        Of the noise's phases.
    """
    box = images.shape[-1]
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    seen, expected, random = (
        scipy.fft.rfft2(values, workers=n_threads) for values in (images, predicted, noise)
    )
    scale = _scales(seen, expected, box)
    left = np.abs(seen - scale * expected)
    phases = random / np.maximum(np.abs(random), np.finfo(np.float32).tiny)
    made = scale * expected + left * phases
    made[:, 0, 0] = seen[:, 0, 0]  # the background's level is no noise
    return np.asarray(scipy.fft.irfft2(made, s=(box, box), workers=n_threads), np.float32)


def _scales(seen: Complex64, expected: Complex64, box: int) -> Float32:
    """Return how many times each image holds what is expected, (n, 1, 1): least squares.

    Every ring counts by its own power in that image: next to all of it is noise.
    """
    shell, weight = shell_index(box, ndim=2).ravel(), friedel_weight(box, ndim=2)
    inside = (shell > 0) & (shell <= box // 2)

    def by_shell(values: Float32) -> Float64:
        flat = (values * weight).reshape(len(values), -1)[:, inside]
        return np.stack([np.bincount(shell[inside], row, box // 2 + 1)[1:] for row in flat])

    power = np.maximum(by_shell(np.abs(seen) ** 2), np.finfo(np.float32).tiny)
    cross = by_shell((seen * expected.conj()).real) / power
    norm = by_shell(np.abs(expected) ** 2) / power
    scale = cross.sum(axis=1) / np.maximum(norm.sum(axis=1), np.finfo(np.float32).tiny)
    return np.asarray(np.clip(scale, 0.0, _BRIGHTEST), np.float32)[:, None, None]


def _write_table(given: Particles, place: Indices, made: Twin) -> None:
    """Write the table of the particles with the twins' images."""
    (name,) = seen_from_here([made.stack], target=made.table)
    # Density is in the twins as it is in images that have been read.
    table = given.table.drop(columns=IMAGE_SIGN, errors="ignore")
    table["rlnImageName"] = [f"{image + 1:06d}@{name}" for image in place]
    with atomic_path(made.table) as part:
        write_particles(part, given.optics, table)
