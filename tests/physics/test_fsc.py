from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from mapsort.errors import NumericalError
from mapsort.physics.fsc import (
    frequencies_per_ang,
    fsc,
    fsc_of_pairs,
    fsc_of_spectra,
    resolution_at,
    ssnr_from_fsc,
)


def test_equals_reference(golden):
    for entry in golden.select(lambda e: e["kind"] == "fsc"):
        a, b = (golden.inputs[name] for name in entry["inputs"])
        expected = golden.outputs[entry["value"]["array"]][1]
        np.testing.assert_allclose(fsc(a, b), expected, atol=1e-6, err_msg=entry["id"])


@pytest.mark.parametrize("shape", [(12, 12), (13, 13), (10, 10, 10), (9, 9, 9), (1, 1)])
def test_self_opposite_and_scaled(shape):
    a = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(fsc(a, a), 1.0, atol=1e-12)
    np.testing.assert_allclose(fsc(a, -3.0 * a), -1.0, atol=1e-12)
    assert fsc(a, a).shape == (shape[0] // 2 + 1,)


@pytest.mark.parametrize("shape", [(12, 12), (9, 9, 9)])
def test_below_nyquist_equals_sum_over_whole_spectrum(shape):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=shape), rng.normal(size=shape)
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    k = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")
    shell = np.rint(np.sqrt(sum(x**2 for x in k))).astype(int)
    for r in range(shape[0] // 2 if shape[0] % 2 == 0 else shape[0] // 2 + 1):
        m = shell == r
        expected = (fa[m] * fb[m].conj()).real.sum() / np.sqrt(
            (abs(fa[m]) ** 2).sum() * (abs(fb[m]) ** 2).sum()
        )
        assert fsc(a, b)[r] == pytest.approx(expected, abs=1e-12)


def test_from_spectra():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 8, 8, 8))
    np.testing.assert_array_equal(fsc(a, b), fsc_of_spectra(scipy.fft.rfftn(a), scipy.fft.rfftn(b)))


def test_without_power_is_zero():
    np.testing.assert_array_equal(fsc(np.zeros((8, 8)), np.ones((8, 8))), 0.0)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="shapes differ"):
        fsc(np.zeros((8, 8)), np.zeros((9, 9)))
    with pytest.raises(ValueError, match="square"):
        fsc(np.zeros((8, 9)), np.zeros((8, 9)))
    with pytest.raises(ValueError, match="n//2"):
        fsc_of_spectra(np.zeros((8, 8)), np.zeros((8, 8)))


def test_frequencies():
    np.testing.assert_allclose(frequencies_per_ang(8, 2.0), np.arange(5) / 16)
    np.testing.assert_allclose(frequencies_per_ang(9, 2.0)[-1], 4 / 18)
    with pytest.raises(ValueError, match="positive"):
        frequencies_per_ang(8, 0.0)


def test_resolution_is_interpolated_in_frequency():
    # 0.6 at shell 2, 0.4 at shell 3: 0.5 at shell 2.5 of a box of 8 pixels of 2 A
    assert resolution_at([1, 0.9, 0.6, 0.4, 0.0], 0.5, 2.0) == pytest.approx(16 / 2.5)
    assert resolution_at([1, 0.9, 0.6, 0.4, 0.0], 0.5, 2.0, box=9) == pytest.approx(18 / 2.5)
    # a later rise does not count
    assert resolution_at([1, 0.9, 0.6, 0.4, 0.9], 0.5, 2.0) == pytest.approx(16 / 2.5)


def test_resolution_at_the_ends():
    assert resolution_at([1.0, 1.0, 1.0, 1.0, 0.5], 0.5, 2.0) == pytest.approx(4.0)
    assert resolution_at([1.0, 0.1, 1.0, 1.0, 1.0], 0.5, 2.0) == pytest.approx(16.0)
    # shell 0 holds only the means
    assert resolution_at([-1.0, 1.0, 1.0], 0.5, 2.0) == pytest.approx(4.0)


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_resolution_lies_between_box_and_nyquist(curve, threshold):
    box = 2 * (len(curve) - 1)
    assert 2.0 - 1e-9 <= resolution_at(curve, threshold, 1.0) <= box + 1e-9


def test_resolution_refuses_what_it_cannot_read():
    with pytest.raises(NumericalError, match="NaN"):
        resolution_at([1.0, np.nan, 0.0], 0.5, 1.0)
    with pytest.raises(ValueError, match="does not fit"):
        resolution_at([1.0, 0.5, 0.0], 0.5, 1.0, box=10)
    with pytest.raises(ValueError, match="does not fit"):
        resolution_at([1.0], 0.5, 1.0)


def test_ssnr():
    np.testing.assert_allclose(ssnr_from_fsc([0.5, -0.2, 0.0]), [2.0, 0.0, 0.0])
    np.testing.assert_allclose(ssnr_from_fsc([0.5], half_to_full=False), [1.0])
    assert np.isfinite(ssnr_from_fsc([1.0])).all()


def test_ssnr_of_known_noise():
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(48, 48, 48))
    half = [signal + rng.normal(size=signal.shape) * 2.0 for _ in range(2)]
    ratio = ssnr_from_fsc(fsc(*half))[12:]
    assert ratio.mean() == pytest.approx(0.5, abs=0.03)  # 1 / (2^2 / 2)


@pytest.mark.parametrize("n", [8, 9, 16])
def test_curves_of_all_pairs_are_those_of_each(n):
    rng = np.random.default_rng(n)
    maps = rng.normal(size=(4, n, n, n)).astype(np.float32)
    maps[1] += maps[0]
    maps[3] = 0.0
    curves = fsc_of_pairs(iter(maps))
    assert curves.shape == (4, 4, n // 2 + 1)
    for i in range(4):
        for j in range(4):
            np.testing.assert_allclose(curves[i, j], fsc(maps[i], maps[j]), atol=1e-6)
