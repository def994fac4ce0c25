"""Posterior weights of matches, their annealing, and the classes made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.stages.classify.assignment import (
    ANNEALED_AFTER,
    LEAST_PROBABILITY,
    annealed,
    map_posterior,
    posterior,
    soft_membership,
    starting_temperature,
)

REFERENCES = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])


def matches_of(reference, score):
    reference = np.array(reference, np.int32)
    zeros = np.zeros(reference.shape, np.float32)
    return Matches(
        reference=reference,
        score=np.array(score, np.float32),
        quality=np.array(score, np.float32),
        alpha=zeros,
        dx=zeros,
        dy=zeros,
        mirror=zeros.astype(np.int32),
    )


def test_the_posterior_is_bayes_rule():
    matches = matches_of([[0, 3, 1], [4, 2, -1]], [[5.0, 4.0, 3.0], [2.0, 1.0, -np.inf]])
    shares = np.array([0.25, 0.75])
    found = posterior(matches, REFERENCES, shares=shares, temperature=2.0)
    for row, references, scores in [(0, [0, 3, 1], [5, 4, 3]), (1, [4, 2], [2, 1])]:
        prior = np.where(np.array(references) < 3, 0.25, 0.75)
        weight = prior * np.exp(np.array(scores) / 2.0)
        np.testing.assert_allclose(found[row, : len(scores)], weight / weight.sum(), rtol=1e-6)
    assert found[1, 2] == 0.0


def test_scores_far_apart_do_not_overflow():
    found = posterior(matches_of([[0, 3]], [[1e5, -1e5]]), REFERENCES)
    np.testing.assert_array_equal(found, [[1.0, 0.0]])


def test_probabilities_of_maps_are_sums_over_their_matches():
    matches = matches_of([[0, 3, 2, 4]], [[0.0, 0.0, 0.0, 0.0]])
    probability = np.array([[0.4, 0.3, 0.2, 0.1]])
    found = map_posterior(probability, matches, REFERENCES)
    np.testing.assert_allclose(found, [[0.6, 0.4]])


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 300.0))
def test_the_starting_temperature_leaves_half_of_the_certainty(seed, spread):
    rng = np.random.default_rng(seed)
    score = rng.normal(50, spread, (200, 2))
    reference = np.tile([[0, 3]], (200, 1))
    matches = matches_of(reference, score)
    temperature = starting_temperature(matches, REFERENCES)
    probability = posterior(matches, REFERENCES, temperature=temperature)
    best = map_posterior(probability, matches, REFERENCES).max(axis=1).mean()
    if temperature > 1.0:
        assert best == pytest.approx(0.75, abs=0.01)
    else:
        assert best <= 0.75


def test_one_map_needs_no_annealing():
    alone = References.of_models([np.zeros((3, 3))])
    assert starting_temperature(matches_of([[0, 1]], [[9.0, 1.0]]), alone) == 1.0


def test_the_temperature_falls_by_equal_factors_to_one():
    falling = [annealed(81.0, iteration) for iteration in range(1, ANNEALED_AFTER + 3)]
    assert falling[0] == 81.0
    np.testing.assert_allclose(np.diff(np.log(falling[: ANNEALED_AFTER + 1])), -np.log(3.0))
    assert falling[ANNEALED_AFTER:] == [1.0, 1.0]
    assert [annealed(4.0, i, over=2) for i in (1, 2, 3, 4)] == [4.0, 2.0, 1.0, 1.0]


def test_members_carry_their_probabilities():
    matches = matches_of([[0, 3, 1], [3, 4, -1]], [[3.0, 2.0, 1.0], [1.0, 0.0, -np.inf]])
    probability = np.array([[0.7, 0.295, 0.005], [0.45, 0.05, 0.0]])  # the second half junk
    members = soft_membership(matches, probability, 5)
    assert [list(members.members(c)) for c in range(5)] == [[0], [], [], [0, 1], [1]]
    weight = {
        (int(p), int(c)): float(w)
        for p, c, w in zip(members.particle, members.column, members.weight, strict=True)
    }
    # what is dropped goes to what is kept, and a particle's sum stays
    assert LEAST_PROBABILITY > 0.005
    assert weight == pytest.approx(
        {(0, 0): 0.7 / 0.995, (0, 1): 0.295 / 0.995, (1, 0): 0.45, (1, 1): 0.05}
    )


def test_classkeep_leaves_out_the_worst_of_each_class():
    matches = matches_of([[0, 3]] * 4, [[4.0, 4.0], [3.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
    members = soft_membership(matches, np.full((4, 2), 0.5), 5)
    quality = matches.quality[members.particle, members.column]
    members = members.keeping(quality, keep=0.5, keep_sigma=False)
    assert [list(members.members(c)) for c in (0, 3)] == [[0, 1], [0, 1]]


def test_temperatures_have_two_ends():
    clear = matches_of([[0, 3]] * 4, [[1e9, 0.0]] * 4)
    assert starting_temperature(clear, REFERENCES) == 1e4
    even = matches_of([[0, 3]] * 4, [[1.0, 1.0]] * 4)
    assert starting_temperature(even, REFERENCES) == 1.0
    # two maps 2 T artanh(0.5) apart: the likelier has 3/4
    apart = matches_of([[0, 3]] * 4, [[np.log(3) * 20, 0.0]] * 4)
    assert starting_temperature(apart, REFERENCES) == pytest.approx(20, rel=0.01)
    three = References.of_models([np.zeros((1, 3))] * 3)
    # of three maps 2/3: as likely as four times each of the others
    apart = matches_of([[0, 1, 2]] * 2, [[np.log(4) * 7, 0.0, 0.0]] * 2)
    assert starting_temperature(apart, three) == pytest.approx(7, rel=0.01)


def test_maps_without_a_share_lose_all_but_everything():
    matches = matches_of([[0, 3]], [[0.0, 0.0]])
    found = posterior(matches, REFERENCES, shares=np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [[1e-12, 1.0]], rtol=1e-6)


def test_memberships_of_a_hundredth_stay():
    matches = matches_of([[0, 3], [0, 3]], [[1.0, 0.0]] * 2)
    members = soft_membership(matches, np.array([[0.99, 0.01], [0.991, 0.009]]), 5)
    assert [list(members.members(c)) for c in (0, 3)] == [[0, 1], [0]]
    np.testing.assert_allclose(members.weight, [0.99, 1.0, 0.01], rtol=1e-6)
