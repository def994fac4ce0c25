"""Nearest views by a tree: what a table of all pairs finds, without the table."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mapsort.geometry import nearest_views as module
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.nearest_views import NearestViews
from mapsort.geometry.symmetry import symmetry
from mapsort.modules.orientgen import orientations

GROUPS = ["c1", "c2", "c17", "d2", "d7", "tet", "oct", "icos"]


def closeness(views, others, group):
    """Cosine of the angle to the nearest mate, or its opposite, by all pairs."""
    best = np.zeros((len(views), len(others)))
    for operator in group.matrices:
        np.maximum(best, np.abs(views @ operator @ others.T), out=best)
    return best


def views_of(name, spec="eman:delta=9"):
    return eman_to_matrix(orientations(spec, symmetry(name)))[:, 2]


@pytest.mark.parametrize("count", [1, 5, 24])
@pytest.mark.parametrize("name", GROUPS)
def test_several_are_those_of_the_dense_table(name, count, monkeypatch):
    monkeypatch.setattr(module, "VIEWS_AT_ONCE", 37)
    group, own = symmetry(name), views_of(name)
    count = min(count, len(own))
    found = NearestViews(own, group).several(own, count)
    dense = closeness(own, own, group)
    rows = np.arange(len(own))[:, None]
    assert all(len(set(row)) == count for row in found.tolist())
    # views at equal distances may stand for each other; the distances are those of the table
    np.testing.assert_allclose(dense[rows, found], -np.sort(-dense, axis=1)[:, :count], atol=1e-9)
    # itself, or where the grid holds its opposite too, that
    np.testing.assert_allclose(dense[rows[:, 0], found[:, 0]], 1.0, atol=1e-12)


@pytest.mark.parametrize("name", GROUPS)
def test_the_nearest_lies_under_its_operator(name):
    group, own = symmetry(name), views_of(name)
    asked = np.random.default_rng(2).normal(size=(300, 3))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    number, operator = NearestViews(own, group).nearest(asked)
    dense = closeness(asked, own, group)
    differs = number != dense.argmax(axis=1)
    assert differs.mean() < 0.02  # where two are equally near
    mates = np.einsum("ni,nij->nj", asked, group.matrices[operator])
    cosine = np.abs(np.einsum("ni,ni->n", mates, own[number]))
    np.testing.assert_allclose(cosine, dense.max(axis=1), atol=1e-12)


def test_nothing_asked_is_nothing_found():
    tree = NearestViews(views_of("c1"), symmetry("c1"))
    number, operator = tree.nearest(np.empty((0, 3)))
    assert len(number) == len(operator) == 0
    assert tree.several(np.empty((0, 3)), 3).shape == (0, 3)


def test_memory_grows_with_the_number_of_views_only():
    """At 2.5 degrees, 3,000 views, a table of all pairs would be 72 MB, its order as much."""
    own, group = views_of("c1", "eman:delta=2.5"), symmetry("c1")
    assert len(own) > 3000
    tracemalloc.start()
    try:
        found = NearestViews(own, group).several(own, 24)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.shape == (len(own), 24)
    assert peak < 16e6
