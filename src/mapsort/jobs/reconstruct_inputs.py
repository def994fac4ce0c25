"""Slices for a reconstruction: particles of a table, or class averages of a run, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Complex64, Float32, Float64, Indices, UInt8
from mapsort.engines.chunks import chunk_length, chunk_ranges, over_chunks
from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform, HeaderValue, header_list
from mapsort.io.particle_files import read_particle_files
from mapsort.model.half_sets import N_HALVES, half_sets, image_numbers, original_images
from mapsort.model.particles import Particles
from mapsort.modules.reconstructor import reconstructor
from mapsort.options.reconstruct import PosedImages, ReconstructOptions
from mapsort.physics.ctf import ctf_images
from mapsort.refinement.ctf_choice import are_flipped, chosen_ctf
from mapsort.refinement.table_poses import table_poses
from mapsort.stages.reconstruct.particle_slices import weighted_slices

Rotations = Float64

#: Working memory of one slice: image, transform, CTF, density, in bytes per pixel.
_BYTES_PER_PIXEL = 24
#: Two sides of an EMAN transform's scale that still count as 1.
_LARGEST_SCALING = 0.01


@dataclass(frozen=True)
class SliceChunk:
    """Some slices, ready to be inserted."""

    #: Each (n, box, box//2+1).
    numerator: Complex64
    density: Float32
    #: (n, 3, 3).
    rotations: Rotations
    #: 0 or 1, (n,).
    half: UInt8


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Images at known poses, n of them: the central slices of a map."""

    #: Gives the images of a range, (m, box, box).
    read: Callable[[slice], Float32]
    #: Gives their contrast transfer functions, (m, box, box//2+1), or None.
    transfer: Callable[[slice], Float32 | None]
    #: Edge of the images [pixels].
    box: int
    #: Pixel size [A].
    apix: float
    #: -1 where density is dark in the images.
    sign: float
    #: (n, 3, 3).
    rotations: Rotations
    #: How far the content lies off the centre [pixels], (n, 2).
    shifts: Float64
    #: 0 or 1, (n,).
    half: UInt8
    #: (n,).
    weights: Float64 | None = None
    #: What the user should know, one line each; of halves only when they are made.
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)

    def chunks(self, n_threads: int) -> Iterator[SliceChunk]:
        """Yield all slices, CTF and shifts corrected, the next ones being read meanwhile."""
        length = chunk_length(_BYTES_PER_PIXEL * self.box**2)

        def ready(where: slice, images: Float32) -> SliceChunk:
            numerator, density = weighted_slices(
                np.float32(self.sign) * images,
                shifts=self.shifts[where],
                transfer=self.transfer(where),
                weights=None if self.weights is None else self.weights[where],
                n_threads=n_threads,
            )
            return SliceChunk(numerator, density, self.rotations[where], self.half[where])

        for _, chunk in over_chunks(self.read, ready, chunk_ranges(len(self), length)):
            yield chunk


def open_slices(options: ReconstructOptions) -> Slices:
    """Open what is to be reconstructed, and check it as far as headers and tables tell."""
    return _averages(options) if options.averages else _particles(options)


def _particles(options: ReconstructOptions) -> Slices:
    """Open particles at the poses of their table."""
    read = read_particle_files(options.input, apix=options.apix, datadir=options.datadir)
    image = image_numbers(
        read.files, read.file_of, read.index_in_file, original_images(read.particles)
    )
    halves = half_sets(options.input, read.particles, image)
    rows = _rows_of_class(options, read.particles)
    # Sizes are compared after the selection: that may leave one of them.
    particles = Particles.of_files(
        options.input, read.subset(rows), apix_given=options.apix is not None
    )
    notes = (*particles.notes, *particles.validate())
    if options.halves or reconstructor(options.recon).ssnr:
        notes += halves.notes
    rotations, origins = table_poses(
        options.input, particles.table, particles.apix, rows=rows, purpose="a reconstruction"
    )
    return Slices(
        read=particles.images,
        transfer=transfer_of(options, particles),
        box=particles.box,
        apix=particles.apix,
        sign=-1.0 if options.invert else 1.0,
        rotations=rotations,
        shifts=-origins,
        half=halves.half[rows],
        notes=notes,
    )


def transfer_of(options: PosedImages, particles: Particles) -> Callable[[slice], Float32 | None]:
    """Return what gives the contrast transfer functions of a range, (m, box, box//2+1), or None.

    Raises
    ------
    ConfigError
        The particles' table does not hold what ``--ctf`` asks for.
    """
    ctf, flipped = chosen_ctf(options.ctf, particles), are_flipped(options.ctf, particles)

    def transfer(where: slice) -> Float32 | None:
        if ctf is None:
            return None
        images = ctf_images(ctf[where], particles.box, particles.apix)
        return np.abs(images) if flipped else images

    return transfer


def _rows_of_class(options: ReconstructOptions, table: pd.DataFrame) -> Indices:
    if options.class_ is None:
        return np.arange(len(table))
    if "rlnClassNumber" not in table:
        raise ConfigError(f"--class={options.class_}: {options.input} has no column rlnClassNumber")
    classes = table["rlnClassNumber"].to_numpy()
    rows = np.flatnonzero(classes == options.class_)
    if not len(rows):
        listed = ", ".join(str(number) for number in np.unique(classes)[:12])
        raise ConfigError(
            f"--class={options.class_}: {options.input} has no particles of this class; "
            f"it has {listed}"
        )
    return rows


def _averages(options: ReconstructOptions) -> Slices:
    """Open class averages at the orientations of their headers, weighted by ``ptcl_repr``.

    Averages without orientation, without particles, and those that the run left out of its map
    (``threed_excl``) are not used. Halves are the odd and even ones of those used.
    """
    path = options.input
    with HdfReader(path) as reader:
        headers = [reader.header(index) for index in range(reader.n_images)]
    numbers = _chosen_averages(path, headers, options.model)
    first = headers[numbers[0]]
    apix = options.apix if options.apix is not None else first.get("apix_x")
    if not isinstance(apix, float) or not apix > 0:
        raise FormatError(f"{path}: no usable pixel size ({apix}); give it with --apix")
    box = first["nx"]
    assert isinstance(box, int), "a reader of headers gives whole numbers as int"
    transforms = [_pose_of_transform(path, n, headers[n]["xform.projection"]) for n in numbers]
    half = (np.arange(len(numbers)) % N_HALVES).astype(np.uint8)

    def read(where: slice) -> Float32:
        with HdfReader(path) as reader:
            images = reader.images(numbers[where])
        if images.shape[1:] != (box, box):
            raise FormatError(
                f"{path}: images of {images.shape[2]} x {images.shape[1]} pixels; class averages "
                "are square"
            )
        if not np.isfinite(images).all():
            raise FormatError(f"{path}: a class average holds NaN or infinite pixels")
        return images

    return Slices(
        read=read,
        transfer=lambda _: None,
        box=box,
        apix=apix,
        sign=-1.0 if options.invert else 1.0,
        rotations=np.stack([rotation for rotation, _ in transforms]),
        shifts=np.stack([shift for _, shift in transforms]),
        half=half,
        weights=np.array([_weight(headers[n]) for n in numbers]),
        notes=_in_both_halves(path, [headers[n] for n in numbers], half) if options.halves else (),
    )


def _in_both_halves(
    path: Path, headers: list[dict[str, HeaderValue]], half: UInt8
) -> tuple[str, ...]:
    """Tell of particles that averages of both halves are made of, as far as headers list them."""
    members = [np.array(header_list(header, "class_ptcl_idxs"), np.int64) for header in headers]
    sides = ([these for these, h in zip(members, half, strict=True) if h == k] for k in (0, 1))
    first, second = (np.concatenate([np.zeros(0, np.int64), *side]) for side in sides)
    n = len(np.intersect1d(first, second))
    if not n:
        return ()
    return (
        f"{path}: {n} particles are in averages of both halves, whose noise agrees with itself "
        "there: the FSC of the halves is optimistic",
    )


def _weight(header: dict[str, HeaderValue]) -> float:
    value = header.get("ptcl_repr", 1)
    return float(value) if isinstance(value, int | float) else 1.0


def _chosen_averages(
    path: Path, headers: list[dict[str, HeaderValue]], model: int | None
) -> tuple[int, ...]:
    oriented = [n for n, header in enumerate(headers) if "xform.projection" in header]
    if not oriented:
        raise FormatError(
            f"{path}: no image has an orientation (xform.projection); class averages of a run "
            "(classes_YY.hdf) have"
        )
    models = sorted({int(str(headers[n].get("model_id", 0))) for n in oriented})
    if model is None and len(models) > 1:
        listed = ", ".join(map(str, models))
        raise ConfigError(f"{path}: averages of the maps {listed}: choose one with --model")
    if model is not None and model not in models:
        listed = ", ".join(map(str, models))
        raise ConfigError(f"--model={model}: {path} has averages of {listed}")
    chosen = tuple(
        n
        for n in oriented
        if (model is None or headers[n].get("model_id", 0) == model)
        and _weight(headers[n]) > 0
        and not headers[n].get("threed_excl", 0)
    )
    if not chosen:
        raise FormatError(f"{path}: no class average holds particles (ptcl_repr is 0)")
    return chosen


def _pose_of_transform(path: Path, number: int, value: HeaderValue) -> tuple[Rotations, Float64]:
    """Return rotation and shift of an image whose content is the transformed reference.

    The matrix is [M R | M t], M = diag(-1, 1) for a mirrored one: its first two rows are those of
    a proper rotation either way, and its last column is where the content's centre lies.
    """
    if not isinstance(value, EmanTransform):
        raise FormatError(f"{path}: xform.projection of image {number} is not a transform")
    matrix = value.matrix.astype(np.float64)
    x, y = matrix[0, :3], matrix[1, :3]
    lengths = np.array([np.linalg.norm(x), np.linalg.norm(y)])
    if np.abs(lengths - 1).max() > _LARGEST_SCALING or abs(x @ y) > _LARGEST_SCALING:
        raise FormatError(
            f"{path}: xform.projection of image {number} is not a rotation: it scales by "
            f"{lengths.mean():.3g}"
        )
    return np.stack([x, y, np.cross(x, y)]), matrix[:2, 3]
