"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory of the shared reference material (golden values, data, tools)."""
    default = Path(__file__).resolve().parents[1] / "../shared"
    path = Path(os.environ.get("MAPSORT_SHARED", default)).resolve()
    if not (path / "golden" / "golden.json").is_file():
        pytest.skip(f"reference material not found in {path}; set MAPSORT_SHARED")
    return path
