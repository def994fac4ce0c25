"""CPU seconds of whole runs on data that look real, and how they grow.

    OMP_NUM_THREADS=1 python benchmarks/bench_cost.py --tools DIR [--rows particles,maps,posed]
        [--seed 1] [--out DIR] [--quick]

DIR holds ``simulate_real.py``, which makes particles of a ribosomal subunit's states with all that
goes wrong on a grid. Rows:

particles. 500, 1,500 and 4,500 particles of 128 px at 2.6 A and SNR 0.05, two states, ``--iter 3``;
maps. 1,500 of them against 1, 2, 4 and 8 maps that are alike, ``--iter 2``;
posed. 4,000 particles of 64 px with poses given, four states, until they have converged.

CPU seconds are those of the process and all its threads, user and system; matching is the wall time
of the last iteration's search, a particle. Data that are there are kept. ``--quick`` takes a tenth
of the particles and only shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from whole_runs import agreement, classes_of, cpu_seconds, last_table, simulated

WEAK = ("--box", "128", "--apix", "2.6", "--sigma", "2.2", "--snr", "0.05", "--offset", "4")
WEAK += ("--states", "full,headlate")
STATES = ("--models", "seed1.mrc,seed2.mrc", "--iter", "3")
FOUR = ("--models", "seed1.mrc,seed2.mrc,seed3.mrc,seed4.mrc", "--skipalign")


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
    "particles": [Case("128 px, 2 states", n, WEAK, STATES) for n in (500, 1500, 4500)],
    "maps": [Case(f"128 px, {k} alike", 1500, WEAK, alike_maps(k)) for k in (1, 2, 4, 8)],
    "posed": [Case("64 px, posed", 4000, (), FOUR, "posed.star")],
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
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    print("| run | particles | CPU s | matching ms | iterations | in the right map |")
    print("|---|---|---|---|---|---|")
    for row in asked.rows.split(","):
        for case in ROWS[row]:
            own = replace(case, n=case.n // 10) if asked.quick else case
            print(measured(asked.tools, asked.out.absolute(), own, asked.seed), flush=True)


def measured(tools: Path, out: Path, case: Case, seed: str) -> str:
    """Return the line of one run."""
    data = out / f"data_{'128' if case.simulated else '64'}_{case.n}_{seed}"
    simulated(tools, data, "--n", str(case.n), "--seed", seed, *case.simulated)
    run = out / f"{case.name} {case.n} {seed}".replace(" ", "_").replace(",", "")
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, "-m", "mapsort", "multi", "--input", case.particles, "--quiet"]
    command += [*case.options, "--no-report", "--randomseed", "1", "-P", "thread:1"]
    seconds = cpu_seconds([*command, "--path", str(run)], log=run.with_suffix(".log"), cwd=data)
    iterations = json.loads((run / "convergence.json").read_text())["iterations"]
    each = 1e3 * iterations[-1]["seconds"]["match"] / case.n
    found, truth = (classes_of(path) for path in (last_table(run), data / "particles_truth.star"))
    real = truth > 0
    right = f"{agreement(found[real], truth[real]):.3f}"
    cells = (case.name, case.n, f"{seconds:.0f}", f"{each:.1f}", len(iterations), right)
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
