"""Fixtures that every room's tests may use."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory of the shared reference material (golden values, data, tools)."""
    default = Path(__file__).resolve().parents[1] / "../shared"
    path = Path(os.environ.get("MAPSORT_SHARED", default)).resolve()
    if not (path / "golden" / "golden.json").is_file():
        pytest.skip(f"reference material not found in {path}; set MAPSORT_SHARED")
    return path


class Golden:
    """The reference values: entries, their input arrays and their expected results."""

    def __init__(self, directory: Path) -> None:
        self._entries = json.loads((directory / "golden.json").read_text())
        self.facts: dict[str, dict[str, Any]] = json.loads((directory / "inputs.json").read_text())
        self.inputs = np.load(directory / "inputs.npz")
        self.outputs = np.load(directory / "outputs.npz")

    def select(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Entries for which `wanted` is true; an empty selection is an error of the test."""
        entries = [entry for entry in self._entries if wanted(entry)]
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
def golden(shared_dir: Path) -> Golden:
    """Reference values computed with EMAN2."""
    return Golden(shared_dir / "golden")
