"""Make particle images with known truth: projection, shift, CTF, noise; RELION's conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.fft

from mapsort.array_types import Complex64, Float32, Float64, Int64
from mapsort.engines.chunks import chunk_ranges
from mapsort.engines.progress import Progress, default_progress
from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.mrc import read_map, write_stack
from mapsort.io.optics import one_group
from mapsort.io.star import write_particles
from mapsort.options.fields import refuse, refuse_to_overwrite
from mapsort.options.simulate import PHANTOM_APIX, PHANTOM_BOX, SimulateOptions
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import cut_off
from mapsort.physics.phantom import RADIUS_ANG, phantom_map, phantom_slice
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import refuse_full_disk
from mapsort.rundir.wording import counted
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.fourier_grid import shift_images
from mapsort.stages.project import project_slices


@dataclass(frozen=True)
class Truth:
    """Class, pose, shift and defocus of every particle.

    Attributes
    ----------
    classes : ndarray of shape (n,), int
        From 0.
    angles_deg : ndarray of shape (n, 3)
        RELION rot, tilt, psi.
    shifts_px : ndarray of shape (n, 2)
        How far the particle lies off the centre along x and y.
    defocus_ang : ndarray of shape (n,)
        Underfocus.
    """

    classes: Int64
    angles_deg: Float64
    shifts_px: Float64
    defocus_ang: Float64


def draw_truth(options: SimulateOptions, n_classes: int) -> Truth:
    """Draw class, direction, shift and defocus of every particle from the options' seed."""
    rng = np.random.default_rng([options.seed, 0])
    weights = np.array(options.fractions or [1.0] * n_classes)
    n = options.n
    # Directions uniform on the sphere: cos(tilt) is uniform.
    angles = np.stack(
        [
            rng.uniform(-180, 180, n),
            np.rad2deg(np.arccos(rng.uniform(-1, 1, n))),
            rng.uniform(-180, 180, n),
        ],
        axis=1,
    )
    return Truth(
        classes=rng.choice(n_classes, n, p=weights / weights.sum()),
        angles_deg=angles,
        shifts_px=rng.uniform(-options.shift, options.shift, (n, 2)),
        defocus_ang=rng.uniform(options.defocus[0], options.defocus[1], n),
    )


def particle_table(options: SimulateOptions, truth: Truth, stack_name: str) -> pd.DataFrame:
    """Return what an experiment would know: image names, and the CTF unless it is left out."""
    n = options.n
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{index + 1:06d}@{stack_name}" for index in range(n)],
            "rlnMicrographName": [f"mic{index // 100:04d}.mrc" for index in range(n)],
            "rlnOpticsGroup": np.ones(n, int),
        }
    )
    if options.no_ctf:
        return table
    return table.assign(
        rlnDefocusU=truth.defocus_ang, rlnDefocusV=truth.defocus_ang, rlnDefocusAngle=np.zeros(n)
    )


def with_truth(table: pd.DataFrame, truth: Truth, apix: float) -> pd.DataFrame:
    """Add pose, origin (the shift that centres a particle, so minus its own) and class from 1."""
    rot, tilt, psi = truth.angles_deg.T
    return table.assign(
        rlnAngleRot=rot,
        rlnAngleTilt=tilt,
        rlnAnglePsi=psi,
        rlnOriginXAngst=-truth.shifts_px[:, 0] * apix,
        rlnOriginYAngst=-truth.shifts_px[:, 1] * apix,
        rlnClassNumber=truth.classes + 1,
    )


_CHUNK = 128
# The noise is set against the signal of this many images: a random sample, as the order is random.
_SIGNAL_SAMPLE = 1024


@dataclass(frozen=True)
class Simulated:
    """Files that a simulation wrote.

    Attributes
    ----------
    particles, truth, stack : Path
        The table without poses, the table with poses and classes, and the images.
    maps, seeds : tuple of Path
        True maps of the phantom, and low-passed maps; empty when not written.
    """

    particles: Path
    truth: Path
    stack: Path
    maps: tuple[Path, ...]
    seeds: tuple[Path, ...]


@dataclass(frozen=True)
class _Classes:
    """The objects that particles are views of, n of them.

    ``density`` gives an object, by its number from 0, as a map; ``slices`` gives its central slices
    at some rotations, (n, box, box//2+1), phases about the centre.
    """

    n: int
    box: int
    apix: float
    density: Callable[[int], Float32]
    slices: Callable[[int, Float64], Complex64]


def simulate(options: SimulateOptions, *, progress: Progress | None = None) -> Simulated:
    """Write particles of known class, pose, shift and defocus.

    The files are ``particles.mrcs``, ``particles.star``, ``particles_truth.star``, for the phantom
    ``true_ZZ.mrc``, and ``seed_ZZ.mrc``.

    Raises
    ------
    ConfigError
        For options that do not fit together or maps of different box or pixel size.

    Notes
    -----
    An image is ``irfft2(CTF * slice * exp(-2 pi i f . shift))`` plus white noise; then all are
    brought to mean 0 and standard deviation 1 together. The tables hold ``rlnOrigin = -shift``,
    the shift that centres the particle. The same options give the same bytes; memory does not
    grow with the number of particles' pixels.
    """
    options.validated()
    shown = progress or default_progress()
    classes = _classes(options)
    truth = draw_truth(options, classes.n)
    stack = options.out / "particles.mrcs"
    for pattern in ("particles.mrcs", "particles*.star", "true_[0-9]*.mrc", "seed_[0-9]*.mrc"):
        for path in sorted(options.out.glob(pattern)):
            refuse_to_overwrite(path, overwrite=options.overwrite)
    _make_room(options.out, options.n * classes.box**2 * 4)
    shown.start("simulate", options.n, iteration=0, n_iterations=0)
    with atomic_path(stack) as part:
        write_stack(part, _images(options, classes, truth, shown), classes.apix)
    particles, truth_table = options.out / "particles.star", options.out / "particles_truth.star"
    optics = one_group(
        classes.apix,
        classes.box,
        voltage_kv=options.voltage,
        cs_mm=options.cs,
        amplitude_contrast=options.ampcont,
    ).assign(rlnMicrographOriginalPixelSize=classes.apix)
    table = particle_table(options, truth, stack.name)
    write_particles(particles, optics, table)
    write_particles(truth_table, optics, with_truth(table, truth, classes.apix))
    maps, seeds = _write_maps(options, classes)
    shown.finish(f"{counted(options.n, 'particle')} in {counted(classes.n, 'class', 'classes')}")
    return Simulated(particles, truth_table, stack, maps, seeds)


def _classes(options: SimulateOptions) -> _Classes:
    if options.phantom is not None:
        box = PHANTOM_BOX if options.box is None else options.box
        apix = PHANTOM_APIX if options.apix is None else options.apix
        if box * apix < RADIUS_ANG / 0.35:
            words = f"at least {RADIUS_ANG / 0.35 / apix:.0f} at {apix:g} A/px, to hold the phantom"
            raise refuse("box", box, words)
        return _Classes(
            options.phantom,
            box,
            apix,
            lambda index: phantom_map(index, box, apix),
            lambda index, rotations: phantom_slice(index, box, apix, rotations),
        )
    volumes, sizes = zip(*(read_map(path, cubic=True) for path in options.maps), strict=True)
    for path, volume, size in zip(options.maps, volumes, sizes, strict=True):
        if volume.shape != volumes[0].shape:
            first = f"{options.maps[0]} has {len(volumes[0])}"
            raise ConfigError(f"{path}: the box is {len(volume)} and {first}; all must be alike")
        if options.apix is None and not np.isclose(size, sizes[0], rtol=1e-3):
            first = f"{options.maps[0]} says {sizes[0]:g}"
            raise ConfigError(
                f"{path}: the pixel size is {size:g} A and {first}; give --apix to settle it"
            )
    return _Classes(
        len(volumes),
        len(volumes[0]),
        sizes[0] if options.apix is None else options.apix,
        lambda index: volumes[index],
        lambda index, rotations: project_slices(
            volumes[index], rotations, tolerance=1e-5, n_threads=available_threads()
        ),
    )


def _images(
    options: SimulateOptions, classes: _Classes, truth: Truth, progress: Progress
) -> Iterator[Float32]:
    """Yield the finished images in chunks (m, box, box)."""
    mean, deviation = _signal_statistics(options, classes, truth)
    if deviation == 0:
        raise ConfigError("the maps give empty images: there is nothing to simulate")
    noise = deviation / np.sqrt(options.snr)
    total = np.hypot(deviation, noise)
    # A generator of its own, drawn from in the images' order: the chunk size changes nothing.
    rng = np.random.default_rng([options.seed, 1])
    for where in chunk_ranges(options.n, _CHUNK):
        images = _signal(options, classes, truth, where)
        images += noise * rng.standard_normal(images.shape, dtype=np.float32)
        yield ((images - mean) / total).astype(np.float32)
        progress.advance(where.stop - where.start)


def _signal_statistics(
    options: SimulateOptions, classes: _Classes, truth: Truth
) -> tuple[float, float]:
    """Return mean and standard deviation of the noise-free pixels, from the first images."""
    count, total, squares = 0, 0.0, 0.0
    for where in chunk_ranges(min(options.n, _SIGNAL_SAMPLE), _CHUNK):
        images = _signal(options, classes, truth, where)
        count += images.size
        total += images.sum(dtype=np.float64)
        squares += np.square(images, dtype=np.float64).sum()
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


def _signal(options: SimulateOptions, classes: _Classes, truth: Truth, where: slice) -> Float32:
    """Return the noise-free images (m, box, box) of some particles, centred in real space."""
    spectra = np.empty((where.stop - where.start, classes.box, classes.box // 2 + 1), np.complex64)
    rotations = relion_to_matrix(truth.angles_deg[where])
    for number in np.unique(truth.classes[where]):
        of_class = truth.classes[where] == number
        spectra[of_class] = classes.slices(int(number), rotations[of_class])
    _move(spectra, truth.shifts_px[where])
    if not options.no_ctf:
        spectra *= ctf_images(_ctf(options, truth.defocus_ang[where]), classes.box, classes.apix)
    images = scipy.fft.irfft2(spectra, s=(classes.box, classes.box))
    centred: Float32 = scipy.fft.fftshift(images, axes=(1, 2))
    return centred


def _move(spectra: Complex64, shifts_px: Float64) -> None:
    """Move images by `shifts_px` (x, y) in their transforms, in place.

    The Nyquist row and column have no partner of opposite frequency to hold the other half of a
    fractional shift; they are removed, as the reference simulator does.
    """
    shift_images(spectra, shifts_px)
    box = spectra.shape[1]
    if box % 2 == 0:
        spectra[:, box // 2, :] = 0
        spectra[:, :, -1] = 0


def _ctf(options: SimulateOptions, defocus_ang: Float64) -> ContrastTransfer:
    none = np.zeros(1)
    return ContrastTransfer(
        defocus_u_ang=defocus_ang,
        defocus_v_ang=defocus_ang,
        defocus_angle_deg=none,
        phase_shift_deg=none,
        voltage_kv=np.array(options.voltage),
        cs_mm=np.array(options.cs),
        amplitude_contrast=np.array(options.ampcont),
        bfactor_ang2=none,
    )


def _write_maps(
    options: SimulateOptions, classes: _Classes
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write the phantom's true maps, and seeds; return both lists of files."""
    is_phantom = options.phantom is not None
    seed_resolution = 30.0 if options.seedres is None and is_phantom else options.seedres
    maps: list[Path] = []
    seeds: list[Path] = []
    for index in range(classes.n):
        volume = classes.density(index)
        if is_phantom:
            maps.append(options.out / f"true_{index + 1:02d}.mrc")
            write_volume(maps[-1], volume, classes.apix)
        if seed_resolution is not None:
            seed = cut_off(volume, shell=classes.box * classes.apix / seed_resolution)
            seeds.append(options.out / f"seed_{index + 1:02d}.mrc")
            write_volume(seeds[-1], seed, classes.apix)
    return tuple(maps), tuple(seeds)


def _make_room(directory: Path, need_bytes: int) -> None:
    """Create the directory, and refuse a stack that does not fit its disk."""
    if directory.exists() and not directory.is_dir():
        raise refuse("out", directory, "a directory, and this is a file")
    directory.mkdir(parents=True, exist_ok=True)
    refuse_full_disk(directory, need_bytes, what=f"--out={directory}: the stack takes")
