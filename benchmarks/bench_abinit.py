"""Maps from particles alone: how often ``mapsort abinit`` finds the truth, and CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/bench_abinit.py --tools DIR [--rows adk,groel_d7,...]
        [--seeds 1,2,3] [--out DIR] [--options="--starts 8"]

DIR holds ``simulate.py`` and ``simulate_real.py``; ``DIR/../data/maps`` the molecules. Particles
are the same for all seeds, which are those of the random starts. Rows:

adk        adenylate kinase, open: 3,000 of SNR 0.1
junk       the same, of which 31 % are replaced by noise and by lumps
closed     the same in its rounder shape: 1,500 of SNR 0.1
full30     a ribosomal subunit with all that goes wrong on a grid: 5,000
groel_d7   GroEL, 3,000 of SNR 0.1, ``--sym d7``
groel_c1   the same without symmetry
bgal       beta-galactosidase, 5,000 of SNR 0.05, ``--sym d2``
mix        a ribosomal subunit and GroEL 1:1, two maps
adkoc      adenylate kinase open and closed 1:1, two maps
noise      3,000 images of noise

Success: FSC 0.5 with the truth at 20 A or better and a median view error of 8 degrees at most, in
whatever frame and hand; with two maps, 0.95 (0.9 of open and closed) of the particles in the right
one; for noise: "no structure". Junk: the part of it that is found, and the part of the particles
that is lost to it. Data and runs that are there are kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from whole_runs import cpu_seconds, simulated

from mapsort.array_types import Float32, Float64
from mapsort.geometry.euler import relion_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.physics.fsc import ONE_HALF, fsc, resolution_at
from mapsort.physics.resample import match_box
from mapsort.stages.abinit.agreement import brought_onto, frame

#: What counts as success.
MOST_ANG, MOST_DEG = 20.0, 8.0
#: Maps of molecules.
ADK, CLOSED = "adk_open_64_2.0A.mrc", "adk_closed_64_2.0A.mrc"
SUBUNIT, GROEL = "ribo30S_64_4.5A.mrc", "groel_1mnf_D7_64_4.0A.mrc"
LACTASE = "betagal_real_D2_64_3.54A.mrc"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    data : str
        Name of its particles.
    options : tuple of str
        Of ``mapsort abinit``.
    symmetries : tuple of str
        Of the true maps, in order.
    right : float
        Of several maps: part of the particles that must be in the right one.
    """

    data: str
    options: tuple[str, ...] = ()
    symmetries: tuple[str, ...] = ("c1",)
    right: float = 0.0


TWO = ("--nmodels", "2")
ROWS = {
    "adk": Row("adk"),
    "junk": Row("junk"),
    "closed": Row("closed"),
    "full30": Row("full30"),
    "groel_d7": Row("groel", ("--sym", "d7"), ("d7",)),
    "groel_c1": Row("groel", (), ("d7",)),
    "bgal": Row("bgal", ("--sym", "d2"), ("d2",)),
    "mix": Row("mix", TWO, ("c1", "d7"), 0.95),
    "adkoc": Row("adkoc", TWO, ("c1", "c1"), 0.9),
    "noise": Row("noise"),
}


def main() -> None:
    """Run the rows asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", default=",".join(map(str, range(1, 11))))
    parser.add_argument("--out", type=Path, default=Path("abinit"))
    parser.add_argument("--options", default="", help="more options of mapsort abinit")
    asked = parser.parse_args()
    out = asked.out.absolute()
    print(
        "| row | seed | success | FSC 0.5 [A] | view error [deg] | right | junk found | lost "
        "| CPU s | told |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in asked.rows.split(","):
        row = ROWS[name]
        data = made(asked.tools, out / "data" / row.data, row.data)
        for seed in asked.seeds.split(","):
            run = out / f"{name}_{seed}"
            seconds = searched(data, (*row.options, *asked.options.split()), seed, run)
            success, cells, told = judged(row, data, run)
            print(f"| {name} | {seed} | {success} | {cells} | {seconds:.0f} | {told} |", flush=True)


def made(tools: Path, data: Path, name: str) -> Path:
    """Return the directory of some particles, made if they are not there."""
    if not (data / "particles.star").exists():
        MAKERS[name](tools, data)
    return data


def _simulated(*options: str, maps: tuple[str, ...]) -> Callable[[Path, Path], None]:
    def make(tools: Path, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(maps, start=1):
            shutil.copy(tools.parent / "data" / "maps" / name, data / f"true{number}.mrc")
        _run_simulator(tools, data, len(maps), options)

    return make


def _run_simulator(tools: Path, data: Path, count: int, options: tuple[str, ...]) -> None:
    maps = [str(data / f"true{number}.mrc") for number in range(1, count + 1)]
    command = [sys.executable, str(tools / "simulate.py"), *maps, "--out", str(data), *options]
    subprocess.run(command, check=True)


def _subunit(tools: Path, data: Path) -> None:
    simulated(tools, data, "--states", "full", "--n", "5000")


def _mixture(tools: Path, data: Path) -> None:
    """Two molecules of one power in one box and pixel size."""
    data.mkdir(parents=True, exist_ok=True)
    maps = tools.parent / "data" / "maps"
    one, apix = read_map(maps / SUBUNIT)
    other, own = read_map(maps / GROEL)
    other = match_box(other, own, box=len(one), target_apix=apix)
    other *= np.float32(np.linalg.norm(one) / np.linalg.norm(other))
    for number, volume in enumerate((one, other), start=1):
        write_map(data / f"true{number}.mrc", volume, apix)
    _run_simulator(tools, data, 2, ("--n", "4000", "--snr", "0.1"))


def _noise(tools: Path, data: Path) -> None:
    """Images of noise, with the defocus values of others."""
    other = made(tools, data.parent / "adk", "adk")
    data.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(5).standard_normal((3000, 64, 64)).astype(np.float32)
    write_stack(data / "particles.mrcs", images, apix=2.0)
    shutil.copy(other / "particles.star", data / "particles.star")


def _with_junk(tools: Path, data: Path) -> None:
    """Particles of which some are replaced: half by noise, half by lumps, as on a real grid."""
    sys.path.insert(0, str(tools))
    from simulate_real import ctf

    other = made(tools, data.parent / "adk", "adk")
    data.mkdir(parents=True, exist_ok=True)
    images, apix = read_map(other / "particles.mrcs")
    images = images.copy()
    optics, table = read_particles(other / "particles_truth.star")
    rng, box = np.random.default_rng(77), images.shape[1]
    junk = np.flatnonzero(rng.random(len(images)) < 0.3)
    noise = float(np.sqrt(images.var() / 1.1))
    line = np.arange(box) - box // 2
    for number in junk:
        images[number] = rng.normal(0, noise, (box, box))
        if rng.random() < 0.5:
            y, x, size = *rng.uniform(-box / 5, box / 5, 2), rng.uniform(box / 12, box / 5)
            lump = np.exp(-((line[:, None] - y) ** 2 + (line - x) ** 2) / (2 * size**2))
            columns = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
            transfer = ctf(box, apix, *(table[name].to_numpy()[[number]] for name in columns))[0]
            seen = np.fft.ifft2(np.fft.fft2(np.fft.ifftshift(lump)) * transfer).real
            images[number] += 8 * np.sqrt(0.1) * noise * np.fft.fftshift(seen)
    write_stack(data / "particles.mrcs", images, apix=apix)
    table.loc[junk, "rlnClassNumber"] = 0
    write_particles(data / "particles_truth.star", optics, table)
    for name in ("particles.star", "true1.mrc"):
        shutil.copy(other / name, data / name)


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    "adk": _simulated("--n", "3000", maps=(ADK,)),
    "closed": _simulated("--n", "1500", maps=(CLOSED,)),
    "groel": _simulated("--n", "3000", maps=(GROEL,)),
    "bgal": _simulated("--n", "5000", "--snr", "0.05", maps=(LACTASE,)),
    "adkoc": _simulated("--n", "3000", maps=(ADK, CLOSED)),
    "full30": _subunit,
    "mix": _mixture,
    "noise": _noise,
    "junk": _with_junk,
}


def searched(data: Path, options: tuple[str, ...], seed: str, run: Path) -> float:
    """Make maps; return CPU seconds."""
    kept = run / "seconds.txt"
    if kept.exists():
        return float(kept.read_text())
    command = [sys.executable, "-m", "mapsort", "abinit", "--input", "particles.star", "--quiet"]
    command += ["--path", str(run), "--randomseed", seed, "--parallel", "thread:1", *options]
    seconds = cpu_seconds(command, log=run.with_suffix(".log"), cwd=data)
    kept.write_text(f"{seconds:.1f}\n")
    return seconds


def judged(row: Row, data: Path, run: Path) -> tuple[str, str, str]:
    """Return whether a run succeeded, its figures as cells, and what it told."""
    summary = json.loads((run / "abinit.json").read_text())
    told = f"gain {summary['held_out_gain_nat']:.1f}; {'; '.join(summary['signs'])}"
    if row.data == "noise":
        return ("no" if summary["structure"] else "yes"), " | | | | ", told
    found = read_particles(run / "particles.star")[1]
    true = read_particles(data / "particles_truth.star")[1]
    counts = pd.crosstab(found["rlnClassNumber"], true["rlnClassNumber"])
    junk = counts.reindex(index=[summary["maps"] + 1], fill_value=0).sum()
    recall = junk[0] / counts[0].sum() if 0 in counts else np.nan
    counts = counts.drop(columns=0, errors="ignore")
    lost = junk[counts.columns].sum() / counts.to_numpy().sum()
    of_maps = counts.drop(index=summary["maps"] + 1, errors="ignore")
    rows, columns = linear_sum_assignment(-of_maps.to_numpy())
    right = float(of_maps.to_numpy()[rows, columns].sum() / counts.to_numpy().sum())
    resolutions, errors = [], []
    for own, real in zip(of_maps.index[rows], of_maps.columns[columns], strict=True):
        both = (found["rlnClassNumber"] == own) & (true["rlnClassNumber"] == real)
        group = symmetry(row.symmetries[real - 1]).matrices
        lying = frame(views_of(found[both]), views_of(true[both]), group)
        volume, apix = read_map(run / f"map_{own:02d}.mrc")
        truth = read_map(data / f"true{real}.mrc")[0]
        resolutions.append(fsc_half_ang(brought_onto(volume, truth, lying), truth, apix))
        errors.append(lying.error_deg)
    good = bool(resolutions) and resolutions[0] < MOST_ANG and errors[0] <= MOST_DEG
    if row.right:
        good = right >= row.right
    figures = [" / ".join(f"{value:.1f}" for value in values) for values in (resolutions, errors)]
    cells = f"{figures[0]} | {figures[1]} | {right:.3f} | {recall:.3f} | {lost:.4f}"
    return ("yes" if good else "no"), cells, told


def views_of(table: pd.DataFrame) -> Float64:
    """Return the rotations of a particle table, (n, 3, 3), object to view."""
    angles = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    return np.asarray(relion_to_matrix(table[angles].to_numpy(np.float64)))


def fsc_half_ang(volume: Float32, true: Float32, apix: float) -> float:
    """Return where the FSC of two maps falls below 0.5 [A]."""
    return resolution_at(fsc(volume, true), ONE_HALF, apix, box=len(true))


if __name__ == "__main__":
    main()
