"""Arguments that no kernel takes: ValueError names the argument, whatever is wrong with it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mapsort import _core

BOX, PADDED, RINGS, N, REFERENCES = 8, 16, 3, 2, 3
SCALES = {"scale": 2.0, "oversampling": 2.0}
TURNS = np.tile(np.eye(3), (REFERENCES, 1, 1))
WINDOW = np.zeros(_core.window_shape(8.0), np.complex64)


def bank():
    references = _core.ReferenceBank(
        first_ring=1, n_rings=RINGS, n_angles=16, box=BOX, support_radius=3.0
    )
    add(references, WINDOW, TURNS, **SCALES)
    return references


def add(references, data, rotations, **reading):
    references.add(_core.Window(data, **reading), rotations=rotations)


def project_cartesian(data, rotations, max_radius, box, **reading):
    return _core.project_cartesian(
        _core.Window(data, **reading), rotations=rotations, max_radius=max_radius, box=box
    )


def project_polar(data, rotations, first_ring, n_rings, n_angles, **reading):
    return _core.project_polar(
        _core.Window(data, **reading),
        rotations=rotations,
        first_ring=first_ring,
        n_rings=n_rings,
        n_angles=n_angles,
    )


CANDIDATES = ("reference", "origin", "alpha", "mirror", "cross", "norm")


def taken(arguments, names):
    """Those of the arguments, which are left without them."""
    return {name: arguments.pop(name) for name in names}


def search_pairs(bank, ring_weight, origins, **batch):
    return _core.Alignment(bank, ring_weight).search_pairs(_core.ParticleBatch(**batch), origins)


def search_candidates(bank, ring_weight, step, reach, shared, max_origin, **arrays):
    lattice = _core.ShiftLattice(step=step, reach=reach, shared=shared, max_origin=max_origin)
    found = _core.Candidates(**taken(arrays, CANDIDATES))
    _core.Alignment(bank, ring_weight).search_candidates(
        _core.ParticleBatch(**arrays), found, lattice
    )


def refine_candidates(bank, ring_weight, iterations, max_origin, **arrays):
    found = _core.Candidates(**taken(arrays, CANDIDATES))
    _core.Alignment(bank, ring_weight).refine_candidates(
        _core.ParticleBatch(**arrays), found, iterations=iterations, max_origin=max_origin
    )


def accumulate_classes(numerator, density, references, max_radius, **arrays):
    placed = ("order", "slot_start", "slot", "alpha", "origin", "mirror", "weight")
    placement = _core.Placement(**taken(arrays, placed))
    sums = _core.ClassSums(numerator, density, references, max_radius=max_radius)
    sums.add(_core.ParticleBatch(**arrays), placement)


def particles():
    return {
        "spectra": np.zeros((N, PADDED, PADDED // 2 + 1), np.complex64),
        "ctf": np.zeros((N, 7), np.float32),
        "ring_weight": np.ones(RINGS, np.float32),
        "apix": 2.0,
        **SCALES,
    }


def candidates():
    return {
        "reference": np.zeros((N, 2), np.int32),
        "origin": np.zeros((N, 2, 2), np.float32),
        "alpha": np.zeros((N, 2), np.float32),
        "mirror": np.zeros((N, 2), np.int32),
        "cross": np.zeros((N, 2), np.float32),
        "norm": np.zeros((N, 2), np.float32),
    }


def calls():
    """Every function of the kernels that takes arrays, with arguments that it accepts."""
    half = (BOX, BOX // 2 + 1)
    return {
        "gather_window": (
            _core.gather_window,
            {
                "grid": np.zeros((PADDED, PADDED, PADDED // 2 + 1), np.complex64),
                "max_frequency": 6.0,
            },
        ),
        "project_cartesian": (
            project_cartesian,
            {"data": WINDOW, "rotations": TURNS, "max_radius": 3.0, "box": BOX, **SCALES},
        ),
        "project_polar": (
            project_polar,
            {
                "data": WINDOW,
                "rotations": TURNS,
                "first_ring": 1,
                "n_rings": 3,
                "n_angles": 16,
                **SCALES,
            },
        ),
        "insert_slices": (
            _core.insert_slices,
            {
                "slices": np.zeros((REFERENCES, *half), np.complex64),
                "weights": np.zeros((REFERENCES, *half), np.float32),
                "window": np.zeros((*_core.window_shape(8.0, width=5), 3), np.float32),
                "rotations": TURNS,
                "symmetry": np.eye(3)[None],
                "max_radius": 3.0,
                "scale": 2.0,
            },
        ),
        "ReferenceBank.add": (
            add,
            {"references": bank(), "data": WINDOW, "rotations": TURNS, **SCALES},
        ),
        "ReferenceBank.add_images": (
            bank().add_images,
            {"spectra": particles()["spectra"], **SCALES},
        ),
        "search_pairs": (
            search_pairs,
            {"bank": bank(), "origins": np.zeros((4, 2), np.float32), **particles()},
        ),
        "search_candidates": (
            search_candidates,
            {
                "bank": bank(),
                "step": 0.5,
                "reach": 1,
                "shared": 0,
                "max_origin": 2.0,
                **particles(),
                **candidates(),
            },
        ),
        "refine_candidates": (
            refine_candidates,
            {"bank": bank(), "iterations": 2, "max_origin": 2.0, **particles(), **candidates()},
        ),
        "accumulate_classes": (
            accumulate_classes,
            {
                "max_radius": 4.0,
                "order": np.array([0, 1, 0], np.int32),
                "slot_start": np.array([0, 1, 3], np.int32),
                "slot": np.array([0, 1], np.int32),
                "alpha": np.zeros(3, np.float32),
                "origin": np.zeros((3, 2), np.float32),
                "mirror": np.zeros(3, np.int32),
                "weight": np.ones(3, np.float32),
                "references": np.zeros((1, *half), np.complex64),
                "numerator": np.zeros((2, *half), np.complex64),
                "density": np.zeros((2, *half), np.float32),
                **{k: v for k, v in particles().items() if k != "ring_weight"},
            },
        ),
    }


FUNCTIONS = list(calls())


def call(function, **changes):
    kernel, arguments = calls()[function]
    return kernel(**(arguments | changes))


def arrays(function):
    """Every array among the arguments of a function, by its name."""
    arguments = calls()[function][1]
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def refuses(function, changes, message):
    """Assert that a call with these changes ends in ValueError whose words begin so."""
    said = "accepted"
    try:
        call(function, **changes)
    except ValueError as error:
        said = str(error)
    assert re.match(message, said), f"{function}, {', '.join(changes)}: {said}"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_arguments_of_this_table_are_accepted(function):
    call(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wrong_type(function):
    for name, value in arrays(function).items():
        wider = {"c": np.complex128, "f": np.float64, "i": np.int64}[value.dtype.kind]
        wrong = value.astype(wider if value.dtype != wider else np.float32)
        message = f"{name}: expected .*{value.dtype}.*got {wrong.dtype}"
        refuses(function, {name: wrong}, message)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wrong_rank(function):
    for name, value in arrays(function).items():
        for wrong in (value[None], value[0]):
            refuses(function, {name: np.array(wrong, order="C")}, f"{name}: expected ")


# arrays whose leading length says how many items there are: any is right, but others must agree
FREE = {
    "rotations", "symmetry", "origins", "references", "slot", "order", "spectra", "reference",
    "numerator", "grid",
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_item_more(function):
    for name, value in arrays(function).items():
        if name not in FREE:
            blamed = "window" if name == "data" else name
            refuses(function, {name: np.concatenate([value, value[:1]])}, f"{blamed}: ")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_last_axis_one_longer(function):
    for name, value in arrays(function).items():
        if value.ndim > 1:
            longer = np.concatenate([value, value[..., :1]], axis=-1)
            blamed = {"reference": "origin", "numerator": "references"}.get(name, name)
            refuses(function, {name: longer}, f"({blamed}|slices|density|window): ")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_not_contiguous(function):
    for name, value in arrays(function).items():
        wrong = np.repeat(value, 2, axis=-1)[..., ::2]
        refuses(function, {name: wrong}, f"{name}: expected C-contiguous.*not contiguous")


RESULTS = {"numerator", "density", "origin", "alpha", "mirror", "cross", "norm"}
INPUTS = {("accumulate_classes", n) for n in ("origin", "alpha", "mirror")}


def test_results_into_read_only_arrays():
    tried = set()
    for function in FUNCTIONS:
        for name, value in arrays(function).items():
            if name in RESULTS and (function, name) not in INPUTS:
                value.flags.writeable = False
                refuses(function, {name: value}, f"{name}: expected C-contiguous writeable")
                tried.add(name)
    assert tried == RESULTS


@pytest.mark.parametrize("entry", [np.nan, np.inf, 2.0])
def test_what_is_no_rotation(entry):
    tried = 0
    for function in FUNCTIONS:
        for name in arrays(function).keys() & {"rotations", "symmetry"}:
            value = arrays(function)[name].copy()
            value[-1, 1, 1] = entry
            message = rf"{name}: matrix {len(value) - 1} \(from 0\) is not a rotation"
            refuses(function, {name: value}, message)
            tried += 1
    assert tried == 5


def test_values_that_make_no_sense():
    for function, changes, message in NO_SENSE:
        refuses(function, changes, message)


NO_SENSE = [
    ("gather_window", {"max_frequency": -1.0}, "max_frequency"),
    ("gather_window", {"max_frequency": np.nan}, "max_frequency"),
    ("gather_window", {"grid": np.zeros((15, 15, 8), np.complex64)}, "grid"),
    ("gather_window", {"grid": np.zeros((16, 14, 9), np.complex64)}, "grid"),
    ("project_cartesian", {"max_radius": 7.0}, "window: too small"),
    ("project_cartesian", {"max_radius": -1.0}, "box and max_radius"),
    ("project_cartesian", {"box": 0}, "box and max_radius"),
    ("project_polar", {"n_rings": 20}, "window: too small"),
    ("project_polar", {"n_rings": 0}, "first_ring, n_rings, n_angles"),
    ("project_polar", {"n_angles": 15}, "first_ring, n_rings, n_angles"),
    ("insert_slices", {"max_radius": 9.0}, "window: too small"),
    ("insert_slices", {"weights": np.zeros((2, 3, 2), np.float32)}, "weights"),
    ("insert_slices", {"window": np.zeros((9, 9, 9, 3), np.float32)}, "window"),
    ("ReferenceBank.add_images", {"scale": 4.0}, "spectra"),
    (
        "ReferenceBank.add_images",
        {"spectra": np.zeros((2, 14, 8), np.complex64)},
        "spectra",
    ),
    ("search_pairs", {"origins": np.zeros((0, 2), np.float32)}, "origins"),
    ("search_pairs", {"spectra": np.zeros((2, 14, 8), np.complex64)}, "spectra"),
    ("search_pairs", {"spectra": np.zeros((2, 16, 16), np.complex64)}, "spectra"),
    ("search_pairs", {"apix": 0.0}, "apix"),
    ("search_candidates", {"step": 0.0}, "step and max_origin"),
    ("search_candidates", {"max_origin": -1.0}, "step and max_origin"),
    ("search_candidates", {"reach": -1}, "reach and shared"),
    ("search_candidates", {"shared": -1}, "reach and shared"),
    ("refine_candidates", {"spectra": np.zeros((2, 14, 8), np.complex64)}, "spectra"),
    ("accumulate_classes", {"max_radius": 5.0}, "max_radius"),
    ("accumulate_classes", {"spectra": np.zeros((2, 14, 8), np.complex64)}, "spectra"),
    (
        "accumulate_classes",
        {"references": np.zeros((0, BOX, BOX // 2 + 1), np.complex64)},
        "references: expected at least one",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_ring": 0}, "grid: expected first_ring >= 1"),
        ({"n_rings": 0}, "grid: expected"),
        ({"n_angles": 15}, "grid: expected"),
        ({"n_angles": 2}, "grid: expected"),
        ({"support_radius": 0.0}, "support_radius"),
        ({"support_radius": np.nan}, "support_radius"),
    ],
)
def test_a_bank_that_makes_no_sense(change, message):
    good = {"first_ring": 1, "n_rings": 4, "n_angles": 16, "box": BOX, "support_radius": 3.0}
    with pytest.raises(ValueError, match=rf"^{message}"):
        _core.ReferenceBank(**(good | change))


@pytest.mark.parametrize("n_angles", [14, 18, 28])
def test_angles_that_the_fft_does_not_take(n_angles):
    references = _core.ReferenceBank(
        first_ring=1, n_rings=3, n_angles=n_angles, box=BOX, support_radius=3.0
    )
    with pytest.raises(ValueError, match=r"^n_angles: expected a product of 2, 3 and 5"):
        add(references, WINDOW, TURNS, **SCALES)


@pytest.mark.parametrize("function", ["search_pairs", "search_candidates", "refine_candidates"])
def test_no_particles_are_no_error(function):
    empty = {
        name: value[:0]
        for name, value in (particles() | candidates()).items()
        if isinstance(value, np.ndarray) and name != "ring_weight" and name in calls()[function][1]
    }
    call(function, **empty)


def test_rings_beyond_the_particles_transforms():
    """A bank for a larger box than the transforms that come with it."""
    references = _core.ReferenceBank(
        first_ring=1, n_rings=20, n_angles=16, box=40, support_radius=3.0
    )
    wide = np.zeros(_core.window_shape(40.0), np.complex64)
    add(references, wide, TURNS, **SCALES)
    with pytest.raises(ValueError, match=r"^spectra: "):
        call("search_pairs", bank=references, ring_weight=np.ones(20, np.float32))
    with pytest.raises(ValueError, match=r"^spectra: "):
        references.add_images(particles()["spectra"], **SCALES)


def test_no_rotations_are_no_error():
    assert call("project_cartesian", rotations=TURNS[:0]).shape == (0, BOX, BOX // 2 + 1)
    assert call("project_polar", rotations=TURNS[:0]).shape == (0, 3, 8)
