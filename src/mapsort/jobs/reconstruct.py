"""Reconstruct one map from particles with poses, or from a run's class averages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32
from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.geometry.symmetry import symmetry
from mapsort.jobs.reconstruct_inputs import Slices, open_slices
from mapsort.model.half_sets import N_HALVES
from mapsort.model.volume import Volume
from mapsort.modules.reconstructor import reconstructor
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.physics.fsc import GOLD_STANDARD, frequencies_per_ang, resolution_at
from mapsort.physics.half_maps import half_map_fsc
from mapsort.physics.masks import inscribed_sphere
from mapsort.physics.reconstruction import ReconstructionMethod
from mapsort.rundir.outputs import check_output
from mapsort.rundir.text import write_fsc
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.reconstruct.half_maps import solve_halves, solve_whole
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.slice_buffer import SliceBuffer
from mapsort.stages.reconstruct.slice_sums import SliceSums


@dataclass(frozen=True)
class Reconstructed:
    """What was made.

    Attributes
    ----------
    volume : Volume
    path : Path
    n_slices : int
    half_paths : tuple of Path
        Maps of the halves, if asked for.
    fsc_path : Path or None
    resolution_ang : float or None
        Where the FSC of the halves, not masked but by the box's sphere, falls below 0.143.
    """

    volume: Volume
    path: Path
    n_slices: int
    half_paths: tuple[Path, ...] = ()
    fsc_path: Path | None = None
    resolution_ang: float | None = None


def reconstruct_map(
    options: ReconstructOptions, *, progress: Progress | None = None
) -> Reconstructed:
    """Reconstruct a map; images are read in chunks, so that their number does not matter."""
    shown = progress or default_progress()
    options = options.validated()
    source = open_slices(options)
    _check(options, source)
    method = reconstructor(options.recon)
    halves = options.halves or method.ssnr
    for note in source.notes:
        warn(shown, note)
    sums = _inserted(options, source, shown, halves=halves)
    return _solved(options, source, method, sums, shown)


def _check(options: ReconstructOptions, source: Slices) -> None:
    check_output(options.output, options.input)
    if options.maxres is not None and options.maxres < 2 * source.apix:
        raise ConfigError(
            f"--maxres={options.maxres:g}: must be at least {2 * source.apix:g} A, twice the "
            f"pixel size of {options.input}"
        )
    least = int(np.ceil(1.25 * source.box))
    if options.pad and options.pad < least:
        raise ConfigError(
            f"--pad={options.pad}: is in pixels and must be at least 1.25 x box ({least}), or 0"
        )


def _inserted(
    options: ReconstructOptions, source: Slices, progress: Progress, *, halves: bool
) -> list[SliceSums]:
    """Insert all slices, into one accumulator or one for each half."""
    grid = InsertionGrid.for_box(source.box, options.pad)
    radius = float(source.box // 2)
    if options.maxres is not None:
        radius = min(radius, source.box * source.apix / options.maxres)
    group = symmetry(options.sym)
    sums = [SliceSums.empty(grid, radius) for _ in range(N_HALVES if halves else 1)]
    progress.start("insert", len(source), iteration=0, n_iterations=0)
    buffers = [
        SliceBuffer(target, group, apix=source.apix, n_threads=options.n_threads) for target in sums
    ]
    for chunk in source.chunks(options.n_threads):
        for half, buffer in enumerate(buffers):
            mine = np.flatnonzero((chunk.half == half) | (not halves))
            buffer.add(chunk.numerator, chunk.density, chunk.rotations, mine)
        progress.advance(len(chunk.rotations))
    for buffer in buffers:
        buffer.flush()
    progress.finish(
        f"{len(source)} images of {source.box} px, {len(group.matrices)} symmetry copies"
    )
    return sums


def _solved(
    options: ReconstructOptions,
    source: Slices,
    method: ReconstructionMethod,
    sums: list[SliceSums],
    progress: Progress,
) -> Reconstructed:
    """Solve, cut off the box's corners, which hold noise only, and write the files."""
    _check_halves(options, sums)
    progress.start("solve", 1, iteration=0, n_iterations=0)
    halves: tuple[Float32, ...] = ()
    if options.halves:
        parts = []
        while sums:
            parts.append(NormalEquations.of(sums.pop(0), n_threads=options.n_threads))
        volume, halves = solve_halves(parts, method, n_threads=options.n_threads)
    else:
        volume = solve_whole(sums, method, n_threads=options.n_threads)
    if not all(np.isfinite(v).all() for v in (volume, *halves)):
        raise NumericalError("the map holds NaN or infinite values after reconstruction")
    sphere = inscribed_sphere(source.box)
    volume *= sphere
    progress.finish("done")
    write_volume(options.output, volume, source.apix)
    result = Volume(volume, source.apix)
    if not options.halves:
        return Reconstructed(result, options.output, len(source))
    paths = tuple(
        options.output.with_name(f"{options.output.stem}_half{number}{options.output.suffix}")
        for number in (1, 2)
    )
    for path, half in zip(paths, halves, strict=True):
        write_volume(path, half * sphere, source.apix)
    even, odd = halves
    curve = half_map_fsc(even, odd, sphere)
    fsc_path = options.output.with_name(f"{options.output.stem}_fsc.txt")
    frequency = frequencies_per_ang(source.box, source.apix)
    write_fsc(
        fsc_path,
        frequency,
        curve,
        title="1/A, FSC of the half maps, masked by the box's sphere only",
    )
    resolution = resolution_at(curve, GOLD_STANDARD, source.apix, box=source.box)
    return Reconstructed(result, options.output, len(source), paths, fsc_path, resolution)


def _check_halves(options: ReconstructOptions, sums: list[SliceSums]) -> None:
    for number, part in enumerate(sums, start=1):
        if len(sums) > 1 and not np.any(part.density):
            raise FormatError(
                f"{options.input}: half {number} has no images: half maps cannot be made"
            )
