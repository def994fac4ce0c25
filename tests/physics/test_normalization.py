from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import ConfigError, NumericalError
from mapsort.physics.normalization import background_normalize, density_at_mass, normalize_by_mass


def _blob(box):
    axis = np.arange(box) - box // 2
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    return np.exp(-square / (2 * 5.0**2)).astype(np.float32)


def _mass(voxels, apix):
    return float(voxels.sum()) * apix**3 * 0.81 / 1000


def _assert_encloses(volume, apix, mass, threshold):
    """The voxels at or above the threshold reach the mass, those above alone do not."""
    assert _mass(volume >= threshold, apix) >= mass * (1 - 1e-9)
    assert _mass(volume > threshold, apix) < mass


def test_equals_reference(golden):
    for entry in golden.select(lambda e: e["module"].startswith("normalize.bymass")):
        values = dict(p.split("=") for p in entry["module"].split(":")[1:])
        volume = golden.inputs[entry["inputs"][0]]
        threshold, apix, mass = (float(values[k]) for k in ("thr", "apix", "mass"))
        ours = normalize_by_mass(volume, apix, mass, threshold=threshold)
        golden.check(entry, ours)
        _assert_encloses(ours, apix, mass, threshold)


def test_measured_mass():
    ours = normalize_by_mass(_blob(32), 2.0, 10.0)
    assert ours.dtype == np.float32
    # voxels of a symmetric blob come in groups of equal density, up to 48
    assert abs(int((ours >= 1.0).sum()) - 1544) <= 48
    _assert_encloses(ours, 2.0, 10.0, 1.0)


@settings(max_examples=40)
@given(st.floats(0.1, 100.0), st.floats(0.01, 1000.0), st.integers(0, 1000))
def test_mass_is_exact_to_one_voxel(mass, scale, seed):
    volume = np.abs(np.random.default_rng(seed).normal(size=(20, 20, 20))).astype(np.float32)
    ours = normalize_by_mass(volume * np.float32(scale), 3.0, mass)
    _assert_encloses(ours, 3.0, mass, 1.0)


def test_density_at_mass_is_a_density_of_the_map():
    volume = np.arange(1, 1001, dtype=np.float32).reshape(10, 10, 10)
    assert density_at_mass(volume, 1.0, 0.00081) == 1000.0
    assert density_at_mass(volume, 1.0, 0.81) == 1.0


def test_mass_refusals():
    volume = _blob(16)
    for mass, apix in ((0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(ConfigError, match="positive"):
            normalize_by_mass(volume, apix, mass)
    with pytest.raises(ConfigError, match="the map has 4096"):
        normalize_by_mass(volume, 1.0, 100.0)
    with pytest.raises(ConfigError, match="threshold"):
        normalize_by_mass(volume, 1.0, 1.0, threshold=0.0)
    with pytest.raises(NumericalError, match="not positive"):
        normalize_by_mass(-volume, 1.0, 1.0)
    volume[0, 0, 0] = np.inf
    with pytest.raises(NumericalError, match="NaN or infinity"):
        normalize_by_mass(volume, 1.0, 1.0)


@pytest.mark.parametrize("box", [32, 33])
def test_background(box):
    rng = np.random.default_rng(0)
    images = rng.normal(5.0, 3.0, (4, box, box))
    images[:, box // 2, box // 2] += 1e4  # the particle must not count
    ours = background_normalize(images, 10.0)
    axis = np.arange(box) - box // 2
    outside = axis[:, None] ** 2 + axis**2 > 100
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[:, outside].mean(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(ours[:, outside].std(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(background_normalize(images[2], 10.0), ours[2], atol=1e-6)
    # the input is left alone
    assert images[0, box // 2, box // 2] > 9000


@given(st.floats(0.01, 100.0), st.floats(-50.0, 50.0))
def test_background_removes_scale_and_offset(scale, offset):
    image = np.random.default_rng(1).normal(size=(24, 24))
    np.testing.assert_allclose(
        background_normalize(image * scale + offset, 9.0),
        background_normalize(image, 9.0),
        atol=2e-3,
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, np.nan])
def test_constant_image_is_named(value):
    images = np.random.default_rng(2).normal(size=(3, 16, 16))
    images[1] = value
    with pytest.raises(NumericalError, match=r"image 1 \(counted from 0\)"):
        background_normalize(images, 5.0)


def test_background_refusals():
    with pytest.raises(ConfigError, match="radius"):
        background_normalize(np.zeros((16, 16)), 30.0)
    with pytest.raises(ConfigError, match="radius"):
        background_normalize(np.zeros((16, 16)), 0.0)
    with pytest.raises(ValueError, match="expected shape"):
        background_normalize(np.zeros((16, 17)), 5.0)
