"""Orientation generators by specification."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.modules.orientgen import orientations


@pytest.mark.parametrize(
    ("sym", "without_mirror", "with_mirror"),
    [("c1", 210, 419), ("c4", 59, 110), ("d7", 27, 33), ("icos", 10, 9)],
)
def test_counts_at_ten_degrees(sym, without_mirror, with_mirror):
    assert len(orientations("eman:delta=10:inc_mirror=0:perturb=0", sym)) == without_mirror
    assert len(orientations("eman:delta=10:inc_mirror=true", symmetry(sym))) == with_mirror


def test_counts_of_the_original(golden):
    checked = 0
    for entry in golden.entries:
        spec, _, sym = entry["module"].rpartition(":sym=")
        if entry["kind"] != "orientgen.count" or not spec.startswith(("eman:", "even:")):
            continue
        if entry["status"] != "exact" or "delta=10" not in spec:
            continue
        assert len(orientations(spec, sym)) == entry["value"], entry["id"]
        checked += 1
    assert checked > 10


def test_n_is_met_as_nearly_as_a_step_can():
    assert abs(len(orientations("eman:n=100", "c1")) - 100) <= 5


def test_perturbation_comes_from_the_generator_given():
    def drawn(seed):
        return orientations("eman:delta=20:perturb=1", "c1", rng=np.random.default_rng(seed))

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.allclose(drawn(1), drawn(2))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("eman", "exactly one of delta"),
        ("eman:delta=5:n=100", "exactly one of delta"),
        ("eman:delta=0", "delta=0"),
        ("eman:delta=181", "delta=181"),
        ("eman:n=0", "n=0"),
        ("eman:delta=wide", "expected a number"),
        ("even:delta=5:perturb=1", "only eman perturbs"),
        ("eman:delta=5:perturb=1", "rng"),
        ("eman:delta=5:inc_miror=1", "did you mean inc_mirror"),
        ("evn:delta=5", "did you mean even"),
        ("saff:delta=5:perturb=1", "unknown parameter 'perturb'"),
        ("saff", "exactly one of delta"),
        ("rand:n=5", "rand needs a random generator"),
        ("rand", "n is missing"),
        ("opt:delta=9:use=even", "use=even: expected saff"),
        ("single:azimuth=5", "unknown parameter 'azimuth'"),
        ("eman:delta=9:phitoo=-3", "phitoo=-3: expected 0"),
        ("eman:delta=9:phitoo=30:random_phi=1", "phitoo or random_phi"),
        ("eman:delta=9:random_phi=1", "random_phi needs a random generator"),
        ("eman:delta=9:alt_min=80:alt_max=20", "alt_min=80 is above alt_max=20"),
        ("eman:delta=90:alt_min=10:alt_max=20", "no direction is left"),
        ("eman:delta=9:alt_max=200", "expected a number from 0 to 180"),
    ],
)
def test_refusals(spec, words):
    with pytest.raises(ConfigError, match=words):
        orientations(spec, "c1")


SYMMETRIES = ["c1", "c4", "d3", "tet", "oct", "icos", "icos2"]


def directions(angles):
    return eman_to_matrix(angles)[:, 2]


def covered(found, group, *, mirror):
    """Copies of directions by the group's operations, and by the mirror."""
    copies = np.concatenate([found @ s for s in group.matrices])
    return np.concatenate([copies, -copies]) if mirror else copies


def widest_gap(points):
    """Largest distance of any direction from the nearest of some, degrees."""
    rng = np.random.default_rng(5)
    asked = rng.standard_normal((2000, 3))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    return np.rad2deg(2 * np.arcsin(cKDTree(points).query(asked)[0].max() / 2))


@pytest.mark.parametrize("name", ["saff", "opt", "eman", "even"])
def test_the_sphere_is_covered(name):
    """By the unit and its copies.

    A direction is at most half a step from the next of a row, and a row, the last of which may be
    missing at the edge of the unit, at most 1.5 steps away: 1.58 steps.
    """
    for sym, mirror in itertools.product(SYMMETRIES, (0, 1)):
        found = directions(orientations(f"{name}:delta=6:inc_mirror={mirror}", sym))
        gap = widest_gap(covered(found, symmetry(sym), mirror=not mirror))
        assert gap < 1.6 * 6, (sym, mirror)


def test_breaksym_covers_the_sphere_without_the_symmetry():
    for sym in SYMMETRIES:
        found = directions(orientations("eman:delta=9:breaksym=1:inc_mirror=1", sym))
        assert widest_gap(found) < 1.3 * 9, sym
        above = directions(orientations("eman:delta=9:breaksym=1", sym))
        assert above[:, 2].min() > -1e-6, sym
        assert widest_gap(np.concatenate([above, -above])) < 1.3 * 9, sym


@pytest.mark.parametrize("sym", ["c1", "d3", "tet", "icos2"])
@pytest.mark.parametrize("mirror", [0, 1])
def test_random_directions_are_uniform(sym, mirror):
    """Moments of the copies are those of the sphere, and every direction is in the unit."""
    rng = np.random.default_rng(9)
    angles = orientations(f"rand:n=800:inc_mirror={mirror}", sym, rng=rng)
    assert angles.shape == (800, 3)
    assert np.all(angles[:, 2] == 0) or sym == "icos2"
    found = covered(directions(angles), symmetry(sym), mirror=not mirror)
    # z^2 has the variance 4/45: three standard deviations of the mean of 800
    moments = np.mean(found[:, :, None] * found[:, None, :], axis=0)
    np.testing.assert_allclose(moments, np.eye(3) / 3, atol=3 * np.sqrt(4 / 45 / 800))
    if mirror:
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=3 * np.sqrt(1 / 3 / 800))
    # a quarter of the sphere's area lies beyond |z| = 3/4
    assert np.mean(np.abs(found[:, 2]) > 0.75) == pytest.approx(0.25, abs=0.05)


def test_random_in_plane_angles():
    rng = np.random.default_rng(2)
    phi = orientations("rand:n=800:phitoo=1", "c1", rng=rng)[:, 2]
    assert np.histogram(phi, 4, (0, 360))[0].min() > 150
    phi = orientations("saff:delta=6:random_phi=1", "c1", rng=rng)[:, 2]
    assert np.histogram(phi, 4, (0, 360))[0].min() > 0.15 * len(phi)


def test_repulsion_widens_the_smallest_distance():
    def closest(name):
        points = directions(orientations(f"{name}:delta=12:inc_mirror=1", "c1"))
        return cKDTree(points).query(points, k=2)[0][:, 1].min()

    assert closest("opt") > 1.05 * closest("saff")


def test_single():
    np.testing.assert_array_equal(orientations("single:az=10:alt=20:phi=30", "d7"), [[10, 20, 30]])


def test_in_plane_series_and_limits():
    plain = orientations("even:delta=15", "c2")
    series = orientations("even:delta=15:phitoo=90", "c2")
    assert len(series) == 4 * len(plain)
    np.testing.assert_array_equal(series[::4], plain)
    alt = orientations("saff:delta=8:alt_min=30:alt_max=60", "c2")[:, 1]
    assert 30 <= alt.min() < alt.max() <= 60
