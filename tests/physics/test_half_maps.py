"""FSC of half maps: the correction takes away what the mask has made, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import NumericalError
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.fsc import fsc
from mapsort.physics.half_maps import (
    half_map_curves,
    joined_at_low_resolution,
    noise_to_signal,
    wiener_filtered,
)
from mapsort.physics.masks import soft_sphere

BOX = 40


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def truth(rng):
    """A map with power up to shell 9 only, within a small ball."""
    inside = rng.standard_normal((BOX,) * 3) * soft_sphere(BOX, 7, 3)
    curve = 1.0 / (1.0 + np.exp(3.0 * (np.arange(BOX) - 9.0)))
    return apply_radial_curve(inside.astype(np.float32), curve)


def halves(truth, rng, noise):
    return [(truth + noise * rng.standard_normal(truth.shape)).astype(np.float32) for _ in range(2)]


def test_what_a_sharp_mask_makes_of_noise_is_taken_away(truth, rng):
    mask = soft_sphere(BOX, 5, 0)
    found = [half_map_curves(*halves(truth, rng, 0.02), mask, rng=rng) for _ in range(8)]
    assert {curves.random_from for curves in found} == {10}
    beyond = slice(13, 20)
    # The maps hold next to nothing there; their strong lower shells leak through the mask's edge.
    assert np.mean([curves.masked[beyond] for curves in found]) > 0.9
    assert abs(np.mean([curves.unmasked[beyond] for curves in found])) < 0.05
    # Shells have about 80 independent terms under the mask: 0.11 by chance in one trial, 0.04 in
    # the mean of eight, over 1 - 0.95 at worst.
    assert abs(np.mean([curves.corrected[beyond] for curves in found])) < 0.25


def test_without_a_mask_nothing_is_corrected(truth, rng):
    even, odd = halves(truth, rng, 0.3)
    found = half_map_curves(even, odd, np.ones_like(even), rng=rng)
    np.testing.assert_allclose(found.masked, found.unmasked, atol=1e-6)
    np.testing.assert_allclose(found.unmasked, fsc(even, odd), atol=1e-12)
    # Random phases agree by chance only: 1/sqrt(terms of a shell), 0.03 at the least shell used.
    first = found.random_from + 2
    np.testing.assert_allclose(found.corrected[first:15], found.unmasked[first:15], atol=0.12)
    np.testing.assert_array_equal(found.corrected[:first], found.masked[:first])


def test_equal_maps_agree_everywhere(truth, rng):
    found = half_map_curves(truth, truth, soft_sphere(BOX, 12, 4), rng=rng)
    np.testing.assert_allclose(found.corrected[1:], 1.0, atol=1e-6)
    assert found.random_from == BOX // 2 + 1
    assert found.resolution(0.143, 2.0, box=BOX) == pytest.approx(4.0)


def test_the_corrected_curve_never_exceeds_the_masked_one(truth, rng):
    even, odd = halves(truth, rng, 0.2)
    found = half_map_curves(even, odd, soft_sphere(BOX, 9, 3), rng=rng)
    assert np.all(found.corrected <= found.masked + 1e-12)
    assert [curve.shape for curve in found.named.values()] == [(BOX // 2 + 1,)] * 4


def test_broken_maps_are_refused(truth, rng):
    broken = truth.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        half_map_curves(truth, broken, np.ones_like(truth), rng=rng)


def test_joined_maps_are_equal_below_the_cutoff_and_themselves_beyond(truth, rng):
    even, odd = halves(truth, rng, 0.3)
    joined = joined_at_low_resolution(even, odd, cutoff=5 / BOX)
    curve = fsc(*joined)
    np.testing.assert_allclose(curve[1:5], 1.0, atol=1e-5)
    np.testing.assert_allclose(curve[6:], fsc(even, odd)[6:], atol=1e-5)
    mean = 0.5 * (even + odd)
    np.testing.assert_allclose(0.5 * (joined[0] + joined[1]), mean, atol=1e-5)


def test_the_noise_term_has_two_ends():
    """An FSC of 0.05 still says something; one of 1 leaves a ten-thousandth."""
    ratio = noise_to_signal([np.array([0.3, 1.0, 0.05, 0.0499, 0.9])])
    np.testing.assert_allclose(
        ratio, [1e-4 / 1.9998, 1e-4 / 1.9998, 0.95 / 0.1, 1e4, 1e4], rtol=1e-6
    )
    # shell 0 has one term: it takes its neighbour's value, if that is higher
    assert noise_to_signal([np.array([0.9, 0.5, 0.5])])[0] == pytest.approx(0.1 / 1.8)
    assert noise_to_signal([np.array([0.2, 0.5, 0.5])])[0] == pytest.approx(0.5)
    lowest = noise_to_signal([np.array([0.0, 0.0, 0.9])])
    np.testing.assert_array_equal(lowest, [1e4] * 3)


def test_filtered_maps_lose_the_share_of_noise():
    box = 16
    volume = np.random.default_rng(0).standard_normal((box,) * 3).astype(np.float32)
    ratio = np.where(np.arange(box // 2 + 1) < 4, 0.0, 3.0)
    found = np.fft.rfftn(wiener_filtered(volume, ratio)) / np.fft.rfftn(volume)
    assert found[0, 0, 2].real == pytest.approx(1.0, rel=1e-4)
    assert found[0, 0, 6].real == pytest.approx(0.25, rel=1e-4)
