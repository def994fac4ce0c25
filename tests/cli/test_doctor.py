"""``mapsort doctor`` and ``mapsort build-info``: what they find, and that they notice faults."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mapsort
from mapsort import _core
from mapsort.cli.main import main
from mapsort.errors import NumericalError
from mapsort.jobs import doctor
from mapsort.jobs.doctor import SmallRun


def test_a_working_installation_is_found_to_work(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "This installation works."
    states = {line[8:25].strip(): line[:6].strip() for line in lines[:-1]}
    assert states["kernels agree"] == states["small problem"] == states["packages"] == "ok"
    assert "FAILED" not in states.values()


@pytest.fixture
def quick(monkeypatch):
    """Leave out the computations: what they say is the tests' choice."""
    monkeypatch.setattr(doctor, "small_run", lambda **_: SmallRun(1.0, 0.1))
    monkeypatch.setattr(doctor, "isa_differences", lambda: {"baseline": 0.0})
    return monkeypatch


def finding(name):
    return next(item for item in doctor.examine() if item.name == name)


def test_a_wrong_kernel_and_a_wrong_result_are_failures(quick, capsys):
    quick.setattr(doctor, "isa_differences", lambda: {"v3": 1e-3, "baseline": 0.0})
    quick.setattr(doctor, "small_run", lambda **_: SmallRun(0.52, 0.1))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAILED  kernels agree" in out
    assert "MAPSORT_ISA=baseline" in out
    assert "FAILED  small problem" in out
    assert out.splitlines()[-1] == "2 of these failed."


def test_an_error_of_the_small_problem_is_a_finding(quick):
    def fail(**_):
        raise NumericalError("map 1 is empty")

    quick.setattr(doctor, "small_run", fail)
    assert finding("small problem") == doctor.Finding(
        "small problem", doctor.State.BAD, "NumericalError: map 1 is empty"
    )


def test_a_missing_package_is_named(quick):
    quick.setattr(doctor.metadata, "requires", lambda _: ["numpy>=2", "nonesuch>=1", "x; extra =="])
    assert finding("packages").text.startswith("missing: nonesuch;")
    assert finding("packages").state is doctor.State.BAD


def test_a_slower_instruction_set_is_noted(quick):
    config = mapsort.build_config() | {
        "isa_active": "baseline",
        "isa_available": ["v3", "baseline"],
    }
    quick.setattr(doctor, "build_config", lambda: config)
    quick.setenv("MAPSORT_ISA", "baseline")
    assert finding("instruction set").state is doctor.State.NOTE
    assert "MAPSORT_ISA=baseline" in finding("instruction set").text


@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        ({"threads": 8, "processors": 2}, "note", "asks for more"),
        ({"threads": 1, "processors": 2}, "ok", "1 of 2 processors (affinity or quota)"),
        ({"openmp": None}, "note", "without OpenMP"),
    ],
)
def test_threads(quick, change, state, text):
    quick.delenv("OMP_NUM_THREADS", raising=False)
    config = mapsort.build_config() | {"threads": 2, "processors": 2} | change
    quick.setattr(doctor, "build_config", lambda: config)
    assert finding("threads").state == state
    assert text in finding("threads").text


def test_little_memory_and_disk_are_noted(quick):
    quick.setattr(doctor, "available_memory", lambda: 2**30)
    assert finding("memory").state is doctor.State.NOTE
    quick.setattr(doctor, "_LITTLE_DISK", 2**80)
    assert finding("working directory").state is doctor.State.NOTE


def test_the_instruction_sets_are_compared_with_the_baseline():
    differences = doctor.isa_differences()
    assert list(differences) == _core.available_isas()
    assert differences["baseline"] == 0.0
    assert max(differences.values()) <= doctor.ISA_TOLERANCE


@pytest.mark.skipif("v3" not in _core.available_isas(), reason="one instruction set only")
def test_a_kernel_that_computes_something_else_is_seen(monkeypatch):
    true = doctor._slices
    factor = {"v3": np.float32(1.001)}
    monkeypatch.setattr(
        doctor, "_slices", lambda kernels: true(kernels) * factor.get(kernels.isa, 1)
    )
    assert doctor.isa_differences()["v3"] == pytest.approx(1e-3, rel=0.01)


def test_build_info_prints_the_build_for_people_and_programs(capsys):
    assert main(["build-info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == mapsort.build_config()
    assert main(["build-info"]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert lines["isa_active"] == _core.isa
    assert lines["isa_available"].split() == _core.available_isas()
