"""Classification: every particle enters the classes of its best references, none is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.model.matches import Matches
from mapsort.stages.classify.assignment import classify

N_CLASSES = 7


def matches_of(reference, quality):
    shape = reference.shape
    zeros = np.zeros(shape, np.float32)
    return Matches(
        reference=reference.astype(np.int32),
        score=quality.astype(np.float32),
        quality=quality.astype(np.float32),
        alpha=zeros,
        dx=zeros,
        dy=zeros,
        mirror=np.zeros(shape, np.int32),
    )


@st.composite
def random_matches(draw):
    n = draw(st.integers(1, 30))
    top = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    reference = np.stack([rng.permutation(N_CLASSES)[:top] for _ in range(n)])
    return matches_of(reference, rng.normal(size=(n, top)))


@given(random_matches(), st.integers(1, 4))
def test_every_particle_is_in_sep_classes_with_shares_that_add_up(matches, sep):
    sep = min(sep, matches.reference.shape[1])
    members = classify(matches, N_CLASSES, sep=sep)
    assert members.n_classes == N_CLASSES
    assert len(members.particle) == sep * len(matches)
    assert members.used.all()
    np.testing.assert_array_equal(
        matches.reference[members.particle, members.column], members.class_of_member
    )
    assert members.column.max() < sep
    shares = np.bincount(members.particle, members.weight, len(matches))
    np.testing.assert_allclose(shares, 1.0, rtol=1e-6)


def kept(matches, members, *, keep, keep_sigma=False):
    """Members of which the best of each class are in use."""
    quality = matches.quality[members.particle, members.column]
    return members.keeping(quality, keep=keep, keep_sigma=keep_sigma)


@given(random_matches(), st.floats(0.05, 1.0))
def test_keep_uses_the_best_of_each_class(matches, keep):
    members = kept(matches, classify(matches, N_CLASSES), keep=keep)
    quality = matches.quality[:, 0]
    for c in range(N_CLASSES):
        used, excluded = members.members(c), members.excluded(c)
        everyone = np.flatnonzero(matches.reference[:, 0] == c)
        np.testing.assert_array_equal(np.sort(np.concatenate([used, excluded])), everyone)
        if len(everyone):
            assert len(used) == max(1, int(np.ceil(keep * len(everyone) - 1e-9)))
        if len(excluded):
            assert quality[excluded].max() <= quality[used].min()


def test_sigma_excludes_only_the_far_worse():
    quality = np.array([5.0, 5.1, 4.9, 5.0, 0.0])[:, None]
    matches = matches_of(np.zeros((5, 1)), quality)
    members = kept(matches, classify(matches, 1), keep=1.5, keep_sigma=True)
    np.testing.assert_array_equal(members.members(0), [0, 1, 2, 3])
    np.testing.assert_array_equal(members.excluded(0), [4])


def test_quality_of_the_same_column_decides():
    """With sep 2 a particle is judged in each class by its match there."""
    matches = matches_of(
        np.array([[0, 1], [0, 1], [1, 0]]), np.array([[9.0, 1.0], [8.0, 5.0], [7.0, 6.0]])
    )
    members = kept(matches, classify(matches, 2, sep=2), keep=0.5)
    np.testing.assert_array_equal(members.members(0), [0, 1])  # 9, 8 and not 6
    np.testing.assert_array_equal(members.members(1), [1, 2])  # 5, 7 and not 1


def test_no_match_is_no_class():
    matches = matches_of(np.array([[2, -1], [1, 0]]), np.ones((2, 2)))
    members = classify(matches, 3, sep=2)
    assert len(members.particle) == 3
    np.testing.assert_allclose(np.bincount(members.particle, members.weight), 1.0)


@pytest.mark.parametrize("sep", [0, 3])
def test_more_classes_than_matches_are_refused(sep):
    with pytest.raises(ValueError, match=r"sep: expected 1 to 2 \(the matches kept\), got"):
        classify(matches_of(np.array([[0, 1]]), np.ones((1, 2))), 2, sep=sep)


def test_particles_that_may_not_enter_are_in_no_class():
    matches = matches_of(np.array([[0, 1], [1, 0], [2, 0]]), np.ones((3, 2)))
    members = classify(matches, N_CLASSES, sep=2, allowed=np.array([True, False, True]))
    assert [members.members(c).tolist() for c in range(3)] == [[0, 2], [0], [2]]
    np.testing.assert_allclose(members.weight, 0.5)
