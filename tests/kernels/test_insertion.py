"""Insertion of slices: the adjoint of slicing, its kernel, its weights and its symmetry copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import i0

from mapsort import _core
from mapsort.geometry.symmetry import symmetry
from mapsort.physics.fourier_projection import kernel_profile
from mapsort.stages.reconstruct.insertion_grid import INSERTION_WIDTH, InsertionGrid
from mapsort.stages.reconstruct.normal_equations import adjoint_volume
from mapsort.stages.reconstruct.slice_sums import SliceSums

IDENTITY = np.eye(3)[None]


def random_slices(n, box, seed):
    images = np.random.default_rng(seed).standard_normal((n, box, box)).astype(np.float32)
    return np.fft.rfft2(images).astype(np.complex64)


def inserted(slices, weights, rotations, ops=IDENTITY, *, n_threads=1, into=None):
    box = slices.shape[1]
    sums = into or SliceSums.empty(InsertionGrid.for_box(box), (box - 1) // 2)
    sums.insert(slices, weights, rotations, ops, n_threads=n_threads)
    return sums


def plane_product(a, b, box):
    """Inner product over the whole Fourier plane, of transforms given on the half plane."""
    multiplicity = np.where(np.arange(box // 2 + 1) == 0, 1.0, 2.0)
    return float(np.sum(multiplicity * (np.conj(a.astype(complex)) * b).real))


def project_with_the_insertion_kernel(volume, rotations, grid, radius):
    """Slices of a padded transform, read with the very kernel that insertion spreads with."""
    box, padded, width = grid.box, grid.padded, INSERTION_WIDTH
    line = kernel_profile(box, padded, 2 * box, width)
    corner = (np.arange(box) - box // 2) % padded
    whole = np.zeros((padded,) * 3)
    whole[np.ix_(corner, corner, corner)] = volume / (line[:, None, None] * line[:, None] * line)
    spectrum = np.fft.rfftn(whole).astype(np.complex64)
    window = _core.gather_window(spectrum, radius * grid.scale, width=width)
    return _core.project_cartesian(
        _core.Window(window, scale=grid.scale, oversampling=0.5 * grid.scale, width=width),
        rotations=rotations,
        max_radius=radius,
        box=box,
    )


@pytest.mark.parametrize("box", [20, 21])
@pytest.mark.parametrize("pad", [0, 54, 60])
def test_insertion_is_the_adjoint_of_slicing(box, pad, oracle):
    """As finufft's tests: the error of <Px, y> - <x, P*y> over ||Px|| ||y|| / sqrt(N).

    The two products are sums of N terms of random sign: ||Px|| ||y|| / sqrt(N) is their size.
    """
    grid, radius = InsertionGrid.for_box(box, pad), float((box - 1) // 2)
    volume = np.random.default_rng(1).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(6, seed=1)
    projected = project_with_the_insertion_kernel(volume, rotations, grid, radius)
    slices = random_slices(6, box, seed=2)
    sums = SliceSums.empty(grid, radius)
    sums.insert(slices, np.ones(slices.shape, np.float32), rotations, IDENTITY)
    there = plane_product(projected, slices, box)
    back = float(np.sum(volume.astype(float) * adjoint_volume(sums)))
    kx, ky = oracle.plane_frequencies(box)
    used = slices * (np.hypot(kx, ky) <= radius)
    norms = np.sqrt(plane_product(projected, projected, box) * plane_product(used, used, box))
    n_terms = 6 * np.pi * radius**2
    assert abs(there) > 0.05 * norms / np.sqrt(n_terms)
    assert abs(there - back) <= 1e-5 * norms / np.sqrt(n_terms)


def kaiser_bessel(points, at, oversampling):
    """Kernel of five grid points, by its definition."""
    width = 5
    beta = np.pi * np.sqrt((width / oversampling * (oversampling - 0.5)) ** 2 - 0.8)
    distance = 2 * (points - at) / width
    value = i0(beta * np.sqrt(np.maximum(1 - distance**2, 0))) / i0(beta)
    return np.where((distance >= -1) & (distance < 1), value, 0.0)


def spread_of_one(window, frequency, scale):
    """What a sample at (kx, ky, 0) Fourier pixels leaves in a window."""
    radius = (window.shape[0] - 1) // 2
    whole = np.arange(-radius, radius + 1)
    lines = (whole[-window.shape[2] :], whole, whole)
    x, y, z = (
        kaiser_bessel(points, k * scale, scale / 2)
        for points, k in zip(lines, (*frequency, 0), strict=True)
    )
    return z[:, None, None] * y[:, None] * x


@pytest.mark.parametrize("frequency", [(3, 2), (0, 4), (5, -3)])
def test_one_sample_is_spread_with_the_kaiser_bessel_kernel(frequency):
    box = 16
    grid = InsertionGrid(box, 42)
    kx, ky = frequency
    slices = np.zeros((1, box, box // 2 + 1), np.complex64)
    slices[0, ky % box, kx] = 2 - 3j
    weights = np.zeros(slices.shape, np.float32)
    weights[0, ky % box, kx] = 1.5
    sums = SliceSums.empty(grid, 7.0)
    sums.insert(slices, weights, IDENTITY, IDENTITY)
    expected = spread_of_one(sums.density, frequency, grid.scale)
    # the kernel's polynomials are good to 1e-6; the sample's size is 3.6
    np.testing.assert_allclose(sums.numerator, (2 - 3j) * expected, atol=4e-6)
    np.testing.assert_allclose(sums.density, 1.5 * expected, atol=2e-6)


@pytest.mark.parametrize("box", [16, 17])
def test_weights_spread_as_slices_do(box, oracle):
    """A real, even slice that equals its weights leaves the same in both parts of the window."""
    rotations = oracle.random_rotations(4, seed=3)
    kx, ky = oracle.plane_frequencies(box)
    weights = np.ones((4, box, box // 2 + 1), np.float32)
    weights += np.cos(0.3 * kx**2 + 0.2 * ky**2, dtype=np.float32)
    sums = inserted(weights.astype(np.complex64), weights, rotations)
    assert sums.density.max() > 1
    np.testing.assert_array_equal(sums.numerator.real, sums.density)
    np.testing.assert_array_equal(sums.numerator.imag, 0)


@pytest.mark.parametrize("name", ["c3", "d2", "tet"])
def test_symmetry_copies_are_insertions_at_every_equivalent_rotation(name, oracle):
    box, ops = 16, symmetry(name).matrices
    slices = random_slices(3, box, seed=4)
    weights = np.abs(random_slices(3, box, seed=5))
    rotations = oracle.random_rotations(3, seed=5)
    found = inserted(slices, weights, rotations, ops)
    explicit = inserted(
        np.repeat(slices, len(ops), axis=0),
        np.repeat(weights, len(ops), axis=0),
        np.concatenate([rotation @ ops for rotation in rotations]),
    )
    atol = 1e-5 * np.abs(explicit.numerator).max()
    np.testing.assert_allclose(found.numerator, explicit.numerator, atol=atol)
    np.testing.assert_allclose(found.density, explicit.density, atol=atol)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(n_threads, oracle):
    slices, rotations = random_slices(9, 16, seed=9), oracle.random_rotations(9, seed=9)
    weights, ops = np.abs(random_slices(9, 16, seed=10)), symmetry("d3").matrices
    one = inserted(slices, weights, rotations, ops)
    many = inserted(slices, weights, rotations, ops, n_threads=n_threads)
    assert one.numerator.tobytes() == many.numerator.tobytes()
    assert one.density.tobytes() == many.density.tobytes()


def test_several_batches_add_up(oracle):
    """700 slices x 24 copies x 91 samples are more than one batch of 2^20."""
    slices, rotations = random_slices(700, 16, seed=11), oracle.random_rotations(700, seed=11)
    weights, ops = np.abs(random_slices(700, 16, seed=12)), symmetry("oct").matrices
    once = inserted(slices, weights, rotations, ops)
    parts = inserted(slices[:150], weights[:150], rotations[:150], ops)
    for part in (slice(150, 400), slice(400, 700)):
        inserted(slices[part], weights[part], rotations[part], ops, into=parts)
    # near the origin float sums of 10^5 terms, in another order
    atol = 1e-4 * np.abs(once.numerator).max()
    np.testing.assert_allclose(parts.numerator, once.numerator, atol=atol)
    np.testing.assert_allclose(parts.density, once.density, atol=1e-4 * once.density.max())


def test_sums_of_halves_are_the_sum_over_all(oracle):
    slices, rotations = random_slices(8, 16, seed=13), oracle.random_rotations(8, seed=13)
    weights = np.abs(random_slices(8, 16, seed=14))
    whole = inserted(slices, weights, rotations)
    halves = inserted(slices[:4], weights[:4], rotations[:4]) + inserted(
        slices[4:], weights[4:], rotations[4:]
    )
    atol = 1e-5 * np.abs(whole.numerator).max()
    np.testing.assert_allclose(halves.numerator, whole.numerator, atol=atol)
    np.testing.assert_allclose(halves.density, whole.density, atol=atol)
