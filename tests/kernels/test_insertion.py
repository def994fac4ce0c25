"""Insertion of slices: the adjoint of slicing, its kernel, its weights and its symmetry copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import i0

from mapsort import _core
from mapsort.geometry.symmetry import symmetry
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.project import project_slices
from mapsort.stages.reconstruct import SliceSums, adjoint_volume

IDENTITY = np.eye(3)[None]


def random_slices(n, box, seed):
    images = np.random.default_rng(seed).standard_normal((n, box, box)).astype(np.float32)
    return np.fft.rfft2(images).astype(np.complex64)


def inserted(slices, weights, rotations, ops=IDENTITY, *, ramp=False, n_threads=1, into=None):
    box = slices.shape[1]
    sums = into or SliceSums.empty(FourierGrid.for_box(box), (box - 1) // 2)
    sums.insert(slices, weights, rotations, ops, ramp=ramp, n_threads=n_threads)
    return sums


def plane_product(a, b, box):
    """Inner product over the whole Fourier plane, of transforms given on the half plane."""
    multiplicity = np.where(np.arange(box // 2 + 1) == 0, 1.0, 2.0)
    return float(np.sum(multiplicity * (np.conj(a.astype(complex)) * b).real))


@pytest.mark.parametrize("box", [20, 21])
@pytest.mark.parametrize("pad", [0, 26, 32])
def test_insertion_is_the_adjoint_of_slicing(box, pad, oracle):
    """As finufft's tests: the error of <Px, y> - <x, P*y> over ||Px|| ||y|| / sqrt(N).

    The two products are sums of N terms of random sign: ||Px|| ||y|| / sqrt(N) is their size.
    """
    pad = pad + 2 if pad and box == 21 else pad
    grid, radius = FourierGrid.for_box(box, pad), float((box - 1) // 2)
    volume = np.random.default_rng(1).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(6, seed=1)
    projected = _core.project_cartesian(
        grid.volume_window(volume, max_radius=radius),
        scale=grid.scale,
        oversampling=grid.scale,
        rotations=rotations,
        max_radius=radius,
        box=box,
    )
    slices = random_slices(6, box, seed=2)
    sums = SliceSums.empty(grid, radius)
    sums.insert(slices, np.ones(slices.shape, np.float32), rotations, IDENTITY, ramp=False)
    there = plane_product(projected, slices, box)
    back = float(np.sum(volume.astype(float) * adjoint_volume(sums)))
    kx, ky = oracle.plane_frequencies(box)
    used = slices * (np.hypot(kx, ky) <= radius)
    norms = np.sqrt(plane_product(projected, projected, box) * plane_product(used, used, box))
    n_terms = 6 * np.pi * radius**2
    assert abs(there) > 0.05 * norms / np.sqrt(n_terms)
    assert abs(there - back) <= 1e-5 * norms / np.sqrt(n_terms)


@pytest.mark.parametrize("frequency", [(3, 2), (0, 4), (5, -3)])
def test_one_sample_is_spread_with_the_kaiser_bessel_kernel(frequency):
    box = 16
    grid = FourierGrid(box, 30)
    kx, ky = frequency
    slices = np.zeros((1, box, box // 2 + 1), np.complex64)
    slices[0, ky % box, kx] = 2 - 3j
    weights = np.zeros(slices.shape, np.float32)
    weights[0, ky % box, kx] = 1.5
    sums = SliceSums.empty(grid, 7.0)
    sums.insert(slices, weights, IDENTITY, IDENTITY, ramp=False)
    width, scale = 6, grid.scale
    beta = np.pi * np.sqrt((width / scale * (scale - 0.5)) ** 2 - 0.8)
    radius = (sums.numerator.shape[0] - 1) // 2
    whole = np.arange(-radius, radius + 1)

    def kernel(points, at):
        distance = 2 * (points - at) / width
        inside = 1 - distance**2
        return np.where(
            (distance >= -1) & (distance < 1),
            i0(beta * np.sqrt(np.maximum(inside, 0))) / i0(beta),
            0.0,
        )

    line = whole[-sums.numerator.shape[2] :]
    spread = (
        kernel(whole, 0.0)[:, None, None]
        * kernel(whole, ky * scale)[:, None]
        * kernel(line, kx * scale)
    )
    np.testing.assert_allclose(sums.numerator, (2 - 3j) * spread, atol=2e-6)
    np.testing.assert_allclose(sums.density, 1.5 * spread, atol=1e-6)


@pytest.mark.parametrize("box", [16, 17])
def test_the_density_is_the_spread_of_the_weights(box, oracle):
    rotations = oracle.random_rotations(4, seed=3)
    shape = (4, box, box // 2 + 1)
    kx, ky = oracle.plane_frequencies(box)
    # even, as CTF^2 is: the sums of mates are then real
    weights = np.ones(shape, np.float32) + np.cos(0.3 * kx**2 + 0.2 * ky**2, dtype=np.float32)
    sums = inserted(weights.astype(np.complex64), weights, rotations)
    numerator = _core.scatter_window(sums.numerator, 2 * box)
    density = _core.scatter_density(sums.density, 2 * box)
    assert density.max() > 1
    np.testing.assert_allclose(numerator, density, atol=1e-5 * density.max())


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


def test_the_ramp_is_twice_the_radius(oracle):
    box = 17
    slices, rotations = random_slices(3, box, seed=6), oracle.random_rotations(3, seed=6)
    weights = np.abs(random_slices(3, box, seed=7))
    radius = np.hypot(*oracle.plane_frequencies(box))
    share = np.where(radius == 0, 0.52, 2 * radius).astype(np.float32)
    with_ramp = inserted(slices, weights, rotations, ramp=True)
    by_hand = inserted(slices * share, weights * share, rotations)
    atol = 1e-5 * np.abs(by_hand.numerator).max()
    np.testing.assert_allclose(with_ramp.numerator, by_hand.numerator, atol=atol)
    np.testing.assert_allclose(with_ramp.density, by_hand.density, atol=atol)


def test_with_the_ramp_even_coverage_has_even_density(oracle):
    box = 16
    n = 3000
    weights = np.ones((n, box, box // 2 + 1), np.float32)
    rotations = oracle.random_rotations(n, seed=8)
    sums = inserted(weights.astype(np.complex64), weights, rotations, ramp=True)
    density = _core.scatter_density(sums.density, 2 * box)
    k = np.fft.fftfreq(2 * box, 1 / (2 * box))
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(box + 1.0) ** 2) / 2
    means = [density[(radius > r - 0.5) & (radius <= r + 0.5)].mean() for r in range(1, 6)]
    assert np.ptp(means) <= 0.03 * np.mean(means)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(n_threads, oracle):
    slices, rotations = random_slices(9, 16, seed=9), oracle.random_rotations(9, seed=9)
    weights, ops = np.abs(random_slices(9, 16, seed=10)), symmetry("d3").matrices
    one = inserted(slices, weights, rotations, ops)
    many = inserted(slices, weights, rotations, ops, n_threads=n_threads)
    assert one.numerator.tobytes() == many.numerator.tobytes()
    assert one.density.tobytes() == many.density.tobytes()


def test_neither_do_calls_nor_batches(oracle):
    """120 slices x 24 copies x 91 samples are more than one batch of 2^18."""
    slices, rotations = random_slices(120, 16, seed=11), oracle.random_rotations(120, seed=11)
    weights, ops = np.abs(random_slices(120, 16, seed=12)), symmetry("oct").matrices
    once = inserted(slices, weights, rotations, ops)
    twice = inserted(slices[:50], weights[:50], rotations[:50], ops)
    inserted(slices[50:], weights[50:], rotations[50:], ops, into=twice)
    assert once.numerator.tobytes() == twice.numerator.tobytes()
    assert once.density.tobytes() == twice.density.tobytes()


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


def test_a_slice_inserted_is_the_slice_read_back():
    """On the plane of the slice, numerator over density gives back what was put in."""
    box = 16
    volume = np.random.default_rng(15).standard_normal((box,) * 3).astype(np.float32)
    one = project_slices(volume, IDENTITY, max_radius=6.0)
    grid = FourierGrid(box, box * 2)
    sums = SliceSums.empty(grid, 6.0)
    sums.insert(one, np.ones(one.shape, np.float32), IDENTITY, IDENTITY, ramp=False)
    numerator = _core.scatter_window(sums.numerator, grid.padded)[0, ::2, ::2]
    density = _core.scatter_density(sums.density, grid.padded)[0, ::2, ::2]
    # neighbours at one Fourier pixel = two grid points leak in by phi(2), as they do in the density
    smooth = np.divide(numerator, density, out=np.zeros_like(numerator), where=density > 0.5)
    correlation = np.vdot(smooth[:, :6], one[0][:, :6]).real / (
        np.linalg.norm(smooth[:, :6]) * np.linalg.norm(one[0][:, :6])
    )
    assert correlation > 0.9
