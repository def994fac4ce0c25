"""Signal subtraction: particles without what the rest of their map adds to the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32, Float64, Int64
from mapsort.engines.chunks import chunk_length, chunk_ranges, length, over_chunks
from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.errors import ConfigError
from mapsort.io.mrc import write_stack
from mapsort.io.optics import GROUP, IMAGE_SIGN
from mapsort.io.star import write_particles
from mapsort.jobs.reconstruct_inputs import transfer_of
from mapsort.model.half_sets import ORIGINAL, SUBSET
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import refuse_to_overwrite
from mapsort.options.focus import SubtractOptions
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.resample import match_box
from mapsort.refinement.focus import open_focus_mask
from mapsort.refinement.table_poses import pose_columns, table_poses
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output, refuse_full_disk
from mapsort.runfiles.tables import image_names, seen_from_here
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.subtract import PosedParticles, ScaleFit, new_places, volume_window, windows

#: Images that the map's scale is fitted to, at most; they tell it to a percent at SNR 0.01.
SCALE_SAMPLE = 2000
#: Standard errors by which the scale must differ from 0: else the map is not in the particles.
_CLEAR = 5.0
#: Working memory of an image: itself, two predictions, CTF, window, in bytes per pixel.
_BYTES_PER_PIXEL = 48
#: What a run says of each particle's own scale, the mean 1.
_SCALE = "mapsortScale"


@dataclass(frozen=True)
class Subtracted:
    """What was written.

    Attributes
    ----------
    table, stack, map, mask : Path
    n_particles : int
    scale : float
        How many times the map was subtracted.
    box : int
        Of the new images [pixels].
    """

    table: Path
    stack: Path
    map: Path
    mask: Path
    n_particles: int
    scale: float
    box: int


@dataclass(frozen=True)
class _Work:
    """Particles, what is subtracted from them, and where the windows of what is left lie."""

    particles: Particles
    posed: PosedParticles
    own_scale: Float32
    places: Int64
    box: int
    n_threads: int

    def images(
        self, subtracted: FourierProjector, scale: float, progress: Progress
    ) -> Iterator[Float32]:
        """Yield the new images in chunks."""

        def left(where: slice, raw: Float32) -> Float32:
            gone = self.posed.images(subtracted, where, n_threads=self.n_threads)
            gone *= np.float32(scale) * self.own_scale[where, None, None]
            return windows(raw - gone, self.places[where], self.box)

        for where, images in over_chunks(self.particles.images, left, self.ranges()):
            yield images
            progress.advance(length(where))

    def ranges(self) -> list[slice]:
        """Return the particles that are worked on together."""
        size = chunk_length(_BYTES_PER_PIXEL * self.particles.box**2)
        return chunk_ranges(len(self.particles), size)


def subtract(options: SubtractOptions, *, progress: Progress | None = None) -> Subtracted:
    """Subtract the part of a map outside (inside) a mask from particles, and write what is left."""
    options.validated()
    shown = progress or default_progress()
    (source,) = options.particles
    particles = Particles.open(source, apix=options.apix, datadir=options.datadir)
    made = _outputs(options, particles)
    for note in (*particles.notes, *particles.validate()):
        warn(shown, note)
    mask = open_focus_mask(options.mask, particles)
    whole = _map(options, particles)
    rotations, origins = table_poses(
        source, particles.table, particles.apix, purpose="signal subtraction"
    )
    posed = PosedParticles(
        rotations=rotations, origins=origins, transfer=transfer_of(options, particles)
    )
    centre = _centre(mask) if options.center else np.zeros(3, np.int64)
    places, box = np.zeros((len(particles), 2), np.int64), options.box or particles.box
    if options.center or options.box:
        places, origins = new_places(posed, centre)
    work = _Work(particles, posed, _own_scale(particles), places, box, options.n_threads)
    scale = _scale(options, work, whole, shown)
    kept = 1 - mask if options.inside else mask
    shown.start("subtract", len(particles), iteration=0, n_iterations=0)
    projector = FourierProjector.plan(whole * (1 - kept), n_threads=options.n_threads)
    with atomic_path(made.stack) as part:
        write_stack(part, work.images(projector, scale, shown), particles.apix)
    shown.finish(f"{len(particles)} particles")
    for path, volume in ((made.map, whole * kept), (made.mask, kept)):
        write_volume(path, volume_window(volume, centre, box), particles.apix)
    _write_table(made, particles, rotations, origins, box)
    return replace(made, scale=scale)


def _outputs(options: SubtractOptions, particles: Particles) -> Subtracted:
    """Return what will be written, once it is known that it can be."""
    star, box = options.output, options.box or particles.box
    if box > particles.box:
        raise ConfigError(f"--box={box}: is larger than the images, {particles.box} pixels")
    of_map, of_mask = (star.with_name(f"{star.stem}_{what}.mrc") for what in ("map", "mask"))
    stack = star.with_suffix(".mrcs")
    for path in (star, stack, of_map, of_mask):
        check_output(path, particles.source, *particles.files, options.model, options.mask)
        refuse_to_overwrite(path, overwrite=options.overwrite)
    need = 4 * len(particles) * box**2
    refuse_full_disk(stack, need, what=f"{stack}: the images take")
    return Subtracted(star, stack, of_map, of_mask, len(particles), 0.0, box)


def _map(options: SubtractOptions, particles: Particles) -> Float32:
    """Return the map at the particles' box and pixel size."""
    volume = Volume.open(options.model, default_apix=particles.apix)
    return match_box(volume.data, volume.apix, box=particles.box, target_apix=particles.apix)


def _centre(mask: Float32) -> Int64:
    """Return the voxel (x, y, z) nearest to a mask's centre of mass, from the map's centre."""
    line = np.arange(len(mask)) - len(mask) // 2
    weights = (mask.sum(axis=other, dtype=np.float64) for other in ((0, 1), (0, 2), (1, 2)))
    return np.rint([line @ weight / weight.sum() for weight in weights]).astype(np.int64)


def _own_scale(particles: Particles) -> Float32:
    """Return each particle's scale as the table says it, else 1, (n,)."""
    if _SCALE not in particles.table:
        return np.ones(len(particles), np.float32)
    return np.asarray(particles.table[_SCALE].to_numpy(), dtype=np.float32)


def _scale(options: SubtractOptions, work: _Work, whole: Float32, progress: Progress) -> float:
    """Return how many times the map is in the images: least squares over some of them.

    Raises
    ------
    ConfigError
        It is not clearly there, or has the other sign than ``--invert`` says.
    """
    particles, fit = work.particles, ScaleFit()
    projector = FourierProjector.plan(whole, n_threads=work.n_threads)
    ranges = work.ranges()
    ranges = ranges[:: max(1, sum(r.stop - r.start for r in ranges) // SCALE_SAMPLE)]
    progress.start("fit scale", len(ranges), iteration=0, n_iterations=0)

    def add(where: slice, raw: Float32) -> None:
        predicted = work.posed.images(projector, where, n_threads=work.n_threads)
        fit.add(raw, predicted * work.own_scale[where, None, None])

    for _ in over_chunks(particles.images, add, ranges):
        progress.advance(1)
    scale = fit.scale
    progress.finish(f"the map is {scale:.4g} +- {fit.error:.2g} times in the images")
    if abs(scale) < _CLEAR * fit.error:
        raise ConfigError(
            f"{options.model}: is {scale:.3g} +- {fit.error:.2g} times in the images of "
            f"{particles.source}: it is not seen at these poses; is it the map that they are of?"
        )
    if (scale < 0) != options.invert:
        found, do = ("dark", "give") if scale < 0 else ("bright", "leave out")
        raise ConfigError(f"{particles.source}: density is {found} in the images; {do} --invert")
    return scale


def _write_table(
    made: Subtracted, particles: Particles, rotations: Float64, origins: Float64, box: int
) -> None:
    """Write the table of the new images, with the names of those that they were made of."""
    (name,) = seen_from_here([made.stack], target=made.table)
    # Density is as in the particles as they are read: white where the source's sign is known.
    table = particles.table.drop(columns=[IMAGE_SIGN, "rlnOriginX", "rlnOriginY"], errors="ignore")
    if ORIGINAL not in table:
        table[ORIGINAL] = image_names(particles, target=made.table)
    table["rlnImageName"] = [f"{row:06d}@{name}" for row in range(1, len(table) + 1)]
    table[SUBSET] = particles.half_sets().half + 1
    for column, values in pose_columns(rotations, origins, particles.apix).items():
        table[column] = np.round(values, 6)
    optics = particles.optics
    optics = optics[optics[GROUP].isin(table[GROUP])].assign(rlnImageSize=box)
    write_particles(made.table, optics, table)
