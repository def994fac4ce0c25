"""What halves of the particles share is signal, across classes, too."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.components.shrinkage import shared_combinations

SIDE, CLASSES = 20, 8


def two_halves(signal, deviation, seed=0):
    rng = np.random.default_rng(seed)
    first, second = (
        (signal + deviation * rng.standard_normal(signal.shape)).astype(np.float32)
        for _ in range(2)
    )
    return first, second


@pytest.fixture(scope="module")
def few_ways():
    """Differences of eight classes that are sums of two parts."""
    rng = np.random.default_rng(1)
    parts = rng.standard_normal((SIDE, SIDE, SIDE, 2))
    return parts @ rng.standard_normal((2, CLASSES))


def everywhere():
    return np.ones((SIDE,) * 3, np.float32)


def ways_and_coordinates(halves, weight, signal):
    """What is kept of the halves' mean, and the signal's coordinates and residual in it."""
    found = shared_combinations(halves, weight)
    ways = (0.5 * (halves[0] + halves[1]) @ found).reshape(-1, found.shape[1])
    columns = signal.reshape(-1, CLASSES)
    coordinates = np.linalg.lstsq(ways, columns, rcond=None)[0]
    left = columns - ways @ coordinates
    return ways, coordinates, np.square(left).mean(axis=0) / np.square(columns).mean(axis=0)


def test_classes_that_differ_in_two_ways_are_sums_of_two_maps(few_ways):
    deviation = np.r_[np.ones(CLASSES - 1), 4.0]  # the last has few particles
    halves = two_halves(few_ways, deviation)
    ways, coordinates, left = ways_and_coordinates(halves, everywhere(), few_ways)
    assert ways.shape[1] == 2
    # the noise of one class's map is half of its variance, that of the last one eight times it
    assert left.max() < 0.15
    assert np.sqrt(np.square(coordinates).mean()) == pytest.approx(1.0, abs=0.25)


def test_of_noise_one_way_is_kept():
    halves = two_halves(np.zeros((SIDE, SIDE, SIDE, CLASSES)), np.arange(1.0, CLASSES + 1))
    assert shared_combinations(halves, everywhere()).shape == (CLASSES, 1)


def test_only_what_is_trusted_is_asked(few_ways):
    inside = everywhere()
    inside[SIDE // 2 :] = 0.0
    halves = two_halves(few_ways, 1.0)
    spoiled = tuple(half.copy() for half in halves)
    for half in spoiled:
        half[SIDE // 2 :, ..., 0] = 50.0
    np.testing.assert_array_equal(
        shared_combinations(spoiled, inside), shared_combinations(halves, inside)
    )


def test_an_empty_class_spoils_nothing(few_ways):
    signal = few_ways * np.r_[np.ones(CLASSES - 1), 0.0]
    halves = two_halves(signal, np.r_[np.ones(CLASSES - 1), 0.0])
    signal[..., -1] = few_ways[..., -1]
    ways, _, left = ways_and_coordinates(halves, everywhere(), signal)
    assert ways.shape[1] == 2
    assert left.max() < 0.15
