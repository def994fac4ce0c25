from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.orientations import angular_step, eman_orientations, even_orientations
from mapsort.geometry.symmetry import symmetry

GENERATORS = {"eman": eman_orientations, "even": even_orientations}
# Measured with EMAN2: (without, with mirror) at steps 15, 10, 5, 3
COUNTS = {
    "c1": [(93, 185), (210, 419), (833, 1665), (2301, 4601)],
    "c3": [(33, 65), (72, 143), (279, 557), (775, 1549)],
    "c4": [(27, 49), (59, 110), (221, 425), (596, 1163)],
    "d2": [(32, 49), (62, 106), (226, 419), (606, 1157)],
    "d7": [(18, 16), (27, 33), (74, 124), (187, 337)],
    "tet": [(9, 15), (18, 34), (72, 138), (198, 390)],
    "oct": [(10, 10), (14, 19), (43, 73), (109, 197)],
    "icos": [(7, 5), (10, 9), (22, 29), (47, 77)],
}


def _generate(module):
    name, *pairs = module.split(":")
    values = dict(pair.split("=") for pair in pairs)
    step = {"delta": float(values["delta"])} if "delta" in values else {"n": int(values["n"])}
    return GENERATORS[name](values["sym"], inc_mirror=values["inc_mirror"] == "1", **step)


def _ours(entry, kind):
    special = ("breaksym", "phitoo", "alt_min")
    module = entry["module"]
    return (
        entry["kind"] == kind and module[:4] in GENERATORS and not any(s in module for s in special)
    )


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_table(name):
    ours = [
        tuple(len(eman_orientations(name, delta=d, inc_mirror=m)) for m in (False, True))
        for d in (15.0, 10.0, 5.0, 3.0)
    ]
    assert ours == COUNTS[name]


@pytest.mark.parametrize(("name", "count"), [("c1", 869), ("c4", 223), ("d7", 71), ("icos", 18)])
def test_counts_of_even(name, count):
    assert len(even_orientations(name, delta=5.0)) == count


def test_counts_equal_reference(golden):
    for entry in golden.select(lambda e: _ours(e, "orientgen.count")):
        assert len(_generate(entry["module"])) == entry["value"], entry["module"]


def test_lists_equal_reference(golden):
    for entry in golden.select(lambda e: _ours(e, "orientgen.list")):
        expected = golden.outputs[entry["value"]["array"]]
        ours = _generate(entry["module"])
        assert ours.shape == expected.shape, entry["module"]
        # the step found by bisection for n= is good to 1e-4 degrees per circle
        limit = 2e-3 if "delta" in entry["module"] else 2e-2
        assert np.abs((ours - expected + 180) % 360 - 180).max() < limit, entry["module"]


def _coverage(directions, group):
    """Largest angle from random directions to the nearest direction or mate of it, degrees."""
    rng = np.random.default_rng(5)
    tests = rng.normal(size=(2000, 3))
    tests /= np.linalg.norm(tests, axis=1)[:, None]
    rows = (eman_to_matrix(directions)[:, None] @ group.matrices[None])[:, :, 2].reshape(-1, 3)
    rows = np.concatenate([rows, -rows])  # opposite views are mirror images
    return np.rad2deg(np.arccos(np.clip((tests @ rows.T).max(axis=1), -1, 1)).max())


@pytest.mark.parametrize("name", [*COUNTS, "c2", "c7", "d3", "icos2"])
@pytest.mark.parametrize("generator", GENERATORS.values())
def test_unit_and_its_mates_cover_the_sphere(name, generator):
    delta = 3.0
    group = symmetry(name)
    # the corner of a square cell lies 0.71 delta away; the unit's curved edge costs more
    assert _coverage(generator(group, delta=delta), group) < 1.1 * delta


@pytest.mark.parametrize("name", ["c1", "c4", "d7", "oct", "icos", "icos2"])
def test_few_directions_are_equivalent(name):
    group = symmetry(name)
    rows = eman_to_matrix(eman_orientations(group, delta=6.0))[:, 2]
    mates = np.einsum("nj,sjk->nsk", rows, group.matrices).reshape(-1, 3)
    same = (rows @ mates.T > np.cos(np.deg2rad(0.5))).sum(axis=1)
    # directions on the edge of the unit may have mates on the other edge, the rest has none
    assert np.median(same) == 1


@pytest.mark.parametrize("wanted", [20, 100, 333])
def test_number_wanted_is_met_nearly(wanted):
    for name in ("c1", "d3", "icos"):
        for generator in GENERATORS.values():
            assert abs(len(generator(name, n=wanted)) - wanted) <= 0.2 * wanted


def test_perturbed_directions_scatter_by_an_eighth_of_the_step():
    plain = eman_orientations("c1", delta=5.0)
    rng = np.random.default_rng(1)
    moved = eman_orientations("c1", delta=5.0, perturb=True, rng=rng)
    again = eman_orientations("c1", delta=5.0, perturb=True, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(moved, again)
    assert moved.shape == plain.shape
    np.testing.assert_array_equal(moved[0], plain[0])
    cosine = (eman_to_matrix(plain)[1:, 2] * eman_to_matrix(moved)[1:, 2]).sum(axis=1)
    angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    assert np.sqrt((angle**2).mean()) == pytest.approx(5.0 / 8 * np.sqrt(2), rel=0.1)


def test_result_is_double_and_within_a_turn():
    angles = eman_orientations("icos", delta=5.0, inc_mirror=True)
    assert angles.dtype == np.float64
    assert ((angles >= 0) & (angles < 360)).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delta": 5.0, "n": 10},
        {"delta": 0.0},
        {"delta": -3.0},
        {"delta": float("nan")},
        {"n": 0},
    ],
)
def test_refusals(options):
    for generator in GENERATORS.values():
        with pytest.raises(ConfigError, match="orientation generator"):
            generator("c1", **options)


def test_perturb_needs_a_generator():
    with pytest.raises(ConfigError, match="rng"):
        eman_orientations("c1", delta=5.0, perturb=True)


def test_angular_step():
    # 810 / (8 sqrt(4300/64)) = 12.35 -> 13 steps
    assert angular_step(64, 3.0) == pytest.approx(89.99 / 13)
    # 12 A is below 4 pixels: the box counts; 24 A halves the effective box
    assert angular_step(64, 4.0, target_resolution=12.0) == pytest.approx(89.99 / 13)
    assert angular_step(64, 3.0, target_resolution=24.0) == pytest.approx(89.99 / 7)
    assert angular_step(64, 3.0, speed=1) < angular_step(64, 3.0, speed=7)
    for bad in ({"speed": 0}, {"speed": 8}, {"target_resolution": 0.0}):
        with pytest.raises(ConfigError):
            angular_step(64, 3.0, **bad)
    with pytest.raises(ConfigError):
        angular_step(64, 0.0)


@pytest.mark.parametrize("inc_mirror", [False, True])
def test_views_of_a_helix_lie_near_the_equator(inc_mirror):
    angles = eman_orientations("h5:1:20:7.5:30", delta=10.0, inc_mirror=inc_mirror)
    alt = angles[:, 1]
    assert alt.min() == 60.0
    assert alt.max() == (120.0 if inc_mirror else 90.0)
    az = np.sort(angles[alt == 70.0, 0])
    # all the way round, at the step along the circle
    assert np.diff(az).max() <= 10.0 / np.sin(np.deg2rad(70.0)) + 1e-3
    assert az[0] + 360 - az[-1] < 20
