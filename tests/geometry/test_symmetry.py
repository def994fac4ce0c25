from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import Symmetry, symmetry

ORDERS = {"c1": 1, "c2": 2, "c17": 17, "d1": 2, "d2": 4, "d3": 6, "d7": 14}
ORDERS |= {"tet": 12, "oct": 24, "icos": 60, "icos2": 60}


def _distances(a, b):
    return np.abs(a[:, None] - b[None]).max(axis=(2, 3))


def test_operations_equal_reference(golden):
    for entry in golden.select(lambda e: e["kind"] == "symmetry" and e["module"][0] != "h"):
        expected = golden.outputs[entry["value"]["array"]][:, :3, :3]
        distance = _distances(symmetry(entry["module"]).matrices, expected)
        assert distance.shape[0] == distance.shape[1], entry["id"]
        assert distance.min(axis=0).max() < 3e-5, entry["id"]
        assert distance.min(axis=1).max() < 3e-5, entry["id"]


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_is_a_group_of_rotations(name, order):
    group = symmetry(name)
    m = group.matrices
    assert group.order == order == len(m)
    np.testing.assert_array_equal(m[0], np.eye(3))
    np.testing.assert_allclose(
        m @ m.transpose(0, 2, 1), np.broadcast_to(np.eye(3), m.shape), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(m), 1.0, atol=1e-12)
    products = np.einsum("aij,bjk->abik", m, m).reshape(-1, 3, 3)
    nearest = _distances(products, m)
    assert nearest.min(axis=1).max() < 1e-13
    # every element occurs equally often: no two operations are the same
    assert (np.bincount(nearest.argmin(axis=1)) == order).all()


@pytest.mark.parametrize(
    ("name", "axis", "fold"),
    [
        ("icos", [0, 1, 0], 2),
        ("icos", [0, 0, 1], 5),
        ("icos2", [1, 1, 1], 3),
        ("icos2", [0, 0.5257311, 0.8506508], 5),
        ("tet", [0, 0, 1], 3),
        ("oct", [0, 1, 0], 4),
        ("d7", [1, 0, 0], 2),
    ],
)
def test_axes(name, axis, fold):
    axis = np.asarray(axis) / np.linalg.norm(axis)
    on_axis = np.abs(symmetry(name).matrices @ axis - axis).max(axis=1) < 1e-6
    assert on_axis.sum() == fold


def test_names():
    assert symmetry("D7").name == "d7"
    assert symmetry(" Icos5 ").name == "icos"
    assert symmetry("OCT").order == 24
    assert symmetry("c007").name == "c7"


def test_matrices_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        symmetry("c4").matrices[0, 0, 0] = 2.0


@pytest.mark.parametrize(
    "name", ["", "c", "d", "c0", "d0", "c99999999", "x3", "tetra", "c-1", "c1,d2"]
)
def test_bad_names_are_refused(name):
    with pytest.raises(ConfigError, match=r"symmetry '"):
        symmetry(name)


def test_helical_operations_equal_reference(golden):
    (entry,) = golden.select(lambda e: e["kind"] == "symmetry" and e["module"][0] == "h")
    expected = golden.outputs[entry["value"]["array"]]
    group = symmetry(entry["module"])
    found = np.concatenate([group.matrices, group.shifts_ang[:, :, None]], axis=2)
    distance = np.abs(found[:, None] - expected[None]).max(axis=(2, 3))
    assert distance.shape[0] == distance.shape[1] == group.order
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 3e-5


def test_a_helix_is_one_screw_applied_again_and_again():
    group = symmetry("H7,1,33,4.5,20")
    assert group.name == "h7:1:33:4.5:20"
    assert group.helical
    assert group.max_tilt_deg == 20.0
    # copies are 0, +1, -1, +2, ...
    turn, rise = group.matrices[1], group.shifts_ang[1]
    np.testing.assert_allclose(rise, [0, 0, 4.5])
    np.testing.assert_allclose(turn @ turn, group.matrices[3], atol=1e-14)
    np.testing.assert_allclose(turn @ rise + rise, group.shifts_ang[3])
    np.testing.assert_allclose(turn @ group.matrices[2], np.eye(3), atol=1e-14)


def test_point_groups_do_not_shift():
    assert not symmetry("d3").helical
    assert not symmetry("d3").shifts_ang.any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("h5", "expected h<copies>"),
        ("h5:1:20", "expected h<copies>"),
        ("h5:1:a:2", "expected h<copies>"),
        ("h5:1:20:7:5:6", "expected h<copies>"),
        ("h5:2:20:7.5", "2 starts; only helices of one start"),
        ("h0:1:20:7.5", "copies must be 1 to"),
        ("h5:1:nan:7.5", "copies must be 1 to"),
        ("h5:1:20:7.5:91", "tilt must lie between 0 and 90"),
    ],
)
def test_bad_helices_are_refused(name, message):
    with pytest.raises(ConfigError, match=f"symmetry '{name}'.*{message}"):
        symmetry(name)


def test_refusal_names_the_allowed_forms():
    with pytest.raises(ConfigError, match=r"c<n>, d<n>, tet, oct, icos"):
        symmetry("foo")


@given(st.text(max_size=8))
def test_any_text_gives_a_group_or_a_plain_refusal(text):
    try:
        group = symmetry(text)
    except ConfigError:
        return
    assert isinstance(group, Symmetry)
    assert group.order >= 1
