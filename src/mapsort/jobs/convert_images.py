"""What a conversion does to images, and to the tables that go with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.physics.ctf import ctf_images
from mapsort.physics.normalization import background_normalize
from mapsort.physics.resample import match_images
from mapsort.refinement.plan import BACKGROUND_RADIUS
from mapsort.stages.fourier_grid import Float32

_SAME_PIXEL = 1e-4


@dataclass(frozen=True)
class ImageRecipe:
    """The changes to every image: phases, then size, then contrast, then background.

    Attributes
    ----------
    box : int
        Side of the images made [pixel].
    apix : float
        Their pixel size [A/pixel].
    resized, phaseflip, invert, normalize : bool
        Which changes there are.
    """

    box: int
    apix: float
    resized: bool
    phaseflip: bool
    invert: bool
    normalize: bool

    @classmethod
    def of(cls, options: ConvertOptions, particles: Particles) -> ImageRecipe:
        """Return what the options ask of these particles.

        Raises
        ------
        ConfigError
            Phases cannot be flipped: there is no CTF, or it was done already.
        """
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
        return cls(
            box=box,
            apix=apix,
            resized=(box, apix) != (particles.box, particles.apix),
            phaseflip=options.phaseflip,
            invert=options.invert,
            normalize=options.normalize,
        )

    @property
    def changes_pixels(self) -> bool:
        """Whether images differ from those that were read."""
        return self.resized or self.phaseflip or self.invert or self.normalize

    def images(self, particles: Particles, where: slice) -> Float32:
        """Read and change images.

        Raises
        ------
        FormatError
            An image is unusable, or its background is constant and shall be normalised.
        """
        images = particles.images(where)
        if self.phaseflip:
            assert particles.ctf is not None, "checked when the recipe was made"
            signs = np.sign(ctf_images(particles.ctf[where], particles.box, particles.apix))
            signs[signs == 0] = 1
            # The zero frequency is the image's mean: it has no phase to flip.
            signs[:, 0, 0] = 1
            spectra = scipy.fft.rfft2(images)
            images = scipy.fft.irfft2(spectra * signs, s=images.shape[1:])
        if self.resized:
            images = match_images(images, particles.apix, box=self.box, target_apix=self.apix)
        if self.invert:
            images = -images
        if self.normalize:
            images = self._normalized(particles, where, images)
        return np.ascontiguousarray(images, dtype=np.float32)

    def _normalized(self, particles: Particles, where: slice, images: Float32) -> Float32:
        radius = BACKGROUND_RADIUS * self.box
        try:
            return background_normalize(images, radius)
        except NumericalError:
            for place, image in enumerate(images):
                try:
                    background_normalize(image, radius)
                except NumericalError as error:
                    raise FormatError(
                        f"{particles.source}: particle {where.start + place + 1} has a constant "
                        "background: it cannot be normalized. Leave it out, or --normalize."
                    ) from error
            raise
