"""Parts of the matching: which candidates go on, which refinements are taken back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mapsort.model.references import References
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.search.match import _best_of_each_map, _Candidates, _matches, _top


def candidates_of(reference):
    reference = np.asarray(reference, np.int32)
    rng = np.random.default_rng(1)
    made = _Candidates.at(reference, rng.normal(size=(*reference.shape, 2)).astype(np.float32))
    made.alpha[:] = rng.uniform(-3, 9, reference.shape)
    made.mirror[:] = rng.integers(0, 2, reference.shape)
    made.cross[:] = rng.uniform(1, 5, reference.shape)
    made.norm[:] = rng.uniform(1, 5, reference.shape)
    return made


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_the_best_of_each_map_go_on(count):
    """As many of each as every particle has; never those of another map."""
    references = References.of_models([np.zeros((4, 3)), np.zeros((3, 3))])
    reference = [[0, 5, 3, 6, 2], [4, 1, 6, 2, -1], [6, 5, 4, 0, 1]]
    candidates = candidates_of(reference)
    scores = np.array([[1, 9, 3, 4, 2.0], [5, 1, 7, 3, -np.inf], [1, 2, 3, 5, 4]])
    columns = _best_of_each_map(candidates, scores, references, count)
    assert columns.shape == (3, 2 * min(count, 2))
    for row, kept in enumerate(columns):
        for model in (0, 1):
            own = [c for c in range(5) if reference[row][c] >= 0]
            own = [c for c in own if references.model[reference[row][c]] == model]
            ranked = sorted(own, key=lambda c: -scores[row, c])[: min(count, 2)]
            assert [c for c in kept if c in own] == ranked
    taken = candidates.taken(columns)
    for name in ("reference", "alpha", "mirror", "cross", "norm"):
        expected = np.take_along_axis(getattr(candidates, name), columns, axis=1)
        np.testing.assert_array_equal(getattr(taken, name), expected)
    assert taken.origin.flags.c_contiguous


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


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_best_of_a_block_with_their_codes(k):
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(4, 12)).astype(np.float32)
    code = rng.integers(0, 1000, (4, 12)).astype(np.int32)
    reference, codes = _top(scores, code, slice(5, 10), k, 1)
    expected = 5 + np.argsort(-scores[:, 5:10], axis=1)[:, :k]
    np.testing.assert_array_equal(reference, expected)
    np.testing.assert_array_equal(codes, np.take_along_axis(code, expected, axis=1))


@pytest.mark.parametrize("spread", [np.inf, 2.0])
def test_matches_are_ranked_with_the_prior_and_in_the_sense_of_eman(spread):
    """Origin o and angle a: the translation after the rotation is R o; empty places come last."""
    candidates = candidates_of([[3, -1, 1, 0], [2, 2, 0, -1]])
    scoring = Scoring(np.inf, Comparator.CCC)
    plan = SimpleNamespace(scoring=scoring, shift_spread=spread)
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
