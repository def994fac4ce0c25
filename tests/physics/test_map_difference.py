"""Where maps differ: noise alone is not called, a piece of density is, and nothing else with it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from mapsort.errors import NumericalError
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.map_difference import HalfPair, map_difference
from mapsort.physics.masks import soft_sphere

BOX = 32
TESTED = soft_sphere(BOX, 12, 0) > 0.5


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(1)
    inside = rng.standard_normal((BOX,) * 3) * soft_sphere(BOX, 8, 3)
    return apply_radial_curve(inside.astype(np.float32), np.exp(-np.arange(BOX) / 6.0))


def halves(volume, rng, noise=0.3, scale=1.0):
    def half():
        spots = rng.standard_normal(volume.shape).astype(np.float32)
        # Coloured, as that of a reconstruction is.
        spots = apply_radial_curve(spots, 0.3 + np.arange(BOX) / BOX)
        return np.asarray(scale * (volume + noise * volume.std() * spots), np.float32)

    return HalfPair(half(), half())


def test_noise_alone_is_called_in_hardly_any_draw(truth):
    called, ratios = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = map_difference(
            halves(truth, rng), halves(truth, rng, scale=1.3), TESTED, false_rate=0.01
        )
        called.append(int(found.significant.sum()))
        ratios.append(float(found.deviations[TESTED].std()))
    # The rate is that of finding anything where there is nothing: 1 in 100 draws.
    assert np.count_nonzero(called) <= 1
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_a_piece_of_density_is_called_and_the_rest_is_not(truth):
    piece = np.zeros_like(truth)
    piece[14:18, 18:22, 12:16] = 8.0 * truth.std()
    rng = np.random.default_rng(3)
    found = map_difference(
        halves(truth, rng), halves(truth + piece, rng, scale=0.8), TESTED, false_rate=0.01
    )
    near = scipy.ndimage.binary_dilation(piece > 0, iterations=2)
    assert piece[found.significant].sum() >= 0.8 * piece.sum()
    assert found.significant[~near].sum() <= 0.02 * found.significant.sum()
    assert (found.deviations[found.significant & (piece > 0)] > 0).all()
    # What differs does not tell the scale.
    assert found.scale == pytest.approx(1.25, rel=0.1)


def test_maps_of_noise_are_refused(truth):
    rng = np.random.default_rng(0)
    noise = halves(np.zeros_like(truth), rng), halves(truth, rng)
    noise[0].first[...] = rng.standard_normal(truth.shape)
    noise[0].second[...] = rng.standard_normal(truth.shape)
    with pytest.raises(NumericalError, match="do not agree"):
        map_difference(*noise, TESTED, false_rate=0.01)


def test_alike_halves_are_refused(truth):
    same = HalfPair(truth, truth)
    with pytest.raises(NumericalError, match="alike"):
        map_difference(same, same, TESTED, false_rate=0.01)
