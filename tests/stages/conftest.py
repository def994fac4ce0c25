"""What tests of several stages need."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.model.class_averages import ClassAverages
from mapsort.stages.fourier_grid import centred_transform


@pytest.fixture
def random_averages():
    """Make sums of three classes of 4, 0 and 7 particles: images of noise, uneven densities."""

    def made(seed, box):
        rng = np.random.default_rng(seed)
        images = rng.standard_normal((2, 3, box, box)).astype(np.float32)
        numerator = centred_transform(images.reshape(-1, box, box)).reshape(2, 3, box, box // 2 + 1)
        density = rng.uniform(0.5, 4.0, numerator.shape).astype(np.float32)
        # terms and their mates, both on the column kx = 0, have one density
        density[..., 0] += density[..., -np.arange(box) % box, 0]
        return ClassAverages(numerator, density, np.array([4, 0, 7]))

    return made
