"""Comparators of aligned pairs on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from mapsort.errors import ConfigError, NumericalError
from mapsort.modules.comparators import compare
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.pair_comparison import SoftBand

BOX = 32


@pytest.fixture
def pair():
    rng = np.random.default_rng(5)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    image = np.exp(-((x - 3) ** 2 + y**2) / 20) + 0.7 * np.exp(-((x + 5) ** 2 + (y - 4) ** 2) / 12)
    return image, image + 0.3 * rng.standard_normal(image.shape)


def test_ccc_is_pearson(pair):
    expected = -scipy.stats.pearsonr(*(m.ravel() for m in pair)).statistic
    assert compare("ccc", *pair) == pytest.approx(expected)
    assert compare("ccc", np.ones((8, 8)), np.eye(8)) == 2.0


@pytest.mark.parametrize("invert", [0, 1])
@pytest.mark.parametrize("match", [0, 1])
def test_optvariance_forgives_scale_and_offset(pair, invert, match):
    """2 x + 1 is the same image, which the original does not see."""
    spec = f"optvariance:invert={invert}:matchfilt={match}"
    assert compare(spec, pair[1], 2 * pair[1] + 1) < 1e-9
    assert compare(spec, pair[1], 2 * pair[0] + 1) > 1e-3


def test_optvariance_forgives_a_radial_filter(pair):
    from mapsort.modules.processors import process

    soft = process("filter.lowpass.gauss:cutoff_abs=0.3", pair[0])
    plain = compare("optvariance:matchfilt=0", pair[0], soft)
    assert compare("optvariance", pair[0], soft) < 0.05 * plain


def test_band_leaves_the_rest_out(pair):
    x = np.arange(BOX)
    ripple = 2 * np.cos(2 * np.pi * 12 / BOX * x)
    for name in ("ccc", "dot:normalize=1", "sqeuclidean", "loglik"):
        band = f"{name}:minres=32:maxres=4"  # rings 1 to 8 of 32 pixels of 1 A
        assert compare(band, pair[0], pair[1] + ripple) == pytest.approx(
            compare(band, *pair), rel=1e-4
        )
        assert compare(name, pair[0], pair[1] + ripple) != pytest.approx(compare(name, *pair))


def test_soft_band_is_half_at_its_ends():
    weight = SoftBand.of(200.0, (20.0, 1.0), (None, 5.0), None, None).weights(50)
    assert weight[10] == pytest.approx(0.5)
    assert weight[40] == pytest.approx(0.5)
    assert weight[25] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(SoftBand(0.0, -1.0).weights(5), 1.0)


def test_loglik_takes_the_ctf_into_account(pair):
    ctf = ContrastTransfer.from_eman(
        defocus_um=1.2, voltage_kv=300.0, cs_mm=2.7, ampcont_percent=10.0
    )
    transfer = ctf_images(ctf, BOX, 3.0)[0]
    rng = np.random.default_rng(2)
    particle = np.fft.irfft2(np.fft.rfft2(pair[0]) * transfer, s=(BOX, BOX))
    particle = particle + 0.05 * rng.standard_normal(particle.shape)
    right = compare("loglik", particle, pair[0], apix=3.0, ctf=ctf)
    assert right < compare("loglik", particle, pair[0], apix=3.0) < 0
    assert right < compare("loglik", particle, pair[0][:, ::-1], apix=3.0, ctf=ctf)


def test_loglik_of_pure_noise_by_direct_sum(pair):
    """The formula, term by term over the whole spectrum."""
    a, b = pair[1], pair[0]
    fa, fb = np.fft.fft2(a), np.fft.fft2(b)
    ring = np.rint(np.hypot(*np.meshgrid(*[np.fft.fftfreq(BOX, 1 / BOX)] * 2))).astype(int)
    rings = range(1, 13)  # below Nyquist, where every term has its partner
    cross = norm = 0.0
    for r in rings:
        power = np.sum(np.abs(fa[ring == r]) ** 2)
        cross += np.sum((fa * fb.conj()).real[ring == r]) / power
        norm += np.sum(np.abs(fb[ring == r]) ** 2) / power
    expected = 0.0
    for r in rings:
        left = np.sum(np.abs(fa - cross / norm * fb)[ring == r] ** 2)
        expected += 0.5 * np.sum(ring == r) * np.log(left / np.sum(np.abs(fa[ring == r]) ** 2))
    spec = f"loglik:maxres={BOX / 12}"
    # two terms of the axis kx = 0 and their partners are halved in the transform of real images
    assert compare(spec, a, b) == pytest.approx(expected, rel=0.01)


def test_vertical_and_quadmindot_by_hand():
    image = np.zeros((4, 4))
    image[:, 2] = (1, 2, 3, 4)
    assert compare("vertical", image, image) == -10.0
    ones = np.ones((4, 4))
    assert compare("quadmindot", ones, image) == 0.0
    assert compare("quadmindot", ones, ones) == -1.0


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        ("ccc", (8, 9), "expected two images"),
        ("vertical", (8, 8, 8), "works on images"),
        ("quadmindot", (8, 8, 8), "works on images"),
        ("frc:snrweight=1", (8, 8), "snrweight=1 needs the curve snr"),
        ("ccc:minrez=5", (8, 8), "did you mean minres"),
        ("frc:ptcl_repr=0", (8, 8), "expected a number above 0"),
    ],
)
def test_refusals(spec, shape, words):
    with pytest.raises(ConfigError, match=words):
        compare(spec, np.ones(shape), np.ones(shape))


def test_masks_must_fit_and_hold_something():
    image = np.eye(8)
    with pytest.raises(ConfigError, match="the mask is"):
        compare("ccc", image, image, mask=np.ones((4, 4)))
    with pytest.raises(NumericalError, match="leaves no pixel"):
        compare("ccc", image, image, mask=np.zeros((8, 8)))
