"""Particle sets for cryoSPARC: a ``.cs`` with its group file, what the original said being kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mapsort.errors import FormatError
from mapsort.io.cryosparc import UID
from mapsort.io.cryosparc_fields import Columns, CryosparcFields
from mapsort.io.cryosparc_writer import fields_of_table, group_text, rows_of, write_records
from mapsort.io.particle_files import CRYOSPARC_SUFFIX
from mapsort.model.particles import Particles
from mapsort.rundir.atomic import atomic_path
from mapsort.runfiles.tables import image_names

GROUP_SUFFIX = ".csg"


def original_fields(
    source: Path, passthrough: Sequence[Path], particles: Particles
) -> Columns | None:
    """Return what a ``.cs`` and its passthrough files say of particles that were read from it.

    Returns
    -------
    dict of str to ndarray, or None
        Field to values, one per particle; None where particles are of other files.
    """
    if source.suffix.lower() != CRYOSPARC_SUFFIX or UID not in particles.table:
        return None
    if not source.exists():
        raise FormatError(f"{source}: no such file.")
    fields = CryosparcFields.read(source, passthrough)
    wanted = particles.table[UID].to_numpy(dtype=np.uint64)
    rows = rows_of(fields.values["uid"], wanted, source)
    return {name: column[rows] for name, column in fields.values.items()}


def write_cryosparc_set(
    target: Path,
    particles: Particles,
    kept: Columns | None,
    *,
    new_poses: bool = False,
    new_images: bool = False,
) -> tuple[Path, Path]:
    """Write particles as a ``.cs`` and the ``.csg`` that cryoSPARC imports it by.

    Parameters
    ----------
    kept : dict of str to ndarray, or None
        What the original said of them (`original_fields`): it stands as it is, but for
    new_poses : bool
        poses and classes, which are those of the table (classes of 2D stay);
    new_images : bool
        and places, sizes and signs of images, which are those of the particles.

    Returns
    -------
    tuple of Path
        The two files.
    """
    names = image_names(particles, target=target)
    made = fields_of_table(particles.optics, particles.table, paths=names, box=particles.box)
    fields = _joined(made, kept or {}, new_poses=new_poses, new_images=new_images)
    group = target.with_suffix(GROUP_SUFFIX)
    with atomic_path(target) as part:
        write_records(part, fields)
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    with atomic_path(group) as part:
        text = group_text(target.name, fields, created=created, title=f"Particles of {target.stem}")
        part.write_text(text, encoding="utf-8")
    return target, group


def _joined(made: Columns, kept: Columns, *, new_poses: bool, new_images: bool) -> Columns:
    """Put what the original said in the place of what its tables say, where that still holds."""

    def holds(name: str) -> bool:
        if name == "uid":  # copies have numbers of their own
            return False
        if name.startswith("alignments"):
            return not new_poses or name.startswith("alignments2D")
        return not (new_images and name.startswith("blob/"))

    still = {name: column for name, column in kept.items() if holds(name)}
    # Groups are whole: what the original's does not have is not made up.
    groups = {name.split("/")[0] for name in still}
    return {n: c for n, c in made.items() if n.split("/")[0] not in groups} | still
