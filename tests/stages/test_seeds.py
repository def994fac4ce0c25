"""Several starting maps from one."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.physics.filters import radial_power
from mapsort.physics.fsc import fsc
from mapsort.physics.phantom import phantom_map
from mapsort.stages.seeds import NOISE_SHARE, noisy, random_phases, without_segments

BOX, APIX = 32, 8.0


@pytest.fixture(scope="module")
def volume():
    return phantom_map(0, BOX, APIX)


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_noise_has_the_share_stated_and_differs(volume):
    seeds = noisy(volume, 3, np.random.default_rng(1))
    for seed in seeds:
        assert (seed - volume).std() == pytest.approx(NOISE_SHARE * volume.std(), rel=1e-4)
    assert abs(correlation(seeds[0] - volume, seeds[1] - volume)) < 0.1


def test_noise_has_the_spectrum_of_the_map(volume):
    seeds = noisy(volume, 8, np.random.default_rng(2))
    noise = np.mean([radial_power(np.fft.rfftn(seed - volume)) for seed in seeds], axis=0)
    ratio = (noise / radial_power(np.fft.rfftn(volume)))[2:13]
    # the power itself falls by a factor of thousands; a shell has at least 25 terms of 8 maps
    np.testing.assert_allclose(ratio / ratio.mean(), 1.0, atol=0.35)


def test_phases_are_random_beyond_50_ang_only(volume):
    one, two = random_phases(volume, 2, APIX, np.random.default_rng(3))
    known = fsc(one, volume)
    last = int(BOX * APIX / 50.0)
    assert known[1 : last - 1].min() > 0.999
    assert np.abs(known[last + 2 : 14]).mean() < 0.2
    assert np.abs(fsc(one, two)[last + 2 : 14]).mean() < 0.2
    np.testing.assert_allclose(
        np.abs(np.fft.rfftn(one))[1, 2, 3:12], np.abs(np.fft.rfftn(volume))[1, 2, 3:12], rtol=1e-3
    )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_segments_are_left_out_one_each(volume, count):
    seeds = without_segments(volume, count, np.random.default_rng(4))
    lost = [volume - seed for seed in seeds]
    # together the segments are the molecule, and each is a part of its own
    whole = np.sum(lost, axis=0)
    inside = volume > 0.15 * volume.max()
    assert whole[inside].sum() > 0.7 * volume[inside].sum()
    shares = [part.sum() / volume[inside].sum() for part in lost]
    assert min(shares) > 0.05
    for i in range(count):
        for j in range(i):
            assert correlation(lost[i], lost[j]) < 0.4  # soft edges overlap


def test_the_same_generator_gives_the_same_seeds(volume):
    for make in (
        lambda rng: noisy(volume, 2, rng),
        lambda rng: random_phases(volume, 2, APIX, rng),
        lambda rng: without_segments(volume, 2, rng),
    ):
        one, two = make(np.random.default_rng(5)), make(np.random.default_rng(5))
        np.testing.assert_array_equal(one, two)
