"""mapsort beside RELION's Class3D on the same particles: accuracy and CPU seconds of both.

    python benchmarks/compare_relion.py particles.star particles_truth.star --models a.mrc,b.mrc \
        --diameter 120 --seeds 1,2,3 --out compared

``relion_refine`` runs one process (Debian's package ``relion``, RELION 3.1) with the settings that
serve it best on such problems: HEALPix order 2 (15 degrees) with two-fold oversampling,
10 iterations, tau 4, offsets searched within 6 pixels, CTF correction, and the starting maps
low-passed by ``--ini_high``. ``--firstiter_cc`` is for starting maps on another grey scale than the
particles; ``--absolute-scale`` leaves it out. mapsort runs ``mapsort multi`` with its defaults.

CPU seconds are those of the process and all its threads, user and system. Classes are matched to
the truth in the best order, for both programs alike.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from whole_runs import agreement, cpu_seconds, last_table

import mapsort
from mapsort.io.mrc import write_map
from mapsort.io.star import read_particles, write_particles

#: RELION's settings that are not options here.
RELION_SETTINGS = (
    *("--oversampling", "1"),
    *("--offset_range", "6", "--offset_step", "2"),
    *("--ctf", "--flatten_solvent", "--norm", "--scale", "--pad", "2", "--dont_check_norm"),
    *("--dont_combine_weights_via_disc", "--zero_mask"),
)


@dataclass(frozen=True)
class Problem:
    """What both programs are given.

    Attributes
    ----------
    particles : Path
    models : tuple of Path
        Starting maps, one per class.
    truth : ndarray of shape (n,)
        True class of each particle, from 1.
    apix : float
        Pixel size [A].
    """

    particles: Path
    models: tuple[Path, ...]
    truth: npt.NDArray[np.int64]
    apix: float


def by_image(table_path: Path, column: str = "rlnClassNumber") -> dict[str, int]:
    """Return a column by image name without its folder: RELION reorders particles."""
    _, table = read_particles(table_path)
    keys = [_key(name) for name in table["rlnImageName"]]
    return dict(zip(keys, table[column].astype(int), strict=True))


def _key(name: str) -> str:
    number, stack = name.split("@", 1)
    return f"{int(number)}@{Path(stack).name}"


def run_relion(problem: Problem, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Run Class3D and return its accuracy and CPU seconds."""
    out = args.out / f"relion_{seed}"
    out.mkdir(parents=True, exist_ok=True)
    particles = for_relion(problem, out)
    references = reference_list(problem, out)
    command = [
        *("relion_refine", "--o", str(out / "run"), "--i", str(particles)),
        *("--ref", str(references), "--K", str(len(problem.models)), "--sym", args.sym),
        *("--iter", str(args.iterations), "--tau2_fudge", str(args.tau)),
        *("--healpix_order", str(args.healpix)),
        *("--particle_diameter", str(args.diameter), "--ini_high", str(args.ini_high)),
        *("--random_seed", str(seed), "--j", str(args.threads), *args.relion_settings),
    ]
    if not args.absolute_scale:
        command.append("--firstiter_cc")
    (out / "command.txt").write_text(" ".join(command) + "\n")
    seconds = cpu_seconds(command, log=out / "relion.log")
    last = out / f"run_it{args.iterations:03d}_data.star"
    return {"accuracy": _scored(problem, last), "cpu_seconds": round(seconds, 1)}


def _scored(problem: Problem, table: Path) -> float:
    found = by_image(table)
    _, given = read_particles(problem.particles)
    order = [found[_key(name)] for name in given["rlnImageName"]]
    return agreement(np.array(order), problem.truth)


def for_relion(problem: Problem, out: Path) -> Path:
    """Write the particles for RELION: full paths, and optics columns that it insists on."""
    optics, table = read_particles(problem.particles)
    particles = mapsort.Particles.open(problem.particles)
    table = table.copy()
    table["rlnImageName"] = [
        f"{index + 1:06d}@{particles.files[owner].resolve()}"
        for index, owner in zip(particles.index_in_file, particles.file_of, strict=True)
    ]
    optics = optics.assign(rlnImageSize=particles.box, rlnImageDimensionality=2)
    path = out / "particles.star"
    write_particles(path, optics, table)
    return path


def reference_list(problem: Problem, out: Path) -> Path:
    """Write the starting maps as RELION takes several: a table of them."""
    lines = ["data_", "", "loop_", "_rlnReferenceImage #1"]
    for number, path in enumerate(problem.models, start=1):
        volume = mapsort.Volume.open(path)
        copy = out / f"reference_{number}.mrc"
        write_map(copy, volume.data, volume.apix)
        lines.append(str(copy))
    path = out / "references.star"
    path.write_text("\n".join([*lines, ""]))
    return path


def run_mapsort(problem: Problem, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Run ``mapsort multi`` and return its accuracy and CPU seconds."""
    out = args.out / f"mapsort_{seed}"
    if out.exists():
        shutil.rmtree(out)
    args.out.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "mapsort", "multi", "--input", str(problem.particles)),
        *("--models", ",".join(map(str, problem.models)), "--path", str(out)),
        *("--randomseed", str(seed), "--parallel", f"thread:{args.threads}", "--sym", args.sym),
        *("--no-report", "--quiet", *args.mapsort_options.split()),
    ]
    seconds = cpu_seconds(command, log=args.out / f"mapsort_{seed}.log")
    return {"accuracy": _scored(problem, last_table(out)), "cpu_seconds": round(seconds, 1)}


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("particles", type=Path, help="particles.star")
    parser.add_argument("truth", type=Path, help="the same particles with their true classes")
    parser.add_argument("--models", required=True, help="starting maps, comma-separated")
    parser.add_argument("--diameter", type=float, required=True, help="RELION's mask [A]")
    parser.add_argument("--ini-high", type=float, default=25.0, help="low-pass of the maps [A]")
    parser.add_argument("--iterations", type=int, default=10, help="of RELION")
    parser.add_argument("--healpix", type=int, default=2, help="order of RELION's orientations")
    parser.add_argument("--tau", type=float, default=4.0)
    parser.add_argument("--sym", default="c1")
    parser.add_argument("--seeds", default="1,2,3", help="random seeds, one run each")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--absolute-scale", action="store_true", help="no --firstiter_cc")
    parser.add_argument("--only", choices=("relion", "mapsort"), help="run one of the two")
    parser.add_argument("--mapsort-options", default="", help="further options of mapsort multi")
    parser.add_argument("--out", type=Path, default=Path("compared"))
    args = parser.parse_args()
    args.relion_settings = RELION_SETTINGS
    return args


def main() -> None:
    """Run both programs for each seed and print a table, and JSON beside it."""
    args = parsed()
    if args.only != "mapsort" and shutil.which("relion_refine") is None:
        sys.exit("relion_refine is not on the PATH; install the package relion")
    particles = mapsort.Particles.open(args.particles)
    _, truth = read_particles(args.truth)
    models = tuple(Path(path) for path in args.models.split(","))
    classes = truth["rlnClassNumber"].to_numpy(int)
    problem = Problem(args.particles, models, classes, particles.apix)
    runners = {"relion": run_relion, "mapsort": run_mapsort}
    if args.only:
        runners = {args.only: runners[args.only]}
    results = {
        name: [run(problem, int(seed), args) for seed in args.seeds.split(",")]
        for name, run in runners.items()
    }
    (args.out / "compared.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{len(particles)} particles of {particles.box} px, {len(models)} classes")
    for name, found in results.items():
        mean = np.mean([run["accuracy"] for run in found])
        seconds = np.mean([run["cpu_seconds"] for run in found])
        every = ", ".join(f"{run['accuracy']:.3f}" for run in found)
        print(f"{name:8s} accuracy {mean:.3f} ({every}), {seconds:.0f} CPU s")


if __name__ == "__main__":
    main()
