"""How fast files are read: STAR tables, and images against a plain read of the same bytes.

    OMP_NUM_THREADS=1 python benchmarks/bench_files.py [--rows 100000,1000000] [--images 10000]
                                                       [--box 128] [--quick]

Files are made in a temporary directory ($TMPDIR) and read from the page cache, so that the disk
does not hide what the reader costs. Each table is read by a process of its own, whose peak memory
is given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import write_stack
from mapsort.io.star import write_particles
from mapsort.model.particles import Particles

CHUNK = 512
REPEATS = 7
_READ = """
import re, sys, time
from pathlib import Path
from mapsort.io.star import read_particles
wall, cpu = time.perf_counter(), time.process_time()
optics, table = read_particles(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
# Not getrusage: its maximum is inherited from the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(wall, cpu, peak / 2**20, len(table), len(table.columns))
"""


def make_star(path: Path, n_rows: int) -> None:
    """A table like RELION's after a refinement: 22 columns, two of them long names."""
    rng = np.random.default_rng(0)
    numbers = [
        *("rlnCoordinateX", "rlnCoordinateY", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"),
        *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
        *("rlnPhaseShift", "rlnCtfMaxResolution", "rlnCtfFigureOfMerit", "rlnNormCorrection"),
        *("rlnLogLikeliContribution", "rlnMaxValueProbDistribution"),
    ]
    rows = range(n_rows)
    table = {
        "rlnImageName": [
            f"{k % 500 + 1:06d}@Extract/job042/Micrographs/FoilHole_{k // 500:07d}.mrcs"
            for k in rows
        ],
        "rlnMicrographName": [
            f"MotionCorr/job003/Micrographs/FoilHole_{k // 500:07d}.mrc" for k in rows
        ],
        "rlnOpticsGroup": np.ones(n_rows, int),
        **{label: np.round(rng.uniform(0, 20000, n_rows), 6) for label in numbers},
        **{label: rng.integers(1, 5, n_rows) for label in ("rlnClassNumber", "rlnRandomSubset")},
        "rlnNrOfSignificantSamples": rng.integers(1, 500, n_rows),
    }
    optics = {
        "rlnOpticsGroup": [1],
        "rlnImagePixelSize": [1.0],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    write_particles(path, pd.DataFrame(optics), pd.DataFrame(table))


def read_star(path: Path) -> str:
    """Seconds and peak memory of a fresh process."""
    command = [sys.executable, "-c", _READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu, gib, rows, columns = done.stdout.split()
    size = path.stat().st_size / 1e6
    return (
        f"STAR {rows} rows x {columns} columns ({size:.0f} MB): "
        f"{float(wall):.2f} s ({float(cpu):.2f} s of CPU), peak {float(gib):.2f} GiB"
    )


def plain(path: Path, n_bytes: int) -> None:
    """Read a file into one buffer that is used again and again: the least there is to do."""
    buffer = bytearray(n_bytes)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def fresh(path: Path, n_bytes: int) -> None:
    """Read a file into an array of its own for every chunk, as anyone who keeps images must."""
    with path.open("rb", buffering=0) as file:
        while np.fromfile(file, np.uint8, n_bytes).size:
            pass


def ours(particles: Particles) -> None:
    for start in range(0, len(particles), CHUNK):
        particles.images(slice(start, start + CHUNK))


def best(actions: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The shortest of several CPU times, the actions taking turns.

    What is read lies in the page cache: all of the time is work of this process, and the clock on
    the wall would measure the other users of the machine.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(REPEATS):
        for name, action in actions.items():
            start = time.process_time()
            action()
            times[name].append(time.process_time() - start)
    return {name: min(values) for name, values in times.items()}


def read_images(directory: Path, n_images: int, box: int) -> list[str]:
    rng = np.random.default_rng(0)
    chunks = [min(CHUNK, n_images - k) for k in range(0, n_images, CHUNK)]
    path = directory / "images.mrcs"
    write_stack(path, (rng.standard_normal((m, box, box), np.float32) for m in chunks), 1.0)
    size, chunk_bytes = path.stat().st_size, CHUNK * box * box * 4
    particles = Particles.open(path)
    times = best(
        {
            "plain read, one buffer": lambda: plain(path, chunk_bytes),
            "plain read, fresh arrays": lambda: fresh(path, chunk_bytes),
            "Particles.images": lambda: ours(particles),
        }
    )
    lines = [f"{name}: {size / t / 1e9:.2f} GB/s" for name, t in times.items()]
    for name in list(times)[:2]:
        lines.append(f"images stream at {times[name] / times['Particles.images']:.0%} of {name}")
    n_few = min(n_images, 2000)
    images = rng.standard_normal((n_few, box, box), np.float32)
    write_images(directory / "images.hdf", images, apix=1.0)
    start = time.perf_counter()
    stack = Particles.open(directory / "images.hdf")
    opened = time.perf_counter() - start
    start = time.perf_counter()
    ours(stack)
    taken = time.perf_counter() - start
    lines.append(
        f"EMAN2 .hdf, {n_few} images: headers {opened / n_few * 1e6:.0f} us, "
        f"pixels {taken / n_few * 1e6:.0f} us an image"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    args = parser.parse_args()
    rows = [1000] if args.quick else [int(word) for word in args.rows.split(",")]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for n_rows in rows:
            make_star(directory / "table.star", n_rows)
            print(read_star(directory / "table.star"), flush=True)
        for line in read_images(directory, 200 if args.quick else args.images, args.box):
            print(line)


if __name__ == "__main__":
    main()
