"""Prepare particles and seeds: normalisation, masks, transforms, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.errors import ConfigError
from mapsort.modules.processors import apply_chain
from mapsort.modules.registry import BoundModule
from mapsort.physics.ctf import ContrastTransfer
from mapsort.physics.masks import inscribed_sphere
from mapsort.physics.normalization import background_normalize
from mapsort.physics.shells import shell_means
from mapsort.stages.fourier_grid import FourierGrid

#: Width of the soft edge of the circle that particles are cut to, relative to the box.
EDGE = 0.03


@dataclass(frozen=True)
class ParticleTreatment:
    """How raw particle images become transforms; the same for every particle of a run."""

    grid: FourierGrid
    #: Outside this radius [pixels] is background: it gets mean 0 and standard deviation 1.
    background_radius: float
    #: Whether density is black in the images.
    invert: bool

    def images(self, raw: Float32) -> Float32:
        """Return normalised images, white density, cut softly to the inscribed circle."""
        images = background_normalize(raw, self.background_radius)
        if self.invert:
            images = -images
        return np.asarray(images * self._circle(), np.float32)

    def _circle(self) -> Float32:
        """Soft inscribed circle."""
        return inscribed_sphere(self.grid.box, EDGE, ndim=2)

    def spectra(
        self, raw: Float32, *, max_radius: float | None = None, n_threads: int
    ) -> Complex64:
        """Return padded transforms for the alignment and averaging kernels.

        See `FourierGrid.image_spectra`.
        """
        images = self.images(raw)
        return self.grid.image_spectra(images, max_radius=max_radius, n_threads=n_threads)

    def shell_powers(self, raw: Float32, *, n_threads: int) -> Float64:
        """Return mean |X|^2 of each image in each shell, (n, box//2 + 1)."""
        spectra = scipy.fft.rfft2(self.images(raw), workers=n_threads)
        return shell_means(np.abs(spectra) ** 2, self.grid.box)


@dataclass(frozen=True)
class ProcessedTreatment(ParticleTreatment):
    """Particles normalised by processors of the user's choice, on the scale of the others."""

    #: Processors of every raw image.
    chain: tuple[BoundModule[..., Float32], ...]
    #: Pixel size [A].
    apix: float
    #: One factor for all images.
    scale: float = 1.0

    def images(self, raw: Float32) -> Float32:
        """Return processed images, white density, cut softly to the inscribed circle.

        Raises
        ------
        ConfigError
            A processor changes the size of images.
        """
        box = self.grid.box
        results = [apply_chain(self.chain, image, apix=self.apix)[0] for image in raw]
        for image in results:
            if image.shape != (box, box):
                names = ", ".join(bound.module.name for bound in self.chain)
                raise ConfigError(f"processors {names}: change the size of the images")
        images = np.stack(results) * np.float32(-self.scale if self.invert else self.scale)
        return np.asarray(images * self._circle(), np.float32)


def ctf_coefficients(ctf: ContrastTransfer | None, n: int, *, flipped: bool = False) -> Float32:
    """Return the kernels' CTF coefficients (n, 7); without CTF, those of the constant 1."""
    coefficients = np.zeros((n, 7), dtype=np.float32)
    if ctf is None:
        coefficients[:, 4] = np.pi / 2
    else:
        coefficients[:, :6] = ctf.coefficients()
        coefficients[:, 6] = flipped
    return coefficients
