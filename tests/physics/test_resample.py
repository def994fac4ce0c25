from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.physics.resample import fourier_resample, match_box, match_images

CENTRE_ANG = np.array([4.3, -3.1, 2.2])  # x, y, z


def _grid(box, apix, ndim):
    axis = (np.arange(box) - box // 2) * apix
    return np.meshgrid(*[axis] * ndim, indexing="ij")[::-1]  # x first


def _blob(box, apix, sigma, ndim=3):
    square = sum((r - c) ** 2 for r, c in zip(_grid(box, apix, ndim), CENTRE_ANG, strict=False))
    return np.exp(-square / (2 * sigma**2)).astype(np.float32)


def _centroid(volume, apix):
    return np.array([(r * volume).sum() / volume.sum() for r in _grid(len(volume), apix, 3)])


@pytest.mark.parametrize("box", [40, 45])
@pytest.mark.parametrize(("new_box", "new_apix"), [(30, 2.9), (33, 2.9), (64, 1.37), (61, 1.37)])
def test_density_stays_where_it_is(box, new_box, new_apix):
    apix = 2.0
    sigma = 2.2 * max(apix, new_apix)  # band-limited on both grids
    ours = match_box(_blob(box, apix, sigma), apix, box=new_box, target_apix=new_apix)
    expected = _blob(new_box, new_apix, sigma)
    assert ours.shape == (new_box,) * 3
    assert ours.dtype == np.float32
    grid = _grid(new_box, new_apix, 3)
    inside = np.all([np.abs(r) < (box // 2 - 1) * apix for r in grid], axis=0)
    np.testing.assert_allclose(ours[inside], expected[inside], atol=2e-3)
    weight = np.where(inside & (expected > 0.1), 1.0, 0.0)
    np.testing.assert_allclose(
        _centroid(ours * weight, new_apix), _centroid(expected * weight, new_apix), atol=0.01
    )


@pytest.mark.parametrize(("box", "new_box"), [(32, 24), (31, 24), (32, 25), (31, 41), (32, 33)])
def test_same_pixel_size_only_clips_and_pads(box, new_box):
    volume = np.random.default_rng(0).normal(size=(box,) * 3).astype(np.float32)
    ours = match_box(volume, 1.5, box=new_box, target_apix=1.5)
    shared = min(box, new_box) // 2 - 1
    old = slice(box // 2 - shared, box // 2 + shared)
    new = slice(new_box // 2 - shared, new_box // 2 + shared)
    np.testing.assert_array_equal(ours[new, new, new], volume[old, old, old])
    if new_box >= box:
        assert np.count_nonzero(ours) == volume.size
        np.testing.assert_array_equal(match_box(ours, 1.5, box=box, target_apix=1.5), volume)


def test_outside_the_old_box_is_empty():
    volume = np.ones((20, 20, 20), np.float32)
    ours = match_box(volume, 2.0, box=30, target_apix=2.5)
    inside = np.all([(r >= -21) & (r <= 19) for r in _grid(30, 2.5, 3)], axis=0)
    np.testing.assert_allclose(ours, inside.astype(np.float32), atol=1e-5)


def test_images():
    ours = match_box(_blob(48, 2.0, 7.0, ndim=2), 2.0, box=33, target_apix=2.7)
    np.testing.assert_allclose(ours, _blob(33, 2.7, 7.0, ndim=2), atol=2e-3)


@settings(max_examples=25)
@given(st.integers(8, 40), st.integers(8, 40))
def test_enlarging_loses_nothing(small, extra):
    image = np.random.default_rng(small).normal(size=(small, small)).astype(np.float32)
    if small % 2 == 0:  # at Nyquist of an even box phases are not defined
        image = fourier_resample(fourier_resample(image, box=small - 1, ndim=2), box=small, ndim=2)
    large = fourier_resample(image, box=small + extra, ndim=2)
    np.testing.assert_allclose(fourier_resample(large, box=small, ndim=2), image, atol=2e-5)


def test_whole_ratio_keeps_the_samples():
    image = np.random.default_rng(3).normal(size=(3, 16, 16)).astype(np.float32)
    large = fourier_resample(image, box=48, ndim=2)
    assert large.shape == (3, 48, 48)
    np.testing.assert_allclose(large[:, ::3, ::3], image, atol=1e-5)
    for one, of_stack in zip(image, large, strict=True):
        np.testing.assert_allclose(fourier_resample(one, box=48, ndim=2), of_stack, atol=1e-6)


def test_mean_is_kept():
    volume = np.random.default_rng(4).normal(size=(18, 18, 18)).astype(np.float32) + 3.0
    assert fourier_resample(volume, box=11, ndim=3).mean() == pytest.approx(volume.mean(), rel=1e-5)


@pytest.mark.parametrize(("entry_id", "box"), [("a_e.1", 24), ("a_e.2", 32)])
def test_agrees_with_eman2_but_for_the_nyquist_term(golden, entry_id, box):
    expected = golden.outputs[f"proc.math.fft.resample.{entry_id}"]
    ours = fourier_resample(golden.inputs["a_e"], box=box, ndim=2) * (48 / box) ** 2
    assert np.abs(ours - expected).max() < 5e-3 * np.abs(expected).max()


def test_refusals():
    volume = np.zeros((8, 8, 8))
    with pytest.raises(ValueError, match="positive"):
        match_box(volume, 0.0, box=8, target_apix=1.0)
    with pytest.raises(ValueError, match="cubic"):
        match_box(np.zeros((8, 8, 9)), 1.0, box=8, target_apix=1.0)
    with pytest.raises(ValueError, match="cannot resample"):
        fourier_resample(np.zeros((8, 9)), box=8, ndim=2)


@pytest.mark.parametrize(("box", "apix"), [(12, 3.0), (15, 2.5), (20, 2.0), (9, 2.0), (24, 1.5)])
def test_images_are_resampled_as_maps_are(box, apix):
    images = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    border = [np.concatenate([i[0], i[-1], i[:, 0], i[:, -1]]).mean() for i in images]
    ours = match_images(images, 2.0, box=box, target_apix=apix)
    for image, level, result in zip(images, border, ours, strict=True):
        expected = match_box(image - level, 2.0, box=box, target_apix=apix) + level
        np.testing.assert_allclose(result, expected, atol=2e-5)


def test_images_that_cannot_be_resampled():
    for shape, options in (
        ((3, 16, 15), {"box": 8, "target_apix": 1.0}),
        ((16, 16), {"box": 8, "target_apix": 1.0}),
        ((3, 16, 16), {"box": 0, "target_apix": 1.0}),
        ((3, 16, 16), {"box": 8, "target_apix": -1.0}),
    ):
        with pytest.raises(ValueError, match=r"images|positive"):
            match_images(np.zeros(shape, np.float32), 1.0, **options)
