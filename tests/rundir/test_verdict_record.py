"""What verdict.json holds comes back, also of a run of an earlier version."""

from __future__ import annotations

import json

import pytest

from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.verdict_record import (
    SUPPORTED,
    ShellGain,
    Split,
    Verdict,
    read_verdict,
    write_verdict,
)


@pytest.fixture
def made():
    """A verdict whose gain comes from two shells."""
    shells = (ShellGain(40.0, 1.5, 0.1), ShellGain(20.0, 0.5, 0.1))
    split = Split(SUPPORTED, "they gain", 2.0, 0.1, judges=300, shells=shells)
    return Verdict(3, True, "converged", split, None, (), ("a doubt",), ("a step",))


def test_a_verdict_comes_back(made, tmp_path):
    directory = RunDirectory(tmp_path)
    write_verdict(directory, made)
    assert read_verdict(directory, 3) == made
    assert read_verdict(directory, 4) is None
    assert made.lines[1] == "half of the gain comes from shells down to 40 A, 90% down to 20 A"


def test_a_verdict_without_shells_is_told_without_them(made, tmp_path):
    directory = RunDirectory(tmp_path)
    write_verdict(directory, made)
    content = json.loads(directory.verdict.read_text())
    del content["split"]["shells"], content["mask"], content["regions"], content["control"]
    directory.verdict.write_text(json.dumps(content))
    assert read_verdict(directory, 3).lines == (
        "split supported: they gain",
        "converged",
        "a doubt",
        "next: a step",
    )
