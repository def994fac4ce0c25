"""Fixtures that every room's tests may use."""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does: it is no reason to fail.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


GOLDEN = Path(__file__).resolve().parent / "data" / "golden"


def golden_entries() -> list[dict[str, Any]]:
    """Return every reference value with what it is of (data/golden/README.md)."""
    return json.loads(lzma.decompress((GOLDEN / "golden.json.xz").read_bytes()))


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Directory of the original's reference values and files."""
    return GOLDEN


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory with data of others, not in the repository: ``data/maps`` and the like.

    Where MAPSORT_SHARED names it, what is missing there is an error.
    """
    named = os.environ.get("MAPSORT_SHARED")
    path = Path(named or Path(__file__).resolve().parents[1] / "../shared").resolve()
    if not (path / "data" / "maps").is_dir():
        assert named is None, f"MAPSORT_SHARED={named}: no data/maps there"
        pytest.skip("maps and tables of others, not in the repository; set MAPSORT_SHARED")
    return path


class Golden:
    """The reference values: entries, their input arrays and their expected results."""

    def __init__(self, directory: Path) -> None:
        self.entries = golden_entries()
        self.facts: dict[str, dict[str, Any]] = json.loads((directory / "inputs.json").read_text())
        self.inputs = np.load(directory / "inputs.npz")
        self.outputs = np.load(directory / "outputs.npz")

    def select(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Entries for which `wanted` is true; an empty selection is an error of the test."""
        entries = [entry for entry in self.entries if wanted(entry)]
        assert entries, "no reference entry selected"
        return entries

    def check(self, entry: dict[str, Any], ours: np.ndarray) -> None:
        """Assert agreement within the entry's tolerance (an array, a list, or a digest)."""
        value = entry["value"]
        if isinstance(value, dict) and "digest" in value:
            digest = value["digest"]
            assert list(ours.shape) == digest["shape"], entry["id"]
            scale = max(abs(digest["min"]), abs(digest["max"]))
            found = [ours.mean(), ours.std(ddof=1), ours.min(), ours.max()]
            expected = [digest[k] for k in ("mean", "sigma", "min", "max")]
            found += [ours[tuple(index)] for index, _ in digest["pixels"]]
            expected += [pixel for _, pixel in digest["pixels"]]
            found, expected = np.array(found), np.array(expected)
        else:
            expected = np.asarray(
                self.outputs[value["array"]] if isinstance(value, dict) else value
            )
            found = np.asarray(ours)
            assert found.shape == expected.shape, entry["id"]
            scale = np.abs(expected).max()
        error = np.abs(found - expected).max()
        assert error <= entry["atol"] + entry["rtol"] * scale, (entry["id"], error)


@pytest.fixture(scope="session")
def golden(golden_dir: Path) -> Golden:
    """Reference values computed with EMAN2."""
    return Golden(golden_dir)
