"""Project maps into a file of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Float32, Float64, Int64
from mapsort.engines.chunks import chunk_ranges
from mapsort.engines.progress import Progress, default_progress
from mapsort.engines.resources import available_threads
from mapsort.errors import FormatError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.mrc import write_stack
from mapsort.io.optics import GROUP, one_group
from mapsort.io.star_tables import read_tables, write_tables
from mapsort.model.volume import Volume
from mapsort.modules.orientgen import orientations
from mapsort.modules.projector import projector
from mapsort.options.project import ProjectOptions
from mapsort.refinement.table_poses import ANGLES, pose_columns, table_poses
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output
from mapsort.rundir.wording import counted
from mapsort.runfiles.projection_headers import projection_headers
from mapsort.stages.project import prepared_projection

#: Projections are made and written in blocks of about this many bytes. Far larger arrays come from
#: fresh memory each time, whose pages cost more than the projections.
_BLOCK_BYTES = 2**23


@dataclass(frozen=True)
class Views:
    """From where maps are seen, those of the first map first."""

    #: Number of the map, from 0, (n,).
    model: Int64
    #: Object to view, (n, 3, 3).
    rotations: Float64
    #: By how much the projections are moved [pixels], (n, 2).
    shifts: Float64

    def __len__(self) -> int:
        return len(self.model)


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
    """Project maps along the directions of a generator or of a file, and write the images."""
    shown = progress or default_progress()
    volumes = [Volume.open(path, default_apix=options.apix) for path in options.maps]
    _check_alike(options, volumes)
    check_output(options.out, *options.maps)
    apix = options.apix or volumes[0].apix
    views = _views(options, apix)
    shown.start("project", len(views), iteration=0, n_iterations=0)
    blocks = _images(options, volumes, views, shown)
    table = None
    if options.out.suffix.lower() == ".hdf":
        _write_hdf(options.out, blocks, views, apix)
    else:
        table = options.out.with_suffix(".star")
        with atomic_path(options.out) as part:
            write_stack(part, blocks, apix)
        _write_star(table, options.out, views, volumes[0].box, apix)
    shown.finish(counted(len(views), "projection"))
    return Projected(options.out, table, len(views))


def _check_alike(options: ProjectOptions, volumes: list[Volume]) -> None:
    first = volumes[0]
    for path, volume in zip(options.maps, volumes, strict=True):
        if volume.box != first.box or abs(volume.apix / first.apix - 1) > 1e-3:
            raise FormatError(
                f"{path}: {volume.box} px at {volume.apix:g} A/px, but {options.maps[0]} has "
                f"{first.box} px at {first.apix:g} A/px; project them into files of their own"
            )


def _views(options: ProjectOptions, apix: float) -> Views:
    if options.angles is not None:
        # An origin centres the image, whose content lies opposite to it.
        rotations, origins = _poses_of_star(options.angles, apix)
        seen = [(rotations, -origins)] * len(options.maps)
    else:
        rng = np.random.default_rng(options.randomseed)
        turns = [
            eman_to_matrix(orientations(options.generator, name, rng=rng))
            for name in options.symmetries
        ]
        seen = [(rotations, np.zeros((len(rotations), 2))) for rotations in turns]
    model = np.repeat(np.arange(len(seen)), [len(rotations) for rotations, _ in seen])
    return Views(model, *map(np.concatenate, zip(*seen, strict=True)))


def _poses_of_star(path: Path, apix: float) -> tuple[Float64, Float64]:
    tables = [table for table in read_tables(path).values() if ANGLES[0] in table]
    table = tables[0] if tables else pd.DataFrame()
    return table_poses(path, table, apix, purpose="a projection")


def _images(
    options: ProjectOptions, volumes: list[Volume], views: Views, progress: Progress
) -> Iterator[Float32]:
    """Yield the projections of all maps, block by block."""
    method, box = projector(options.projector), volumes[0].box
    length = max(16, _BLOCK_BYTES // (4 * box * box))
    for number, volume in enumerate(volumes):
        project = prepared_projection(volume.data, method, n_threads=available_threads())
        rows = np.flatnonzero(views.model == number)
        for block in chunk_ranges(len(rows), length):
            yield project(views.rotations[rows[block]], views.shifts[rows[block]])
            progress.advance(block.stop - block.start)


def _write_hdf(path: Path, blocks: Iterator[Float32], views: Views, apix: float) -> None:
    headers = projection_headers(views.model, views.rotations, views.shifts)
    images = (image for block in blocks for image in block)
    with atomic_path(path) as part, HdfWriter(part, apix=apix) as writer:
        for image, header in zip(images, headers, strict=True):
            writer.append(image, header)


def _write_star(path: Path, stack: Path, views: Views, box: int, apix: float) -> None:
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@{stack.name}" for i in range(len(views))],
            **pose_columns(views.rotations, -views.shifts, apix),
            "rlnClassNumber": views.model + 1,
            GROUP: 1,
        }
    )
    # RELION does not read a group without a microscope; there is no CTF in the images.
    optics = one_group(apix, box, name="projections")
    with atomic_path(path) as part:
        write_tables(part, {"optics": optics, "particles": particles})
