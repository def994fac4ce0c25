"""How memory and time grow with the particles, and what Dask workers cost beside threads.

    OMP_NUM_THREADS=1 python benchmarks/bench_scale.py growth [--particles 5000,20000,200000]
    python benchmarks/bench_scale.py dask [--particles 40000] [--workers 2,4] [--iterations 5]

Particles of 64 px with CTF, of two maps without symmetry; the larger sets are the images of the
smallest many times over, every copy in the file. ``growth`` runs one iteration with few
projections, one thread: processor seconds of the whole command, memory that ``--check`` announces,
and the highest that the process had (its own VmHWM). ``dask`` runs the same problem on threads and
on the workers of ``dask:local=N``, with the threads of the machine shared out among them, and
compares wall seconds and the bytes of the last table and maps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
from whole_runs import cpu_seconds

from mapsort.io.star import read_particles, write_particles

#: Images that are really different.
DIFFERENT = 5000
MAPSORT = (sys.executable, "-m", "mapsort")
_MIB = {"KiB": 2**-10, "MiB": 1.0, "GiB": 2.0**10}


def base_problem(out: Path) -> Path:
    """Simulate the particles that are really different, once."""
    directory = out / "base"
    if not (directory / "particles.star").exists():
        command = [*MAPSORT, "simulate", "--phantom", "2", "--box", "64", "--n", str(DIFFERENT)]
        subprocess.run([*command, "--snr", "0.05", "--out", str(directory), "-q"], check=True)
    return directory


def particles_of(out: Path, n: int) -> Path:
    """Return a table of n particles whose images fill a stack of their own."""
    base, directory = base_problem(out), out / f"n{n}"
    table_path = directory / "particles.star"
    if table_path.exists():
        return table_path
    directory.mkdir(parents=True, exist_ok=True)
    optics, table = read_particles(base / "particles.star")
    with mrcfile.mmap(base / "particles.mrcs", permissive=True) as source:
        shape = (n, *source.data.shape[1:])
        with mrcfile.new_mmap(
            directory / "particles.mrcs", shape, mrc_mode=2, overwrite=True
        ) as to:
            for first in range(0, n, DIFFERENT):
                last = min(n, first + DIFFERENT)
                to.data[first:last] = source.data[: last - first]
            to.set_image_stack()
            to.voxel_size = source.voxel_size
    rows = table.iloc[np.arange(n) % len(table)].reset_index(drop=True)
    names = pd.Series(np.arange(1, n + 1)).map("{:06d}@particles.mrcs".format)
    write_particles(table_path, optics, rows.assign(rlnImageName=names))
    return table_path


def command_of(out: Path, n: int, *options: str) -> list[str]:
    """Return the command that sorts n particles between the two seeds."""
    particles = particles_of(out, n)
    seeds = ",".join(map(str, sorted((out / "base").glob("seed*.mrc"))))
    job = ("multi", "--input", str(particles), "--models", seeds, "--randomseed", "1")
    return [*MAPSORT, *job, "--no-report", "--quiet", *options]


def announced_mib(text: str) -> float:
    """Return the memory [MiB] that ``--check`` tells of."""
    found = re.search(r"^memory: ([\d.]+) ([KMG]iB)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"--check tells no memory:\n{text}")
    return float(found[1]) * _MIB[found[2]]


def growth(out: Path, n: int) -> dict[str, object]:
    """Measure one iteration on one thread."""
    run = out / f"growth_{n}"
    shutil.rmtree(run, ignore_errors=True)
    few = ["--orientgen=eman:delta=45", "--maxshift=2", "--iter=1", "--parallel=thread:1"]
    command = command_of(out, n, *few, "--path", str(run))
    plan = subprocess.run([*command, "--check"], check=True, capture_output=True, text=True).stdout
    started = time.monotonic()
    seconds = cpu_seconds(command, log=out / f"growth_{n}.log")
    elapsed = time.monotonic() - started
    (entry,) = json.loads((run / "convergence.json").read_text())["iterations"]
    return {
        "particles": n,
        "check_mib": round(announced_mib(plan)),
        "peak_mib": entry["peak_memory_mib"],
        "cpu_seconds": round(seconds, 1),
        "wall_seconds": round(elapsed, 1),
        "stages": {name: round(value, 1) for name, value in entry["seconds"].items()},
    }


def result_of(run: Path, iterations: int) -> str:
    """Return a digest of the last table and maps."""
    names = [f"particles_{iterations:02d}.star"]
    names += [f"threed_{iterations:02d}_{model:02d}.mrc" for model in (1, 2)]
    digest = hashlib.sha256()
    for name in names:
        digest.update((run / name).read_bytes())
    return digest.hexdigest()


def on_engine(out: Path, n: int, parallel: str, iterations: int) -> dict[str, object]:
    """Measure wall seconds of a run on threads or Dask workers."""
    run = out / f"engine_{parallel.replace(':', '_').replace('=', '')}"
    shutil.rmtree(run, ignore_errors=True)
    options = ("--iter", str(iterations), "--path", str(run), "--parallel", parallel)
    command = command_of(out, n, *options)
    started = time.monotonic()
    seconds = cpu_seconds(command, log=out / f"{run.name}.log")
    elapsed = time.monotonic() - started
    return {
        "parallel": parallel,
        "particles": n,
        "iterations": iterations,
        "wall_seconds": round(elapsed, 1),
        "cpu_seconds": round(seconds, 1),
        "result": result_of(run, iterations)[:16],
    }


def main() -> None:
    """Run the measurements asked for, a line of JSON each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("growth", "dask"))
    parser.add_argument("--particles", help="numbers of particles, separated by commas")
    parser.add_argument("--workers", default="2,4", help="numbers of Dask workers (default 2,4)")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("scale"), help="directory (about 4 GB)")
    asked = parser.parse_args()
    if asked.what == "growth":
        for n in map(int, (asked.particles or "5000,20000,200000").split(",")):
            print(json.dumps(growth(asked.out, n)), flush=True)
        return
    engines = [f"thread:{len(os.sched_getaffinity(0))}"]
    engines += [f"dask:local={n}" for n in asked.workers.split(",")]
    for n in map(int, (asked.particles or "40000").split(",")):
        for parallel in engines:
            print(json.dumps(on_engine(asked.out, n, parallel, asked.iterations)), flush=True)


if __name__ == "__main__":
    main()
