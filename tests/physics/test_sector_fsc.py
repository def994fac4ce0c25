"""FSC by sectors: their sum is the FSC, and drawing them gives its standard error."""

from __future__ import annotations

import numpy as np

from mapsort.physics.fsc import N_SECTORS, curve_of, drawn_counts, fsc, sector_terms

BOX = 32


def pair(rng, noise=0.7):
    signal = rng.standard_normal((BOX,) * 3)
    return [signal + noise * rng.standard_normal(signal.shape) for _ in range(2)]


def test_all_sectors_once_are_the_fsc():
    a, b = pair(np.random.default_rng(0))
    curve = curve_of(sector_terms(a, b), np.ones(N_SECTORS))
    # terms of the plane kx = 0 are counted with their mates here, once each in `fsc`
    np.testing.assert_allclose(curve[1:-1], fsc(a, b)[1:-1], atol=0.02)


def test_every_sector_holds_its_share_of_a_shell():
    ones = np.zeros((BOX,) * 3)
    ones[BOX // 2, BOX // 2, BOX // 2] = 1.0
    power = sector_terms(ones, ones)[1]
    share = power[:, 10] / power[:, 10].sum()
    assert np.all(np.abs(share * N_SECTORS - 1.0) < 0.5)


def test_draws_give_the_spread_of_the_curve():
    """The same standard deviation as that of 60 fresh pairs, to the 20 % that 60 pairs leave."""
    rng = np.random.default_rng(1)
    shell = 9
    fresh = [fsc(*pair(rng))[shell] for _ in range(60)]
    terms = sector_terms(*pair(rng))
    drawn = [curve_of(terms, counts)[shell] for counts in drawn_counts(300)]
    assert 0.5 < np.std(drawn) / np.std(fresh) < 2.0


def test_draws_take_as_many_sectors_as_there_are():
    counts = drawn_counts(50)
    assert counts.shape == (50, N_SECTORS)
    np.testing.assert_array_equal(counts.sum(axis=1), N_SECTORS)
    np.testing.assert_array_equal(counts, drawn_counts(50))
