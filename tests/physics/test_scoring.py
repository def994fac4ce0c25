"""Scores from cross terms and norms, and the weights of rings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.physics.scoring import Comparator, Scoring

INFINITE = float("inf")
N_RINGS, BOX, APIX = 12, 32, 4.0
ANG_PER_RING = BOX * APIX
numbers = st.floats(-100.0, 100.0, width=32)
norms = st.floats(0.0078125, 100.0, width=32)


def score(scoring, cross, norm):
    return scoring.scores(np.float32([cross]), np.float32([norm]))[0]


@pytest.mark.parametrize(
    "comparator", [Comparator.LOGLIK, Comparator.CCC, Comparator.FRC, Comparator.PHASE]
)
@given(cross=numbers, norm=norms)
def test_correlations_square_over_the_norm(comparator, cross, norm):
    """f^2 / 2g where f > 0: the scale of a reference does not matter, its sign does."""
    found = score(Scoring(INFINITE, comparator), cross, norm)
    assert found == pytest.approx(0.5 * max(cross, 0) ** 2 / norm, rel=1e-5, abs=1e-30)
    assert score(Scoring(INFINITE, comparator), 4 * cross, 16 * norm) == pytest.approx(found)


@given(cross=numbers, norm=norms)
def test_sqeuclidean_is_the_gain_in_squared_distance(cross, norm):
    """(|x|^2 - |x - p|^2) / 2 = f - g / 2."""
    found = score(Scoring(0.0, Comparator.SQEUCLIDEAN), cross, norm)
    assert found == pytest.approx(cross - norm / 2, rel=1e-5, abs=1e-4)


@given(cross=numbers, norm=norms)
def test_dot_is_the_cross_term(cross, norm):
    assert score(Scoring(INFINITE, Comparator.DOT), cross, norm) == np.float32(cross)


def test_dot_gives_an_array_of_its_own():
    """Matching overwrites scores of empty places: the cross terms must stay."""
    cross = np.float32([[1, 2]])
    found = Scoring(INFINITE, Comparator.DOT).scores(cross, cross)
    found[:] = -np.inf
    np.testing.assert_array_equal(cross, [[1, 2]])


@pytest.mark.parametrize("comparator", list(Comparator))
def test_nothing_compared_scores_nothing(comparator):
    for spread in (0.0, 0.3, INFINITE):
        found = Scoring(spread, comparator).scores(np.zeros((2, 3), np.float32), np.zeros((2, 3)))
        assert found.shape == (2, 3), spread
        np.testing.assert_allclose(found, 0, atol=1e-6, err_msg=f"{spread}")


def test_normalisation_and_whitening():
    how = {c.value: (c.normalisation, c.whitens) for c in Comparator}
    assert how == {
        "loglik": ("none", True),
        "ccc": ("none", False),
        "dot": ("none", False),
        "sqeuclidean": ("none", False),
        "frc": ("rings", False),
        "phase": ("phases", False),
    }


# --- weights of rings -----------------------------------------------------------------------------


@pytest.fixture
def power():
    """Signal and noise power in shells 0 to 16."""
    shells = np.arange(BOX // 2 + 1)
    return 50.0 * np.exp(-shells / 3), 2.0 + np.cos(shells / 4)


def weights(scoring, power):
    signal, noise = power
    found = scoring.ring_weight(signal, noise, N_RINGS, ANG_PER_RING)
    assert (found.shape, found.dtype) == ((N_RINGS,), np.float32)
    assert found.flags.c_contiguous
    return found


def test_loglik_weighs_by_the_noise(power):
    expected = 1 / power[1][1 : N_RINGS + 1]
    np.testing.assert_allclose(weights(Scoring(INFINITE), power), expected, rtol=1e-6)


@pytest.mark.parametrize("comparator", [Comparator.CCC, Comparator.DOT, Comparator.SQEUCLIDEAN])
def test_all_terms_alike_in_units_of_the_noise(comparator, power):
    """One weight: 1 over the mean noise power of the terms, ring k having 2 pi k of them."""
    found = weights(Scoring(INFINITE, comparator), power)
    rings = np.arange(1, N_RINGS + 1)
    mean = np.average(power[1][1 : N_RINGS + 1], weights=rings)
    np.testing.assert_allclose(found, 1 / mean, rtol=1e-6)


def test_in_white_noise_ccc_is_loglik(power):
    white = power[0], np.full(BOX // 2 + 1, 3.0)
    one = weights(Scoring(INFINITE, Comparator.CCC), white)
    np.testing.assert_allclose(one, weights(Scoring(INFINITE), white), rtol=1e-6)


@pytest.mark.parametrize("comparator", [Comparator.FRC, Comparator.PHASE])
def test_normalised_rings_weigh_by_the_correlation_to_be_expected(comparator, power):
    """<X C P> / sqrt(<X^2> <(C P)^2>) = sqrt(S/2 / (S/2 + N)), by a simulation of one ring."""
    found = weights(Scoring(INFINITE, comparator), power)
    rng = np.random.default_rng(0)
    for ring in (1, 5, 11):
        signal, noise = power[0][ring], power[1][ring]
        s = rng.normal(0, np.sqrt(0.5 * signal), 200_000)
        x = s + rng.normal(0, np.sqrt(noise), s.size)
        # 200,000 pairs: the coefficient's standard deviation is at most 0.0022
        assert found[ring - 1] == pytest.approx(np.corrcoef(s, x)[0, 1], abs=0.01)
    assert np.all((found > 0) & (found < 1))


@pytest.mark.parametrize("comparator", [Comparator.FRC, Comparator.PHASE])
def test_rings_without_signal_weigh_nothing(comparator, power):
    power[0][6:] = 0
    found = weights(Scoring(INFINITE, comparator), power)
    np.testing.assert_array_equal(found[5:], 0)
    assert np.all(found[:5] > 0)


#: Limits in A, and the first and the last ring that they leave.
BANDS = [
    (None, None, 1, 12),
    (64.0, None, 2, 12),  # ring 2 has 64 A
    (63.9, None, 3, 12),
    (None, 16.0, 1, 8),  # ring 8 has 16 A
    (None, 16.1, 1, 7),
    (64.0, 16.0, 2, 8),
    (1000.0, 1.0, 1, 12),
]


@pytest.mark.parametrize("comparator", list(Comparator))
def test_nothing_outside_the_band(comparator, power):
    whole = weights(Scoring(INFINITE, comparator), power)
    for lowest, highest, first, last in BANDS:
        found = weights(Scoring(INFINITE, comparator, lowest, highest), power)
        inside = np.zeros(N_RINGS, bool)
        inside[first - 1 : last] = True
        row = f"{lowest} to {highest} A"
        np.testing.assert_array_equal(found[~inside], 0, err_msg=row)
        np.testing.assert_array_equal(found[inside], whole[inside], err_msg=row)


@given(
    st.sampled_from(list(Comparator)),
    st.floats(1.0, 300.0),
    st.floats(1.0, 300.0),
    st.integers(1, 16),
)
def test_the_band_is_of_whole_rings_by_their_resolution(comparator, lowest, highest, n_rings):
    signal, noise = np.ones(17), np.ones(17)
    found = Scoring(1.0, comparator, lowest, highest).ring_weight(
        signal, noise, n_rings, ANG_PER_RING
    )
    for ring, weight in enumerate(found, start=1):
        assert (weight > 0) == (highest <= ANG_PER_RING / ring <= lowest)
