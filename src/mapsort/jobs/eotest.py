"""The even/odd test: how well maps made of each half of the particles agree.

The halves share the run's classification, alignments and references: the figure says how much the
number of particles and their noise limit the map, and is optimistic; it is no gold standard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.array_types import Float32, Float64, Int64
from mapsort.engines.progress import Progress, default_progress
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.star_tables import read_columns
from mapsort.jobs.finished_run import FinishedRun, open_finished, options_after
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.stages import read_classes
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import SUBSET
from mapsort.model.volume import Volume
from mapsort.options.after_run import EotestOptions
from mapsort.options.fields import takes_options
from mapsort.physics.fsc import (
    GOLD_STANDARD,
    ONE_HALF,
    frequencies_per_ang,
    fsc,
    local_resolution,
    resolution_at,
)
from mapsort.physics.half_maps import half_map_fsc
from mapsort.refinement.class_sums import average_all
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.map_masks import scaled_to_mass
from mapsort.refinement.plan import resolve
from mapsort.refinement.reconstruction import map_slices
from mapsort.refinement.run import Run
from mapsort.refinement.solving import half_maps
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.result_record import ResultCurves, ResultRecord, ResultTable, write_result
from mapsort.rundir.set_counts import USED
from mapsort.rundir.text import read_fsc
from mapsort.runfiles.maps import write_half_fsc, write_half_maps
from mapsort.runfiles.volumes import write_volume

#: Rotations read back from float32 headers differ from ours by rounding only.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class EvenOddMap:
    """The test of one map.

    Attributes
    ----------
    number : int
        Map number, from 1.
    n_even, n_odd : int
        Particles of each half-set in the map's classes that the run averaged.
    even, odd : Path
        The two maps, unfiltered.
    curve_file : Path
        ``fsc_eo_YY_ZZ.txt``: frequency [1/A], FSC under the map's mask, FSC without mask.
    masked, unmasked : ndarray of shape (box//2 + 1,)
    resolution_0143_ang, resolution_05_ang : float
        Where the masked curve falls below 0.143 and 0.5.
    """

    number: int
    n_even: int
    n_odd: int
    even: Path
    odd: Path
    curve_file: Path
    masked: Float64
    unmasked: Float64
    resolution_0143_ang: float
    resolution_05_ang: float


@dataclass(frozen=True)
class EvenOddTest:
    """A finished even/odd test.

    Attributes
    ----------
    path : Path
        The run directory.
    iteration : int
    frequency_per_ang : ndarray of shape (box//2 + 1,)
    maps : tuple of EvenOddMap
        Those with particles in both halves.
    without_halves : tuple of int
        Numbers of the others.
    """

    path: Path
    iteration: int
    frequency_per_ang: Float64
    maps: tuple[EvenOddMap, ...]
    without_halves: tuple[int, ...]


@takes_options(EotestOptions)
def eotest(run: str | Path | MultiRun, **options: Any) -> EvenOddTest:
    """Test a run by even and odd particles (the Python face of ``mapsort eotest``).

    Parameters
    ----------
    run : str, Path or MultiRun
        A run directory or the run itself.
    **options
        Options of ``mapsort eotest`` by name: ``iter``, ``parallel``.

    Raises
    ------
    ConfigError
        An option is wrong.
    FormatError
        The run directory lacks what is needed, or a file of it is damaged.
    """
    return eotest_run(options_after(EotestOptions, run, options))


def eotest_run(options: EotestOptions, *, progress: Progress | None = None) -> EvenOddTest:
    """Average the run's classes again, halves apart, and compare the maps: see `eotest`."""
    finished = open_finished(options.run[0])
    iteration = finished.iteration(options.iter)
    if finished.is_single:
        made = independent_halves(finished, iteration)
        _write_local(options, finished.directory, made)
        return made
    request = replace(finished.request(), parallel=options.parallel)
    inputs = open_inputs(request)
    plan = resolve(request, inputs)
    run = Run(request, inputs, plan, Execution(progress or default_progress()))
    _check_references(run, finished.directory, iteration)
    with thread_limits(plan.n_threads):
        averages, members = _averages(run, finished.directory, iteration)
        found = [
            _compare(run, finished.directory, iteration, model, averages, members)
            for model in range(plan.n_models)
        ]
    made = EvenOddTest(
        path=finished.directory.path,
        iteration=iteration,
        frequency_per_ang=frequencies_per_ang(plan.grid.box, inputs.apix),
        maps=tuple(item for item in found if item is not None),
        without_halves=tuple(n for n, item in enumerate(found, start=1) if item is None),
    )
    _write_local(options, finished.directory, made)
    write_result(finished.directory.path, "2_eotest", _record(made))
    return made


def _write_local(options: EotestOptions, directory: RunDirectory, made: EvenOddTest) -> None:
    """Write where the halves agree down to which resolution, with ``--local``."""
    for item in made.maps if options.local else ():
        even, odd = Volume.open(item.even), Volume.open(item.odd)
        local = local_resolution(
            even.data, odd.data, apix=even.apix, threshold=ONE_HALF, last_shell=even.box // 2
        )
        write_volume(directory.locres(made.iteration, item.number), local, even.apix)


def independent_halves(finished: FinishedRun, iteration: int) -> EvenOddTest:
    """Return the test that a single-map refinement is by itself: its halves were apart throughout.

    Nothing is computed or written anew but the record for the report.
    """
    directory = finished.directory
    frequency, curves = read_fsc(directory.fsc_eo(iteration, 1))
    even, odd = directory.threed_even(iteration, 1), directory.threed_odd(iteration, 1)
    volume = Volume.open(even)
    subsets = read_columns(directory.particles(iteration), "particles", (SUBSET,))[SUBSET]
    n_even = int((subsets.astype(int) == 1).sum())
    tested = EvenOddMap(
        number=1,
        n_even=n_even,
        n_odd=len(subsets) - n_even,
        even=even,
        odd=odd,
        curve_file=directory.fsc_eo(iteration, 1),
        masked=curves[:, 0],
        unmasked=curves[:, 2],
        resolution_0143_ang=resolution_at(curves[:, 0], GOLD_STANDARD, volume.apix, box=volume.box),
        resolution_05_ang=resolution_at(curves[:, 0], ONE_HALF, volume.apix, box=volume.box),
    )
    made = EvenOddTest(directory.path, iteration, frequency, (tested,), ())
    words = "Even and odd particles were refined apart from the start: a gold standard."
    write_result(directory.path, "2_eotest", replace(_record(made), summary=(words,)))
    return made


def _check_references(run: Run, directory: RunDirectory, iteration: int) -> None:
    """Refuse a run whose projections are not those that its options lead to here."""
    path, rotations = directory.projections(iteration), run.plan.references.rotations
    with HdfReader(path) as reader:
        same = reader.n_images == len(rotations)
        for index in {0, len(rotations) // 2, len(rotations) - 1} if same else ():
            written = reader.header(index).get("xform.projection")
            same = (
                same
                and isinstance(written, EmanTransform)
                and bool(np.allclose(written.matrix[:, :3], rotations[index], atol=_ROUNDING))
            )
    if not same:
        raise FormatError(
            f"{path}: its projections are not those of the run's options; was the run made by "
            "another version of mapsort?"
        )


def _averages(run: Run, directory: RunDirectory, iteration: int) -> tuple[ClassAverages, Int64]:
    """Average every class, halves apart; return also members by half and map, (2, n_models)."""
    references, n = run.plan.references, len(run.inputs.particles)
    matches, membership = read_classes(
        directory.cls_result(iteration),
        n,
        len(references),
        classify=directory.classify(iteration),
    )
    box = run.plan.grid.box
    # Projections serve only the statistics of noise, which nobody asks for here.
    slices = np.zeros((len(references), box, box // 2 + 1), dtype=np.complex64)
    averages, _ = average_all(run, slices, matches, membership, iteration=iteration)
    n_models = run.plan.n_models
    model = references.model[membership.class_of_member]
    # A particle may be in several classes of one map; it counts once.
    pairs = np.unique(membership.particle * n_models + model)
    half = run.inputs.halves.half[pairs // n_models]
    members = np.bincount(half * n_models + pairs % n_models, minlength=2 * n_models)
    return averages, members.reshape(2, n_models)


def _compare(
    run: Run,
    directory: RunDirectory,
    iteration: int,
    model: int,
    averages: ClassAverages,
    members: Int64,
) -> EvenOddMap | None:
    """Reconstruct the halves of one map and compare them; None if a half has no particles."""
    if not members[:, model].all():
        return None
    number, apix, box = model + 1, run.inputs.apix, run.plan.grid.box
    slices = map_slices(run, averages, model)
    even, odd = half_maps(run, slices.half_equations(n_threads=run.plan.n_threads))
    masked = half_map_fsc(even, odd, _mask(run, directory, iteration, number))
    unmasked = fsc(even, odd)
    scaled = (scaled_to_mass(run, half, model) for half in (even, odd))
    write_half_maps(run, directory, iteration, model, *scaled)
    curves = {"masked": masked, "unmasked": unmasked}
    write_half_fsc(directory, iteration, number, frequencies_per_ang(box, apix), curves)
    return EvenOddMap(
        number=number,
        n_even=int(members[0, model]),
        n_odd=int(members[1, model]),
        even=directory.threed_even(iteration, number),
        odd=directory.threed_odd(iteration, number),
        curve_file=directory.fsc_eo(iteration, number),
        masked=masked,
        unmasked=unmasked,
        resolution_0143_ang=resolution_at(masked, GOLD_STANDARD, apix, box=box),
        resolution_05_ang=resolution_at(masked, ONE_HALF, apix, box=box),
    )


def _mask(run: Run, directory: RunDirectory, iteration: int, number: int) -> Float32:
    """Return the mask that the run used for a map, or the sphere about all maps."""
    path = directory.threed_mask(iteration, number)
    return Volume.open(path, default_apix=run.inputs.apix).data if path.exists() else run.sphere


def _record(made: EvenOddTest) -> ResultRecord:
    summary = [
        f"Maps of the even and of the odd particles of iteration {made.iteration}, with the same "
        "classes, alignments and references: optimistic, not gold-standard. A particle counts for "
        "every map that it is used for, so that the counts may exceed those of the best match."
    ]
    if made.without_halves:
        names = ", ".join(map(str, made.without_halves))
        summary.append(f"Without particles in both halves: map {names}.")
    table = ResultTable.of(
        "Resolution of halves",
        made.maps,
        {
            "map": lambda item: item.number,
            "even": lambda item: item.n_even,
            "odd": lambda item: item.n_odd,
            USED: lambda item: item.n_even + item.n_odd,
            "FSC 0.143 [Å]": lambda item: item.resolution_0143_ang,
            "FSC 0.5 [Å]": lambda item: item.resolution_05_ang,
        },
    )
    masked = {f"map {item.number}": item.masked for item in made.maps}
    curves = ResultCurves.of_fsc("Even and odd maps, masked", made.frequency_per_ang, masked)
    return ResultRecord(
        title="Even/odd test",
        summary=tuple(summary),
        tables=(table,),
        curves=(curves,) if made.maps else (),
    )
