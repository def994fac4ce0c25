"""Whole runs: particles that look real, CPU seconds, and how far the classes agree."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from mapsort.io.star import read_particles

Classes = npt.NDArray[np.int64]


def simulated(tools: Path, data: Path, *words: str) -> Path:
    """Return the directory of particles that ``simulate_real.py`` makes, if they are not there."""
    if not (data / "particles.star").exists():
        subprocess.run(
            [sys.executable, str(tools / "simulate_real.py"), str(data), *words], check=True
        )
    return data


def as_installed() -> dict[str, str]:
    """Return the environment in which compiled modules are kept, as an installed program's are.

    Without them every command compiles mapsort's modules anew: 3 to 4 CPU s.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_seconds(command: list[str], *, log: Path, cwd: Path | None = None) -> float:
    """Run a command and return the CPU seconds it took, of all its threads and children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as out:
        finished = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=as_installed()
        )
    if finished.returncode:
        tail = "\n".join(log.read_text().splitlines()[-5:])
        sys.exit(f"{command[0]} failed, see {log}:\n{tail}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def last_table(run: Path) -> Path:
    """Return the particle table of a run's last iteration."""
    return sorted(run.glob("particles_*.star"))[-1]


def classes_of(path: Path) -> Classes:
    """Return the class of each particle, from 1."""
    _, table = read_particles(path)
    return table["rlnClassNumber"].to_numpy(np.int64)


def confusion(found: Classes, truth: Classes) -> Classes:
    """Return counts (true class, found class), found classes in the order that fits best."""
    n = int(max(found.max(), truth.max()))
    table = np.zeros((n, n), np.int64)
    np.add.at(table, (truth - 1, found - 1), 1)
    return table[:, linear_sum_assignment(-table)[1]]


def agreement(found: Classes, truth: Classes) -> float:
    """Return the share of particles in the right class, classes in the order that fits best."""
    return float(np.trace(confusion(found, truth)) / len(truth))
