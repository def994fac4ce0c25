"""Links by which RELION opens stacks that are not called ``.mrcs``."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from mapsort.errors import ConfigError
from mapsort.io.image_stack import MRC_SUFFIXES
from mapsort.model.particles import Particles

_STACK = ".mrcs"


def stacks_for_relion(target: Path, particles: Particles) -> list[Path]:
    """Return the stacks of particles under names that RELION takes, by links where it needs to.

    RELION reads ``000001@a.mrc`` as a map and stops. cryoSPARC calls its stacks so.

    Parameters
    ----------
    target : Path
        The table that shall name them; links are made in ``<its stem>_stacks`` beside it.
    particles : Particles
        What the table is of.

    Returns
    -------
    list of Path
        For each of ``particles.files``, itself or a link to it.

    Raises
    ------
    ConfigError
        A link cannot be made, or something else has its name.
    """
    used = [particles.files[owner] for owner in np.unique(particles.file_of).tolist()]
    others = [file for file in dict.fromkeys(used) if _needs_link(file)]
    if not others:
        return list(particles.files)
    directory = target.with_name(f"{target.stem}_stacks")
    stems = Counter(file.stem for file in others)
    links: dict[Path, Path] = {}
    try:
        directory.mkdir(exist_ok=True)
        for number, file in enumerate(others, start=1):
            stem = file.stem if stems[file.stem] == 1 else f"{number:05d}_{file.stem}"
            links[file] = _link(directory / f"{stem}{_STACK}", file)
    except OSError as error:
        raise ConfigError(
            f"{directory}: links to the stacks cannot be made: {error.strerror or error}; "
            "write the images anew: --copy"
        ) from error
    return [links.get(file, file) for file in particles.files]


def _needs_link(file: Path) -> bool:
    return file.suffix.lower() in MRC_SUFFIXES and file.suffix.lower() != _STACK


def _link(link: Path, file: Path) -> Path:
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise ConfigError(f"{link}: is there already and is no link; remove it, or give --copy")
    link.symlink_to(os.path.relpath(file.resolve(), link.parent.resolve()))
    return link
