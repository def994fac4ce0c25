"""Spectra of class averages, and averages matched to projections."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.model.class_averages import ClassAverages
from mapsort.modules.processors import PROCESSORS
from mapsort.stages.average.class_spectra import (
    cross_power,
    matched_to_projections,
    processed_averages,
)
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.search.search_levels import Level
from mapsort.stages.search.search_plan import spectrally_matched

BOX, APIX = 24, 6.0


def full_shells(box):
    k = np.fft.fftfreq(box, 1 / box)
    x = np.arange(box // 2 + 1)
    shell = np.rint(np.hypot(k[:, None], x)).astype(int)
    nyquist = 2 * x == box
    return shell, np.where((x == 0) | nyquist, 1.0, 2.0) * np.ones(shell.shape)


def shell_mean(values, box, s):
    shell, weight = full_shells(box)
    inside = shell == s
    return (values[..., inside] * weight[inside]).sum(axis=-1) / weight[inside].sum()


@pytest.mark.parametrize("box", [16, 17])
def test_power_of_halves_is_weighed_by_their_density(box, random_averages):
    averages = random_averages(5, box)
    found = cross_power(averages)
    shared = (averages.numerator[0] * averages.numerator[1].conj()).real
    weight = averages.density[0].astype(float) * averages.density[1]
    for s in range(box // 2 + 1):
        ratio = shell_mean(shared, box, s).sum() / shell_mean(weight, box, s).sum()
        assert found[s] == pytest.approx(max(ratio, 0.0), rel=1e-4, abs=1e-9)
    nothing = ClassAverages(averages.numerator, 0 * averages.density, averages.count)
    assert not cross_power(nothing).any()


def test_shells_are_scaled_to_the_power_of_the_projections(random_averages):
    averages = random_averages(6, BOX)
    slices = centred_transform(np.random.default_rng(7).standard_normal((3, BOX, BOX)))
    slices[2] = 0
    found = matched_to_projections(averages, slices)
    shell, _ = full_shells(BOX)
    for s in range(BOX // 2 + 1):
        power = shell_mean(np.abs(averages.numerator.sum(axis=0)) ** 2, BOX, s)
        squares = shell_mean(averages.density.sum(axis=0).astype(float) ** 2, BOX, s)
        wanted = shell_mean(np.abs(slices) ** 2, BOX, s)
        factor = np.sqrt(wanted * squares / power)
        for c in range(3):
            np.testing.assert_allclose(
                found.numerator[:, c, shell == s],
                averages.numerator[:, c, shell == s] * factor[c],
                rtol=1e-3, atol=1e-5,
            )  # fmt: skip
    assert not found.numerator[:, 2].any()


def in_each_shell(planes, values, box):
    """Multiply planes (..., n, box, box//2+1) by values (n, box//2+1) of their shells."""
    shell, _ = full_shells(box)
    return planes * values[:, np.minimum(shell, box // 2)]


@pytest.fixture
def uneven(random_averages):
    """Three averages, and slices of their own radial spectra."""
    averages = random_averages(6, BOX)
    density = averages.density.sum(axis=0).astype(float)
    mean = [shell_mean(density**2, BOX, s) for s in range(BOX // 2 + 1)]
    return averages, in_each_shell(averages.numerator.sum(axis=0), np.transpose(mean) ** -0.5, BOX)


def test_the_filter_of_a_map_is_no_part_of_the_spectrum_of_its_projections(uneven):
    """Averages that are like their projections but for what filtered each map stay as they are."""
    averages, slices = uneven
    fall = np.array([[2.0], [2.0], [0.5]])
    filtered = in_each_shell(slices, np.exp(-np.arange(BOX // 2 + 1) / fall), BOX)
    found = matched_to_projections(averages, filtered, maps=(slice(0, 2), slice(2, 3)))
    np.testing.assert_allclose(found.numerator, averages.numerator, rtol=1e-3, atol=1e-5)
    # without knowing of the filter, averages take it over
    taken = matched_to_projections(averages, filtered).numerator
    assert np.abs(taken[:, 2, 4, 4]).max() < 1e-3 * np.abs(averages.numerator[:, 2, 4, 4]).min()


def test_projections_tell_how_power_is_distributed_among_the_averages_of_a_map(uneven):
    averages, slices = uneven
    bright = np.full((3, BOX // 2 + 1), 0.3)
    bright[0, 3:] *= 2.0
    bright[:, 8:] *= 1e-4
    found = matched_to_projections(
        averages, in_each_shell(slices, bright, BOX), maps=(slice(0, 2), slice(2, 3))
    ).numerator
    ratio = np.abs(found / averages.numerator)[0]
    shell, _ = full_shells(BOX)
    inside = (shell >= 3) & (shell < 8)
    np.testing.assert_allclose(ratio[0, inside] / ratio[1, inside], 2.0, rtol=1e-3)
    # alone in its map, without a change, or beyond the end of the filter: as measured
    for other in (ratio[2], ratio[:, shell < 3], ratio[:, shell >= 8]):
        np.testing.assert_allclose(other, 1.0, rtol=1e-3)
    for s in range(3, 8):
        both = [np.abs(n[:, :2].sum(axis=0)) ** 2 for n in (found, averages.numerator)]
        power = [shell_mean(squared, BOX, s).sum() for squared in both]
        assert power[0] == pytest.approx(power[1], rel=1e-3)


def test_processed_averages_keep_their_sums_and_common_power(random_averages):
    """A constant added to the image adds to the sum's origin, by the damped density there."""
    averages = random_averages(8, BOX)
    averages.numerator[1] = 0.5 * averages.numerator[0] + 0.1 * averages.numerator[1]
    found = processed_averages(averages, (PROCESSORS.bind("math.linear:shift=2"),), APIX)
    used = [0, 2]
    damping = 0.1 * averages.density.sum(axis=0)[used].mean()
    expected = averages.numerator.copy()
    # terms at Nyquist have no mates: their imaginary parts are none of an image
    expected[:, used, 0, 0] += 2 * BOX**2 * (averages.density[:, used, 0, 0] + damping)
    expected[:, 1] = 0

    def shared(sums):
        return np.vdot(sums[0], sums[1]).real

    expected *= np.sqrt(shared(averages.numerator) / shared(expected))
    inside = (slice(0, BOX // 2), slice(0, BOX // 2))
    for c in used:
        for half in range(2):
            np.testing.assert_allclose(
                found.numerator[half, c][inside], expected[half, c][inside],
                rtol=2e-2, atol=2e-3 * np.abs(expected).max(),
            )  # fmt: skip
    assert shared(found.numerator) == pytest.approx(shared(averages.numerator), rel=1e-4)
    np.testing.assert_array_equal(found.density, averages.density)
    with pytest.raises(ValueError, match="must keep their size"):
        processed_averages(averages, (PROCESSORS.bind("math.meanshrink:n=2"),), APIX)
    empty = ClassAverages(averages.numerator, averages.density, np.zeros(3, int))
    assert processed_averages(empty, (PROCESSORS.bind("math.linear:shift=2"),), APIX) is empty


def test_images_filtered_to_a_spectrum_stay_empty_where_they_were():
    rng = np.random.default_rng(9)
    images = rng.standard_normal((3, BOX, BOX)).astype(np.float32)
    images[0, :5] = 0
    images[2] = 0
    target = np.linspace(3.0, 1.0, BOX // 2 + 1) * BOX**2
    found = spectrally_matched(images, target)
    assert not found[0, :5].any()
    assert not found[2].any()
    radius = np.hypot(np.fft.fftfreq(BOX, 1 / BOX)[:, None], np.arange(BOX // 2 + 1))
    own = [shell_mean(np.abs(np.fft.rfft2(images[1])) ** 2, BOX, s) for s in range(BOX // 2 + 1)]
    curve = np.interp(radius, np.arange(BOX // 2 + 1), np.sqrt(target / own))
    expected = np.fft.irfft2(np.fft.rfft2(images[1]) * curve, s=(BOX, BOX))
    np.testing.assert_allclose(found[1], expected, atol=1e-4)


def test_weights_of_rings_fall_with_the_noise():
    """Ring 1 is the first of the weights, shell 0 the first of the noise."""
    level = Level(None, np.array([6.0, 8.0], np.float32), 1.0)
    found = level.in_noise(np.array([9.0, 2.0, 4.0, 7.0])).ring_weight
    assert found.tolist() == [3.0, 2.0]
    assert found.dtype == np.float32
