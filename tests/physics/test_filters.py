from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from mapsort.physics.filters import (
    apply_radial_curve,
    apply_transfer,
    gaussian_lowpass,
    radial_power,
    tanh_lowpass,
    tophat_lowpass,
)
from mapsort.physics.shells import fourier_radius, friedel_weight, shell_index

LOWPASS = {
    "filter.lowpass.gauss": gaussian_lowpass,
    "filter.lowpass.tanh": tanh_lowpass,
    "filter.lowpass.tophat": tophat_lowpass,
}


def _parameters(entry):
    return dict(pair.split("=") for pair in entry["module"].split(":")[1:])


def _is_lowpass(entry):
    return entry["module"].split(":")[0] in LOWPASS and not (
        {"sigma", "cutoff_resolv"} & _parameters(entry).keys()
    )


def test_lowpass_filters_equal_reference(golden):
    for entry in golden.select(_is_lowpass):
        (name,) = entry["inputs"]
        image, values = golden.inputs[name], _parameters(entry)
        n = image.shape[0]
        if "cutoff_abs" in values:
            cutoff = float(values["cutoff_abs"])
        elif "cutoff_freq" in values:
            apix = float(values.get("apix", golden.facts[name]["apix"]))
            cutoff = float(values["cutoff_freq"]) * apix
        else:
            cutoff = float(values["cutoff_pixels"]) / n
        options = {"fall_off": float(values["fall_off"])} if "fall_off" in values else {}
        s = fourier_radius(n, ndim=image.ndim) / n
        transfer = LOWPASS[entry["module"].split(":")[0]](s, cutoff=cutoff, **options)
        golden.check(entry, apply_transfer(image, transfer))


def test_measured_responses():
    s = np.array([0.0469, 0.0938, 0.1094, 0.2031])
    np.testing.assert_allclose(
        gaussian_lowpass(s, cutoff=0.1), [0.8027, 0.4152, 0.3023, 0.0161], atol=5e-4
    )
    np.testing.assert_allclose(
        tanh_lowpass(s, cutoff=0.1), [0.9656, 0.5969, 0.3569, 0.0015], atol=1e-3
    )
    assert tanh_lowpass(0.0, cutoff=0.1) == pytest.approx(0.9963, abs=1e-4)


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 12, 12), (9, 9, 9)])
def test_radial_curve_on_each_shell(shape):
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    n = shape[0]
    curve = rng.uniform(0.5, 2.0, n // 2 + 1)
    before, after = scipy.fft.rfftn(image), scipy.fft.rfftn(apply_radial_curve(image, curve))
    radius = fourier_radius(n, ndim=len(shape))
    expected = np.interp(radius, np.arange(n // 2 + 1), curve)
    np.testing.assert_allclose(after, before * expected, atol=1e-4)
    # isotropic: x and y axes are treated alike
    np.testing.assert_allclose(
        apply_radial_curve(image.T, curve), apply_radial_curve(image, curve).T, atol=1e-5
    )


def test_flat_curve_changes_nothing():
    image = np.random.default_rng(1).normal(size=(11, 11)).astype(np.float32)
    np.testing.assert_allclose(apply_radial_curve(image, [1.0]), image, atol=1e-6)
    assert apply_radial_curve(image, [1.0]).dtype == np.float32


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (10, 10, 10), (9, 9, 9)])
def test_radial_power_equals_sum_over_whole_spectrum(shape):
    image = np.random.default_rng(2).normal(size=shape)
    k = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")
    shell = np.rint(np.sqrt(sum(x**2 for x in k))).astype(int)
    full = np.abs(np.fft.fftn(image)) ** 2
    expected = [full[shell == r].mean() for r in range(shape[0] // 2 + 1)]
    np.testing.assert_allclose(radial_power(scipy.fft.rfftn(image)), expected, rtol=1e-10)


@pytest.mark.parametrize(("box", "ndim"), [(8, 2), (7, 2), (6, 3), (5, 3)])
def test_friedel_weights_count_the_whole_spectrum(box, ndim):
    shape = shell_index(box, ndim=ndim).shape
    assert np.broadcast_to(friedel_weight(box, ndim=ndim), shape).sum() == box**ndim


def test_refusals():
    image = np.zeros((8, 8))
    for lowpass in LOWPASS.values():
        with pytest.raises(ValueError, match="positive"):
            lowpass([0.1], cutoff=0.0)
    with pytest.raises(ValueError, match="curve"):
        apply_radial_curve(image, [])
    with pytest.raises(ValueError, match="square"):
        apply_radial_curve(np.zeros((8, 9)), [1.0])
    with pytest.raises(ValueError, match="n//2"):
        radial_power(np.zeros((8, 8), complex))
    with pytest.raises(ValueError, match="ndim"):
        fourier_radius(8, ndim=4)
