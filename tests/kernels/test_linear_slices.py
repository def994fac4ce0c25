"""Arguments of LinearSlices; what it computes, tests/stages/components/test_slice_grid.py tests."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core

POINTS = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
TURNS = np.tile(np.eye(3), (3, 1, 1))
MAPS = np.zeros((7 * 7 * 4, 2), np.complex64)
SLICES = {
    "data": np.zeros((3, 2), np.complex64),
    "data_weights": np.zeros((3, 3), np.float32),
    "density": np.zeros((3, 2), np.float32),
    "density_weights": np.zeros((3, 4), np.float32),
}


def plan():
    made = _core.LinearSlices(POINTS, 7)
    made.set_views(TURNS)
    return made


def inserted(**given):
    """Return the numerator and denominator of slices alone."""
    sums = {
        "numerator": np.zeros((196, given["data_weights"].shape[1]), np.complex64),
        "denominator": np.zeros((196, given["density_weights"].shape[1]), np.float32),
    }
    plan().insert(**given, **sums)
    return sums["numerator"], sums["denominator"]


def test_slices_have_the_shape_of_the_maps():
    assert plan().read(MAPS).shape == (3, 2, 2)


def test_slices_are_added_to_what_is_there():
    rng = np.random.default_rng(2)
    given = {name: np.ones_like(array) for name, array in SLICES.items()}
    numerator = rng.standard_normal((196, 3)).astype(np.complex64)
    denominator = rng.standard_normal((196, 4)).astype(np.float32)
    before = numerator.copy(), denominator.copy()
    plan().insert(**given, numerator=numerator, denominator=denominator)
    for after, was, alone in zip((numerator, denominator), before, inserted(**given), strict=True):
        assert np.any(alone)
        # the same sums in another order: some additions of numbers of order one
        np.testing.assert_allclose(after, was + alone, atol=2e-6)


def test_a_column_alone_is_summed_as_among_others():
    """One column of each has code of its own: no loop over columns."""
    rng = np.random.default_rng(1)
    given = {
        "data": (rng.standard_normal((3, 2)) + 1j * rng.standard_normal((3, 2))).astype("c8"),
        "data_weights": rng.uniform(0.5, 2.0, (3, 3)).astype(np.float32),
        "density": rng.uniform(0.5, 2.0, (3, 2)).astype(np.float32),
        "density_weights": rng.uniform(0.5, 2.0, (3, 4)).astype(np.float32),
    }
    several = inserted(**given)
    first = {name: given[name][:, :1].copy() for name in ("data_weights", "density_weights")}
    for among, alone in zip(several, inserted(**(given | first)), strict=True):
        assert alone.shape == (196, 1)
        assert np.any(alone)
        np.testing.assert_array_equal(alone[:, 0], among[:, 0])


@pytest.mark.parametrize("name", SLICES)
def test_slices_of_other_shapes_and_types_are_refused(name):
    right = SLICES[name]
    for wrong in (right[:2].copy(), right[..., None], right.astype(np.complex128)):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            inserted(**(SLICES | {name: wrong}))


@pytest.mark.parametrize("name", ["numerator", "denominator"])
def test_sums_of_other_shapes_and_types_are_refused(name):
    right = {"numerator": np.zeros((196, 3), "c8"), "denominator": np.zeros((196, 4), "f4")}
    for wrong in (right[name][1:].copy(), right[name][..., None], right[name].astype("c16")):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            plan().insert(**SLICES, **(right | {name: wrong}))
    right[name].setflags(write=False)
    with pytest.raises(ValueError, match=name):
        plan().insert(**SLICES, **right)


def test_maps_of_another_grid_are_refused():
    with pytest.raises(ValueError, match=r"^maps: expected"):
        plan().read(MAPS[1:])


@pytest.mark.parametrize("point", [3.5, np.nan, np.inf])
def test_points_outside_of_the_grid_are_refused(point):
    with pytest.raises(ValueError, match=r"^points"):
        _core.LinearSlices(np.array([[0.0, point]], np.float32), 7)


@pytest.mark.parametrize("side", [8, 1, -7])
def test_sides_that_are_none_are_refused(side):
    with pytest.raises(ValueError, match=r"^side"):
        _core.LinearSlices(POINTS, side)


@pytest.mark.parametrize("entry", [np.nan, 2.0])
def test_what_is_no_rotation_is_refused(entry):
    turns = TURNS.copy()
    turns[-1, 1, 1] = entry
    with pytest.raises(ValueError, match=r"matrix 2 .* is not a rotation"):
        plan().set_views(turns)
