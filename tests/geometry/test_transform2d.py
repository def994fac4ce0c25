from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.geometry.transforms import Transform2D

shift = st.floats(-50.0, 50.0)
transforms = st.builds(Transform2D, st.floats(-720.0, 720.0), shift, shift, st.booleans())
POINTS = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 5.0], [-2.5, 3.5]])


def _rigid(golden):
    """Reference transforms without scale, and their rows in the table."""
    table = golden.inputs["T2a"].astype(float)
    rows = np.flatnonzero(table[:, 3] == 1.0)
    assert len(rows) >= 4
    return rows, [Transform2D(a, x, y, bool(m)) for a, x, y, _, m in table]


def _params(t):
    return np.array([t.alpha, t.tx, t.ty, 1.0, float(t.mirror)])


def _assert_params(ours, expected):
    difference = _params(ours) - expected
    difference[0] = (difference[0] + 180.0) % 360.0 - 180.0
    assert np.abs(difference).max() < 3e-3


def test_matrices(golden):
    rows, transforms = _rigid(golden)
    expected = golden.outputs["transform.matrix2d"]
    for i in rows:
        ours = transforms[i].matrix
        np.testing.assert_allclose(ours[:, :2], expected[i][:2, :2], atol=2e-5)
        np.testing.assert_allclose(ours[:, 2], expected[i][:2, 3], atol=2e-5)


def test_inverses(golden):
    rows, transforms = _rigid(golden)
    for i in rows:
        _assert_params(transforms[i].inverse(), golden.outputs["transform.inverse2d"][i])


def test_products(golden):
    rows, transforms = _rigid(golden)
    pairs = [i for i in rows if (i + 1) % len(transforms) in rows]
    assert pairs
    for i in pairs:
        ours = transforms[i].compose(transforms[(i + 1) % len(transforms)])
        _assert_params(ours, golden.outputs["transform.compose2d"][i])


@given(transforms)
def test_inverse_undoes(t):
    np.testing.assert_allclose(t.inverse().apply(t.apply(POINTS)), POINTS, atol=1e-9)
    np.testing.assert_allclose(t.apply(t.inverse().apply(POINTS)), POINTS, atol=1e-9)
    assert t.inverse().mirror == t.mirror


@given(transforms, transforms)
def test_compose_applies_the_argument_first(outer, inner):
    np.testing.assert_allclose(
        outer.compose(inner).apply(POINTS), outer.apply(inner.apply(POINTS)), atol=1e-9
    )


@given(transforms)
def test_factors_are_found_again(t):
    again = Transform2D.from_matrix(t.matrix)
    assert again.mirror == t.mirror
    np.testing.assert_allclose(again.matrix, t.matrix, atol=1e-9)
    np.testing.assert_allclose([again.tx, again.ty], [t.tx, t.ty], atol=1e-9)


def test_measured_examples():
    np.testing.assert_allclose(Transform2D(90.0).apply([6, 0]), [0, -6], atol=1e-12)
    np.testing.assert_allclose(Transform2D(0, 2, 3, True).apply([6, 0]), [-8, 3], atol=1e-12)
    _assert_params(Transform2D(30, 3, 5, True).inverse(), np.array([30, 0.0981, -5.8301, 1.0, 1.0]))


def test_refusals():
    with pytest.raises(ValueError, match="without scale"):
        Transform2D.from_matrix([[2, 0, 0], [0, 2, 0]])
    with pytest.raises(ValueError, match="shape"):
        Transform2D.from_matrix(np.eye(3))
    with pytest.raises(ValueError, match="shape"):
        Transform2D().apply([1.0, 2.0, 3.0])
