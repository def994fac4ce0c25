"""What is made of scores: probabilities, memberships, junk."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gumbel_r, norm

from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.stages.junk import JunkModel, junk_probability
from mapsort.stages.postprocess import noise_to_signal, wiener_filtered
from mapsort.stages.soft_assignment import (
    posterior,
    soft_membership,
    starting_temperature,
)

BOX, APIX = 16, 8.0


RNG = np.random.default_rng(0)


def matches_of(reference, score=None, quality=None):
    reference = np.asarray(reference, np.int32)
    zeros = np.zeros(reference.shape, np.float32)
    score = zeros if score is None else np.asarray(score, np.float32)
    quality = score if quality is None else np.asarray(quality, np.float32)
    return Matches(reference, score, quality, zeros, zeros, zeros, zeros.astype(np.int32))


def test_noise_and_particles_share_a_score_by_bayes_rule():
    model = JunkModel(noise_mode=10.0, noise_scale=2.0, mean=30.0, deviation=5.0, share=0.2)
    scores = np.array([12.0, 18.0, 25.0])
    noise = 0.2 * gumbel_r.pdf(scores, 10, 2)
    particle = 0.8 * norm.pdf(scores, 30, 5)
    np.testing.assert_allclose(model.probability(scores), noise / (noise + particle), rtol=1e-9)
    # beyond the mode and the mean nothing changes any more, however the tails run
    ends = model.probability(np.array([10.0, -90.0, 30.0, 500.0]))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
    assert junk_probability(scores, None) is None


REFERENCES = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])


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
    volume = RNG.standard_normal((BOX,) * 3).astype(np.float32)
    ratio = np.where(np.arange(BOX // 2 + 1) < 4, 0.0, 3.0)
    found = np.fft.rfftn(wiener_filtered(volume, ratio)) / np.fft.rfftn(volume)
    assert found[0, 0, 2].real == pytest.approx(1.0, rel=1e-4)
    assert found[0, 0, 6].real == pytest.approx(0.25, rel=1e-4)
