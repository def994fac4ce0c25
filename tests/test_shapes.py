"""Functions that take arrays take what they document, and refuse anything else by its name.

Whatever shape or type an argument has: a result, or ValueError (of which ConfigError is one) that
names the argument. No broadcast that nobody asked for, no imaginary part lost, no IndexError from
the depths.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapsort
from mapsort.errors import NumericalError
from mapsort.geometry import euler, pose
from mapsort.physics import filters, fsc, half_maps, image_moves, normalization, resample

RNG = np.random.default_rng(0)
MAP = RNG.standard_normal((8, 8, 8)).astype(np.float32)
STACK, IMAGE = MAP[:5], MAP[0]
TURNS = np.tile(np.eye(3), (5, 1, 1))
ANGLES = np.zeros((5, 3))
ONES = np.ones(5)
SHIFTS = np.zeros((5, 2))


@dataclass
class Case:
    """A call that works, and the shapes that its docstring gives to each array.

    A letter stands for any length, the same wherever it is repeated; a capital one may be 0.
    """

    call: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    shapes: dict[str, tuple[str, ...]]
    finite: bool = True

    def fits(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether all arrays together have shapes as documented, this one another than it had."""
        given = {key: value.shape for key, value in self.arrays.items()} | {name: shape}
        found = [{}]
        for key, lengths in given.items():
            found = [
                known | more
                for known in found
                for pattern in self.shapes[key]
                if (more := _matched(pattern, lengths, known)) is not None
            ]
        return bool(found)


def _matched(pattern: str, shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int] | None:
    """Return the lengths by their letters, or None where the shape is another."""
    words = pattern.split()
    if len(words) != len(shape):
        return None
    lengths = dict(known)
    for word, length in zip(words, shape, strict=True):
        expected = int(word) if word.isdigit() else lengths.setdefault(word, length)
        if expected != length or (length == 0 and word.islower()):
            return None
    return lengths


EITHER = ("b b", "b b b")
CASES = {
    "project": Case(
        mapsort.project,
        {"volume": MAP, "rotations": TURNS, "shifts": SHIFTS},
        {"volume": ("b b b",), "rotations": ("N 3 3",), "shifts": ("N 2",)},
    ),
    "match": Case(
        lambda **arrays: mapsort.match(maxshift=1, **arrays),
        {"particles": STACK, "references": STACK},
        {"particles": ("n b b",), "references": ("m b b",)},
    ),
    "reconstruct": Case(
        mapsort.reconstruct,
        {"images": STACK, "rotations": TURNS, "shifts": SHIFTS, "weights": ONES},
        {"images": ("n b b",), "rotations": ("n 3 3",), "shifts": ("n 2",), "weights": ("n",)},
    ),
    "fsc": Case(mapsort.fsc, {"a": MAP, "b": MAP}, {"a": EITHER, "b": EITHER}, finite=False),
    "align": Case(
        lambda **arrays: mapsort.align("translational", **arrays),
        {"moving": IMAGE, "fixed": IMAGE},
        {"moving": EITHER, "fixed": EITHER},
    ),
    "average": Case(
        lambda **arrays: mapsort.average("mean", **arrays),
        {"images": STACK, "weights": ONES},
        {"images": ("n b b", "n b b b"), "weights": ("n",)},
    ),
    "compare": Case(
        lambda **arrays: mapsort.compare("ccc", **arrays),
        {"this": IMAGE, "with_": IMAGE},
        {"this": EITHER, "with_": EITHER},
    ),
    "process": Case(
        lambda **arrays: mapsort.process("mask.sharp:outer_radius=3", **arrays),
        {"array": MAP},
        {"array": (*EITHER, "N b b", "N b b b")},
        finite=False,
    ),
    "eman_to_matrix": Case(
        euler.eman_to_matrix, {"angles_deg": ANGLES}, {"angles_deg": ("3", "N 3")}
    ),
    "relion_to_matrix": Case(
        euler.relion_to_matrix, {"angles_deg": ANGLES}, {"angles_deg": ("3", "N 3")}
    ),
    "matrix_to_eman": Case(
        euler.matrix_to_eman, {"matrices": TURNS}, {"matrices": ("3 3", "N 3 3")}
    ),
    "matrix_to_relion": Case(
        euler.matrix_to_relion, {"matrices": TURNS}, {"matrices": ("3 3", "N 3 3")}
    ),
    "match_to_pose": Case(
        pose.match_to_pose,
        {"reference_rotations": TURNS, "alpha_deg": ONES, "dx": ONES, "dy": ONES, "mirror": ONES},
        {"reference_rotations": ("N 3 3",)}
        | dict.fromkeys(("alpha_deg", "dx", "dy", "mirror"), ("N",)),
    ),
    "pose_to_match": Case(
        pose.pose_to_match,
        {"reference_rotations": TURNS, "rotations": TURNS, "origins_px": SHIFTS},
        {"reference_rotations": ("N 3 3",), "rotations": ("N 3 3",), "origins_px": ("N 2",)},
    ),
    "half_map_fsc": Case(
        half_maps.half_map_fsc,
        {"even": MAP, "odd": MAP, "mask": np.ones_like(MAP)},
        dict.fromkeys(("even", "odd", "mask"), EITHER),
        finite=False,
    ),
    "resolution_at": Case(
        lambda **arrays: fsc.resolution_at(threshold=0.5, apix=1.0, **arrays),
        {"curve": np.linspace(1, 0, 5)},
        {"curve": ("n",)},
    ),
    "apply_radial_curve": Case(
        filters.apply_radial_curve,
        {"volume": MAP, "curve": ONES},
        {"volume": EITHER, "curve": ("m",)},
        finite=False,
    ),
    "transform_image": Case(
        image_moves.transform_image,
        {"image": IMAGE, "matrix": np.eye(3)[:2]},
        {"image": ("b b",), "matrix": ("2 3",)},
        finite=False,
    ),
    "background_normalize": Case(
        lambda **arrays: normalization.background_normalize(radius_px=2, **arrays),
        {"images": STACK},
        {"images": ("b b", "N b b")},
    ),
    "fourier_resample": Case(
        lambda **arrays: resample.fourier_resample(box=6, ndim=2, **arrays),
        {"images": STACK},
        {"images": ("b b", "N b b", "M N b b")},
        finite=False,
    ),
    "mean_shrink": Case(
        lambda **arrays: resample.mean_shrink(factor=2, **arrays),
        {"image": IMAGE},
        {"image": EITHER},
        finite=False,
    ),
}
ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in case.arrays]


def refused(name: str, argument: str, value: object) -> None:
    """Assert that the call with one other argument raises an error that names what is wrong."""
    case = CASES[name]
    with pytest.raises(ValueError, match="|".join([name, *case.arrays])):
        case.call(**case.arrays | {argument: value})


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@settings(max_examples=25)
@given(data=st.data())
def test_shapes(name, argument, data):
    """Axes come, go, and are longer or shorter."""
    case = CASES[name]
    shape = list(case.arrays[argument].shape)
    change = data.draw(st.sampled_from(["add", "drop", "length", "other"]))
    axis = data.draw(st.integers(0, len(shape) - 1))
    if change == "add":
        shape.insert(axis, data.draw(st.sampled_from([1, 2])))
    elif change == "drop":
        del shape[axis]
    elif change == "length":
        shape[axis] = data.draw(st.sampled_from([0, 1, shape[axis] - 1, shape[axis] + 1]))
    else:
        shape = data.draw(st.lists(st.integers(0, 9), max_size=4))
    value = RNG.permutation(np.resize(case.arrays[argument], shape).ravel()).reshape(shape)
    if not case.fits(argument, tuple(shape)):
        refused(name, argument, value)
        return
    # a box of one pixel, or one that a radius does not fit, may be refused
    with contextlib.suppress(ValueError, NumericalError):
        case.call(**case.arrays | {argument: value})


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_types(name, argument):
    """Numbers of every real type are taken; complex ones, words and objects are not."""
    case = CASES[name]
    array = case.arrays[argument]
    for dtype in (np.float64, np.float32, ">f4"):
        case.call(**case.arrays | {argument: array.astype(dtype)})
    for other in (array.astype(complex), array.astype(str), np.full(array.shape, None)):
        refused(name, argument, other)


@pytest.mark.parametrize(
    ("name", "argument"), [pair for pair in ARGUMENTS if CASES[pair[0]].finite]
)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none(name, argument, number):
    case = CASES[name]
    array = case.arrays[argument].astype(float)
    array.flat[array.size // 2] = number
    with pytest.raises((ValueError, NumericalError)):
        case.call(**case.arrays | {argument: array})
