"""Soft assignment against sums written out pose by pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mapsort.stages.abinit.expectation import (
    Poses,
    Slices,
    best_poses,
    chances,
    expected,
    scored,
    without_map,
)
from mapsort.stages.abinit.polar import PolarGrid, PolarParticles, half_rings, orders_of
from mapsort.stages.components.band import Band, BandParticles
from mapsort.stages.components.slice_grid import FINENESS

BOX, RINGS, ANGLES = 32, 4, 12


@pytest.fixture(scope="module")
def grid():
    return PolarGrid(Band(BOX, RINGS + 2), RINGS, 12.0, 1, angles=ANGLES)


def random_complex(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.fixture(scope="module")
def problem(grid):
    """Three particles, two maps at two views, five shifts."""
    rng = np.random.default_rng(1)
    count = grid.half_angles
    particles = PolarParticles(
        data=random_complex(rng, 3, RINGS, count),
        transfer_power=rng.uniform(0.2, 1.0, (3, RINGS)).astype(np.float32),
        power=rng.uniform(2.0, 4.0, (3, RINGS)).astype(np.float32),
    )
    # smooth along rings, so that turned slices have no orders beyond the last
    orders = random_complex(rng, ANGLES // 2 + 1, 4, RINGS)
    orders[3:] = 0
    orders[::2] = orders[::2].real
    slices = Slices(
        grid,
        half_rings(orders)[None],
        np.log(np.array([0.1, 0.2, 0.3, 0.4])),
        rng.uniform(1.0, 2.0, RINGS),
        0.7,
    )
    turns = np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])])
    origins = np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]], float)
    return particles, slices, Poses(turns[None, None], origins[None], np.log(np.full((1, 5), 0.2)))


def written_out(problem):
    """Return log probabilities (n, references, shifts, angles) by sums over whole rings."""
    particles, slices, poses = problem
    grid = slices.grid
    whole = np.concatenate([slices.data[0], slices.data[0].conj()], axis=-1)
    weight = np.pi * 0.7 * np.arange(1, RINGS + 1) / slices.noise
    found = np.empty((len(particles), len(whole), 5, ANGLES))
    for o, origin in enumerate(poses.origins[0]):
        phase = -2j * np.pi / BOX * (grid.points @ origin)
        moved = particles.data * np.exp(phase).reshape(RINGS, -1)
        moved = np.concatenate([moved, moved.conj()], axis=-1)
        for turn in range(ANGLES):
            turned = np.roll(whole, -turn, axis=-1)
            cross = np.einsum("nra,dra->ndr", moved.conj(), turned).real / ANGLES
            norm = particles.transfer_power[:, None] * np.mean(np.abs(whole) ** 2, axis=2)
            gain = (weight * (2 * cross - norm)).sum(axis=2)
            found[:, :, o, turn] = gain + slices.prior + poses.origin_prior[0, o] - np.log(ANGLES)
    return found + without_map(particles.power, slices.noise, 0.7)[:, None, None, None]


def test_orders_and_half_rings_are_each_other_s_inverse():
    rings = random_complex(np.random.default_rng(2), 5, 3, 8)
    orders = np.moveaxis(orders_of(rings), -1, 0)
    np.testing.assert_allclose(half_rings(orders), rings, atol=1e-5)


def test_the_evidence_is_the_sum_over_all_poses(problem):
    found = chances(scored(*problem)).evidence
    np.testing.assert_allclose(
        found, np.log(np.exp(written_out(problem)).sum(axis=(1, 2, 3))), rtol=1e-4
    )


def test_the_likeliest_pose_is_found(problem):
    poses = problem[2]
    number, rotations, origins = best_poses(scored(*problem).score, poses).likeliest
    table = written_out(problem)
    for particle, own in enumerate(table):
        reference, shift, turn = np.unravel_index(own.argmax(), own.shape)
        assert number[particle] == reference // 2
        np.testing.assert_array_equal(origins[particle], poses.origins[0, shift])
        angle = 2 * np.pi * turn / ANGLES
        in_plane = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        expected_view = poses.rotations[0, 0, reference % 2].copy()
        expected_view[:2] = in_plane @ expected_view[:2]
        np.testing.assert_allclose(rotations[particle], expected_view, atol=1e-6)


def test_sums_are_those_of_particles_turned_and_shifted_by_probability(problem):
    particles, slices, poses = problem
    table = written_out(problem)
    chance = np.exp(table - table.max(axis=(1, 2, 3), keepdims=True))
    chance /= chance.sum(axis=(1, 2, 3), keepdims=True)
    whole = np.zeros((4, RINGS, ANGLES), complex)
    for o, origin in enumerate(poses.origins[0]):
        phase = -2j * np.pi / BOX * (slices.grid.points @ origin)
        moved = particles.data * np.exp(phase).reshape(RINGS, -1)
        moved = np.concatenate([moved, moved.conj()], axis=-1)
        for turn in range(ANGLES):
            part = np.einsum("nk,nra->kra", chance[:, :, o, turn], moved)
            whole += np.roll(part, turn, axis=-1)
    sums = expected(particles, slices, poses)
    np.testing.assert_allclose(sums.numerator[0], whole[..., : ANGLES // 2], atol=1e-4)
    by_view = chance.sum(axis=(2, 3))
    np.testing.assert_allclose(sums.share[0], by_view.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(sums.density[0], by_view.T @ particles.transfer_power, rtol=1e-4)
    squares = np.sum(poses.origins[0] ** 2, axis=1)
    assert sums.shift_square == pytest.approx((chance.sum(axis=(1, 3)) @ squares).sum(), rel=1e-4)
    # what is left of the particles, pose by pose
    left = particles.power.sum(axis=0, dtype=float)
    left -= 2 * np.mean(whole[..., : ANGLES // 2].conj() * slices.data[0], axis=2).real.sum(axis=0)
    left += np.sum(by_view.T @ particles.transfer_power * slices.power[0], axis=0)
    np.testing.assert_allclose(sums.residual, left, rtol=1e-3)
    both = sums + sums
    assert both.count == 2 * len(particles)
    assert both.likelihood == pytest.approx(2 * sums.likelihood)


def test_poses_of_their_own_are_summed_as_poses_of_all(problem):
    """Each particle with the same views and shifts, given to it as its own."""
    particles, slices, poses = problem
    n = len(particles)
    own = Poses(
        *(
            np.repeat(values, n, axis=0)
            for values in (poses.rotations, poses.origins, poses.origin_prior)
        )
    )
    mine = replace(slices, data=np.repeat(slices.data, n, axis=0))
    alike, found = expected(particles, slices, poses), expected(particles, mine, own)
    for name in ("numerator", "density", "share"):
        np.testing.assert_allclose(
            getattr(found, name).sum(axis=0), getattr(alike, name)[0], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(found.residual, alike.residual, rtol=1e-4)
    assert found.shift_square == pytest.approx(alike.shift_square, rel=1e-5)
    assert found.likelihood == pytest.approx(alike.likelihood, rel=1e-5)
    for got, expected_pose in zip(
        best_poses(scored(particles, mine, own).score, own).likeliest,
        best_poses(scored(*problem).score, poses).likeliest,
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected_pose)


@pytest.mark.parametrize("steep", [0.0, 0.05, 0.15])
def test_particles_on_rings_are_their_transforms_there(grid, steep):
    """Against the sum over pixels, for an image that lies within the circle.

    Its transfer is the same everywhere, or falls, or goes up and down in three rings.
    """
    rng = np.random.default_rng(3)
    line = np.arange(BOX) - BOX // 2
    image = np.zeros((1, BOX, BOX))
    for x, y in rng.uniform(-7, 7, (20, 2)):
        image += rng.uniform(-1, 1) * np.exp(
            -((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 1.5**2)
        )
    # the band leaves out the origin, where contrast transfer is next to nothing
    near = np.exp(-(line**2 + line[:, None] ** 2) / (2 * 4.0**2))
    image -= near * image.sum() / near.sum()
    band = grid.band
    centred = np.fft.fft2(np.fft.ifftshift(image, axes=(1, 2)))[:, :, : BOX // 2 + 1]
    spectra = centred.reshape(1, -1)[:, band.places].astype(np.complex64)
    transfer = np.cos(steep * np.hypot(*band.frequencies.T) ** 2)[None].astype(np.float32)
    on_ring = np.cos(steep * np.arange(1, RINGS + 1) ** 2)
    seen = grid.particles(BandParticles(band, 1.0, spectra, transfer), np.array([0]))
    waves = np.exp(
        -2j * np.pi / BOX * np.einsum("pk,kyx->pyx", grid.points, np.meshgrid(line, line))
    )
    exact = np.einsum("pyx,yx->p", waves, image[0]).reshape(RINGS, -1)
    error = np.abs(seen.data[0] - on_ring[:, None] * exact)
    assert error.max() < 0.03 * np.abs(exact).max()
    np.testing.assert_allclose(seen.power[0], np.mean(np.abs(exact) ** 2, axis=1), rtol=0.02)
    np.testing.assert_allclose(seen.transfer_power[0], on_ring**2, atol=0.02)


def test_transfer_that_rises_steeply_counts_as_it_is_on_the_circle(grid):
    """The mean of the coefficients nearest to ring 2 would be a fifth too high."""
    radius = np.hypot(*grid.band.frequencies.T)
    spectra = np.zeros((1, len(radius)), np.complex64)
    transfer = (0.05 * radius**2 + 0.1)[None].astype(np.float32)
    seen = grid.particles(BandParticles(grid.band, 1.0, spectra, transfer), np.array([0]))
    rings = np.arange(1, RINGS + 1)
    np.testing.assert_allclose(seen.transfer_power[0], (0.05 * rings**2 + 0.1) ** 2, rtol=0.06)


@pytest.mark.parametrize("steep", [0.04, 0.15])
def test_a_map_leaves_nothing_of_its_own_particle_without_noise(grid, steep):
    """In no ring, or the noise there comes out as none and the ring decides alone.

    The object's power falls by the power of two with the ring: coefficients of other radii do not
    stand for those on the circle.
    """
    sharpness = 0.2
    radius = np.hypot(*grid.band.frequencies.T)
    transfer = np.asarray(np.sin(steep * radius**2) + 0.02, np.float32)[None]
    spectra = (transfer * np.exp(-sharpness * radius**2)).astype(np.complex64)
    seen = grid.particles(BandParticles(grid.band, 1.0, spectra, transfer), np.array([0]))
    line = (np.arange(grid.side) - grid.half) / FINENESS
    square = line[:, None, None] ** 2 + line[:, None] ** 2 + line[grid.half :] ** 2
    maps = np.exp(-sharpness * square).astype(np.complex64).reshape(-1, 1)
    slices = grid.polar_slices(maps, np.eye(3)[None])
    agreed = (seen.data.conj() * slices).real.mean(axis=-1)
    kept = seen.transfer_power * np.mean(np.abs(slices) ** 2, axis=-1)
    left = (seen.power - 2 * agreed + kept) / seen.power
    # a square, but for rounding: never below nothing
    assert left.min() > -1e-3
    # the origin, which the band does not hold, costs ring 1 some
    assert left.max() < 0.1
