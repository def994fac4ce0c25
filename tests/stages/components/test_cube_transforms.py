"""Sums over a ball of frequencies and a cube are the fast transforms of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from mapsort.stages.components.cube_transforms import CubeTransforms

SIDE, HALF = 21, 10


def in_ball(radius):
    line = np.arange(SIDE) - HALF
    square = line[:, None, None] ** 2 + line[:, None] ** 2 + line[HALF:] ** 2
    return (square <= radius**2)[..., None]


def real_map(q, reach):
    """Maps (side, side, side, q), the origin at index 0, that end where the cube does."""
    rng = np.random.default_rng(q)
    whole = np.zeros((SIDE, SIDE, SIDE, q), np.float32)
    cube = np.arange(-reach, reach + 1) % SIDE
    maps = rng.standard_normal((*(2 * reach + 1,) * 3, q)).astype(np.float32)
    whole[np.ix_(cube, cube, cube)] = maps
    return maps, whole, cube


def transform(whole):
    return scipy.fft.fftshift(scipy.fft.rfftn(whole, axes=(0, 1, 2)), axes=(0, 1))


@pytest.mark.parametrize(("reach", "radius"), [(4, 8), (4, 18), (HALF, 8), (1, 2), (0, 5)])
@pytest.mark.parametrize("q", [1, 3])
def test_frequencies_in_the_ball_are_those_of_the_whole_grid(q, reach, radius):
    maps, whole, _ = real_map(q, reach)
    found, expected = CubeTransforms(SIDE, reach, radius).of_cube(maps), transform(whole)
    inside = in_ball(radius)
    np.testing.assert_allclose(found * inside, expected * inside, atol=2e-4)


@pytest.mark.parametrize(("reach", "radius"), [(4, 8), (4, 18), (HALF, 8), (1, 2), (0, 5)])
@pytest.mark.parametrize("q", [1, 3])
def test_maps_in_the_cube_are_those_of_frequencies_in_the_ball(q, reach, radius):
    _, whole, _ = real_map(q, HALF)
    cube = np.arange(-reach, reach + 1) % SIDE
    volumes = transform(whole) * in_ball(radius)
    stored = scipy.fft.ifftshift(volumes, axes=(0, 1))
    expected = scipy.fft.irfftn(stored, s=(SIDE,) * 3, axes=(0, 1, 2))[np.ix_(cube, cube, cube)]
    found = CubeTransforms(SIDE, reach, radius).to_cube(volumes.astype(np.complex64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_threads_change_no_bit():
    maps, whole, _ = real_map(2, 5)
    volumes = transform(whole).astype(np.complex64)
    one, many = (CubeTransforms(SIDE, 5, 8, n) for n in (1, 3))
    assert one.of_cube(maps).tobytes() == many.of_cube(maps).tobytes()
    assert one.to_cube(volumes).tobytes() == many.to_cube(volumes).tobytes()
