"""CPU seconds of whole runs on data that look real, and how they grow.

    OMP_NUM_THREADS=1 python benchmarks/bench_cost.py --tools DIR [--rows 128,particles,maps,posed]
        [--seed 1] [--out DIR]

DIR holds ``simulate_real.py``, which makes particles of a ribosomal subunit's states with all that
goes wrong on a grid. Rows:

128. 1,500 particles of 128 px at 2.6 A and SNR 0.05, two states, ``--iter 3``;
particles. the same with 500, 1,500 and 4,500 particles;
maps. 1,500 of them against 1, 2, 4 and 8 maps that are alike, ``--iter 2``;
posed. 4,000 particles of 64 px with poses given, four states, until they have converged.

CPU seconds are those of the process and all its threads, user and system; matching is the wall time
of the last iteration's search, a particle. Data and runs that are there are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from mapsort.io.star import read_particles

WEAK = ("--box", "128", "--apix", "2.6", "--sigma", "2.2", "--snr", "0.05", "--offset", "4")
WEAK += ("--states", "full,headlate")
STATES = ("--models", "seed1.mrc,seed2.mrc", "--iter", "3")


@dataclass(frozen=True)
class Case:
    """A run: particles as the simulator is told to make them, and options of ``mapsort multi``."""

    name: str
    n: int
    simulated: tuple[str, ...]
    options: tuple[str, ...]
    particles: str = "particles.star"


def alike_maps(number: int) -> tuple[str, ...]:
    """Return options for so many maps that differ by noise only."""
    if number == 1:
        return ("--models", "consensus.mrc", "--iter", "2")
    made = ("--model", "consensus.mrc", "--nmodels", str(number), "--seedmethod", "noise")
    return (*made, "--iter", "2")


ROWS = {
    "128": [Case("128 px, 2 states", 1500, WEAK, STATES)],
    "particles": [Case("128 px, 2 states", n, WEAK, STATES) for n in (500, 1500, 4500)],
    "maps": [Case(f"128 px, {k} alike", 1500, WEAK, alike_maps(k)) for k in (1, 2, 4, 8)],
    "posed": [
        Case(
            "64 px, posed",
            4000,
            (),
            ("--models", "seed1.mrc,seed2.mrc,seed3.mrc,seed4.mrc", "--skipalign"),
            "posed.star",
        )
    ],
}


def main() -> None:
    """Run the rows asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=Path("cost"))
    asked = parser.parse_args()
    print("| run | particles | CPU s | matching ms | iterations | in the right map |")
    print("|---|---|---|---|---|---|")
    for row in asked.rows.split(","):
        for case in ROWS[row]:
            print(measured(asked.tools, asked.out.absolute(), case, asked.seed), flush=True)


def measured(tools: Path, out: Path, case: Case, seed: str) -> str:
    """Return the line of one run."""
    data = simulated(tools, out, case, seed)
    run = out / f"{case.name} {case.n} {seed}".replace(" ", "_").replace(",", "")
    command = [sys.executable, "-m", "mapsort", "multi", "--input", case.particles, "--quiet"]
    command += [*case.options, "--no-report", "--randomseed", "1", "-P", "thread:1"]
    process = subprocess.Popen([*command, "--path", str(run)], cwd=data)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    iterations = json.loads((run / "convergence.json").read_text())["iterations"]
    each = 1e3 * iterations[-1]["seconds"]["match"] / case.n
    right = accuracy(sorted(run.glob("particles_*.star"))[-1], data / "particles_truth.star")
    seconds = used.ru_utime + used.ru_stime
    cells = (case.name, case.n, f"{seconds:.0f}", f"{each:.1f}", len(iterations), f"{right:.3f}")
    return f"| {' | '.join(map(str, cells))} |"


def simulated(tools: Path, out: Path, case: Case, seed: str) -> Path:
    """Return the directory of a case's particles, made if they are not there."""
    box = "128" if case.simulated else "64"
    data = out / f"data_{box}_{case.n}_{seed}"
    if not (data / "particles.star").exists():
        command = [sys.executable, str(tools / "simulate_real.py"), str(data), "--n", str(case.n)]
        subprocess.run([*command, "--seed", seed, *case.simulated], check=True)
    return data


def accuracy(table: Path, truth: Path) -> float:
    """Return the share of real particles in their own state's map, maps named as fits best."""
    found, true = (read_particles(path)[1]["rlnClassNumber"].to_numpy() for path in (table, truth))
    real = true > 0
    counts = np.zeros((found.max() + 1, true.max() + 1))
    np.add.at(counts, (found[real], true[real]), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / counts.sum())


if __name__ == "__main__":
    main()
