"""Slices by linear interpolation, their adjoint, and the grid's transforms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.stages.components.band import Band
from mapsort.stages.components.slice_grid import FINENESS, SliceGrid

BAND = Band(20, 6)
GRID = SliceGrid(BAND, 5, 7.0)


def turns(n, seed=1):
    return Rotation.random(n, random_state=seed).as_matrix()


def complex_noise(shape, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def whole_space(volume):
    """(side, side, side) of a stored half (side, side, half + 1): the rest are Friedel mates."""
    return np.concatenate([volume[::-1, ::-1, :0:-1].conj(), volume], axis=2)


def trilinear(whole, point):
    """Value of an array at a point (x, y, z) from its middle, corner by corner."""
    total, half = 0.0, len(whole) // 2
    base = np.floor(point).astype(int)
    for corner in np.ndindex(2, 2, 2):
        at = base + corner
        weight = np.prod(1 - np.abs(point - at))
        x, y, z = at + half
        total += weight * whole[z, y, x]
    return total


def real_map(seed, q=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((*(GRID.side,) * 3, q)).astype(np.float32)


def test_slices_are_trilinear_values_on_the_plane():
    volumes = GRID.fourier(real_map(2, 3))
    rotations = turns(4)
    slices = GRID.slices(volumes, rotations)
    frequencies = BAND.frequencies[: GRID.n_points]
    for column in range(3):
        whole = whole_space(volumes[:, column].reshape(GRID.shape))
        for view, rotation in enumerate(rotations):
            points = FINENESS * frequencies @ rotation[:2]
            expected = [trilinear(whole, point) for point in points]
            np.testing.assert_allclose(
                slices[view, :, column], expected, atol=2e-4 * np.abs(whole).max()
            )


@pytest.mark.parametrize("n_threads", [1, 3])
def test_insertion_is_the_adjoint_of_slicing(n_threads):
    """Over the whole space and plane: of both, half is stored."""
    grid = SliceGrid(BAND, 5, 7.0, n_threads)
    volumes, rotations = grid.fourier(real_map(3)), turns(7)
    data = complex_noise((7, grid.n_points), 4)
    ones = np.ones((7, 1), np.float32)
    numerator, _ = grid.insert(data, ones, np.abs(data), ones, rotations)
    multiplicity = np.where(np.arange(grid.voxels) % (grid.half + 1) == 0, 1, 2)[:, None]
    of_maps = np.sum(multiplicity * (numerator.conj() * volumes).real, dtype=float)
    of_slices = 2 * np.sum(
        (data.conj() * grid.slices(volumes, rotations)[..., 0]).real, dtype=float
    )
    size = np.linalg.norm(data) * np.linalg.norm(grid.slices(volumes, rotations))
    assert abs(of_maps - of_slices) / size < 1e-5


def test_columns_are_inserted_with_their_own_weights():
    rng = np.random.default_rng(5)
    data, rotations = complex_noise((6, GRID.n_points), 6), turns(6)
    density = rng.random((6, GRID.n_points)).astype(np.float32)
    above, below = (rng.standard_normal((6, k)).astype(np.float32) for k in (2, 3))
    numerator, denominator = GRID.insert(data, above, density, below, rotations)
    ones = np.ones((6, 1), np.float32)
    for column in range(2):
        alone = GRID.insert(data * above[:, column, None], ones, density, ones, rotations)[0]
        np.testing.assert_allclose(numerator[:, column], alone[:, 0], atol=1e-4)
    for column in range(3):
        weighted = density * below[:, column, None]
        # as data without imaginary part
        alone = GRID.insert(weighted.astype(np.complex64), ones, density, ones, rotations)[0]
        np.testing.assert_allclose(denominator[:, column], alone[:, 0].real, atol=1e-4)


def test_threads_change_no_bit():
    data, rotations = complex_noise((40, GRID.n_points), 7), turns(40)
    weights = np.random.default_rng(8).random((40, 3)).astype(np.float32)
    results = []
    for n_threads in (1, 2, 7):
        grid = SliceGrid(BAND, 5, 7.0, n_threads)
        sums = grid.insert(data, weights, np.abs(data), weights, rotations)
        results.append((*sums, grid.slices(sums[0], rotations)))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert first.tobytes() == second.tobytes()


def test_transforms_there_and_back():
    maps = real_map(9, 2)
    np.testing.assert_allclose(GRID.real(GRID.fourier(maps)), maps, atol=1e-5)


def test_a_blob_in_the_box_is_where_it_was():
    """A Gaussian on the grid, of band-limited width, comes out in the box at the same place."""
    line = np.fft.ifftshift(np.arange(GRID.side) - GRID.half) * GRID.pixel
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    width = 2.0
    blob = np.exp(-((x - 2.0) ** 2 + (y + 1.0) ** 2 + (z - 1.0) ** 2) / (2 * width**2))
    boxed = SliceGrid(BAND, 5, 7.0).boxed(GRID.fourier(blob[..., None].astype(np.float32)))
    assert boxed.shape == (1, 20, 20, 20)
    at = np.unravel_index(boxed[0].argmax(), boxed[0].shape)
    assert tuple(np.array(at) - 10) == (1, -1, 2)


def test_derivatives_are_those_of_the_slices():
    """The first moments give how a slice changes when its plane is moved."""
    line = np.fft.ifftshift(np.arange(GRID.side) - GRID.half) * GRID.pixel
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    blob = np.exp(-((x - 1.0) ** 2 + (y + 2.0) ** 2 + (z - 0.5) ** 2) / 4.5)
    moments = GRID.moments(GRID.fourier(blob[..., None].astype(np.float32)))
    step = 1e-2
    rotations = turns(3)
    turned = Rotation.from_rotvec([0, 0, step]).as_matrix() @ rotations
    back = Rotation.from_rotvec([0, 0, -step]).as_matrix() @ rotations
    slices = [GRID.slices(moments, views) for views in (rotations, turned, back)]
    fx, fy = BAND.frequencies[: GRID.n_points].T
    along = np.einsum("kij,kmj->kim", rotations, 1j * slices[0][..., 1:])
    expected = fy * along[:, 0] - fx * along[:, 1]
    found = (slices[1] - slices[2])[..., 0] / (2 * step)
    # linear interpolation between grid points has slopes of its own
    assert np.linalg.norm(found - expected) < 0.15 * np.linalg.norm(expected)


@pytest.mark.parametrize("rings", [4, 11, 14, 28])
def test_grids_hold_what_slices_touch(rings):
    grid = SliceGrid(Band(2 * rings + 4, rings), rings, 5.0)
    volume = np.zeros((grid.voxels, 1), np.complex64)
    assert np.isfinite(grid.slices(volume, turns(50))).all()
    assert grid.half >= FINENESS * (rings + 0.5)


def test_maps_that_differ_end_where_the_region_does():
    """A blob in the region stays, its mirror image goes; what all have in common stays whole."""
    place = np.array([1.0, -1.0, 3.0])  # z, y, x
    z, y, x = np.mgrid[:20, :20, :20] - 10
    apart = np.sqrt((z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2)
    grid = SliceGrid(BAND, 5, 7.0, region=np.clip(4.0 - apart, 0, 1).astype(np.float32))
    line = np.fft.ifftshift(np.arange(GRID.side) - GRID.half) * GRID.pixel
    points = np.meshgrid(line, line, line, indexing="ij")

    def blob(centre):
        return np.exp(-sum((p - c) ** 2 for p, c in zip(points, centre, strict=True)) / 2)

    both = np.stack([blob(place) + blob(-place)] * 2, axis=-1).astype(np.float32)
    kept = grid.real(grid.focused(grid.fourier(both), common=1))
    np.testing.assert_allclose(kept[..., 0], both[..., 0], atol=1e-5)
    np.testing.assert_allclose(kept[..., 1], blob(place), atol=0.03)
    whole = GRID.fourier(both)
    assert GRID.focused(whole) is whole


@pytest.mark.parametrize("radius", [4.0, 7.0, 30.0])
def test_maps_in_the_cube_are_those_of_the_whole_grid(radius: float):
    """The cube holds all that the window leaves; a sphere larger than the box leaves everything."""
    grid = SliceGrid(BAND, 5, radius)
    whole = real_map(9, 2) * grid.window[..., None]
    volumes = grid.fourier(whole)
    cube = grid.in_cube(volumes)
    n = len(cube)
    assert n == len(grid.cube_window) <= grid.side
    place = (np.arange(n) - n // 2) % grid.side
    np.testing.assert_allclose(cube, whole[np.ix_(place, place, place)], atol=1e-5)
    np.testing.assert_array_equal(grid.cube_window, grid.window[np.ix_(place, place, place)])
    # what lies outside is zero
    assert np.count_nonzero(grid.window) == np.count_nonzero(grid.cube_window)
    size = np.abs(volumes).max()
    np.testing.assert_allclose(grid.of_cube(cube), volumes, atol=1e-5 * size)


def test_a_mask_is_the_window_and_a_weight():
    volumes = GRID.fourier(real_map(9, 2))
    weight = np.random.default_rng(2).random(GRID.cube_window.shape).astype(np.float32)
    n = len(weight)
    place = (np.arange(n) - n // 2) % GRID.side
    full = np.zeros((GRID.side,) * 3, np.float32)
    full[np.ix_(place, place, place)] = weight
    for found, where in (
        (GRID.masked(volumes), GRID.window),
        (GRID.masked(volumes, weight), GRID.window * full),
    ):
        expected = GRID.fourier(GRID.real(volumes) * where[..., None])
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_differences_are_placed_within_window_and_region():
    region = np.zeros((20, 20, 20), np.float32)
    region[4:12, 5:15, 8:14] = 1.0
    grid = SliceGrid(BAND, 5, 7.0, region=region)
    volumes = grid.fourier(real_map(9, 2))
    expected = grid.focused(grid.masked(volumes))
    found = grid.of_cube(grid.placed(volumes))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    elsewhere = grid.masked(volumes)
    assert np.abs(elsewhere - expected).max() > 0.1 * np.abs(elsewhere).max()


@pytest.mark.parametrize("q", [1, 2, 3, 4, 5])
def test_maps_are_read_alike_however_many(q):
    volumes, rotations = GRID.fourier(real_map(11, q)), turns(3)
    slices = GRID.slices(volumes, rotations)
    for column in range(q):
        alone = GRID.slices(volumes[:, column : column + 1], rotations)
        np.testing.assert_allclose(slices[..., column], alone[..., 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("q", [1, 2, 4, 5])
def test_slices_are_added_to_sums(q):
    """Also in parts; slices of no weight leave no trace."""
    data, rotations = complex_noise((9, GRID.n_points), 12), turns(9)
    weights = np.random.default_rng(13).random((9, q)).astype(np.float32)
    weights[4:6] = 0
    every = GRID.insert(data, weights, np.abs(data), weights, rotations)
    sums = GRID.no_sums(q, q)
    for part in (slice(0, 4), slice(6, 9)):
        own = weights[part]
        GRID.add(sums, data[part], own, np.abs(data[part]), own, rotations[part])
    GRID.add_mates(sums)
    for one, other in zip(every, sums, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_kept_voxels_are_those_inside_in_order():
    values = complex_noise((len(GRID.kept), 2), 14)
    whole = GRID.spread(values)
    np.testing.assert_array_equal(whole[GRID.kept], values)
    assert not whole[GRID.inside[:, 0] == 0].any()
