"""Averagers on images made for the purpose."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError, NumericalError
from mapsort.modules.averagers import averaged
from mapsort.physics.ctf import ContrastTransfer, ctf_images

BOX, APIX = 32, 2.0


@pytest.fixture
def truth():
    y, x = np.indices((BOX, BOX)) - BOX // 2
    return np.exp(-((x - 4) ** 2 + y**2) / 18) + 0.8 * np.exp(-((x + 4) ** 2 + (y - 3) ** 2) / 10)


@pytest.fixture
def noisy(truth):
    rng = np.random.default_rng(3)
    return (truth + 0.5 * rng.standard_normal((24, BOX, BOX))).astype(np.float32)


@pytest.fixture
def ctf():
    return ContrastTransfer.from_eman(
        defocus_um=np.linspace(1.0, 2.5, 24),
        voltage_kv=300.0,
        cs_mm=2.7,
        ampcont_percent=10.0,
    )


def error(image, truth):
    """Relative distance at the best scale and offset."""
    return 1 - np.corrcoef(image.ravel(), truth.ravel())[0, 1] ** 2


def test_weights_are_repetitions(noisy):
    weights = np.arange(24) % 3
    repeated = np.repeat(noisy, weights, axis=0)
    for spec in ("mean", "sigma", "weightedfourier", "mean:ignore0=1"):
        ours = mapsort.average(spec, noisy, weights=weights)
        np.testing.assert_allclose(ours, mapsort.average(spec, repeated), atol=2e-6)


def test_ignored_zeros(noisy):
    noisy[::2, :4] = 0
    ours = mapsort.average("mean:ignore0=1", noisy)
    np.testing.assert_allclose(ours[:4], noisy[1::2, :4].mean(axis=0), atol=1e-6)
    noisy[:, 5] = 0
    assert np.all(mapsort.average("mean:ignore0=1", noisy)[5] == 0)


def test_normimage_makes_images_equal(noisy):
    scaled = noisy * np.linspace(1, 50, 24)[:, None, None] + 7
    ours = mapsort.average("mean:normimage=1", scaled)
    np.testing.assert_allclose(ours, mapsort.average("mean:normimage=1", noisy), atol=1e-4)


def test_outliers_lose_influence(noisy, truth):
    without = noisy[1:].mean(axis=0)
    noisy[0] = 40 * truth[::-1]
    robust = np.linalg.norm(mapsort.average("iterative", noisy) - without)
    assert robust < 0.4 * np.linalg.norm(mapsort.average("mean", noisy) - without)


def test_local_weights_leave_a_bad_region_out(noisy, truth):
    bad = noisy.copy()
    bad[0, :, :12] = -12 * truth[:, :12]

    def slope(spec):
        left = mapsort.average(spec, bad, apix=APIX)[:, :12].ravel()
        return np.polyfit(truth[:, :12].ravel(), left, 1)[0]

    assert slope("mean") == pytest.approx((23 - 12) / 24, abs=0.1)
    assert slope("localweight:dampnoise=1") == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("spec", ["ctf.auto", "ctfw.auto"])
@pytest.mark.parametrize("known", [True, False])
def test_ctf_averagers_restore_amplitudes(truth, ctf, spec, known):
    """Nearer to the truth than the mean of the phase-flipped images."""
    rng = np.random.default_rng(8)
    transfer = np.abs(ctf_images(ctf, BOX, APIX))
    flipped = np.fft.irfft2(np.fft.rfft2(truth) * transfer, s=(BOX, BOX))
    # without the ratios all frequencies count alike, which strong noise would not allow
    images = flipped + (0.2 if known else 0.03) * rng.standard_normal(flipped.shape)
    ring = np.arange(BOX // 2)
    radius = np.hypot(np.fft.fftfreq(BOX, 1 / BOX)[:, None], np.arange(BOX // 2 + 1))
    power = np.array(
        [np.mean(np.abs(np.fft.rfft2(truth))[np.rint(radius) == r] ** 2) for r in ring]
    )
    squares = np.array([[np.mean(t[np.rint(radius) == r] ** 2) for r in ring] for t in transfer])
    snr = squares * power / (0.2**2 * BOX**2) if known else None
    ours = mapsort.average(spec, images, ctf=ctf, snr=snr, apix=APIX)
    assert error(ours, truth) < 0.8 * error(mapsort.average("mean", images), truth)


def test_ring_weights(noisy):
    """Images that only count below (above) ring 5."""
    curves = np.zeros((24, BOX))
    curves[:12, :5] = 1
    curves[12:, 5:] = 1
    spectrum = np.fft.rfft2(averaged("weightedfourier", noisy, snr=curves).image)
    low = np.fft.rfft2(noisy[:12].mean(axis=0, dtype=float))
    high = np.fft.rfft2(noisy[12:].mean(axis=0, dtype=float))
    radius = np.hypot(np.fft.fftfreq(BOX, 1 / BOX)[:, None], np.arange(BOX // 2 + 1))
    np.testing.assert_allclose(spectrum[radius <= 4], low[radius <= 4], atol=1e-4)
    np.testing.assert_allclose(spectrum[radius >= 5], high[radius >= 5], atol=1e-4)


def test_autofilt_dims_noise(ctf):
    noise = np.random.default_rng(1).standard_normal((24, BOX, BOX))
    plain = mapsort.average("ctf.weight", noise, ctf=ctf, apix=APIX)
    filtered = mapsort.average("ctf.weight.autofilt", noise, ctf=ctf, apix=APIX)
    assert filtered.std() < 0.6 * plain.std()


@pytest.mark.parametrize(
    ("spec", "more", "words"),
    [
        ("ctf.auto", {}, "need a CTF"),
        ("mean:ignore=1", {}, "did you mean ignore0"),
        ("meen", {}, "did you mean mean"),
        ("median", {"weights": np.arange(24)}, "takes no weights"),
        ("mean", {"weights": np.zeros(24)}, "one of them above 0"),
        ("mean", {"weights": np.ones(3)}, r"expected shape \(24,\)"),
        ("mean", {"snr": np.ones(24)}, "snr: expected"),
        ("localweight:dampnoise=2", {}, "dampnoise=2: expected a number from 0 to 1"),
    ],
)
def test_refusals(noisy, spec, more, words):
    with pytest.raises(ConfigError, match=words):
        mapsort.average(spec, noisy, **more)


def test_a_constant_image_is_named(noisy):
    noisy[7] = 3
    with pytest.raises(NumericalError, match="image 7"):
        mapsort.average("mean:normimage=1", noisy)
