"""A map from its views: mapsort and RELION's program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mapsort

alone = pytest.mark.benchmark(group="reconstruction")


def agrees(found: mapsort.Volume, views: Any) -> bool:
    """Whether a map is the one that was seen, as far as a hundred views of 256 px cover."""
    curve = mapsort.fsc(found.data, views.volume)
    return bool(curve[1 : views.box // 16 + 1].min() > 0.9)


@alone
def test_mapsort(views: Any, benchmark: Any) -> None:
    """From images in memory to the map."""
    found = benchmark.pedantic(
        mapsort.reconstruct, (views.images, views.rotations), {"apix": views.apix}, rounds=3
    )
    assert agrees(found, views)


@pytest.mark.benchmark(group="reconstruction, whole commands")
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
@pytest.mark.parametrize("program", ["mapsort", "relion"])
def test_commands(views: Any, view_files: Path, benchmark: Any, program: str) -> None:
    """The two programs on the same files, from start to end."""
    words = {
        "mapsort": "mapsort reconstruct views.star -o made.mrc -q",
        "relion": "relion_reconstruct --i views.star --o made.mrc",
    }[program].split()
    kept = {"cwd": view_files, "check": True, "capture_output": True}
    benchmark.pedantic(subprocess.run, (words,), kept, rounds=1 if views.box > 128 else 3)
    assert agrees(mapsort.Volume.open(view_files / "made.mrc"), views)
