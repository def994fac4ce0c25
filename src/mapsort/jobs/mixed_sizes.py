"""Particles of several pixel or image sizes, brought to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mapsort.errors import ConfigError
from mapsort.io.optics import FLIPPED, GROUP, PIXEL
from mapsort.io.particle_files import ParticleFiles
from mapsort.jobs.convert_images import ImageRecipe
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.stages.fourier_grid import Float32

_SAME_PIXEL = 1e-4
_BOX = "rlnImageSize"


@dataclass(frozen=True)
class Part:
    """Particles of one size.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Which of all particles they are, ascending.
    particles : Particles
    """

    rows: NDArray[np.int64]
    particles: Particles


def parts_of_one_size(path: Path, read: ParticleFiles, *, apix_given: bool) -> list[Part]:
    """Take particles apart by the pixel size and box that their optics groups state.

    Parameters
    ----------
    path : Path
        The particle file.
    read : ParticleFiles
        What it says.
    apix_given : bool
        Whether its pixel size is the user's, not the file's.

    Returns
    -------
    list of Part
        One for each size.

    Raises
    ------
    FormatError
        A stack is not of the size that its group states.
    """
    sizes: list[tuple[float, object]] = []
    size_of: dict[int, int] = {}
    for _, row in read.optics.iterrows():
        apix, box = float(row[PIXEL]), row.get(_BOX)
        same = (
            place
            for place, (other, other_box) in enumerate(sizes)
            if abs(other / apix - 1) <= _SAME_PIXEL and other_box == box
        )
        place = next(same, len(sizes))
        if place == len(sizes):
            sizes.append((apix, box))
        size_of[int(row[GROUP])] = place
    places = read.particles[GROUP].map(size_of).to_numpy()
    return [
        Part(rows, Particles.of_files(path, read.subset(rows), apix_given=apix_given))
        for place in range(len(sizes))
        if (rows := np.flatnonzero(places == place)).size
    ]


@dataclass(frozen=True)
class Recipe:
    """The changes to every image, which bring particles of several sizes to one."""

    parts: tuple[tuple[Part, ImageRecipe], ...]

    @classmethod
    def of(cls, options: ConvertOptions, parts: list[Part]) -> Recipe:
        """Return what the options ask of each part.

        Raises
        ------
        ConfigError
            The images made would still be of several sizes, or a change cannot be made.
        """
        recipes = [ImageRecipe.of(options, part.particles) for part in parts]
        differ = {
            "--apix": len({recipe.apix for recipe in recipes}) > 1,
            "--box": len({recipe.box for recipe in recipes}) > 1,
        }
        if any(differ.values()):
            made = ", ".join(f"{recipe.box} px of {recipe.apix:g} A" for recipe in recipes)
            need = " and ".join(name for name, several in differ.items() if several)
            raise ConfigError(
                f"{options.source}: the images would be of several sizes ({made}); give {need}, or "
                "take one group: --where rlnOpticsGroup==N"
            )
        return cls(tuple(zip(parts, recipes, strict=True)))

    @property
    def box(self) -> int:
        """Side of the images made [pixel]."""
        return self.parts[0][1].box

    @property
    def apix(self) -> float:
        """Their pixel size [A/pixel]."""
        return self.parts[0][1].apix

    @property
    def changes_pixels(self) -> bool:
        """Whether images differ from those that were read."""
        return any(recipe.changes_pixels for _, recipe in self.parts)

    def images(self, where: slice) -> Float32:
        """Read and change images of all parts, in the order of the whole set."""
        images = np.empty((where.stop - where.start, self.box, self.box), dtype=np.float32)
        for part, recipe in self.parts:
            first, last = np.searchsorted(part.rows, (where.start, where.stop)).tolist()
            if first < last:
                made = recipe.images(part.particles, slice(first, last))
                images[part.rows[first:last] - where.start] = made
        return images

    def optics(self, optics: pd.DataFrame) -> pd.DataFrame:
        """Return the optics table of the images made."""
        changed: dict[str, float] = {_BOX: self.box}
        if any(recipe.resized for _, recipe in self.parts):
            changed[PIXEL] = self.apix
        if self.parts[0][1].phaseflip:
            changed[FLIPPED] = 1
        return optics.assign(**changed)
