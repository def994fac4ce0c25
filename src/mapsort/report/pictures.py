"""Maps and images to be pictured, from their files: for the report and ``mapsort show``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapsort.array_types import Float32
from mapsort.errors import FormatError
from mapsort.io.image_file import open_images
from mapsort.io.particle_files import CRYOSPARC_SUFFIX, LIST_SUFFIXES, STAR_SUFFIX
from mapsort.model.particles import Particles

_TABLES = (STAR_SUFFIX, CRYOSPARC_SUFFIX, *LIST_SUFFIXES)


def read_volume(path: Path) -> Float32:
    """Read a map's densities (z, y, x)."""
    with open_images(path) as file:
        if not file.holds_maps:
            raise FormatError(
                f"{path}: not a map: its first image has {len(file.shape)} dimensions."
            )
        return file.image(0)


def read_stack(path: Path, first: int, count: int) -> Float32:
    """Read at most ``count`` images of a stack or table from number ``first`` (from 0) on."""
    if path.suffix.lower() in _TABLES:
        particles = Particles.open(path)
        if first >= len(particles):
            raise FormatError(f"{path}: holds {len(particles)} particles; {first} is not there.")
        return particles.images(slice(first, first + count))
    with open_images(path) as file:
        last = max(min(first + count, file.n_images), first + 1)
        return np.stack([file.image(index) for index in range(first, last)])


def is_map(path: Path) -> bool:
    """Return whether a file holds one map rather than a stack of images, as `open_images` tells."""
    if path.suffix.lower() in _TABLES:
        return False
    with open_images(path) as file:
        return file.n_images == 1 and file.holds_maps


def stated_apix(path: Path) -> float | None:
    """Return the pixel size [A] that a file states, None if it states none."""
    if path.suffix.lower() in _TABLES:
        return Particles.open(path).apix
    with open_images(path) as file:
        return file.apix
