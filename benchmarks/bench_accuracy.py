"""How many particles end up in the right map: ``mapsort multi`` with its defaults, and the oracle.

    python benchmarks/bench_accuracy.py CASE [CASE ...] [--options "--sym d7,c7"] [--out accuracy]

A case is a directory with ``particles.star`` and ``particles_truth.star`` (true classes, angles and
origins), starting maps ``seed1.mrc``, ``seed2.mrc``, ... and, for the oracle, true maps
``true1.mrc``, ... Any simulator can make it. One line a case: accuracy with classes in the order
that fits best, recall of each true class, the oracle's accuracy (``oracle.py``), iterations, CPU
seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from oracle import squared_distances
from whole_runs import classes_of, confusion, cpu_seconds

import mapsort


def oracle_accuracy(case: Path) -> float | None:
    """Return the accuracy of a decision with the true maps and poses, None without true maps."""
    maps = sorted(case.glob("true*.mrc"))
    truth = classes_of(case / "particles_truth.star") - 1
    if not maps or truth.max() >= len(maps):
        return None
    distance = squared_distances(
        mapsort.Particles.open(case / "particles.star"),
        mapsort.Particles.open(case / "particles_truth.star"),
        [mapsort.Volume.open(path) for path in maps],
    )
    return float(np.mean(distance.argmin(axis=1) == truth))


def measured(case: Path, out: Path, options: list[str], seed: int) -> dict[str, object]:
    """Run one case and return its figures."""
    run = out / case.name
    if run.exists():
        shutil.rmtree(run)
    out.mkdir(parents=True, exist_ok=True)
    seeds = ",".join(map(str, sorted(case.glob("seed*.mrc"))))
    command = [
        *(sys.executable, "-m", "mapsort", "multi", "--input", str(case / "particles.star")),
        *("--models", seeds, "--path", str(run), "--randomseed", str(seed)),
        *("--no-report", "--quiet", *options),
    ]
    seconds = cpu_seconds(command, log=out / f"{case.name}.log")
    tables = sorted(run.glob("particles_*.star"))
    table = confusion(classes_of(tables[-1]), classes_of(case / "particles_truth.star"))
    return {
        "case": case.name,
        "accuracy": round(float(np.trace(table) / table.sum()), 4),
        "recall": [round(float(row[k] / row.sum()), 4) for k, row in enumerate(table) if row.sum()],
        "oracle": oracle_accuracy(case),
        "iterations": len(tables),
        "cpu_seconds": round(seconds),
    }


def main() -> None:
    """Print one line of JSON for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASE")
    parser.add_argument("--options", default="", help="further options of mapsort multi")
    parser.add_argument("--randomseed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("accuracy"), help="where runs are kept")
    asked = parser.parse_args()
    for case in asked.cases:
        found = measured(case, asked.out, asked.options.split(), asked.randomseed)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
