"""Size and time of the report of a large run: 25 iterations, 5 maps, 100 000 particles.

The run directory is made here, of random numbers in the files that a run writes; what the report
does with it does not depend on where the numbers come from.

    python benchmarks/bench_report.py [--box 128] [--keep DIRECTORY]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.geometry.euler import eman_to_matrix, matrix_to_relion
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.mrc import write_map
from mapsort.io.star import write_particles
from mapsort.modules.orientgen import orientations
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import Manifest, write_manifest
from mapsort.rundir.text import write_convergence, write_fsc

APIX = 2.0


def make_run(
    path: Path, *, n_iterations: int, n_models: int, n_particles: int, box: int, delta: float
) -> Path:
    """Write the run directory of a made-up run."""
    path.mkdir(parents=True)
    run = RunDirectory(path)
    rng = np.random.default_rng(1)
    angles = orientations(f"eman:delta={delta}:inc_mirror=0:perturb=0", "c1")
    options = {
        "input": "particles.star",
        "models": [f"seed{m + 1}.mrc" for m in range(n_models)],
        "iter": n_iterations,
        "sym": ["c1"] * n_models,
    }
    choices = [{"name": "--pad", "value": f"{2 * box} px", "reason": f"twice the {box} px box"}]
    write_manifest(run.parms, Manifest(options, 1, (), choices=choices))
    model = rng.integers(0, n_models, n_particles)
    volumes = [blob(rng, box) for _ in range(n_models)]
    entries = []
    for iteration in range(n_iterations + 1):
        for m, volume in enumerate(volumes):
            noise = rng.normal(0, 0.05 / (1 + iteration), volume.shape).astype(np.float32)
            write_map(run.maps(iteration, m + 1), volume + noise, APIX)
        if iteration:
            moving = rng.random(n_particles) < 0.3 / iteration
            model = np.where(moving, rng.integers(0, n_models, n_particles), model)
            write_matrices(run, iteration, model, angles, rng)
            entries.append(entry(run, iteration, model, n_models, box))
    write_headers(run, n_iterations, angles, volumes, rng)
    write_table(run, n_iterations, model, angles, rng)
    write_convergence(run.convergence, entries)
    line = "2026-01-01 00:00:00 INFO match iteration={0} particles={1} done 100.00 s"
    stages = [line.format(i, n_particles) for i in range(1, n_iterations + 1)]
    run.log.write_text("\n".join(stages) + "\n")
    return path


def blob(rng: np.random.Generator, box: int) -> np.ndarray:
    """A few Gaussians in a box."""
    z, y, x = np.mgrid[:box, :box, :box].astype(np.float32) - box // 2
    volume = np.zeros((box, box, box), np.float32)
    for centre in rng.uniform(-box / 5, box / 5, (8, 3)):
        distance = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        volume += np.exp(-distance / (2 * (box / 16) ** 2))
    return volume


def write_matrices(run, iteration, model, angles, rng):
    """cls_result of an iteration: 7 images of n particles."""
    n = len(model)
    classes = model * len(angles) + rng.integers(0, len(angles), n)
    images = [classes, rng.random(n) < 0.9, *rng.normal(size=(2, n)), rng.uniform(0, 360, n)]
    with HdfWriter(run.cls_result(iteration)) as writer:
        for image in [*images, np.zeros(n), np.ones(n)]:
            writer.append(np.asarray(image, np.float32)[:, None])


def write_headers(run, n_iterations, angles, volumes, rng):
    """Projections of all iterations (one file, linked) and class averages of the last."""
    box = len(volumes[0])
    flat = [volume.sum(axis=0) for volume in volumes]
    matrices = eman_to_matrix(angles)
    for path in (run.projections(n_iterations), run.classes(n_iterations)):
        with HdfWriter(path, apix=APIX) as writer:
            for m, image in enumerate(flat):
                for matrix in matrices:
                    header = {
                        "model_id": m + 1,
                        "xform.projection": EmanTransform(np.hstack([matrix, np.zeros((3, 1))])),
                    }
                    noisy = image + rng.normal(0, 0.3 * image.std(), (box, box))
                    writer.append(noisy, header)
    for iteration in range(1, n_iterations):
        run.projections(iteration).hardlink_to(run.projections(n_iterations))


def write_table(run, iteration, model, angles, rng):
    """particles_YY.star with as many columns as a run's usually has."""
    n = len(model)
    turned = matrix_to_relion(eman_to_matrix(angles))[rng.integers(0, len(angles), n)]
    numbers = np.arange(1, n + 1)
    table = {
        "rlnImageName": [f"{i % 1000 + 1:06d}@Particles/mic_{i // 1000:04d}.mrcs" for i in numbers],
        "rlnMicrographName": [f"mic_{i // 1000:04d}.mrc" for i in numbers],
        "rlnOpticsGroup": 1,
        "rlnCoordinateX": rng.integers(0, 4000, n),
        "rlnCoordinateY": rng.integers(0, 4000, n),
        "rlnDefocusU": rng.uniform(8e3, 2.5e4, n).round(2),
        "rlnDefocusV": rng.uniform(8e3, 2.5e4, n).round(2),
        "rlnDefocusAngle": rng.uniform(0, 180, n).round(2),
        "rlnClassNumber": model + 1,
        "rlnAngleRot": turned[:, 0].round(4),
        "rlnAngleTilt": turned[:, 1].round(4),
        "rlnAnglePsi": rng.uniform(-180, 180, n).round(4),
        "rlnOriginXAngst": rng.normal(0, 3, n).round(4),
        "rlnOriginYAngst": rng.normal(0, 3, n).round(4),
        "rlnLogLikeliContribution": rng.normal(100 + 5 * model, 20, n).round(4),
        "rlnMaxValueProbDistribution": rng.beta(6, 1, n).round(6),
    }
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["one"],
            "rlnImagePixelSize": [APIX],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
        }
    )
    write_particles(run.particles(iteration), optics, pd.DataFrame(table))


def entry(run, iteration, model, n_models, box):
    """One record of convergence.json, and the FSC files beside it."""
    frequency = np.arange(box // 2 + 1) / (box * APIX)
    curve = 1 / (1 + np.exp(40 * (frequency - 0.1 - 0.005 * iteration)))
    for m in range(n_models):
        write_fsc(run.fsc(iteration, m + 1), frequency, curve)
    pairs = n_models * (n_models - 1) // 2
    write_fsc(run.fsc_mutual(iteration), frequency, np.tile(curve[:, None] ** 3, (1, pairs + 1)))
    resolutions = {
        "resolution_fsc_05_ang": 9.0 - 0.2 * iteration,
        "resolution_fsc_0143_ang": 7.0 - 0.2 * iteration,
        "resolution_to_previous_fsc_05_ang": 6.0,
        "half_fsc": curve.round(4).tolist(),
    }
    stages = {"project": 5, "match": 900, "classify": 1, "average": 60, "reconstruct": 30}
    return {
        "iteration": iteration,
        "occupancy": np.bincount(model, minlength=n_models).tolist(),
        "empty_maps": [],
        "fraction_changed_map": None if iteration == 1 else 0.24 / iteration,
        "mean_angle_change_deg": None if iteration == 1 else 20 / iteration,
        "mean_shift_change_px": None if iteration == 1 else 1 / iteration,
        "mean_log_likelihood": 100.0 + iteration,
        "scale": 1.0,
        "highest_ring": 30,
        "maps": [resolutions] * n_models,
        "seconds": {name: float(value) for name, value in (stages | {"write": 20}).items()},
        "peak_memory_mib": 4000.0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--particles", type=int, default=100_000)
    parser.add_argument("--delta", type=float, default=7.5, help="angular step [degrees]")
    parser.add_argument("--keep", type=Path, help="make the run here and leave it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = make_run(
            args.keep if args.keep is not None else Path(temporary) / "multi_00",
            n_iterations=args.iterations,
            n_models=args.models,
            n_particles=args.particles,
            box=args.box,
            delta=args.delta,
        )
        begin, used = time.perf_counter(), time.process_time()
        # Imported here: a user who calls `mapsort report` waits for the libraries too.
        from mapsort.report.file_cache import FileCache
        from mapsort.report.page import write_report

        cache = FileCache()
        page = write_report(run, cache=cache)
        first, cpu = time.perf_counter() - begin, time.process_time() - used
        begin = time.perf_counter()
        write_report(run, cache=cache)
        again = time.perf_counter() - begin
        figures = {
            "particles": args.particles,
            "iterations": args.iterations,
            "maps": args.models,
            "box": args.box,
            "size_mb": round(page.stat().st_size / 1e6, 2),
            "seconds": round(first, 2),
            "cpu_seconds": round(cpu, 2),
            "seconds_with_cache": round(again, 2),
        }
    print(json.dumps(figures))
    return 0 if figures["size_mb"] < 15 and figures["cpu_seconds"] < 10 else 1


if __name__ == "__main__":
    sys.exit(main())
