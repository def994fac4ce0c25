"""How fast and how exact reconstruction is: against finufft, against RELION, and how it grows.

    OMP_NUM_THREADS=1 python benchmarks/bench_reconstruction.py [--quick] [--markdown FILE]

Needed: mapsort, finufft; relion_reconstruct on PATH for the comparison with RELION, which is left
out without it. Times are CPU seconds, the shortest of the repetitions, unless wall time is said.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finufft
import numpy as np
from scipy.spatial.transform import Rotation
from whole_runs import as_installed

from mapsort import fsc
from mapsort.geometry.symmetry import symmetry
from mapsort.jobs.simulate import simulate
from mapsort.model.volume import Volume
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.masks import soft_sphere
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.reconstruct.slice_sums import SliceSums

Row = dict[str, Any]
IDENTITY = np.eye(3)[None]
#: Relative error of the insertion kernel for slices (`InsertionGrid`), asked of finufft too.
SPREADING_ERROR = 4e-4
#: Box and number of the particles that are reconstructed beside RELION.
PARTICLE_SETS = [(64, 2000), (64, 10000), (128, 3000), (128, 6000)]


def cpu_seconds(work: Callable[[], object], repetitions: int) -> float:
    """Return the least CPU time of some repetitions."""
    times = []
    for _ in range(repetitions):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def random_slices(box: int, n: int) -> tuple[Any, Any, Any]:
    """Return slices, weights and rotations."""
    rng = np.random.default_rng(box)
    shape = (n, box, box // 2 + 1)
    slices = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    rotations = np.ascontiguousarray(Rotation.random(n, rng=rng).as_matrix())
    return slices.astype(np.complex64), np.ones(shape, np.float32), rotations


def sample_points(box: int, rotations: Any) -> tuple[Any, list[Any]]:
    """Return which terms of a half plane are inserted, and all their places in radians."""
    ky = np.fft.fftfreq(box, 1 / box)[:, None] * np.ones(box // 2 + 1)
    kx = np.arange(box // 2 + 1) * np.ones((box, 1))
    chosen = (np.hypot(kx, ky) <= box // 2) & (kx < box / 2) & (ky > -box / 2)
    chosen &= ~((kx == 0) & (ky < 0))
    places = (
        kx[chosen][:, None] * rotations[:, None, 0] + ky[chosen][:, None] * rotations[:, None, 1]
    )
    flat = (places.reshape(-1, 3) * (2 * np.pi / box)).astype(np.float32)
    return chosen, [np.ascontiguousarray(flat[:, axis]) for axis in (2, 1, 0)]


def spreading(boxes: list[int], n: int, repetitions: int) -> list[Row]:
    """Slices with their weights, against finufft's spreading of the same slices alone."""
    rows = []
    for box in boxes:
        slices, weights, rotations = random_slices(box, n)
        sums = SliceSums.empty(InsertionGrid.for_box(box), box / 2)
        chosen, places = sample_points(box, rotations)
        values = np.ascontiguousarray(slices[:, chosen].reshape(-1))

        def ours(sums: Any = sums, slices: Any = slices, weights: Any = weights,
                 rotations: Any = rotations) -> None:  # fmt: skip
            sums.insert(slices, weights, rotations, IDENTITY)

        plan = finufft.Plan(
            1, (2 * box,) * 3, eps=SPREADING_ERROR, dtype="complex64", nthreads=1,
            spreadinterponly=1, upsampfac=2.0,
        )  # fmt: skip

        def theirs(plan: Any = plan, places: Any = places, values: Any = values) -> None:
            plan.setpts(*places)
            plan.execute(values)

        seconds = [cpu_seconds(work, repetitions) for work in (ours, theirs)]
        rates = [len(values) / s / 1e6 for s in seconds]
        rows.append(
            {
                "box": box,
                "slices": n,
                "M samples/s": round(rates[0], 1),
                "finufft": round(rates[1], 1),
                "ratio": round(rates[0] / rates[1], 2),
            }
        )
    return rows


def children_cpu(command: list[str], directory: Path) -> float:
    """Run a program and return its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=directory, check=True, capture_output=True, env=as_installed())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def against_relion(sets: list[tuple[int, int]], repetitions: int) -> list[Row]:
    """Time the whole command on the same particle STAR file, start-up included, one thread."""
    if shutil.which("relion_reconstruct") is None:
        return []
    rows = []
    for box, n in sets:
        with tempfile.TemporaryDirectory() as name:
            made = simulate(
                SimulateOptions(phantom=1, out=Path(name), n=n, box=box, apix=128 / box, snr=0.1)
            )
            star = made.truth.name
            mapsort = [sys.executable, "-m", "mapsort", "reconstruct", star, "-o", "ours.mrc"]
            mapsort += ["-q", "-P", "thread:1"]
            relion = ["relion_reconstruct", "--i", star, "--o", "relion.mrc", "--ctf"]
            pairs = [
                (children_cpu(mapsort, made.truth.parent), children_cpu(relion, made.truth.parent))
                for _ in range(repetitions)
            ]
            ours, theirs = (min(pair[k] for pair in pairs) for k in (0, 1))
            volumes = [Volume.open(Path(name) / f"{who}.mrc").data for who in ("ours", "relion")]
            truth = Volume.open(made.maps[0]).data
        sphere = soft_sphere(box, 0.4 * box, 0.06 * box)
        to_truth = [fsc(volume * sphere, truth) for volume in volumes]
        signal = int(np.argmax(np.append(np.minimum(*to_truth) < 0.5, True)))
        between = fsc(volumes[0] * sphere, volumes[1] * sphere)
        rows.append(
            {
                "box": box,
                "particles": n,
                "mapsort s": round(ours, 2),
                "RELION s": round(theirs, 2),
                "ratio": round(theirs / ours, 2),
                "FSC between, least": round(float(between[1:signal].min()), 4),
                "to shell": signal - 1,
                "mean FSC to truth": round(float(to_truth[0][1:signal].mean()), 4),
                "RELION's": round(float(to_truth[1][1:signal].mean()), 4),
            }
        )
    return rows


def growth(boxes: list[int], counts: list[int], groups: list[str], repetitions: int) -> list[Row]:
    """Insertion, equations and solution, each by box, by slices and by symmetry copies."""
    cases = [(box, counts[0], "c1") for box in boxes]
    cases += [(boxes[0], n, "c1") for n in counts[1:]]
    cases += [(boxes[0], counts[0], group) for group in groups]
    rows = []
    for box, n, group in cases:
        slices, weights, rotations = random_slices(box, n)
        operators = symmetry(group).matrices
        sums = SliceSums.empty(InsertionGrid.for_box(box), box / 2)

        def insert(sums: Any = sums, slices: Any = slices, weights: Any = weights,
                   rotations: Any = rotations, operators: Any = operators) -> None:  # fmt: skip
            sums.insert(slices, weights, rotations, operators)

        inserted = cpu_seconds(insert, repetitions)
        equations = NormalEquations.of(sums)
        turned = cpu_seconds(lambda sums=sums: NormalEquations.of(sums), repetitions)
        solved = cpu_seconds(lambda e=equations: solve(e), repetitions)
        rows.append(
            {
                "box": box,
                "slices": n,
                "symmetry": group,
                "insert s": round(inserted, 3),
                "us per slice and copy": round(1e6 * inserted / (n * len(operators)), 1),
                "equations s": round(turned, 3),
                "solve s": round(solved, 3),
            }
        )
    return rows


def threads(box: int, n: int, repetitions: int) -> list[Row]:
    """Wall time of insertion and solution with one and two threads, in turn."""
    slices, weights, rotations = random_slices(box, n)
    best: dict[int, float] = {}
    result: dict[int, bytes] = {}
    for _ in range(repetitions):
        for n_threads in (1, 2):
            sums = SliceSums.empty(InsertionGrid.for_box(box), box / 2)
            begin = time.perf_counter()
            sums.insert(slices, weights, rotations, IDENTITY, n_threads=n_threads)
            equations = NormalEquations.of(sums, n_threads=n_threads)
            volume = solve(equations, n_threads=n_threads)
            seconds = time.perf_counter() - begin
            best[n_threads] = min(best.get(n_threads, np.inf), seconds)
            result[n_threads] = volume.tobytes()
    return [
        {
            "threads": n_threads,
            "wall s": round(best[n_threads], 3),
            "speed up": round(best[1] / best[n_threads], 2),
            "identical": result[n_threads] == result[1],
        }
        for n_threads in (1, 2)
    ]


def table(title: str, rows: list[Row]) -> str:
    """Return rows as a Markdown table."""
    if not rows:
        return ""
    lines = [f"### {title}", "", "| " + " | ".join(rows[0]) + " |"]
    lines.append("|" + "---:|" * len(rows[0]))
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Benchmark reconstruction.")
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    args = parser.parse_args()
    quick, load = args.quick, os.getloadavg()[0]
    parts = [
        table(
            "Spreading",
            spreading([32] if quick else [64, 128], 60 if quick else 600, 1 + 4 * (not quick)),
        ),
        table(
            "Against relion_reconstruct",
            against_relion(
                [(32, 100)] if quick else PARTICLE_SETS,
                1 if quick else 2,
            ),
        ),
        table(
            "Growth",
            growth([32], [50], ["d2"], 1)
            if quick
            else growth([64, 96, 128, 192], [500, 1000, 2000], ["d7", "oct"], 2),
        ),
        table("Threads", threads(32 if quick else 128, 50 if quick else 1000, 1 if quick else 3)),
    ]
    text = "\n".join(part for part in parts if part)
    text += f"\nLoad average {load:.1f} before and {os.getloadavg()[0]:.1f} after.\n"
    print(text)
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
