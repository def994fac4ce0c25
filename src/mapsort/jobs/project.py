"""Project maps into a file of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.engines.chunks import chunk_ranges
from mapsort.engines.progress import Progress, SilentProgress
from mapsort.engines.threads import available_threads
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import eman_to_matrix, matrix_to_relion, relion_to_matrix
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.mrc import write_stack
from mapsort.io.star_tables import read_tables, write_tables
from mapsort.model.volume import Volume
from mapsort.modules.orientgen import orientations
from mapsort.modules.projector import projector
from mapsort.options.project import ProjectOptions
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.wording import counted
from mapsort.stages.fourier_grid import Float32
from mapsort.stages.project import prepared_projection

#: Projections are made and written in blocks of about this many bytes. Far larger arrays come from
#: fresh memory each time, whose pages cost more than the projections.
_BLOCK_BYTES = 2**23

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Views:
    """From where one map is seen.

    Attributes
    ----------
    rotations : ndarray of shape (n, 3, 3)
        Object to view.
    shifts : ndarray of shape (n, 2)
        By how much the projections are moved [pixels].
    """

    rotations: Float64
    shifts: Float64


@dataclass(frozen=True)
class Projected:
    """What was written.

    Attributes
    ----------
    images : Path
    table : Path or None
        The .star file beside an .mrcs.
    count : int
    """

    images: Path
    table: Path | None
    count: int


def project_maps(options: ProjectOptions, *, progress: Progress | None = None) -> Projected:
    """Project maps along the directions of a generator or of a file, and write the images.

    Raises
    ------
    FormatError, ConfigError
        Before any work: what is wrong with the request or its input.
    """
    shown = progress if progress is not None else SilentProgress()
    volumes = [Volume.open(path, default_apix=options.apix) for path in options.maps]
    _check_alike(options, volumes)
    if not options.out.absolute().parent.is_dir():
        raise ConfigError(f"--out={options.out}: {options.out.absolute().parent} does not exist")
    apix = options.apix or volumes[0].apix
    views = _views(options, apix)
    total = sum(len(one.rotations) for one in views)
    shown.start("project", total, iteration=0, n_iterations=0)
    blocks = _images(options, volumes, views, shown)
    table = None
    if options.out.suffix.lower() == ".hdf":
        _write_hdf(options.out, blocks, views, apix)
    else:
        table = options.out.with_suffix(".star")
        with atomic_path(options.out) as part:
            write_stack(part, blocks, apix)
        _write_star(table, options.out, views, volumes[0].box, apix)
    shown.finish(counted(total, "projection"))
    return Projected(options.out, table, total)


def _check_alike(options: ProjectOptions, volumes: list[Volume]) -> None:
    first = volumes[0]
    for path, volume in zip(options.maps, volumes, strict=True):
        if volume.box != first.box or abs(volume.apix / first.apix - 1) > 1e-3:
            raise FormatError(
                f"{path}: {volume.box} px at {volume.apix:g} A/px, but {options.maps[0]} has "
                f"{first.box} px at {first.apix:g} A/px; project them into files of their own"
            )


def _views(options: ProjectOptions, apix: float) -> list[Views]:
    if options.angles is not None:
        return [_views_of_star(options.angles, apix)] * len(options.maps)
    rng = np.random.default_rng(options.randomseed)
    rotations = [
        eman_to_matrix(orientations(options.generator, name, rng=rng))
        for name in options.symmetries
    ]
    return [Views(turns, np.zeros((len(turns), 2))) for turns in rotations]


def _views_of_star(path: Path, apix: float) -> Views:
    """Read angles and origins; an origin centres the image, whose content lies opposite to it."""
    labels = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    tables = [t for t in read_tables(path).values() if set(labels) <= set(t.columns)]
    if not tables:
        raise FormatError(f"{path}: no table with {', '.join(labels)}")
    table = tables[0]
    origins = np.zeros((len(table), 2))
    for column, axis in enumerate("XY"):
        if f"rlnOrigin{axis}Angst" in table:
            origins[:, column] = _numbers(path, table, f"rlnOrigin{axis}Angst") / apix
        elif f"rlnOrigin{axis}" in table:
            origins[:, column] = _numbers(path, table, f"rlnOrigin{axis}")
    angles = np.stack([_numbers(path, table, label) for label in labels], axis=1)
    return Views(relion_to_matrix(angles), -origins)


def _numbers(path: Path, table: pd.DataFrame, label: str) -> Float64:
    values = pd.to_numeric(table[label], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise FormatError(f"{path}: {label} of row {bad[0] + 1} is not a number")
    return values


def _images(
    options: ProjectOptions, volumes: list[Volume], views: list[Views], progress: Progress
) -> Iterator[Float32]:
    """Yield the projections of all maps, block by block."""
    method, box = projector(options.projector), volumes[0].box
    length = max(16, _BLOCK_BYTES // (4 * box * box))
    for volume, seen in zip(volumes, views, strict=True):
        project = prepared_projection(volume.data, method, n_threads=available_threads())
        for block in chunk_ranges(len(seen.rotations), length):
            yield project(seen.rotations[block], seen.shifts[block])
            progress.advance(block.stop - block.start)


def _write_hdf(path: Path, blocks: Iterator[Float32], views: list[Views], apix: float) -> None:
    rotations = np.concatenate([seen.rotations for seen in views])
    shifts = np.concatenate([seen.shifts for seen in views])
    model = np.repeat(np.arange(len(views)) + 1, [len(seen.rotations) for seen in views])
    index = 0
    with atomic_path(path) as part, HdfWriter(part, apix=apix) as writer:
        for images in blocks:
            for image in images:
                moved = np.append(shifts[index], 0.0)[:, None]
                transform = EmanTransform(np.hstack([rotations[index], moved]))
                writer.append(
                    image,
                    {
                        "model_id": int(model[index]),
                        "xform.projection": transform,
                        "ptcl_repr": 0,
                    },
                )
                index += 1


def _write_star(path: Path, stack: Path, views: list[Views], box: int, apix: float) -> None:
    angles = matrix_to_relion(np.concatenate([seen.rotations for seen in views]))
    shifts = np.concatenate([seen.shifts for seen in views])
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@{stack.name}" for i in range(len(angles))],
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": angles[:, 1],
            "rlnAnglePsi": angles[:, 2],
            "rlnOriginXAngst": -shifts[:, 0] * apix,
            "rlnOriginYAngst": -shifts[:, 1] * apix,
            "rlnClassNumber": np.repeat(
                np.arange(len(views)) + 1, [len(seen.rotations) for seen in views]
            ),
            "rlnOpticsGroup": 1,
        }
    )
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["projections"],
            # RELION does not read an optics table without these; there is no CTF in the images
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [apix],
            "rlnImageSize": [box],
            "rlnImageDimensionality": [2],
        }
    )
    with atomic_path(path) as part:
        write_tables(part, {"optics": optics, "particles": particles})
