"""Spirals, repelled and random directions against plain versions of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest

from mapsort.errors import ConfigError
from mapsort.geometry.asymmetric_unit import asymmetric_unit
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.other_orientations import (
    random_orientations,
    repelled_orientations,
    spiral_orientations,
)
from mapsort.geometry.symmetry import symmetry

C1 = symmetry("c1")


def directions(angles):
    """Projection directions: the third rows of the matrices."""
    return eman_to_matrix(np.asarray(angles))[:, 2]


def spiral_of_sphere(delta, *, half=False):
    """Equal steps of height; each turns by the step over the radius there."""
    height = 1.0 if half else 2.0
    n = int((3.6 / np.deg2rad(delta)) ** 2 * height / 2)
    z = 1 - height * np.arange(n) / (n - 1)
    radius = np.sqrt(np.clip(1 - z**2, 0, None))
    steps = np.divide(delta, radius, out=np.zeros(n), where=radius > 1e-6)
    az = np.cumsum(steps) % 360
    return np.stack([az, np.rad2deg(np.arccos(z)), np.zeros(n)], axis=1)


def agree(found, expected, *, atol):
    """Whether directions are the same, in the same order."""
    np.testing.assert_allclose(directions(found), directions(expected), atol=atol)
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-9)


@pytest.mark.parametrize("delta", [30.0, 15.0, 7.5])
def test_spiral_over_the_whole_sphere(delta):
    expected = spiral_of_sphere(delta)
    # At the lower pole, where all azimuths are one, the last point is.
    agree(spiral_orientations(C1, delta=delta, inc_mirror=True), expected, atol=1e-6)


@pytest.mark.parametrize("delta", [30.0, 10.0])
def test_spiral_without_mirrors_ends_at_the_equator(delta):
    """The last point lies on it, where either of two opposite directions may stand."""
    found, expected = spiral_orientations(C1, delta=delta), spiral_of_sphere(delta, half=True)
    assert len(expected) - 1 <= len(found) <= len(expected)
    agree(found[: len(expected) - 1], expected[:-1], atol=1e-6)
    assert found[:, 1].max() <= 90 + 1e-6


@pytest.mark.parametrize("sym", ["c4", "d7", "tet", "oct", "icos"])
def test_spiral_of_a_unit_fills_it(sym):
    """No pole twice, all inside, and as many as the share of the sphere asks for."""
    group = symmetry(sym)
    unit = asymmetric_unit(group, inc_mirror=True)
    found = spiral_orientations(group, delta=4.0, inc_mirror=True)
    az, alt = found[1:, 0] - unit.az_offset_deg, found[1:, 1]
    assert (az >= 0).all()
    assert (az < unit.az_max_deg).all()
    assert (alt <= unit.alt_max_deg + 1e-6).all()
    assert found[0].tolist() == [0, 0, 0]
    wanted = (3.6 / np.deg2rad(4.0)) ** 2 / len(group.matrices)
    assert len(found) == pytest.approx(wanted, rel=0.25)


def repelled_plainly(points):
    """The closest pair moves apart by 1 % of its distance, a hundred times."""
    points = points.copy()
    for _ in range(100):
        distance = squareform(pdist(points)) + 10 * np.eye(len(points))
        one, other = np.unravel_index(distance.argmin(), distance.shape)
        push = 0.005 * (points[one] - points[other])
        points[[one, other]] += np.stack([push, -push])
        points[[one, other]] /= np.linalg.norm(points[[one, other]], axis=1, keepdims=True)
    return points


@pytest.mark.parametrize("delta", [40.0, 20.0])
def test_repelled_directions_of_the_whole_sphere(delta):
    spiral = directions(spiral_of_sphere(delta))
    found = directions(repelled_orientations(C1, delta=delta, inc_mirror=True))
    np.testing.assert_allclose(found, repelled_plainly(spiral), atol=1e-6)
    assert pdist(found).min() > pdist(spiral).min()


def test_repelled_directions_of_a_unit_are_those_of_the_sphere_in_it():
    whole = repelled_orientations(C1, delta=12.0, inc_mirror=True)
    part = repelled_orientations(symmetry("c4"), delta=12.0, inc_mirror=True)
    inside = whole[whole[:, 0] % 360 < 90]
    np.testing.assert_allclose(part, inside, atol=1e-4)


def test_number_asked_for():
    for make in (spiral_orientations, repelled_orientations):
        assert len(make(C1, n=200, inc_mirror=True)) == pytest.approx(200, abs=4)
        with pytest.raises(ConfigError, match="exactly one of delta"):
            make(C1, delta=5.0, n=3)


@pytest.mark.parametrize("sym", ["c1", "c4", "d7", "oct"])
@pytest.mark.parametrize("mirror", [True, False])
def test_random_directions_are_uniform_over_their_unit(sym, mirror):
    """Copied over the sphere, heights along any axis are uniform (Archimedes)."""
    group = symmetry(sym)
    rng = np.random.default_rng(3)
    found = random_orientations(group, n=400, rng=rng, inc_mirror=mirror)
    assert found.shape == (400, 3)
    assert not found[:, 2].any()
    unit = asymmetric_unit(group, inc_mirror=mirror)
    assert (found[:, 1] <= unit.alt_max_deg + 1e-3).all()
    assert ((found[:, 0] - unit.az_offset_deg) % 360 <= unit.az_max_deg + 1e-3).all()
    seen = directions(found)
    operation = group.matrices[rng.integers(len(group.matrices), size=400)]
    copies = np.einsum("ni,nij->nj", seen, operation)
    copies *= 1 if mirror else rng.choice([-1, 1], size=(400, 1))
    for axis in np.eye(3):
        assert kstest(copies @ axis, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_random_in_plane_angles():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return random_orientations(C1, n=300, rng=rng, random_phi=True)

    np.testing.assert_array_equal(drawn(1), drawn(1))
    phi = drawn(2)[:, 2]
    assert kstest(phi, "uniform", args=(0, 360)).pvalue > 1e-3
