"""Images of particles and slices of maps, and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.physics.phantom import phantom_map
from mapsort.stages.fourier_grid import (
    FourierGrid,
    centred_transform,
    shift_images,
)
from mapsort.stages.project import image_slices, project_images, project_slices
from mapsort.stages.reconstruct.particle_slices import weighted_slices

BOX, APIX = 16, 8.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


@pytest.mark.parametrize("box", [16, 17])
def test_whole_shifts_roll_images(box):
    images = np.random.default_rng(7).standard_normal((3, box, box)).astype(np.float32)
    shifts = np.array([[0, 0], [3, -2], [-1, 5]])
    spectra = np.fft.rfft2(images).astype(np.complex64)
    shift_images(spectra, shifts)
    rolled = [np.roll(i, (y, x), axis=(0, 1)) for i, (x, y) in zip(images, shifts, strict=True)]
    np.testing.assert_allclose(np.fft.irfft2(spectra, s=(box, box)), rolled, atol=1e-5)


@pytest.mark.parametrize(
    ("box", "pad", "padded"),
    [
        (32, 0, 64),
        (33, 0, 66),
        (32, 40, 40),
        (32, 41, 42),
        (32, 39, 40),
        (32, 10, 40),
        (33, 10, 42),
    ],
)
def test_padding_is_even_and_at_least_a_quarter_more(box, pad, padded):
    grid = FourierGrid.for_box(box, pad)
    assert (grid.padded, grid.scale) == (padded, padded / box)


@pytest.mark.parametrize("box", [16, 17])
@pytest.mark.parametrize("max_radius", [None, 4.0])
def test_images_of_projections_lack_what_slices_lack(box, max_radius):
    """Corners and, of an even box, the Nyquist row and column."""
    images = np.random.default_rng(8).standard_normal((2, box, box)).astype(np.float32)
    found = image_slices(images, max_radius=max_radius)
    k = np.fft.fftfreq(box, 1 / box)[:, None]
    x = np.arange(box // 2 + 1)
    inside = np.hypot(k, x) <= (max_radius or box // 2)
    inside &= (2 * np.abs(k) != box) & (2 * x != box)
    np.testing.assert_allclose(found, centred_transform(images) * inside, atol=1e-5)
    slices = project_slices(
        np.random.default_rng(9).standard_normal((box,) * 3), turns(2, 9), max_radius=max_radius
    )
    assert not slices[:, ~inside].any()
    assert (slices[:, inside] != 0).all()


def test_projections_are_moved_by_their_shifts():
    volume = phantom_map(0, BOX, APIX)
    rotations = turns(3, seed=10)
    still = project_images(volume, rotations)
    moved = project_images(volume, rotations, shifts=np.array([[0, 0], [2, -1], [0, 3]]))
    for k, (x, y) in enumerate([(0, 0), (2, -1), (0, 3)]):
        expected = np.roll(still[k], (y, x), axis=(0, 1))
        np.testing.assert_allclose(moved[k], expected, atol=1e-4 * np.abs(expected).max())
    unmoved = project_images(volume, rotations, shifts=np.zeros((3, 2)))
    np.testing.assert_array_equal(unmoved, still)


@pytest.mark.parametrize("box", [16, 17])
def test_slices_of_images_are_weighted_and_centred(box):
    rng = np.random.default_rng(11)
    images = rng.standard_normal((3, box, box)).astype(np.float32)
    shifts = np.array([[1, 0], [-2, 3], [0, 0]])
    transfer = rng.uniform(-1, 1, (3, box, box // 2 + 1)).astype(np.float32)
    weights = np.array([0.5, 1.0, 3.0])
    centred = [np.roll(i, (-y, -x), axis=(0, 1)) for i, (x, y) in zip(images, shifts, strict=True)]
    spectra = centred_transform(np.stack(centred))
    share = weights[:, None, None]
    numerator, density = weighted_slices(images, shifts=shifts, transfer=transfer, weights=weights)
    scale = np.abs(spectra).max()
    np.testing.assert_allclose(numerator, share * transfer * spectra, atol=1e-5 * scale)
    np.testing.assert_allclose(density, share * transfer**2, rtol=1e-5)
    numerator, density = weighted_slices(images)
    np.testing.assert_allclose(numerator, centred_transform(images), atol=1e-5 * scale)
    assert (density == 1).all()
