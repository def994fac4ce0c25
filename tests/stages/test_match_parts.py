"""Parts of the matching: which candidates go on, which refinements are taken back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mapsort.model.references import References
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.search.candidates import (
    REFINED_NATS,
    Candidates,
    best_of_each_map,
    far_below,
)
from mapsort.stages.search.match import _matches


def candidates_of(reference):
    reference = np.asarray(reference, np.int32)
    rng = np.random.default_rng(1)
    made = Candidates.at(reference, rng.normal(size=(*reference.shape, 2)).astype(np.float32))
    made.alpha[:] = rng.uniform(-3, 9, reference.shape)
    made.mirror[:] = rng.integers(0, 2, reference.shape)
    made.cross[:] = rng.uniform(1, 5, reference.shape)
    made.norm[:] = rng.uniform(1, 5, reference.shape)
    return made


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_the_best_of_each_map_go_on(count):
    """Of each map so many, and as many as every particle has (two here), best first."""
    references = References.of_models([np.zeros((4, 3)), np.zeros((3, 3))])
    reference = [[0, 5, 3, 6, 2], [4, 1, 6, 2, -1], [6, 5, 4, 0, 1]]
    candidates = candidates_of(reference)
    scores = np.array([[1, 9, 3, 4, 2.0], [5, 1, 7, 3, -np.inf], [1, 2, 3, 5, 4]])
    best = best_of_each_map(candidates, scores, references, count)
    count = min(count, 2)
    assert best.reference.shape == (3, 2 * count)
    for row, found in enumerate(best.reference):
        ranked = sorted(range(5), key=lambda c: -scores[row, c])
        there = [c for c in ranked if reference[row][c] >= 0]
        model = [references.model[reference[row][c]] for c in there]
        kept = [c for k, c in enumerate(there) if model[:k].count(model[k]) < count]
        expected = [reference[row][c] for c in kept]
        assert found.tolist() == expected + [-1] * (len(found) - len(expected))
        for name in ("alpha", "mirror", "cross", "norm"):
            got = getattr(best, name)[row, : len(kept)]
            np.testing.assert_array_equal(got, getattr(candidates, name)[row, kept])
    assert best.origin.flags.c_contiguous


def test_none_go_on_of_a_map_that_a_particle_has_none_of():
    references = References.of_models([np.zeros((4, 3)), np.zeros((3, 3))])
    candidates = candidates_of([[0, 2, 1], [4, 1, 6]])
    scores = np.array([[1, 3, 2.0], [5, 4, 7]])
    best = best_of_each_map(candidates, scores, references, 1)
    assert best.reference.tolist() == [[2, -1], [6, 1]]


def test_only_what_is_far_below_the_best_of_its_own_map_is_not_refined():
    """The best of a map is refined, however far it is below another map's; empty places are not."""
    references = References.of_models([np.zeros((4, 3)), np.zeros((3, 3))])
    candidates = candidates_of([[0, 2, 5, 6, -1]])
    near, far = 0.9 * REFINED_NATS, 1.1 * REFINED_NATS
    scores = np.array([[100.0, 100.0 - near, 20.0, 20.0 - far, -np.inf]])
    found = far_below(candidates, scores, references)
    assert found.tolist() == [[False, False, False, True, False]]


def test_so_many_of_each_map_go_on_however_far_they_are_below_the_best():
    references = References.of_models([np.zeros((4, 3)), np.zeros((3, 3))])
    candidates = candidates_of([[0, 5, 2, 6, 1, 3, -1]])
    scores = np.array([[50.0, 9.0, 40.0, 1.0, 30.0, 40.5, -np.inf]])
    found = far_below(candidates, scores, references, nats=5.0, at_least=2)
    assert found.tolist() == [[False, False, True, False, True, False, False]]
    # of a map with fewer candidates, all of them
    found = far_below(candidates, scores, references, nats=5.0, at_least=3)
    assert found.tolist() == [[False, False, False, False, True, False, False]]
    assert not far_below(candidates, scores, references, nats=5.0, at_least=9).any()


def test_refinements_that_went_too_far_are_taken_back():
    candidates = candidates_of([[0, 1, 2]])
    before = candidates.copied()
    candidates.origin[0, 0] += [1.0, -1.0]  # 1.41 pixels
    candidates.origin[0, 1] += [1.2, 0.9]  # 1.5 pixels
    candidates.origin[0, 2] += [1.2, 1.0]  # 1.56 pixels
    candidates.alpha += 0.5
    assert not candidates.restored(before, None)
    assert not candidates.restored(before, 1.6)
    assert candidates.restored(before, 1.5 + 1e-6)
    np.testing.assert_array_equal(candidates.origin[0, 2], before.origin[0, 2])
    assert candidates.alpha[0, 2] == before.alpha[0, 2]
    np.testing.assert_allclose(candidates.alpha[0, :2], before.alpha[0, :2] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(candidates.origin[0, 1], before.origin[0, 1] + [1.2, 0.9], rtol=1e-5)


@pytest.mark.parametrize("spread", [np.inf, 2.0])
def test_matches_are_ranked_with_the_prior_and_in_the_sense_of_eman(spread):
    """Origin o and angle a: the translation after the rotation is R o; empty places come last."""
    candidates = candidates_of([[3, -1, 1, 0], [2, 2, 0, -1]])
    scoring = Scoring(np.inf, Comparator.CCC)
    plan = SimpleNamespace(
        settings=SimpleNamespace(scoring=scoring), context=SimpleNamespace(shift_spread=spread)
    )
    found = _matches(candidates, plan)
    score = candidates.cross**2 / (2 * candidates.norm)
    if np.isfinite(spread):
        score = score - (candidates.origin**2).sum(axis=-1) / 8
    score[candidates.reference < 0] = -np.inf
    order = np.argsort(-score, axis=1)

    def ranked(values):
        return np.take_along_axis(values, order, axis=1)

    there = ranked(candidates.reference) >= 0
    np.testing.assert_array_equal(found.reference, ranked(candidates.reference))
    np.testing.assert_allclose(found.score, ranked(score), rtol=1e-5)
    np.testing.assert_array_equal(found.mirror, ranked(candidates.mirror))
    quality = ranked(candidates.cross / np.sqrt(candidates.norm))
    np.testing.assert_allclose(found.quality, quality, rtol=1e-5)
    assert ((found.alpha >= 0) & (found.alpha < 360.001)).all()
    turned = np.deg2rad(found.alpha) - ranked(candidates.alpha)
    np.testing.assert_allclose(np.cos(turned)[there], 1.0, atol=1e-5)
    origin = np.take_along_axis(candidates.origin, order[..., None], axis=1)
    np.testing.assert_allclose(found.origin, origin, atol=1e-5)
