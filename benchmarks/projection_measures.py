"""Every measurement of the projection benchmark."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import finufft
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.transform import Rotation
from whole_runs import as_installed

from mapsort import _core
from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.star_tables import write_tables
from mapsort.model.volume import Volume
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.project import project_images

#: Tolerances compared with finufft.
TOLERANCES = (1e-3, 1e-6)


@dataclass(frozen=True)
class Effort:
    """How much is measured: boxes with their numbers of slices, repetitions, images for RELION."""

    slices: dict[int, int]
    repeats: int
    relion_images: dict[int, int]


FULL = Effort({32: 4000, 64: 2000, 128: 1000, 256: 300}, 3, {64: 20000, 128: 8000})
QUICK = Effort({32: 50}, 1, {32: 50})


def measure(effort: Effort, tell: Callable[[str], None]) -> dict[str, list[dict[str, Any]]]:
    """Return rows of figures by title."""
    results: dict[str, list[dict[str, Any]]] = {}
    tell("against finufft")
    results["against finufft, one thread"] = [
        against_finufft(box, n, tolerance, effort.repeats if box <= 128 else 1)
        for box, n in effort.slices.items()
        for tolerance in TOLERANCES
    ]
    tell("growth with slices")
    box = sorted(effort.slices)[len(effort.slices) // 2 - (len(effort.slices) > 1)]
    results[f"growth with slices, {box} px"] = [
        growth(box, n, effort.repeats) for n in (10, 100, effort.slices[box])
    ]
    tell("threads")
    results["two threads"] = [
        threads(box, n, effort.repeats) for box, n in effort.slices.items() if box <= 128
    ]
    tell("adjointness")
    results["adjointness"] = [adjointness(box) for box in (32, 33)]
    if shutil.which("relion_project"):
        tell("against relion_project")
        results["against relion_project, whole commands"] = [
            against_relion(box, n) for box, n in effort.relion_images.items()
        ]
    return results


def noise(box: int) -> npt.NDArray[np.float32]:
    """A map without structure that fills the box: the hardest case for interpolation."""
    return np.random.default_rng(box).standard_normal((box,) * 3, dtype=np.float32)


def rotations(n: int) -> npt.NDArray[np.float64]:
    """Random orientations."""
    return Rotation.random(n, rng=np.random.default_rng(n)).as_matrix()


def slice_points(box: int, turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the points that Cartesian slices are read at, (3, m) radians per pixel."""
    ky, kx = np.fft.fftfreq(box, 1 / box)[:, None], np.arange(box // 2 + 1)[None]
    kx, ky = np.broadcast_arrays(kx.astype(float), ky)
    inside = (kx**2 + ky**2 <= (box // 2) ** 2) & (2 * kx < box) & (2 * ky > -box)
    plane = np.stack([kx[inside], ky[inside], np.zeros(inside.sum())], axis=-1)
    points = (plane @ turns).reshape(-1, 3) * (2 * np.pi / box)
    return np.ascontiguousarray(points.T)


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def against_finufft(box: int, n: int, tolerance: float, repeats: int) -> dict[str, Any]:
    """Both on the same points, transform of the map included, in turns; and our error."""
    volume, turns = noise(box), rotations(n)
    x, y, z = slice_points(box, turns).astype(np.float32)
    source = volume.astype(np.complex64)
    ours, theirs = [], []
    plans: list[Any] = []

    def project() -> None:
        projector = FourierProjector.plan(volume, tolerance=tolerance)
        plans[:] = [projector, projector.cartesian(turns)]

    def nufft() -> None:
        plan = finufft.Plan(
            2, volume.shape, 1, eps=tolerance, isign=-1, dtype="complex64", nthreads=1
        )
        plan.setpts(z, y, x)
        plan.execute(source)

    reading = []
    for _ in range(repeats):
        ours.append(cpu_seconds(project))
        theirs.append(cpu_seconds(nufft))
        reading.append(cpu_seconds(lambda: plans[0].cartesian(turns)))
    projector, slices = plans
    return {
        "box": box,
        "slices": n,
        "tolerance": tolerance,
        "width": projector.interpolation.width,
        "padded": projector.interpolation.padded,
        "error": slice_error(volume, turns[:4], slices[:4]) if box <= 128 else "",
        "ns_per_point": 1e9 * min(ours) / len(x),
        "reading_ns_per_point": 1e9 * min(reading) / len(x),
        "finufft_ns_per_point": 1e9 * min(theirs) / len(x),
        "ratio": min(theirs) / min(ours),
    }


def slice_error(
    volume: npt.NDArray[np.float32],
    turns: npt.NDArray[np.float64],
    slices: npt.NDArray[np.complex64],
) -> float:
    """Relative l2 distance from finufft in double precision."""
    box = len(volume)
    x, y, z = slice_points(box, turns)
    expected = finufft.nufft3d2(z, y, x, volume.astype(complex), isign=-1, eps=1e-9)
    ky, kx = np.fft.fftfreq(box, 1 / box)[:, None], np.arange(box // 2 + 1)[None]
    inside = (kx**2 + ky**2 <= (box // 2) ** 2) & (2 * kx < box) & (2 * ky > -box)
    found = slices[:, inside].ravel()
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def growth(box: int, n: int, repeats: int) -> dict[str, Any]:
    """Slices of one plan."""
    turns = rotations(n)
    projector = FourierProjector.plan(noise(box))
    seconds = min(cpu_seconds(lambda: projector.cartesian(turns)) for _ in range(repeats))
    return {"slices": n, "us_per_slice": 1e6 * seconds / n}


def threads(box: int, n: int, repeats: int) -> dict[str, Any]:
    """Wall time of one and two threads in turns."""
    turns = rotations(n)
    projector = FourierProjector.plan(noise(box))
    wall: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    results: dict[int, bytes] = {}
    for _ in range(2 * repeats):
        for count in wall:
            start, used = time.perf_counter(), time.process_time()
            slices = projector.cartesian(turns, n_threads=count)
            wall[count].append(time.perf_counter() - start)
            cpu[count].append(time.process_time() - used)
            results[count] = slices[:: max(1, n // 50)].tobytes()
    return {
        "box": box,
        "slices": n,
        "one_ms": 1e3 * min(wall[1]),
        "two_ms": 1e3 * min(wall[2]),
        "speed_up": min(wall[1]) / min(wall[2]),
        "cpu_of_two_over_one": min(cpu[2]) / min(cpu[1]),
        "identical": results[1] == results[2],
    }


def adjointness(box: int) -> dict[str, Any]:
    """<P v, s> against <v, P* s>, with insertion as the adjoint of slicing."""
    rng, turns = np.random.default_rng(box), rotations(5)
    grid, radius = FourierGrid.for_box(box), float((box - 1) // 2)
    volume = noise(box)
    slices = rng.standard_normal((5, box, box // 2 + 1, 2)).astype(np.float32)
    values = np.ascontiguousarray(slices).view(np.complex64)[..., 0]
    scales = {"scale": grid.scale, "oversampling": grid.scale, "rotations": turns}
    projected = _core.project_cartesian(
        grid.volume_window(volume, max_radius=radius), max_radius=radius, box=box, **scales
    )
    shape = _core.window_shape(radius * grid.scale)
    numerator, density = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
    _core.insert_slices(
        values,
        np.ones(values.shape, np.float32),
        symmetry=np.eye(3)[None],
        max_radius=radius,
        ramp=False,
        numerator=numerator,
        density=density,
        **scales,
    )
    back = grid.volume_from_grid(_core.scatter_window(numerator, grid.padded)) * grid.padded**3
    # the scalar product of whole Hermitian slices: every term but kx = 0 stands for two
    weight = np.where(np.arange(box // 2 + 1) == 0, 1.0, 2.0)
    hermitian = values.copy()
    hermitian[:, :, 0] = _hermitian_column(values[:, :, 0])
    left = float(np.sum(weight * (projected.astype(complex) * hermitian.conj()).real))
    right = float(np.sum(volume.astype(float) * back))
    size = float(np.linalg.norm(projected) * np.linalg.norm(hermitian))
    return {"box": box, "difference_over_norms": abs(left - right) / size}


def _hermitian_column(column: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
    """The half ky >= 0 of the column kx = 0, which insertion takes, with its mates."""
    n = column.shape[1]
    result = column.copy()
    for ky in range(1, (n - 1) // 2 + 1):
        result[:, n - ky] = np.conj(column[:, ky])
    result[:, 0] = column[:, 0].real
    return result


def against_relion(box: int, n: int) -> dict[str, Any]:
    """``relion_project`` and ``mapsort project`` on the same map and angles, files written."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        smooth = project_images(noise(box), np.eye(3)[None])  # warms the kernels up
        assert smooth.shape == (1, box, box)
        Volume(_blob(box), 2.0).write(directory / "map.mrc")
        _write_angles(directory / "angles.star", box, rotations(n))
        _write_angles(directory / "one.star", box, rotations(1))
        theirs = _command(directory, ["relion_project", "--i", "map.mrc", "--ang", "angles.star",
                                      "--o", "relion"])  # fmt: skip
        ours = _mapsort(directory, "angles.star")
        start = _mapsort(directory, "one.star")
    return {
        "box": box,
        "images": n,
        "relion_cpu_s": theirs[0],
        "mapsort_cpu_s": ours[0],
        "of_which_start_s": start[0],
        "relion_wall_s": theirs[1],
        "mapsort_wall_s": ours[1],
        "cpu_ratio": theirs[0] / ours[0],
        "cpu_ratio_without_start": theirs[0] / max(ours[0] - start[0], 1e-3),
        "wall_ratio": theirs[1] / ours[1],
    }


def _mapsort(directory: Path, angles: str) -> tuple[float, float]:
    return _command(directory, [sys.executable, "-m", "mapsort", "project", "map.mrc", "--angles",
                                angles, "--out", "ours.mrcs", "-q"])  # fmt: skip


def _command(directory: Path, words: list[str]) -> tuple[float, float]:
    """Return CPU and wall seconds of a command, the shorter of two runs."""
    cpu, wall = [], []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(words, cwd=directory, check=True, capture_output=True, env=as_installed())
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(cpu), min(wall)


def _blob(box: int) -> npt.NDArray[np.float32]:
    z, y, x = np.mgrid[:box, :box, :box] - box // 2
    return np.exp(-(x**2 + 2 * y**2 + 3 * z**2) / (0.05 * box**2)).astype(np.float32)


def _write_angles(path: Path, box: int, turns: npt.NDArray[np.float64]) -> None:
    angles = matrix_to_relion(turns)
    optics = {"rlnOpticsGroup": [1], "rlnOpticsGroupName": ["one"], "rlnVoltage": [300.0],
              "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
              "rlnImagePixelSize": [2.0], "rlnImageSize": [box],
              "rlnImageDimensionality": [2]}  # fmt: skip
    particles = {
        "rlnImageName": [f"{i + 1:06d}@x.mrcs" for i in range(len(angles))],
        "rlnAngleRot": angles[:, 0],
        "rlnAngleTilt": angles[:, 1],
        "rlnAnglePsi": angles[:, 2],
        "rlnOpticsGroup": 1,
    }
    write_tables(path, {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)})
