"""What is done to particles before they are compared."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.modules.processors import processor
from mapsort.stages.fourier_grid import (
    FourierGrid,
)
from mapsort.stages.prepare import (
    EDGE,
    ParticleTreatment,
    ProcessedTreatment,
    shell_means,
)

BOX, APIX = 16, 8.0


RNG = np.random.default_rng(0)


def test_particles_are_cut_to_a_soft_circle():
    """Within three hundredths of the box from its edge the image falls to zero."""
    box = 50
    images = np.full((1, box, box), 2.0, np.float32)
    treatment = ProcessedTreatment(
        FourierGrid.for_box(box), 20.0, invert=False, chain=(), apix=APIX, scale=1.0
    )
    found = treatment.images(images)[0] / 2
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis)
    inner = box / 2 - EDGE * box
    np.testing.assert_array_equal(found[radius <= inner], 1)
    np.testing.assert_array_equal(found[radius >= box / 2], 0)
    edge = (radius > inner + 0.2) & (radius < box / 2 - 0.2)
    assert ((found[edge] > 0) & (found[edge] < 1)).all()
    assert EDGE * box == 1.5


def test_processed_particles_have_one_scale():
    box = 20
    images = np.random.default_rng(15).standard_normal((3, box, box)).astype(np.float32)
    chain = (processor("math.linear:scale=2:shift=1"),)
    grid = FourierGrid.for_box(box)
    plain = ProcessedTreatment(grid, 8.0, invert=False, chain=(), apix=APIX)
    made = ProcessedTreatment(grid, 8.0, invert=False, chain=chain, apix=APIX, scale=0.5)
    black = ProcessedTreatment(grid, 8.0, invert=True, chain=chain, apix=APIX, scale=0.5)
    expected = plain.images(images) + 0.5 * plain.images(np.ones_like(images))
    np.testing.assert_allclose(made.images(images), expected, atol=1e-5)
    np.testing.assert_allclose(black.images(images), -expected, atol=1e-5)
    clipped = ProcessedTreatment(
        grid, 8.0, invert=False, chain=(processor("math.meanshrink:n=2"),), apix=APIX
    )
    with pytest.raises(ConfigError, match=r"processors math\.meanshrink: change the size"):
        clipped.images(images)


@pytest.mark.parametrize("box", [8, 9])
def test_means_of_shells_are_those_of_the_full_plane(box):
    images = np.random.default_rng(16).standard_normal((2, box, box))
    full = np.abs(np.fft.fft2(images)) ** 2
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.hypot(k[:, None], k)).astype(int)
    expected = [full[:, shell == s].mean(axis=1) for s in range(box // 2 + 1)]
    found = shell_means(np.abs(np.fft.rfft2(images)) ** 2, box)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9)


def test_spectra_of_raw_particles_are_those_of_treated_ones():
    images = RNG.standard_normal((2, BOX, BOX)).astype(np.float32)
    grid = FourierGrid.for_box(BOX)
    treatment = ParticleTreatment(grid, 6.0, invert=False)
    np.testing.assert_array_equal(
        treatment.spectra(images, n_threads=1), grid.image_spectra(treatment.images(images))
    )
