"""Particles are prepared for the decomposition as their closed-form transforms say."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import NumericalError
from mapsort.geometry.symmetry import symmetry
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.stages.components.band import CIRCLE, Band, BandParticles, without_background
from mapsort.stages.components.folds import deal_folds
from mapsort.stages.components.observed import Observed, power_of
from mapsort.stages.fourier_grid import centred_transform

BOX, APIX = 40, 5.0


def blob(centre, width=2.5, noise=0.0, seed=0):
    line = np.arange(BOX) - BOX // 2
    y, x = np.meshgrid(line, line, indexing="ij")
    image = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
    return image + noise * np.random.default_rng(seed).standard_normal(image.shape)


def prepared(images, origins, transfer=None):
    particles = BandParticles.empty(len(images), Band(BOX, 8), APIX, circle_px=CIRCLE * BOX)
    particles.fill(slice(0, len(images)), np.asarray(images, np.float32), origins, transfer)
    return particles


def test_points_are_half_a_plane_in_order_of_radius():
    band = Band(BOX, 8)
    kx, ky = band.frequencies.T
    assert (np.diff(np.hypot(kx, ky)) >= 0).all()
    points = {(int(x), int(y)) for x, y in band.frequencies}
    assert len(points) == len(kx)
    assert all((-x, -y) not in points for x, y in points)
    inside = [
        (x, y) for x in range(-9, 10) for y in range(-9, 10) if 0 < np.rint(np.hypot(x, y)) <= 8
    ]
    assert 2 * len(points) == len(inside)
    assert band.n_points(8) == len(kx)
    assert set(band.ring[: band.n_points(5)]) == {1, 2, 3, 4, 5}


def test_the_widest_band_is_the_same_for_other_pixels_of_the_same_images():
    assert Band.widest(64, 5.2).rings == Band.widest(128, 2.6).rings == Band.widest(256, 1.3).rings
    assert Band.widest(48, 10.0).rings <= 23


def test_an_origin_brings_the_particle_to_the_centre():
    images = [blob((3, -2), noise=0.02), blob((0, 0), noise=0.02)]
    particles = prepared(images, np.array([[-3.0, 2.0], [0.0, 0.0]]))
    moved, centred = particles.spectra / np.linalg.norm(particles.spectra, axis=1, keepdims=True)
    assert np.vdot(moved, centred).real > 0.995


def test_gradients_and_grey_scales_leave_no_trace():
    clean = blob((0, 0), noise=0.05)
    line = np.arange(BOX) - BOX // 2
    sloped = 3.0 * clean + 0.2 * line + 0.1 * line[:, None] + 40.0
    particles = prepared([clean, sloped], np.zeros((2, 2)))
    np.testing.assert_allclose(particles.spectra[0], particles.spectra[1], atol=2e-2)


def test_hot_pixels_are_clipped():
    rng = np.random.default_rng(1)
    images = rng.standard_normal((1, BOX, BOX)).astype(np.float32)
    images[0, 20, 20] = 500.0
    assert without_background(images, 0.42 * BOX).max() < 100.0


def test_a_flat_background_is_refused():
    with pytest.raises(NumericalError, match="background"):
        prepared([np.zeros((BOX, BOX))], np.zeros((1, 2)))


def test_transfer_is_that_of_the_same_coefficients():
    ctf = ContrastTransfer(
        defocus_u_ang=15000, defocus_v_ang=14000, defocus_angle_deg=30, phase_shift_deg=0,
        voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1, bfactor_ang2=0,
    )  # fmt: skip
    transfer = ctf_images(ctf, BOX, APIX)
    particles = prepared([blob((0, 0), noise=0.1)], np.zeros((1, 2)), transfer)
    points = particles.band.frequencies.astype(int)
    for (kx, ky), value in zip(points, particles.transfer[0], strict=True):
        assert value == transfer[0, ky, kx]


def test_without_ctf_its_transfer_is_one():
    assert (prepared([blob((0, 0), noise=0.1)], np.zeros((1, 2))).transfer == 1.0).all()


def test_the_likelihood_of_cut_images_is_that_of_all_their_pixels():
    """Neighbouring coefficients of cut images depend on each other: each tells half as much.

    The mean of the log likelihood ratio's cross term is then its variance, as it must be.
    """
    n, rng = 1200, np.random.default_rng(2)
    there = 0.3 * (blob((5, -2)) - blob((-4, 3)))
    noise = rng.standard_normal((n, BOX, BOX))
    particles = prepared(there + noise, np.zeros((n, 2)))
    assert 0.45 < particles.noise_kept < 0.6
    still = np.tile(np.eye(3), (n, 1, 1))
    folds = deal_folds(np.arange(n), np.arange(n) % 2)
    whole = centred_transform(there[None].astype(np.float32)).ravel()[particles.band.places]
    observed = Observed.at_first(particles, folds, still, symmetry("c1")).with_noise_of(
        lambda piece: power_of(piece.data - whole * piece.transfer), 8
    )
    cross, norm = np.empty((2, n))
    for piece in observed.pieces(8):
        seen = whole * piece.transfer
        cross[piece.rows] = 2 * (seen.conj() * piece.data).real.sum(axis=1)
        norm[piece.rows] = 2 * power_of(seen).sum(axis=1)
    cross, norm = particles.noise_kept * cross, particles.noise_kept * norm
    pixels = np.tensordot(there + noise, there, axes=2)
    # The plane that is taken off has noise of its own, in the first rings.
    assert norm.mean() == pytest.approx(np.square(there).sum(), rel=0.1)
    assert cross.mean() == pytest.approx(norm.mean(), rel=0.1)
    assert cross.std() == pytest.approx(np.sqrt(norm.mean()), rel=0.1)
    assert np.corrcoef(cross, pixels)[0, 1] > 0.97
