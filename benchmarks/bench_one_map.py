"""Classes from one map: accuracy and CPU seconds of ``mapsort multi --model --nmodels``.

    python benchmarks/bench_one_map.py --tools DIR [--cases 1,2,3,4,5,7] [--seeds 1,2,3] [--out DIR]

DIR holds ``simulate_real.py``, which makes particles with known truth and all that goes wrong on a
grid, and ``score_states.py``, which judges classes. Cases:

1. four assembly states of 4,000 particles of 64 px, poses sought from the consensus map (ARI at
   least 0.92, 300 CPU s at most; junk: recall 0.95, precision 0.9, 1 % of the particles lost);
2. the same with poses within 2 degrees, ``--skipalign`` (0.90, 100 CPU s);
3. without all that goes wrong (0.95);
4. two states 70:30 that differ by 11 % of the mass (accuracy within 6 points of the oracle's);
5. 16 states in unlike numbers, 16,762 particles of 128 px, poses within 2 degrees, --skipalign (15
   states found, ARI at least 0.9 of the oracle's, "area ratio" at least 0.97; 10 GB of disk);
7. case 1 with two random seeds (0.92 of the particles in the same class).

"FSC area" is the mean over the states of the area under the FSC of each state's map with the true
one (0 to 0.5 cycles a pixel), of the run's last maps. "Area ratio": of the areas of maps that
``mapsort reconstruct`` makes of the run's classes and of the true ones, both with the run's poses.
CPU seconds are those of the process and all its threads, user and system.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from whole_runs import agreement, classes_of, cpu_seconds, last_table, simulated

from mapsort.io.star import read_particles, write_particles

Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """Data, and how they are classified.

    Attributes
    ----------
    simulated : tuple of str
        Arguments of the simulator.
    particles : str
        The file that is classified.
    options : tuple of str
        Of ``mapsort multi``.
    """

    simulated: tuple[str, ...] = ()
    particles: str = "particles.star"
    options: tuple[str, ...] = ("--nmodels", "4")


FOUR = ("--nmodels", "4")
ASSEMBLY = "--states asm16 --n 16762 --box 128 --apix 3 --sigma 2 --snr 0.03 --clean"
CASES = {
    "1": Case(),
    "2": Case(particles="posed.star", options=(*FOUR, "--skipalign")),
    "3": Case(("--clean",)),
    "4": Case(("--states", "full,headlate", "--fractions", "0.7,0.3"), options=("--nmodels", "2")),
    "5": Case(tuple(ASSEMBLY.split()), "posed.star", ("--nmodels", "16", "--skipalign")),
    "7": Case(options=(*FOUR, "--randomseed", "2")),
}


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--out", type=Path, default=Path("one_map"))
    asked = parser.parse_args()
    print(
        "| case | seed | accuracy | ARI | found | FSC area | area ratio | oracle | "
        "junk recall / precision / lost | same | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in asked.cases.split(","):
        for seed in asked.seeds.split(","):
            figures = measured(asked.tools, asked.out, name, seed)
            print(row(name, seed, figures), flush=True)


def measured(tools: Path, out: Path, name: str, seed: str) -> Figures:
    """Return the figures of one case and seed; data that are there are kept."""
    case = CASES[name]
    data = out / f"data{'_'.join(('', *case.simulated))}_{seed}"
    simulated(tools, data, "--n", "4000", "--seed", seed, *case.simulated)
    run = out / f"case{name}_{seed}"
    seconds = classified(data, case, run)
    maps = sorted(run.glob(f"threed_{last_table(run).stem[-2:]}_[0-9][0-9].mrc"))
    figures = {"seconds": seconds}
    figures |= scored(tools, last_table(run), data, maps, oracle=name == "4")
    if name == "5":
        areas = [area_of_classes(tools, data, run, true=true) for true in (False, True)]
        figures["ratio"] = areas[0] / areas[1]
    first = out / f"case1_{seed}"
    if name == "7" and first.exists():
        classes = (classes_of(last_table(path)) for path in (first, run))
        figures["same"] = agreement(*classes)
    return figures


def classified(data: Path, case: Case, run: Path) -> float:
    """Classify a case's particles anew; return CPU seconds."""
    shutil.rmtree(run, ignore_errors=True)
    seed = () if "--randomseed" in case.options else ("--randomseed", "1")
    command = [sys.executable, "-m", "mapsort", "multi", "--input", case.particles, "--quiet"]
    command += ["--model", "consensus.mrc", *case.options, *seed, "--path", str(run.absolute())]
    command += ["--keepfiles", "maps"]
    return cpu_seconds(command, log=run.with_suffix(".log"), cwd=data)


def area_of_classes(tools: Path, data: Path, run: Path, *, true: bool) -> float:
    """Return the FSC area of maps made of the run's classes at its poses, or of the true ones."""
    optics, table = read_particles(last_table(run))
    if true:
        _, truth = read_particles(data / "particles_truth.star")
        table = table.assign(rlnClassNumber=truth["rlnClassNumber"].to_numpy())
    made = run / ("true_classes" if true else "found_classes")
    made.mkdir()
    write_particles(made / "particles.star", optics, table)
    maps = [made / f"{number:02d}.mrc" for number in sorted(set(table["rlnClassNumber"]) - {0})]
    for path in maps:
        command = [sys.executable, "-m", "mapsort", "reconstruct", str(made / "particles.star")]
        command += ["--class", str(int(path.stem)), "-o", str(path), "--datadir", str(data)]
        cpu_seconds([*command, "--quiet"], log=path.with_suffix(".log"))
    return scored(tools, made / "particles.star", data, maps, oracle=False)["area"]


def scored(tools: Path, table: Path, data: Path, maps: list[Path], *, oracle: bool) -> Figures:
    """Return what the judge says, and how many real particles are taken for junk."""
    command = [sys.executable, str(tools / "score_states.py"), str(table), str(data)]
    command += ["--maps", ",".join(map(str, maps))]
    command += ["--oracle"] if oracle else []
    said: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    names = ("accuracy", "ari", "oracle", "found", "junk_recall", "junk_precision")
    figures = {name: float(said[name]) for name in names if name in said}
    figures["area"] = mean(said["fsc_auc"].values())
    if "junk_class" in said:
        counts = said["table"]
        lost = sum(counts.get(str(said["junk_class"]), []))
        figures["lost"] = lost / sum(map(sum, counts.values()))
    return figures


def row(name: str, seed: str, figures: Figures) -> str:
    """Return a line of the table."""

    def shown(*names: str) -> str:
        return " / ".join(f"{figures[n]:.3f}" for n in names if n in figures)

    cells = [
        *(name, seed, shown("accuracy"), shown("ari"), f"{figures['found']:.0f}"),
        *(shown("area"), shown("ratio"), shown("oracle")),
        shown("junk_recall", "junk_precision", "lost"),
        *(shown("same"), f"{figures['seconds']:.0f}"),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
