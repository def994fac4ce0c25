"""Symmetry expansion: every particle as often as the group has operations, at each copy's pose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mapsort.array_types import Int64
from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import symmetry
from mapsort.io.image_stack import MRC_SUFFIXES
from mapsort.io.star import write_particles
from mapsort.jobs.stack_links import stacks_for_relion
from mapsort.model.half_sets import SUBSET
from mapsort.model.particles import Particles
from mapsort.options.fields import refuse_to_overwrite
from mapsort.options.focus import ExpandOptions
from mapsort.refinement.table_poses import pose_columns, table_poses
from mapsort.rundir.outputs import check_output
from mapsort.runfiles.tables import image_names

#: Which particle of the table that was expanded a row is of, and by which operation, from 1; the
#: first leaves the pose as it is.
PARTICLE, COPY = "mapsortParticle", "mapsortCopy"


@dataclass(frozen=True)
class Expanded:
    """What was written.

    Attributes
    ----------
    n_particles : int
        Before.
    n_copies : int
        Of each.
    """

    n_particles: int
    n_copies: int


def expand(options: ExpandOptions, *, progress: Progress | None = None) -> Expanded:
    """Write each particle of a table once for every operation of a point group.

    Raises
    ------
    ConfigError
        The group, the output, or stacks that a .star cannot name, before anything is written.
    FormatError
        The particles cannot be read, or have no poses.
    """
    options.validated()
    shown = progress or default_progress()
    particles = Particles.open(
        options.source,
        apix=options.apix,
        datadir=options.datadir,
        passthrough=options.passthrough,
    )
    _check(options, particles)
    for note in (*particles.notes, *particles.validate()):
        warn(shown, note)
    rotations, origins = table_poses(
        particles.source, particles.table, particles.apix, purpose="symmetry expansion"
    )
    operations = symmetry(options.sym).matrices
    count = len(operations)
    # R and R S are equal for the symmetric map; where the image's centre lies stays
    copies = (rotations[:, None] @ operations).reshape(-1, 3, 3)
    columns = pose_columns(copies, np.repeat(origins, count, axis=0), particles.apix)
    table = _repeated(options, particles, count).assign(
        **{name: np.round(values, 6) for name, values in columns.items()}
    )
    write_particles(options.target, particles.optics, table)
    return Expanded(len(particles), count)


def _check(options: ExpandOptions, particles: Particles) -> None:
    check_output(options.target, particles.source, *particles.files)
    refuse_to_overwrite(options.target, overwrite=options.overwrite)
    halves = particles.half_sets()
    if halves.has_copies:
        raise ConfigError(
            f"{particles.source}: holds {halves.particles_in_words} particles: it is expanded "
            "already; expand the table it was made of"
        )
    others = [file for file in particles.files if file.suffix.lower() not in MRC_SUFFIXES]
    if others:
        raise ConfigError(
            f"{particles.source}: its images are in {others[0]}, which a .star cannot name; write "
            "them as .mrcs first (mapsort convert)"
        )


def _repeated(options: ExpandOptions, particles: Particles, count: int) -> pd.DataFrame:
    """Return the table with each row ``count`` times, numbered, and the half-set of each image.

    Other programs would deal the copies of an image out to both half-sets.
    """
    stacks = stacks_for_relion(options.target, particles)
    linked = replace(particles, files=tuple(stacks))
    n = len(particles)
    once = particles.table.drop(columns=["rlnOriginX", "rlnOriginY"], errors="ignore")
    once["rlnImageName"] = image_names(linked, target=options.target)
    once[SUBSET] = particles.half_sets().half + 1
    once[PARTICLE] = np.arange(1, n + 1)
    row: Int64 = np.repeat(np.arange(n), count)
    numbers = np.tile(np.arange(1, count + 1), n)
    return once.iloc[row].reset_index(drop=True).assign(**{COPY: numbers})
