"""CPU seconds of whole runs on data that look real, how they grow, and what RELION takes.

    OMP_NUM_THREADS=1 python benchmarks/bench_cost.py --tools DIR [--rows particles,maps,...]
        [--long] [--seed 1] [--out DIR] [--quick]

DIR holds ``simulate_real.py``, which makes particles of a ribosomal subunit's states with all that
goes wrong on a grid. Rows:

particles. 1,500, 3,000 and 6,000 particles of 128 px, 2.6 A, SNR 0.05, two states, ``--iter 3``;
maps. 1,500 of them against 1, 2, 4 and 8 maps that are alike, ``--iter 2``;
posed. 4,000 particles of 64 px with poses given, four states, until they have converged; RELION
    with the same poses, 25 iterations;
iteration. 2,000 particles of 64 px and 2 maps: one iteration, and RELION's with as fine a grid;
project, reconstruct. Whole commands beside RELION's;
batches. 6,000 particles of 64 px and two maps that are one with noise, until they have converged,
    without and with ``--batch``;
memory. What is planned for 10^6 particles of 256 px and 4 maps.

With ``--long`` also those that take hours: 6,000 of the particles for 8 iterations; 50,000 of 64 px
until they have converged; 20,000 of 256 px; 105,247 of 180 px and 6 maps until they have converged,
which goes on where it was stopped.

CPU seconds are those of the process and all its threads, user and system; matching is the wall
time of the last iteration's search, a particle; FSC area that of each map with its true state, of
1. Data that are there are kept. ``--quick`` takes a tenth of the particles and only shows that it
runs. RELION's lines are left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft
from bench_reconstruction import against_relion as reconstructed_by_both
from compare_relion import RELION_SETTINGS, Problem, for_relion, reference_list
from projection_measures import against_relion as projected_by_both
from whole_runs import agreement, classes_of, cpu_seconds, last_table, many_simulated

from mapsort.array_types import Float32
from mapsort.geometry.symmetry import symmetry
from mapsort.jobs.simulate import simulate
from mapsort.model.particles import Particles
from mapsort.model.references import References
from mapsort.model.volume import Volume
from mapsort.modules.orientgen import orientations
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.fsc import fsc
from mapsort.physics.masks import soft_sphere
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.memory_plan import memory_bytes
from mapsort.refinement.plan import particles_at_once, resolve
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid

WEAK = ("--box", "128", "--apix", "2.6", "--sigma", "2.2", "--snr", "0.05", "--offset", "4")
WEAK += ("--states", "full,headlate")
LARGE = ("--box", "256", "--apix", "1.3", "--sigma", "2.2", "--snr", "0.05", "--offset", "8")
LARGE += ("--states", "full,headlate")
MANY = ("--junk", "0", "--states", "full,nohead")
CANONICAL = ("--box", "180", "--apix", "1.85", "--sigma", "2.2", "--offset", "4")
CANONICAL += ("--states", "full,nohead,noplat,headlate,core,ksga")
#: HEALPix order 2, oversampled once: 7.5 degrees.
AS_RELION = ("--orientgen", "eman:delta=7.5")


@dataclass(frozen=True)
class Case:
    """A run: particles as the simulator is told to make them, and options of ``mapsort multi``.

    ``relion`` are options of ``relion_refine`` on the same problem, if it is to be run, too.
    """

    name: str
    n: int
    simulated: tuple[str, ...]
    options: tuple[str, ...]
    particles: str = "particles.star"
    relion: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """The starting maps, where they are given one by one."""
        given = "--models" in self.options
        return self.options[self.options.index("--models") + 1].split(",") if given else []


def seeds(number: int) -> tuple[str, str]:
    """Return the option for each state's own starting map."""
    return "--models", ",".join(f"seed{k}.mrc" for k in range(1, number + 1))


def alike_maps(number: int) -> tuple[str, ...]:
    """Return options for so many maps that differ by noise only."""
    if number == 1:
        return ("--models", "consensus.mrc", "--iter", "2")
    made = ("--model", "consensus.mrc", "--nmodels", str(number), "--seedmethod", "noise")
    return (*made, "--iter", "2")


def weak(n: int, iterations: str) -> Case:
    """Return the run of so many weak particles of 128 px."""
    return Case("128 px, 2 states", n, WEAK, (*seeds(2), "--iter", iterations))


RUNS = {
    "particles": [weak(n, "3") for n in (1500, 3000, 6000)],
    "maps": [Case(f"128 px, {k} alike", 1500, WEAK, alike_maps(k)) for k in (1, 2, 4, 8)],
    "posed": [
        Case(
            "64 px, posed",
            4000,
            (),
            (*seeds(4), "--skipalign"),
            "posed.star",
            ("--skip_align", "--iter", "25", "--healpix_order", "2"),
        )
    ],
    "iteration": [
        Case(
            "64 px, one iteration",
            2000,
            MANY,
            (*seeds(2), "--iter", "1", *AS_RELION),
            relion=("--firstiter_cc", "--iter", "1", "--healpix_order", "2"),
        )
    ],
}
NOISY = ("--model", "consensus.mrc", "--nmodels", "2", "--seedmethod", "noise")
RUNS["batches"] = [
    Case(f"64 px, batch {size}", 6000, MANY, (*NOISY, "--batch", size)) for size in ("all", "1500")
]
LONG = {
    "weak": [weak(6000, "8")],
    "converged": [Case("64 px, converged", 50_000, MANY, seeds(2))],
    "large": [Case("256 px", 20_000, LARGE, (*seeds(2), "--iter", "3", *AS_RELION))],
    "canonical": [Case("180 px, 6 maps", 105_247, CANONICAL, seeds(6))],
}


def main() -> None:
    """Run the rows asked for."""
    asked = parsed()
    runs = RUNS | LONG
    for row in asked.rows.split(","):
        if row in runs:
            print("| run | particles | CPU s | matching ms | iterations | right | FSC area |")
            print("|---|---|---|---|---|---|---|")
            for case in runs[row]:
                own = replace(case, n=case.n // 10) if asked.quick else case
                for line in measured(asked, own):
                    print(line, flush=True)
        else:
            for line in COMMANDS[row](asked.quick):
                print(line, flush=True)
        print()


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--rows")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=Path("cost"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if asked.rows is None:
        asked.rows = ",".join([*RUNS, *COMMANDS, *(LONG if asked.long else ())])
    return asked


def measured(asked: argparse.Namespace, case: Case) -> Iterator[str]:
    """Yield the line of one run, and of RELION's."""
    out = asked.out.absolute()
    name = f"{'_'.join(case.simulated[1::2]) or '64'}_{case.n}_{asked.seed}".replace(",", "-")
    data = out / f"data_{name}"
    many_simulated(asked.tools, data, case.n, int(asked.seed), *case.simulated)
    run = out / f"{case.name} {case.n} {asked.seed}".replace(" ", "_").replace(",", "")
    command = [sys.executable, "-m", "mapsort", "multi"]
    begun = (run / "0_refine_parms.json").exists() and not (run / "verdict.json").exists()
    if begun and case in LONG["canonical"]:
        command += ["--resume", str(run)]
    else:
        shutil.rmtree(run, ignore_errors=True)
        command += ["--input", case.particles, *case.options, "--path", str(run)]
        command += ["--no-report", "--randomseed", "1", "-P", "thread:1"]
    seconds = cpu_seconds([*command, "--quiet"], log=run.with_suffix(".log"), cwd=data)
    iterations = json.loads((run / "convergence.json").read_text())["iterations"]
    each = 1e3 * iterations[-1]["seconds"]["match"] / case.n
    truth = classes_of(data / "particles_truth.star")
    right = agreement(classes_of(last_table(run))[truth > 0], truth[truth > 0])
    areas = " ".join(f"{area:.4f}" for area in fsc_areas(run, data, len(case.models)))
    cells = (case.name, case.n, f"{seconds:.1f}", f"{each:.1f}", len(iterations), f"{right:.4f}")
    yield f"| {' | '.join(map(str, cells))} | {areas} |"
    if case.relion and shutil.which("relion_refine"):
        yield of_relion(case, data, run.with_name(f"{run.name}_relion"))


def fsc_areas(run: Path, data: Path, n_states: int) -> list[float]:
    """Return the area under the FSC of each last map with its state; none for seeds alike."""
    maps = sorted(run.glob("threed_[0-9][0-9]_*.mrc"))[-n_states:] if n_states > 1 else []
    areas = []
    for state, path in enumerate(maps, start=1):
        found, true = Volume.open(path).data, Volume.open(data / f"true{state}.mrc").data
        box = len(found)
        found = moved_onto(found, true)
        sphere = soft_sphere(box, 0.42 * box, 0.06 * box)
        areas.append(float(np.mean(fsc(found * sphere, true * sphere)[: box // 2])))
    return areas


def moved_onto(found: Float32, true: Float32) -> Float32:
    """Return a map moved by whole pixels to where it is most like another.

    A starting map that lies off the centre is moved there, and so is what is made of it.
    """
    spectra = scipy.fft.rfftn(true) * np.conj(scipy.fft.rfftn(found))
    alike = scipy.fft.irfftn(spectra, s=found.shape)
    steps = np.unravel_index(int(alike.argmax()), found.shape)
    return np.roll(found, steps, axis=(0, 1, 2))


def of_relion(case: Case, data: Path, out: Path) -> str:
    """Return the line of RELION's Class3D on the same particles and maps."""
    out.mkdir(parents=True, exist_ok=True)
    particles = Particles.open(data / case.particles)
    models = tuple(data / name for name in case.models)
    truth = classes_of(data / "particles_truth.star")
    problem = Problem(data / case.particles, models, truth, particles.apix)
    diameter = 0.9 * particles.box * particles.apix
    command = ["relion_refine", "--o", str(out / "run"), "--i", str(for_relion(problem, out))]
    command += ["--ref", str(reference_list(problem, out)), "--K", str(len(models))]
    command += ["--particle_diameter", f"{diameter:.0f}", "--ini_high", "50", "--tau2_fudge", "4"]
    command += ["--random_seed", "1", "--j", "1", *RELION_SETTINGS, *case.relion]
    seconds = cpu_seconds(command, log=out / "relion.log")
    iterations = case.relion[case.relion.index("--iter") + 1]
    return f"| RELION: {case.name} | {case.n} | {seconds:.1f} | | {iterations} | | |"


def projected(quick: bool) -> Iterator[str]:
    """Yield a line for each whole ``mapsort project`` beside ``relion_project``."""
    if not shutil.which("relion_project"):
        return
    print("| project: box | images | RELION CPU s | mapsort CPU s | ratio |")
    print("|---|---|---|---|---|")
    for box, n in [(64, 100)] if quick else [(64, 4000), (128, 2000)]:
        row = projected_by_both(box, n)
        theirs, ours = row["relion_cpu_s"], row["mapsort_cpu_s"]
        yield f"| {box} | {n} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} |"


def reconstructed(quick: bool) -> Iterator[str]:
    """Yield a line for each whole ``mapsort reconstruct`` beside ``relion_reconstruct``."""
    print("| reconstruct: box | particles | RELION CPU s | mapsort CPU s | ratio |")
    print("|---|---|---|---|---|")
    sets = [(32, 100)] if quick else [(64, 2000), (64, 10_000), (128, 3000)]
    for row in reconstructed_by_both(sets, 1):
        cells = (row[name] for name in ("box", "particles", "RELION s", "mapsort s", "ratio"))
        yield f"| {' | '.join(map(str, cells))} |"


def planned(_: bool) -> Iterator[str]:
    """Yield the memory planned for 10^6 particles of 256 px and four maps, 5 degrees [GiB]."""
    c1, grid = symmetry("c1"), FourierGrid.for_box(256)
    views = orientations("eman:delta=5:inc_mirror=0:perturb=0", c1, rng=np.random.default_rng(0))
    references = References.of_models([views] * 4)
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(SimulateOptions(phantom=1, out=Path(folder), n=20, box=48, apix=3.0))
        request = {"input": str(made.particles), "models": str(made.seeds[0])}
        options = replace(
            typed_options(MultiOptions, request).validated(), path=Path(folder) / "run"
        )
        small = resolve(options, open_inputs(options))
    plan = replace(
        small,
        grid=grid,
        map_grid=InsertionGrid.for_box(256),
        references=references,
        symmetries=(c1,) * 4,
        chunk=particles_at_once(options, grid, len(references)),
    )
    print("| memory for 10^6 particles of 256 px, 4 maps | GiB |")
    print("|---|---|")
    memory = memory_bytes(plan, 10**6)
    for name, size in [*memory.items(), ("in all", sum(memory.values()))]:
        yield f"| {name} | {size / 2**30:.2f} |"


COMMANDS: dict[str, Callable[[bool], Iterator[str]]] = {
    "project": projected,
    "reconstruct": reconstructed,
    "memory": planned,
}


if __name__ == "__main__":
    main()
