"""Random phases beyond a resolution: what is left there is amplitude without structure."""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32
from mapsort.physics.shells import box_of, fourier_radius


def randomise_phases(image: Array, *, cutoff: float, rng: np.random.Generator) -> Float32:
    """Give Fourier terms from a frequency on [cycles/pixel] random phases, and keep amplitudes.

    The phases are those of white noise, whose transform has the symmetry of a real image's.
    """
    box = box_of(image, "image")
    spectrum = scipy.fft.rfftn(np.asarray(image, dtype=np.float64))
    noise = scipy.fft.rfftn(rng.standard_normal(image.shape))
    beyond = fourier_radius(box, ndim=image.ndim) / box >= cutoff
    spectrum[beyond] = np.abs(spectrum[beyond]) * np.exp(1j * np.angle(noise[beyond]))
    return np.asarray(scipy.fft.irfftn(spectrum, s=image.shape), dtype=np.float32)
