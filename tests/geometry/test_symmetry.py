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


def test_helical_is_refused_by_name():
    with pytest.raises(ConfigError, match="not yet in this version"):
        symmetry("h5:1:20:7.5")


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
