from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.rundir.text import read_convergence, read_fsc, write_convergence, write_fsc


def test_fsc_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "fsc_01_01.txt"
    frequency = np.arange(33) / (64 * 1.5)
    fsc = np.exp(-frequency * 10)
    write_fsc(path, frequency, fsc, title="1/A, FSC against iteration 0")
    assert path.read_text().startswith("# 1/A, FSC")
    back = read_fsc(path)
    np.testing.assert_allclose(back[0], frequency, rtol=1e-5)
    np.testing.assert_allclose(back[1], fsc, rtol=1e-5)
    assert np.loadtxt(path).shape == (33, 2)


def test_mutual_curves(tmp_path: Path) -> None:
    path = tmp_path / "fsc_mutual_01.txt"
    curves = np.linspace(0, 1, 12).reshape(4, 3)
    write_fsc(path, np.arange(4) / 8, curves)
    np.testing.assert_allclose(read_fsc(path)[1], curves, atol=1e-6)


def test_fsc_errors(tmp_path: Path) -> None:
    path = tmp_path / "fsc.txt"
    with pytest.raises(ValueError, match="fsc: expected"):
        write_fsc(path, np.arange(4), np.arange(5))
    with pytest.raises(FormatError, match=r"fsc\.txt: no such file"):
        read_fsc(path)
    for content, message in (
        ("0.1 x\n", "not columns of numbers"),
        ("0.1 1\n0.2\n", "not columns of numbers"),
        ("", "not an FSC curve"),
        ("1\n2\n", "not an FSC curve"),
    ):
        path.write_text(content)
        with pytest.raises(FormatError, match=rf"fsc\.txt: {message}"):
            read_fsc(path)


def test_convergence_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "convergence.json"
    assert read_convergence(path) == []
    iterations = [
        {
            "iteration": 1,
            "occupancy": np.array([0.25, 0.75]),
            "moved": np.float32(0.5),
            "resolution_ang": {"0.143": [12.5, np.nan], "0.5": (np.inf, 20)},
        }
    ]
    write_convergence(path, iterations)
    expected = {
        "iteration": 1,
        "occupancy": [0.25, 0.75],
        "moved": 0.5,
        "resolution_ang": {"0.143": [12.5, None], "0.5": [None, 20]},
    }
    assert read_convergence(path) == [expected]
    assert json.loads(path.read_text()) == {"iterations": [expected]}


@pytest.mark.parametrize("content", ["{", "[]", '{"iterations": 3}', "{}"])
def test_convergence_errors(tmp_path: Path, content: str) -> None:
    path = tmp_path / "convergence.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=r"convergence\.json: not a"):
        read_convergence(path)
