"""The gain of a split by resolution: shells add up, and one structure gains nothing in any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.decomposition import Decomposition
from mapsort.stages.components.held_out_split import (
    JUDGES,
    Seen,
    gain_by_ring,
    held_out_split,
    refined,
)
from mapsort.stages.components.latent_mixture import fit_mixture


def test_rings_add_up_to_what_all_of_them_tell(two_states):
    """Of images that were cut: log likelihoods count by what the circle leaves of the noise."""
    observed, grid = two_states.observed, two_states.grid
    cut = replace(observed.particles, circle_px=0.39 * observed.particles.band.box)
    observed = replace(observed, particles=cut)
    rng = np.random.default_rng(3)
    search = Decomposition(grid, grid, 2, JUDGES, junk=False)
    subspace = search.run(observed, np.ones(len(observed)), rng, lambda: None)
    spared = observed.folds.number == JUDGES
    assert subspace.temperature == pytest.approx(1.87, abs=0.02)
    learnt, judges = subspace.counted.rows(~spared), subspace.counted.rows(spared)
    several, one = (fit_mixture(learnt, count, rng, junk=False) for count in (2, 1))
    found = gain_by_ring(subspace, several, one)
    assert found.shape == (spared.sum(), grid.rings)
    whole = several.judge(judges).log_likelihood - one.judge(judges).log_likelihood
    np.testing.assert_allclose(found.sum(axis=1), whole, atol=1e-4)
    assert whole.mean() > 1 / subspace.temperature


def test_judges_have_no_part_in_the_maps_that_judge_them(two_states):
    observed, grid = two_states.observed, two_states.grid
    rng = np.random.default_rng(3)
    search = Decomposition(grid, grid, 2, JUDGES, junk=False)
    first = search.run(observed, np.ones(len(observed)), rng, lambda: None)
    spared = observed.folds.number == JUDGES
    found = fit_mixture(first.counted.rows(~spared), 2, rng, junk=False)
    spectra = observed.particles.spectra.copy()
    spectra[spared] = spectra[spared][::-1]
    others = replace(first.observed, particles=replace(observed.particles, spectra=spectra))
    own, same = (
        refined(replace(first, observed=each), grid, found, junk=False)
        for each in (first.observed, others)
    )
    np.testing.assert_array_equal(own[0].whole, same[0].whole)
    np.testing.assert_array_equal(own[1].templates, same[1].templates)
    assert not np.allclose(own[0].products.target[spared], same[0].products.target[spared])
    # The maps tell the states apart: five of the hundred judges are in the other class at most.
    labels = own[1].judge(own[0].counted.rows(spared)).labels
    right = np.mean(labels == two_states.state[spared])
    assert max(right, 1 - right) >= 0.95


@pytest.mark.parametrize("states", [1, 2])
def test_two_structures_gain_in_their_shells_and_one_in_none(simulated, states):
    made = simulated(1800, states=states, noise=1.0)
    seen = Seen.of(made.observed, ComponentSettings(rings=8, radius_px=11.0))
    partition = np.arange(1800) % 2 if states == 1 else made.state
    found = held_out_split(seen, partition, seed=1)
    gain, n = found.gain_by_ring, len(found.judges)
    error = gain.std(axis=0, ddof=1) / np.sqrt(n)
    np.testing.assert_allclose(found.resolution_ang[[0, -1]], [192, 192 / gain.shape[1]])
    if states == 1:
        # of as many shells one in a thousand is beyond by chance
        assert np.all(np.abs(gain.mean(axis=0)) < 4 * error)
    else:
        # a lump that is elsewhere hardly shows in the first rings, and is too smooth for the last
        assert np.all(gain.mean(axis=0)[2:5] > 4 * error[2:5])
