"""The Wiener term of maps, and what it does to them."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.reconstruct.postprocess import noise_to_signal, wiener_filtered


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
