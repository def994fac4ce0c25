"""The few tests that every wheel is put through where it was made: import, kernels, one small job.

They import nothing from the test tree, so that they can be copied next to an installed wheel.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import numpy as np

import mapsort
from mapsort import _core
from mapsort.jobs.doctor import LEAST_ACCURACY, small_run


def test_the_version_is_the_metadata():
    assert mapsort.__version__ == metadata.version("mapsort")


def test_every_public_name_is_there():
    for name in mapsort.__all__:
        assert getattr(mapsort, name) is not None


def test_a_map_survives_projection_and_reconstruction():
    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.exp(-((x - 3) ** 2 + (y + 2) ** 2 + 2 * z**2) / 18).astype(np.float32)
    turns = mapsort.euler.eman_to_matrix(mapsort.orientations("eman:delta=10", "c1"))
    again = mapsort.reconstruct(mapsort.project(density, turns), turns)
    assert np.linalg.norm(again.data - density) < 0.05 * np.linalg.norm(density)


def test_the_small_problem_is_solved():
    assert small_run(n_threads=1).accuracy >= LEAST_ACCURACY


def test_the_programs_are_installed():
    scripts = {entry.name for entry in metadata.distribution("mapsort").entry_points}
    assert {"mapsort", "e2refinemulti"} <= scripts
    done = subprocess.run(
        [sys.executable, "-m", "mapsort", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mapsort {mapsort.__version__}\n"


def test_the_kernels_were_compiled_with_openmp():
    assert _core.build()["openmp"] is not None


def test_the_build_names_its_compiler():
    assert _core.build()["compiler"].startswith(("gcc ", "clang "))
