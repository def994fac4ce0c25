"""What a conversion does to images, and to the tables that go with them.

Particles may be of several pixel or image sizes, which are brought to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.fft

from mapsort.array_types import Float32, Int64
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.io.optics import FLIPPED, GROUP, PIXEL
from mapsort.io.particle_files import ParticleFiles
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.physics.ctf import ctf_images
from mapsort.physics.normalization import background_normalize
from mapsort.physics.resample import match_images
from mapsort.refinement.plan import BACKGROUND_RADIUS

#: Numbers of particles of one size, and these.
Part = tuple[Int64, Particles]

_SAME_PIXEL = 1e-4
_BOX = "rlnImageSize"


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
    list of tuple
        For each size the numbers of its particles, ascending, and these.

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
        (rows, Particles.of_files(path, read.subset(rows), apix_given=apix_given))
        for place in range(len(sizes))
        if (rows := np.flatnonzero(places == place)).size
    ]


@dataclass(frozen=True)
class PartRecipe:
    """The changes to images of one size: phases, then size, then contrast, then background."""

    options: ConvertOptions
    #: Which of all particles they are, ascending, (m,).
    rows: Int64
    particles: Particles
    #: Side of the images made [pixel].
    box: int
    #: Their pixel size [A/pixel].
    apix: float

    @classmethod
    def of(cls, options: ConvertOptions, part: Part) -> PartRecipe:
        """Return what the options ask of these particles.

        Raises
        ------
        ConfigError
            Phases cannot be flipped: there is no CTF, or it was done already.
        """
        rows, particles = part
        if options.phaseflip and particles.ctf is None:
            raise ConfigError(f"--phaseflip: {particles.source} holds no CTF parameters")
        if options.phaseflip and (particles.phase_flipped or particles.premultiplied):
            raise ConfigError(
                f"--phaseflip: the images of {particles.source} are corrected already"
            )
        box, apix = particles.box, particles.apix
        if options.apix is not None and abs(options.apix / apix - 1) > _SAME_PIXEL:
            box = max(2, 2 * round(box * apix / options.apix / 2))
            apix = options.apix
        box = options.box or box
        return cls(options, rows, particles, box, apix)

    @property
    def resized(self) -> bool:
        """Whether images get another size."""
        return (self.box, self.apix) != (self.particles.box, self.particles.apix)

    @property
    def changes_pixels(self) -> bool:
        """Whether images differ from those that were read."""
        options = self.options
        return self.resized or options.phaseflip or options.invert or options.normalize

    def images(self, where: slice) -> Float32:
        """Read and change images.

        Raises
        ------
        FormatError
            An image is unusable, or its background is constant and shall be normalised.
        """
        options, particles = self.options, self.particles
        images = particles.images(where)
        if options.phaseflip:
            assert particles.ctf is not None, "checked when the recipe was made"
            signs = np.sign(ctf_images(particles.ctf[where], particles.box, particles.apix))
            signs[signs == 0] = 1
            # The zero frequency is the image's mean: it has no phase to flip.
            signs[:, 0, 0] = 1
            spectra = scipy.fft.rfft2(images)
            images = scipy.fft.irfft2(spectra * signs, s=images.shape[1:])
        if self.resized:
            images = match_images(images, particles.apix, box=self.box, target_apix=self.apix)
        if options.invert:
            images = -images
        if options.normalize:
            images = self._normalized(where, images)
        return np.ascontiguousarray(images, dtype=np.float32)

    def _normalized(self, where: slice, images: Float32) -> Float32:
        radius = BACKGROUND_RADIUS * self.box
        try:
            return background_normalize(images, radius)
        except NumericalError:
            for place, image in enumerate(images):
                try:
                    background_normalize(image, radius)
                except NumericalError as error:
                    number = where.start + place + 1
                    raise FormatError(
                        f"{self.particles.source}: particle {number} has a constant background: it "
                        "cannot be normalized. Leave it out, or --normalize."
                    ) from error
            raise


@dataclass(frozen=True)
class Recipe:
    """The changes to every image, which bring particles of several sizes to one."""

    parts: tuple[PartRecipe, ...]

    @classmethod
    def of(cls, options: ConvertOptions, parts: Sequence[Part]) -> Recipe:
        """Return what the options ask of each part.

        Raises
        ------
        ConfigError
            The images made would still be of several sizes, or a change cannot be made.
        """
        recipes = tuple(PartRecipe.of(options, part) for part in parts)
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
        return cls(recipes)

    @property
    def box(self) -> int:
        """Side of the images made [pixel]."""
        return self.parts[0].box

    @property
    def apix(self) -> float:
        """Their pixel size [A/pixel]."""
        return self.parts[0].apix

    @property
    def changes_pixels(self) -> bool:
        """Whether images differ from those that were read."""
        return any(part.changes_pixels for part in self.parts)

    def images(self, where: slice) -> Float32:
        """Read and change images of all parts, in the order of the whole set."""
        images = np.empty((where.stop - where.start, self.box, self.box), dtype=np.float32)
        for part in self.parts:
            first, last = np.searchsorted(part.rows, (where.start, where.stop)).tolist()
            if first < last:
                images[part.rows[first:last] - where.start] = part.images(slice(first, last))
        return images

    def optics(self, optics: pd.DataFrame) -> pd.DataFrame:
        """Return the optics table of the images made."""
        changed: dict[str, float] = {_BOX: self.box}
        if any(part.resized for part in self.parts):
            changed[PIXEL] = self.apix
        if self.parts[0].options.phaseflip:
            changed[FLIPPED] = 1
        return optics.assign(**changed)
