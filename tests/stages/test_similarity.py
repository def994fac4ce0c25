"""Scores of all pairs, of which few were refined."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.model.matches import Matches
from mapsort.stages.search.similarity import CoarseScores, Similarity


def three_matches():
    """Particle 0 with references 2 and 0, particle 1 with reference 3 alone."""
    return Matches(
        reference=np.array([[2, 0], [3, -1]], np.int32),
        score=np.array([[9.0, 4.0], [-2000.0, -np.inf]], np.float32),
        quality=np.zeros((2, 2), np.float32),
        alpha=np.array([[10.0, 20.0], [30.0, 0.0]], np.float32),
        dx=np.array([[1.0, 2.0], [3.0, 0.0]], np.float32),
        dy=np.array([[-1.0, -2.0], [-3.0, 0.0]], np.float32),
        mirror=np.array([[1, 0], [1, 0]], np.int32),
    )


def test_pairs_that_were_not_compared_come_last():
    found = Similarity.of_matches(three_matches(), 5)
    below = [4 - 1e-4, -2000 - 2e-3]
    expected = np.repeat(np.array(below, np.float32)[:, None], 5, axis=1)
    expected[0, 2], expected[0, 0], expected[1, 3] = 9, 4, -2000
    np.testing.assert_array_equal(found.score, expected)
    assert found.alpha[0, [0, 2]].tolist() == [20, 10]
    assert (found.dx[0, 0], found.dy[1, 3], found.mirror[0, 2]) == (2, -3, 1)
    unaligned = np.ones((2, 5), bool)
    unaligned[[0, 0, 1], [0, 2, 3]] = False
    for name in ("alpha", "dx", "dy", "mirror"):
        assert not getattr(found, name)[unaligned].any()
    joined = Similarity.joined([found.rows(np.array([1])), found.rows(np.array([0, 1]))])
    np.testing.assert_array_equal(joined.score, expected[[1, 0, 1]])


def test_no_pair_is_above_a_refined_one():
    """Codes: (shift x angles + turn) x 2 + mirror; the kernel's origins become translations."""
    n_angles = 8
    origins = np.array([[0.0, 0.0], [1.0, -2.0], [3.0, 0.5]], np.float32)
    shift, turn, mirror = (
        np.array(values) for values in ([[0, 1, 2, 1]] * 2, [[0, 2, 7, 3]] * 2, [[0, 1, 1, 0]] * 2)
    )
    score = np.array([[5.0, 50.0, 3.0, 4.1], [-3000.0, 1.0, 2.0, 3.0]], np.float32)
    coarse = CoarseScores(
        score, ((shift * n_angles + turn) * 2 + mirror).astype(np.int32), origins, n_angles
    )
    found = coarse.similarity(three_matches())
    best = np.float32(4 - 1e-4)
    np.testing.assert_allclose(found.score[0], [4, best, 9, best], rtol=1e-7)
    np.testing.assert_allclose(found.score[1], [-3000, -2000.002, -2000.002, -2000], rtol=1e-7)
    for column in (1, 3):  # those of particle 0 that were not refined
        angle = turn[0, column] * 45.0
        pose = Matches(
            *(np.array([[value]], kind) for value, kind in (
                (0, np.int32), (0, "f4"), (0, "f4"), (found.alpha[0, column], "f4"),
                (found.dx[0, column], "f4"), (found.dy[0, column], "f4"), (0, np.int32),
            ))
        )  # fmt: skip
        assert found.alpha[0, column] == pytest.approx(angle, abs=1e-4)
        np.testing.assert_allclose(pose.origin[0, 0], origins[shift[0, column]], atol=1e-5)
    assert found.mirror[0].tolist() == [0, 1, 1, 0]
