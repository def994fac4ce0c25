"""Whole runs: particles that look real, CPU seconds, and how far the classes agree."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment

from mapsort.io.star import read_particles, write_particles

Classes = npt.NDArray[np.int64]


#: The simulator holds twice the pixels that it makes: more than so many are made in parts.
_MOST_PIXELS = 7e8


def simulated(tools: Path, data: Path, *words: str) -> Path:
    """Return the directory of particles that ``simulate_real.py`` makes, if they are not there."""
    if not (data / "particles.star").exists():
        subprocess.run(
            [sys.executable, str(tools / "simulate_real.py"), str(data), *words], check=True
        )
    return data


def many_simulated(tools: Path, data: Path, n: int, seed: int, *words: str) -> Path:
    """Return the directory of n particles, made in as many parts as memory asks for."""
    box = int(words[words.index("--box") + 1]) if "--box" in words else 64
    parts = np.array_split(np.arange(n), int(np.ceil(n * box**2 / _MOST_PIXELS)))
    given = [("--n", str(len(rows)), "--seed", str(seed + k)) for k, rows in enumerate(parts)]
    if len(parts) == 1:
        return simulated(tools, data, *given[0], *words)
    if not (data / "particles.star").exists():
        made = [data / f"part{number}" for number in range(1, len(parts) + 1)]
        for place, of_part in zip(made, given, strict=True):
            simulated(tools, place, *of_part, *words)
        for path in made[0].glob("*.mrc"):
            shutil.copy(path, data)
        for name in ("particles_truth", "posed", "particles"):
            _join(made, data / f"{name}.star")
    return data


def _join(parts: list[Path], target: Path) -> None:
    """Write the particles of several directories as one table, whose micrographs differ."""
    tables = []
    for part in parts:
        optics, table = read_particles(part / target.name)
        images = table["rlnImageName"].str.replace("@", f"@{part.name}/")
        micrographs = part.name + "_" + table["rlnMicrographName"]
        tables.append(table.assign(rlnImageName=images, rlnMicrographName=micrographs))
    write_particles(target, optics, pd.concat(tables, ignore_index=True))


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
