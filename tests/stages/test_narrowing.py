"""Narrowed search: which references count as near, and what is made of the last matches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.geometry.symmetry import symmetry
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.stages.search.narrowing import (
    NEIGHBOURS,
    near_candidates,
    neighbours,
    searched_everywhere,
)


def references_of(names, spec="eman:n=40"):
    groups = [symmetry(name) for name in names]
    return References.of_models([orientations(spec, group) for group in groups]), groups


def view_angle_deg(one, other, group):
    """Angle between two views, or the mirror image of one, by trying every operation."""
    # the orientation R S is that of R; a view seen from behind is the mirror image
    seen = other @ group.matrices
    seen = np.concatenate([seen, -seen])
    sine = np.linalg.norm(np.cross(one, seen), axis=1)
    return np.degrees(np.arctan2(sine, seen @ one)).min()


@pytest.mark.parametrize("names", [("c1",), ("c1", "d2"), ("c4", "c1", "icos"), ("d2", "c4")])
def test_neighbours_by_brute_force(names):
    references, groups = references_of(names)
    count = 7
    table = neighbours(references, groups, count)
    assert table.shape == (len(references), count)
    assert table.dtype == np.int32
    views = references.rotations[:, 2]
    for reference in range(len(references)):
        model = references.model[reference]
        own = np.flatnonzero(references.model == model)
        angles = np.array([view_angle_deg(views[reference], views[i], groups[model]) for i in own])
        listed = table[reference][table[reference] >= 0]
        assert len(listed) == min(count, len(own))
        assert set(listed) <= set(own)
        assert len(set(listed)) == len(listed)
        # ties may be listed in any order: the angles are what must agree
        found = angles[listed - own[0]]
        np.testing.assert_allclose(found, np.sort(angles)[: len(listed)], atol=1e-5)


@pytest.mark.parametrize("name", ["c1", "c4", "d2", "tet", "icos"])
def test_a_reference_is_its_own_first_neighbour(name):
    references, groups = references_of((name,), spec="eman:delta=11")
    table = neighbours(references, groups, 1)
    np.testing.assert_array_equal(table[:, 0], np.arange(len(references)))


def test_maps_with_few_references_fill_up():
    references, groups = references_of(("c1", "icos"), spec="eman:delta=12")
    n_icos = np.count_nonzero(references.model == 1)
    assert n_icos < NEIGHBOURS
    table = neighbours(references, groups)
    assert table.shape[1] == NEIGHBOURS
    assert np.all(table[references.model == 0] >= 0)
    few = table[references.model == 1]
    assert np.all(few[:, :n_icos] >= 0)
    assert np.all(few[:, n_icos:] == -1)


def test_symmetry_and_mirror_join_the_ends_of_the_asymmetric_unit():
    """Views at either end of c4's range of azimuth are neighbours, and opposite ones are equal."""
    azimuth = np.array([0.0, 10.0, 45.0, 85.0, 265.0])
    eulers = np.stack([azimuth, np.full(5, 60.0), np.zeros(5)], axis=-1)
    references = References.of_models([eulers])
    near = [set(row) for row in neighbours(references, [symmetry("c4")], 4)]
    assert near[0] == {0, 1, 3, 4}
    alone = neighbours(references, [symmetry("c1")], 2)
    assert alone[0].tolist() == [0, 1]
    below = np.array([[0.0, 20.0, 0.0], [180.0, 160.0, 0.0], [0.0, 50.0, 0.0]])
    table = neighbours(References.of_models([below]), [symmetry("c1")], 2)
    assert {frozenset(row) for row in table[:2].tolist()} == {frozenset({0, 1})}


# --- candidates -----------------------------------------------------------------------------------


def matches_of(reference, score, seed=0):
    reference = np.array(reference, np.int32)
    rng = np.random.default_rng(seed)
    shape = reference.shape
    return Matches(
        reference=reference,
        score=np.array(score, np.float32),
        quality=np.zeros(shape, np.float32),
        alpha=rng.uniform(0, 360, shape).astype(np.float32),
        dx=rng.uniform(-4, 4, shape).astype(np.float32),
        dy=rng.uniform(-4, 4, shape).astype(np.float32),
        mirror=rng.integers(0, 2, shape).astype(np.int32),
    )


def test_candidates_surround_the_best_match_with_each_map():
    references, groups = references_of(("c1", "d2"))
    first = references.block(1).start
    table = neighbours(references, groups, 5)
    # scores need not be sorted over the maps; the second map's best stands in column 2
    matches = matches_of(
        [[3, first + 2, first + 4, 8], [first, 9, 2, first + 1]], [[9, 3, 5, 7], [8, 6, 7, 2]]
    )
    reference, origin = near_candidates(matches, references, table)
    assert reference.shape == (2, 10)
    assert origin.shape == (2, 10, 2)
    assert reference.dtype == np.int32
    assert origin.dtype == np.float32
    for row, best in enumerate([(3, first + 4), (2, first)]):
        np.testing.assert_array_equal(reference[row, :5], table[best[0]])
        np.testing.assert_array_equal(reference[row, 5:], table[best[1]])
    for row, columns in enumerate([(0, 2), (2, 0)]):
        for half, column in zip((slice(0, 5), slice(5, 10)), columns, strict=True):
            np.testing.assert_array_equal(
                origin[row, half], np.tile(matches.origin[row, column], (5, 1))
            )


def test_a_map_without_a_match_has_no_candidates():
    references, groups = references_of(("c1", "c4", "c1"))
    second, third = references.block(1).start, references.block(2).start
    matches = matches_of([[1, second, -1], [third, -1, 0]], [[3, 2, 9], [3, 9, 2]])
    reference, origin = near_candidates(matches, references, neighbours(references, groups, 3))
    assert np.all(reference[0, :6] >= 0)
    assert np.all(reference[0, 6:] == -1)
    assert np.all(reference[1, 3:6] == -1)
    assert np.all(reference[1, [0, 1, 2, 6, 7, 8]] >= 0)
    assert np.all(np.isfinite(origin))


# --- searched everywhere --------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.floats(0, 1))
def test_the_draw_is_reproducible(seed, iteration, share):
    one, two = (searched_everywhere(200, share, seed=seed, iteration=iteration) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (200,)
    assert one.dtype == np.bool_


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.7, 1.0])
def test_the_share_is_as_stated(share):
    n = 20_000
    drawn = np.array([searched_everywhere(n, share, seed=3, iteration=i).mean() for i in (2, 3, 4)])
    # five standard deviations
    np.testing.assert_allclose(drawn, share, atol=5 * np.sqrt(share * (1 - share) / n))


def test_each_iteration_and_seed_draws_anew():
    """In the long run every particle is searched everywhere."""
    draws = [searched_everywhere(1000, 0.2, seed=1, iteration=i) for i in range(2, 42)]
    assert np.all(np.any(draws, axis=0))
    together = np.mean(draws[0] & draws[1])
    assert together == pytest.approx(0.04, abs=0.035)
    other = searched_everywhere(1000, 0.2, seed=2, iteration=2)
    assert not np.array_equal(draws[0], other)
