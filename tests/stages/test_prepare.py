"""Preparation of particles and the choice of the Wiener term."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.modules.processors import PROCESSORS
from mapsort.physics.ctf import ContrastTransfer
from mapsort.physics.half_maps import (
    MAX_NOISE_TO_SIGNAL,
    half_map_fsc,
    noise_to_signal,
)
from mapsort.stages.fourier_grid import FourierGrid, kernel_profile
from mapsort.stages.prepare import (
    EDGE,
    ParticleTreatment,
    ProcessedTreatment,
    ctf_coefficients,
    shell_means,
)

BOX, APIX = 16, 8.0
RNG = np.random.default_rng(0)


def disc(box, radius):
    axis = np.arange(box) - box // 2
    return np.hypot(axis[:, None], axis) <= radius


@pytest.fixture(params=[32, 33])
def raw(request):
    box = request.param
    images = 3.0 + 2.0 * np.random.default_rng(box).standard_normal((3, box, box))
    images[:, disc(box, 6)] -= 5.0  # black particles
    return images.astype(np.float32)


def test_particles_are_white_on_a_background_of_mean_0_and_sigma_1(raw):
    box = raw.shape[1]
    treatment = ParticleTreatment(FourierGrid.for_box(box), 0.4 * box, invert=True)
    images = treatment.images(raw)
    assert images.dtype == np.float32
    ring = disc(box, 0.46 * box) & ~disc(box, 0.41 * box)
    assert np.abs(images[:, ring].mean(axis=1)).max() < 0.3
    assert np.abs(images[:, ring].std(axis=1) - 1).max() < 0.2
    assert images[:, disc(box, 5)].mean() == pytest.approx(2.5, abs=0.2)
    np.testing.assert_array_equal(images[:, ~disc(box, box / 2)], 0)
    plain = ParticleTreatment(FourierGrid.for_box(box), 0.4 * box, invert=False).images(raw)
    np.testing.assert_allclose(plain, -images, atol=1e-6)


def test_neither_gain_nor_offset_matter(raw):
    treatment = ParticleTreatment(FourierGrid.for_box(raw.shape[1]), 12.0, invert=True)
    np.testing.assert_allclose(treatment.images(7 * raw - 20), treatment.images(raw), atol=1e-3)


def test_spectra_are_padded_transforms_about_the_centre(raw):
    box = raw.shape[1]
    grid = FourierGrid.for_box(box)
    treatment = ParticleTreatment(grid, 12.0, invert=True)
    spectra = treatment.spectra(raw, n_threads=1)
    assert spectra.shape == (3, 2 * box, box + 1)
    assert spectra.dtype == np.complex64
    axis = np.arange(box) - box // 2
    line = np.array(kernel_profile(box, 2 * box, box))
    image = treatment.images(raw)[1] / np.multiply.outer(line, line)
    for ky, kx in [(0, 0), (3, 5), (2 * box - 4, 7)]:
        wave = np.exp(-2j * np.pi * np.add.outer(ky * axis, kx * axis) / (2 * box))
        assert spectra[1, ky, kx] == pytest.approx(np.sum(image * wave), rel=1e-3, abs=1e-2)


def test_shell_powers_are_means_over_the_whole_plane(raw):
    box = raw.shape[1]
    treatment = ParticleTreatment(FourierGrid.for_box(box), 12.0, invert=True)
    powers = treatment.shell_powers(raw, n_threads=1)
    full = np.abs(np.fft.fft2(treatment.images(raw).astype(float))) ** 2
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.hypot(k[:, None], k)).astype(int)
    for s in range(box // 2 + 1):
        np.testing.assert_allclose(powers[:, s], full[:, shell == s].mean(axis=1), rtol=1e-3)


@pytest.mark.parametrize("box", [8, 9])
def test_shell_means_of_a_constant_are_the_constant(box):
    power = np.full((2, box, box // 2 + 1), 3.0)
    np.testing.assert_allclose(shell_means(power, box), 3.0)


def test_coefficients_of_no_ctf_are_those_of_one():
    c = ctf_coefficients(None, 2)
    assert c.shape == (2, 7)
    assert c.dtype == np.float32
    np.testing.assert_allclose(np.sin(c[:, 4]), 1.0)
    assert not c[:, [0, 1, 2, 3, 5, 6]].any()


def test_coefficients_tell_flipped_images():
    one = np.ones(2)
    ctf = ContrastTransfer(
        defocus_u_ang=1e4 * one,
        defocus_v_ang=9e3 * one,
        defocus_angle_deg=30 * one,
        phase_shift_deg=0 * one,
        voltage_kv=300 * one,
        cs_mm=2.7 * one,
        amplitude_contrast=0.1 * one,
        bfactor_ang2=0 * one,
    )
    plain, flipped = ctf_coefficients(ctf, 2), ctf_coefficients(ctf, 2, flipped=True)
    np.testing.assert_array_equal(plain[:, :6], ctf.coefficients())
    np.testing.assert_array_equal(plain[:, 6], 0)
    np.testing.assert_array_equal(flipped[:, 6], 1)
    np.testing.assert_array_equal(flipped[:, :6], plain[:, :6])


def test_the_noise_term_follows_the_fsc():
    """1/SSNR = (1 - FSC) / 2 FSC, of the mean of the curves, none beyond the first noisy shell."""
    curves = [np.array([1.0, 1.0, 0.8, 0.6, 0.02, 0.9]), np.array([1.0, 1.0, 0.6, 0.4, 0.06, 0.9])]
    ratio = noise_to_signal(curves)
    np.testing.assert_allclose(ratio[2:4], [0.3 / 1.4, 0.5 / 1.0], rtol=1e-6)
    assert ratio[0] == ratio[1] < 1e-4
    np.testing.assert_array_equal(ratio[4:], MAX_NOISE_TO_SIGNAL)


def test_half_maps_are_compared_under_the_mask():
    rng = np.random.default_rng(1)
    signal, mask = rng.standard_normal((2, 16, 16, 16)).astype(np.float32), np.zeros((16,) * 3)
    mask[4:12, 4:12, 4:12] = 1
    even, odd = signal[0].copy(), signal[1].copy()
    odd[mask > 0] = even[mask > 0]
    curve = half_map_fsc(even, odd, mask.astype(np.float32))
    assert curve.shape == (9,)
    np.testing.assert_allclose(curve, 1.0, atol=1e-5)


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
    chain = (PROCESSORS.bind("math.linear:scale=2:shift=1"),)
    grid = FourierGrid.for_box(box)
    plain = ProcessedTreatment(grid, 8.0, invert=False, chain=(), apix=APIX)
    made = ProcessedTreatment(grid, 8.0, invert=False, chain=chain, apix=APIX, scale=0.5)
    black = ProcessedTreatment(grid, 8.0, invert=True, chain=chain, apix=APIX, scale=0.5)
    expected = plain.images(images) + 0.5 * plain.images(np.ones_like(images))
    np.testing.assert_allclose(made.images(images), expected, atol=1e-5)
    np.testing.assert_allclose(black.images(images), -expected, atol=1e-5)
    clipped = ProcessedTreatment(
        grid, 8.0, invert=False, chain=(PROCESSORS.bind("math.meanshrink:n=2"),), apix=APIX
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
