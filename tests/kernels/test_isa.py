"""The choice among instruction sets, and that all of them compute the same."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0

from mapsort import _core
from mapsort._processor import instruction_sets

# Everything the kernels compute, for one small problem, into one file.
PROGRAM = """
import sys
import numpy as np
from mapsort import _core
from mapsort.geometry.euler import eman_to_matrix
from mapsort.physics.phantom import phantom_map
from mapsort.stages.fourier_grid import FourierGrid

box, rings, angles, rng = 20, 8, 80, np.random.default_rng(1)
grid = FourierGrid.for_box(box)
scales = {"scale": grid.scale, "oversampling": grid.scale}
turns = np.ascontiguousarray(eman_to_matrix(rng.uniform(0, 180, (21, 3))))
volume = phantom_map(0, box, 6.5)
window = grid.volume_window(volume, max_radius=box // 2)
readable = _core.Window(window, **scales)
slices = _core.project_cartesian(readable, rotations=turns, max_radius=box // 2, box=box)
polar = _core.project_polar(readable, rotations=turns, first_ring=1, n_rings=rings,
                            n_angles=angles)
inserted = np.zeros((*_core.window_shape(grid.padded / 2, width=5), 3), np.float32)
_core.insert_slices(slices, np.ones(slices.shape, np.float32), inserted, rotations=turns,
                    symmetry=np.eye(3)[None], max_radius=box // 2, scale=grid.scale)
bank = _core.ReferenceBank(first_ring=1, n_rings=rings, n_angles=angles, box=box,
                           support_radius=box / 2)
bank.add(readable, rotations=turns)
images = np.fft.fftshift(np.fft.irfft2(slices[:6], s=(box, box)), axes=(1, 2))
images = images + 0.3 * images.std() * rng.standard_normal(images.shape)
ctf = np.tile(np.float32([3000, 400, 0.5, -1e4, 0.1, 30, 0]), (6, 1))
batch = _core.ParticleBatch(grid.image_spectra(images), ctf, apix=6.5, **scales)
weight = rng.uniform(0.5, 2, rings).astype(np.float32)
shifts = rng.uniform(-2, 2, (7, 2)).astype(np.float32)
alignment = _core.Alignment(bank, weight)
cross, norm, code = alignment.search_pairs(batch, shifts)
shift, angle, mirror = np.unravel_index(code, (7, angles, 2))
found = {"reference": np.tile(np.arange(21, dtype=np.int32), (6, 1)), "origin": shifts[shift],
         "alpha": (2 * np.pi * angle / angles).astype(np.float32),
         "mirror": mirror.astype(np.int32), "cross": cross.copy(), "norm": norm.copy()}
alignment.refine_candidates(batch, _core.Candidates(**found), iterations=6, max_origin=4.0)
sums = {"numerator": np.zeros((2, box, box // 2 + 1), np.complex64),
        "density": np.zeros((2, box, box // 2 + 1), np.float32)}
placement = _core.Placement(order=np.arange(6, dtype=np.int32),
                            slot_start=np.int32([0, 2, 6]), slot=np.int32([0, 1]),
                            alpha=rng.uniform(0, 6, 6).astype(np.float32),
                            origin=rng.uniform(-2, 2, (6, 2)).astype(np.float32),
                            mirror=np.int32([0, 1] * 3), weight=np.ones(6, np.float32))
classes = _core.ClassSums(**sums, references=slices[:1], max_radius=box / 2)
shells = dict(zip(("image_power", "cross", "reference_power"), classes.add(batch, placement)))
np.savez(sys.argv[1], isa=_core.isa, slices=slices, polar=polar,
         inserted=inserted, cross=cross, norm=norm, refined_cross=found["cross"],
         class_sums=sums["numerator"], class_density=sums["density"],
         **{f"shell_{name}": values for name, values in shells.items()})
"""


def python(*arguments, isa=None):
    environment = {k: v for k, v in os.environ.items() if k != "MAPSORT_ISA"}
    if isa is not None:
        environment["MAPSORT_ISA"] = isa
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("isa")

    def run(isa):
        path = directory / f"{isa}.npz"
        if not path.exists():
            done = python("-c", PROGRAM, str(path), isa=isa)
            assert done.returncode == 0, done.stderr
        return np.load(path)

    return run


@pytest.mark.parametrize("isa", ["v3", "v4"])
def test_every_instruction_set_computes_the_same(isa, results):
    if isa not in _core.available_isas():
        pytest.skip(f"this processor and installation have {', '.join(_core.available_isas())}")
    ours, baseline = results(isa), results("baseline")
    assert str(ours["isa"]) == isa
    assert str(baseline["isa"]) == "baseline"
    for name in set(ours.files) - {"isa"}:
        error = np.linalg.norm(ours[name] - baseline[name]) / np.linalg.norm(baseline[name])
        assert error <= 5e-5, name


def test_an_unknown_instruction_set_names_the_choices():
    done = python("-c", "import mapsort._core", isa="nonsense")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    choices = ", ".join(_core.available_isas())
    assert last == (
        "mapsort.errors.ConfigError: MAPSORT_ISA=nonsense: "
        f"this processor and installation have {choices}"
    )


def test_without_a_wish_the_best_is_taken():
    done = python("-c", "from mapsort import _core; print(_core.isa)")
    assert done.stdout.strip() == _core.available_isas()[0]


def test_an_empty_wish_is_no_wish():
    done = python("-c", "from mapsort import _core; print(_core.isa)", isa="")
    assert done.stdout.strip() == _core.available_isas()[0]


def test_only_what_the_processor_has_is_available(monkeypatch):
    assert set(_core.available_isas()) <= set(_core.compiled_isas())
    assert "baseline" in _core.available_isas()
    monkeypatch.setattr(_core, "instruction_sets", lambda: ["baseline"])
    assert _core.available_isas() == ["baseline"]
    monkeypatch.setattr(_core, "instruction_sets", lambda: ["v4", "v3", "baseline"])
    assert _core.available_isas() == _core.compiled_isas()
    monkeypatch.setattr(_core, "compiled_isas", lambda: ["v3", "baseline"])
    assert _core.available_isas() == ["v3", "baseline"]


# Of each instruction set what Linux, which knows the system, too, tells by these names.
FLAGS = {
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "v3": {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"},
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="no such instruction sets")
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system tells no flags")
def test_the_processor_is_asked_rightly():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    found = instruction_sets()
    assert found[-1] == "baseline"
    assert ("v3" in found) == (FLAGS["v3"] <= flags)
    assert ("v4" in found) == (FLAGS["v3"] | FLAGS["v4"] <= flags)


def test_elsewhere_than_on_x86_there_is_one_instruction_set():
    if platform.machine() not in ("x86_64", "AMD64"):
        assert instruction_sets() == ["baseline"]
    else:
        assert set(instruction_sets()) <= {"v4", "v3", "baseline"}


def test_an_installation_without_kernels_says_so(monkeypatch):
    monkeypatch.setattr(_core, "compiled_isas", list)
    with pytest.raises(ImportError, match="without its compiled kernels"):
        _core._load()


def test_the_build_tells_how_it_was_made():
    info = _core.build()
    lanes = {"v4": 16, "v3": 8, "baseline": 4}[_core.isa]
    assert info["simd_lanes"] == lanes
    assert info["kernel_width"] == 6
    assert info["insertion_width"] == 5
    assert info["cxx_standard"] >= 202002
    assert "-ffast-math" not in info["flags"]
    assert info["processors"] >= 1


def test_every_name_of_the_kernels_is_passed_on_and_typed():
    """The stub, the choosing module and the compiled modules name the same things."""
    kernels = {name for name in dir(_core._module) if not name.startswith("_")}
    assert kernels <= set(vars(_core))
    source = Path(_core.__file__)
    stub = (source.parent / "_core.pyi").read_text()
    for name in kernels:
        assert any(text in stub for text in (f"def {name}(", f"class {name}", f"{name}:")), name


def test_good_fft_sizes_are_the_next_multiples_of_4_made_of_2_3_5():
    powers = (2**a * 3**b * 5**c for a in range(2, 10) for b in range(6) for c in range(4))
    sizes = sorted(powers)
    for n in range(1, 400):
        assert _core.good_fft_size(n) == next(size for size in sizes if size >= n)


@pytest.mark.parametrize("oversampling", [1.25, 1.5, 2.0])
def test_the_kernel_transform_is_the_integral_of_the_kernel(oversampling):
    """Against numerical quadrature of the Kaiser-Bessel kernel, SciPy's I0."""
    beta = np.pi * np.sqrt((6 / oversampling * (oversampling - 0.5)) ** 2 - 0.8)
    for f in (0.0, 0.11, 0.25, 0.4):
        value, _ = quad(
            lambda x, f=f: (
                i0(beta * np.sqrt(1 - (x / 3) ** 2)) / i0(beta) * np.cos(2 * np.pi * f * x)
            ),
            -3,
            3,
        )
        assert _core.kernel_transform(oversampling, f) == pytest.approx(value, rel=1e-7, abs=1e-12)
