"""The overall B factor: what a map was blurred by is found and undone."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.physics.filters import apply_radial_curve, guinier_bfactor, sharpened

BOX, APIX = 64, 2.0


def blurred(bfactor):
    """White noise, whose amplitudes are flat, with a known decay."""
    noise = np.random.default_rng(0).standard_normal((BOX,) * 3)
    s = np.arange(BOX) / (BOX * APIX)
    return apply_radial_curve(noise, np.exp(-bfactor * s**2 / 4.0))


@pytest.mark.parametrize("bfactor", [0.0, 80.0, 200.0])
def test_a_known_decay_is_found(bfactor):
    """Each shell has thousands of terms: its mean is good to a percent, B to a few units."""
    found = guinier_bfactor(blurred(bfactor), APIX, resolution_ang=4.2, curve=np.ones(BOX // 2 + 1))
    assert found == pytest.approx(bfactor, abs=3.0)


def test_the_share_of_noise_does_not_count():
    """Noise that swamps the signal flattens the amplitudes; the FSC tells by how much."""
    signal = blurred(120.0)
    s = np.arange(BOX // 2 + 1) / (BOX * APIX)
    ratio = np.exp(-120.0 * s**2 / 2.0) / 0.05
    noise = 0.05**0.5 * np.random.default_rng(1).standard_normal(signal.shape)
    # the mean of two halves has this ratio of signal to noise; one half has half of it
    curve = ratio / (ratio + 2.0)
    found = guinier_bfactor(signal + noise, APIX, resolution_ang=4.2, curve=curve)
    naive = guinier_bfactor(signal + noise, APIX, resolution_ang=4.2, curve=np.ones_like(curve))
    assert found == pytest.approx(120.0, abs=12.0)
    assert naive < 100.0


def test_too_few_shells_give_no_factor():
    curve = np.ones(BOX // 2 + 1)
    assert guinier_bfactor(blurred(50.0), APIX, resolution_ang=9.0, curve=curve) is None


def test_sharpening_undoes_the_blur_up_to_the_resolution():
    sharp = sharpened(blurred(150.0), APIX, 150.0, resolution_ang=6.0)
    found = guinier_bfactor(sharp, APIX, resolution_ang=6.2, curve=np.ones(BOX // 2 + 1))
    assert found == pytest.approx(0.0, abs=5.0)
    # beyond it the factor stays: the decay is still there
    ratio = np.abs(np.fft.fftn(sharp)) / np.abs(np.fft.fftn(blurred(150.0)))
    limit = np.exp(150.0 / 6.0**2 / 4.0)
    assert ratio.max() == pytest.approx(limit, rel=1e-3)
