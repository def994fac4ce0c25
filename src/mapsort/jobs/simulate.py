"""Make particle images with known truth: projection, shift, CTF, noise; RELION's conventions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mapsort.engines.progress import Progress, SilentProgress
from mapsort.engines.threads import available_threads
from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.mrc import read_map, write_stack
from mapsort.io.star import write_particles
from mapsort.jobs.simulate_truth import (
    Truth,
    draw_truth,
    optics_table,
    particle_table,
    with_truth,
)
from mapsort.options.fields import refuse, refuse_to_overwrite
from mapsort.options.simulate import PHANTOM_APIX, PHANTOM_BOX, SimulateOptions
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import apply_transfer
from mapsort.physics.phantom import RADIUS_ANG, phantom_map, phantom_slice
from mapsort.physics.shells import fourier_radius
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.wording import counted
from mapsort.runfiles.maps import write_volume
from mapsort.stages.fourier_grid import shift_images
from mapsort.stages.project import project_slices

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


class _Classes(Protocol):
    """The objects that particles are views of."""

    @property
    def box(self) -> int:
        """Box size [pixels]."""
        ...

    @property
    def apix(self) -> float:
        """Pixel size [A]."""
        ...

    def __len__(self) -> int:
        """Return the number of classes."""
        ...

    def density(self, index: int) -> NDArray[np.float32]:
        """Return class `index` as a map."""
        ...

    def slices(self, index: int, rotations: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Return central slices (n, box, box//2+1) of class `index`, phases about the centre."""
        ...


@dataclass(frozen=True)
class _Maps:
    volumes: tuple[NDArray[np.float32], ...]
    apix: float

    @property
    def box(self) -> int:
        return len(self.volumes[0])

    def __len__(self) -> int:
        return len(self.volumes)

    def density(self, index: int) -> NDArray[np.float32]:
        return self.volumes[index]

    def slices(self, index: int, rotations: NDArray[np.float64]) -> NDArray[np.complex64]:
        slices: NDArray[np.complex64] = project_slices(
            self.volumes[index], rotations, tolerance=1e-5, n_threads=available_threads()
        )
        return slices


@dataclass(frozen=True)
class _Phantom:
    n_states: int
    box: int
    apix: float

    def __len__(self) -> int:
        return self.n_states

    def density(self, index: int) -> NDArray[np.float32]:
        return phantom_map(index, self.box, self.apix)

    def slices(self, index: int, rotations: NDArray[np.float64]) -> NDArray[np.complex64]:
        return phantom_slice(index, self.box, self.apix, rotations)


def simulate(options: SimulateOptions, *, progress: Progress | None = None) -> Simulated:
    """Write particles of known class, pose, shift and defocus.

    Parameters
    ----------
    options : SimulateOptions
        What is made.
    progress : Progress, optional
        Told of the images done.

    Returns
    -------
    Simulated
        The files: ``particles.mrcs``, ``particles.star``, ``particles_truth.star``, for the
        phantom ``true_ZZ.mrc``, and ``seed_ZZ.mrc``.

    Raises
    ------
    ConfigError
        For options that do not fit together or maps of different box or pixel size.
    FormatError
        For a map that cannot be read.

    Notes
    -----
    An image is ``irfft2(CTF * slice * exp(-2 pi i f . shift))`` plus white noise; then all are
    brought to mean 0 and standard deviation 1 together. The tables hold ``rlnOrigin = -shift``,
    the shift that centres the particle. The same options give the same bytes; memory does not
    grow with the number of particles' pixels.
    """
    options.validated()
    shown = progress if progress is not None else SilentProgress()
    classes = _classes(options)
    truth = draw_truth(options, len(classes))
    stack = options.out / "particles.mrcs"
    for pattern in ("particles.mrcs", "particles*.star", "true_[0-9]*.mrc", "seed_[0-9]*.mrc"):
        for path in sorted(options.out.glob(pattern)):
            refuse_to_overwrite(path, overwrite=options.overwrite)
    _make_room(options.out, options.n * classes.box**2 * 4)
    shown.start("simulate", options.n, iteration=0, n_iterations=0)
    with atomic_path(stack) as part:
        write_stack(part, _images(options, classes, truth, shown), classes.apix)
    particles, truth_table = options.out / "particles.star", options.out / "particles_truth.star"
    optics = optics_table(options, classes.box, classes.apix)
    table = particle_table(options, truth, stack.name)
    write_particles(particles, optics, table)
    write_particles(truth_table, optics, with_truth(table, truth, classes.apix))
    maps, seeds = _write_maps(options, classes)
    shown.finish(f"{counted(options.n, 'particle')} in {counted(len(classes), 'class', 'classes')}")
    return Simulated(particles, truth_table, stack, maps, seeds)


def _classes(options: SimulateOptions) -> _Classes:
    if options.phantom is not None:
        box = PHANTOM_BOX if options.box is None else options.box
        apix = PHANTOM_APIX if options.apix is None else options.apix
        if box * apix < RADIUS_ANG / 0.35:
            words = f"at least {RADIUS_ANG / 0.35 / apix:.0f} at {apix:g} A/px, to hold the phantom"
            raise refuse("box", box, words)
        return _Phantom(options.phantom, box, apix)
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
    return _Maps(tuple(volumes), sizes[0] if options.apix is None else options.apix)


def _images(
    options: SimulateOptions, classes: _Classes, truth: Truth, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield the finished images in chunks (m, box, box)."""
    mean, deviation = _signal_statistics(options, classes, truth)
    if deviation == 0:
        raise ConfigError("the maps give empty images: there is nothing to simulate")
    noise = deviation / np.sqrt(options.snr)
    total = np.hypot(deviation, noise)
    # A generator of its own, drawn from in the images' order: the chunk size changes nothing.
    rng = np.random.default_rng([options.seed, 1])
    for indices in _chunks(options.n):
        images = _signal(options, classes, truth, indices)
        images += noise * rng.standard_normal(images.shape, dtype=np.float32)
        yield ((images - mean) / total).astype(np.float32)
        progress.advance(len(indices))


def _signal_statistics(
    options: SimulateOptions, classes: _Classes, truth: Truth
) -> tuple[float, float]:
    """Return mean and standard deviation of the noise-free pixels, from the first images."""
    count, total, squares = 0, 0.0, 0.0
    for indices in _chunks(min(options.n, _SIGNAL_SAMPLE)):
        images = _signal(options, classes, truth, indices)
        count += images.size
        total += images.sum(dtype=np.float64)
        squares += np.square(images, dtype=np.float64).sum()
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


def _signal(
    options: SimulateOptions, classes: _Classes, truth: Truth, indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the noise-free images (m, box, box) of some particles, centred in real space."""
    spectra = np.empty((len(indices), classes.box, classes.box // 2 + 1), np.complex64)
    rotations = relion_to_matrix(truth.angles_deg[indices])
    for number in np.unique(truth.classes[indices]):
        of_class = truth.classes[indices] == number
        spectra[of_class] = classes.slices(int(number), rotations[of_class])
    _move(spectra, truth.shifts_px[indices])
    if not options.no_ctf:
        spectra *= ctf_images(_ctf(options, truth.defocus_ang[indices]), classes.box, classes.apix)
    images = scipy.fft.irfft2(spectra, s=(classes.box, classes.box))
    centred: NDArray[np.float32] = scipy.fft.fftshift(images, axes=(1, 2))
    return centred


def _move(spectra: NDArray[np.complex64], shifts_px: NDArray[np.float64]) -> None:
    """Move images by `shifts_px` (x, y) in their transforms, in place.

    The Nyquist row and column have no partner of opposite frequency to hold the other half of a
    fractional shift; they are removed, as the reference simulator does.
    """
    shift_images(spectra, shifts_px)
    box = spectra.shape[1]
    if box % 2 == 0:
        spectra[:, box // 2, :] = 0
        spectra[:, :, -1] = 0


def _ctf(options: SimulateOptions, defocus_ang: NDArray[np.float64]) -> ContrastTransfer:
    def constant(value: float) -> NDArray[np.float64]:
        return np.full(len(defocus_ang), value)

    return ContrastTransfer(
        defocus_u_ang=defocus_ang,
        defocus_v_ang=defocus_ang,
        defocus_angle_deg=constant(0),
        phase_shift_deg=constant(0),
        voltage_kv=constant(options.voltage),
        cs_mm=constant(options.cs),
        amplitude_contrast=constant(options.ampcont),
        bfactor_ang2=constant(0),
    )


def _write_maps(
    options: SimulateOptions, classes: _Classes
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write the phantom's true maps, and seeds; return both lists of files."""
    is_phantom = options.phantom is not None
    seed_resolution = 30.0 if options.seedres is None and is_phantom else options.seedres
    maps: list[Path] = []
    seeds: list[Path] = []
    for index in range(len(classes)):
        volume = classes.density(index)
        if is_phantom:
            maps.append(options.out / f"true_{index + 1:02d}.mrc")
            write_volume(maps[-1], volume, classes.apix)
        if seed_resolution is not None:
            seed = _low_passed(volume, classes.apix, seed_resolution)
            seeds.append(options.out / f"seed_{index + 1:02d}.mrc")
            write_volume(seeds[-1], seed, classes.apix)
    return tuple(maps), tuple(seeds)


def _low_passed(
    volume: NDArray[np.float32], apix: float, resolution_ang: float
) -> NDArray[np.float32]:
    """Remove all beyond a resolution, by a cosine edge of one shell to either side of it.

    A Gaussian would leave the truth, faint but free of noise, in every shell: a seed's FSC against
    the true map, which knows no amplitudes, would be 1 far beyond the resolution asked for.
    """
    beyond = fourier_radius(len(volume), ndim=3) - len(volume) * apix / resolution_ang
    return apply_transfer(volume, 0.5 - 0.5 * np.sin(0.5 * np.pi * np.clip(beyond, -1, 1)))


def _chunks(n: int) -> Sequence[NDArray[np.int64]]:
    return [np.arange(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]


def _make_room(directory: Path, need_bytes: int) -> None:
    """Create the directory, and refuse a stack that does not fit its disk."""
    if directory.exists() and not directory.is_dir():
        raise refuse("out", directory, "a directory, and this is a file")
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if need_bytes > free:
        raise ConfigError(
            f"--out={directory}: the stack takes {need_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB "
            "are free"
        )
