"""How the result of each command is told: a generator of lines, called as the command.

A number that a generator returns is the exit status.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from mapsort.jobs.abinit import AbInitio
    from mapsort.jobs.compare import Compared
    from mapsort.jobs.convert import Converted
    from mapsort.jobs.crossval.verdicts import Crossval
    from mapsort.jobs.demo import DemoScore
    from mapsort.jobs.deposit import Deposited
    from mapsort.jobs.eotest import EvenOddTest
    from mapsort.jobs.expand import Expanded
    from mapsort.jobs.facts import Facts
    from mapsort.jobs.followup import Followup
    from mapsort.jobs.mask import MadeMask
    from mapsort.jobs.multi import MultiRun
    from mapsort.jobs.pca import Variability
    from mapsort.jobs.process import Processed
    from mapsort.jobs.project import Projected
    from mapsort.jobs.reconstruct import Reconstructed
    from mapsort.jobs.refine import RefinedMap
    from mapsort.jobs.simulate import Simulated
    from mapsort.jobs.split import Split
    from mapsort.jobs.subtract import Subtracted
    from mapsort.options.abinit import AbinitOptions
    from mapsort.options.after_run import (
        CrossvalOptions,
        DepositOptions,
        EotestOptions,
        FollowupOptions,
        ReportOptions,
        SplitOptions,
    )
    from mapsort.options.compare import CompareOptions
    from mapsort.options.convert import ConvertOptions
    from mapsort.options.files import InfoOptions, ProcessOptions, ShowOptions
    from mapsort.options.focus import ExpandOptions, MaskOptions, SubtractOptions
    from mapsort.options.multi import MultiOptions
    from mapsort.options.pca import PcaOptions
    from mapsort.options.project import ProjectOptions
    from mapsort.options.reconstruct import ReconstructOptions
    from mapsort.options.refine import RefineOptions
    from mapsort.options.simulate import SimulateOptions
    from mapsort.options.small import (
        BuildInfoOptions,
        ClusterOptions,
        DemoOptions,
        DoctorOptions,
        ModulesOptions,
    )
    from mapsort.options.stages import AverageStageOptions, ClassifyOptions, SimilarityOptions

Told = Iterator[str]
#: Lines, and at last the exit status.
Examined = Generator[str, None, int]


def multi(options: MultiOptions, made: MultiRun) -> Told:
    """Tell each map with its occupancy, and the particle table."""
    # Here and not above, as in what follows: it loads numpy.
    from mapsort.rundir.set_counts import SetCounts
    from mapsort.rundir.text import read_json

    directory = RunDirectory(made.path, map_suffix=options.map_suffix)
    last = len(made.convergence)
    counts = SetCounts.of_entry(made.convergence[-1])
    maps = (str(directory.maps(last, number + 1)) for number in range(len(counts.maps)))
    places = [*maps, *counts.junk_names]
    for place, n, share in zip(places, counts.all, counts.shares, strict=True):
        yield f"{place}  {counted(n, 'particle')} ({share:.1f}%)"
    yield f"{directory.particles(last)}  class and pose of every particle"
    yield from _report_of(directory)
    if len(options.mask) > 1:
        yield from read_json(directory.regions_record)["words"]
    if options.replicates > 1:
        yield f"{directory.consensus}  class that each particle is in most often, its stability"
    yield from () if made.verdict is None else made.verdict.lines


def _report_of(directory: RunDirectory) -> Told:
    if directory.report.exists():
        yield f"{directory.report}  report: open it in a browser"


def refine(options: RefineOptions, made: RefinedMap) -> Told:  # noqa: ARG001
    """Tell maps, resolution, particle table."""
    directory = RunDirectory(made.path)
    last = int(made.convergence[-1]["iteration"])
    yield (
        f"{directory.maps(last, 1)}  {made.resolution_ang:.2f} A at FSC 0.143 of independent "
        "half maps"
    )
    yield f"{directory.threed_filt(last, 1)}  the same, sharpened"
    halves = directory.threed_even(last, 1), directory.threed_odd(last, 1)
    yield f"{halves[0]}  {halves[1]}  half maps, unfiltered"
    yield f"{directory.fsc_eo(last, 1)}  FSC: corrected, masked, unmasked, random phases"
    yield f"{directory.particles(last)}  half-set and pose of every particle"
    yield from _report_of(directory)


def pca(options: PcaOptions, made: Variability) -> Told:  # noqa: ARG001
    """Tell what was found and where it is; draw the picture."""
    from mapsort.report.latent import write_latent_picture

    directory = RunDirectory(made.path)
    yield made.words
    yield f"{directory.mean}  mean map"
    for number in range(1, len(made.components) + 1):
        movie = directory.movie_frame(number, 1).parent
        yield f"{directory.component(number)}  {movie}  component {number}, movie along it"
    yield f"{directory.latent}  coordinates, scale and pose of every particle"
    write_latent_picture(directory)
    yield f"{directory.latent_picture}  particles along the components, slices of the maps"
    yield from _report_of(directory)


def abinit(options: AbinitOptions, made: AbInitio) -> Told:  # noqa: ARG001
    """Tell what was found and where it is; draw the picture."""
    from mapsort.report.abinit import write_abinit_picture

    directory = RunDirectory(made.path)
    yield made.words
    maps = [str(directory.abinit_map(number)) for number in range(1, len(made.maps) + 1)]
    yield from (f"{path}  map {number}" for number, path in enumerate(maps, start=1))
    yield f"{directory.latent}  map and pose of every particle"
    write_abinit_picture(directory)
    yield f"{directory.abinit_picture}  slices of the maps, directions of the particles"
    yield from _report_of(directory)
    if made.structure:
        how = "refine --model" if len(maps) == 1 else "multi --models"
        yield f"to continue: mapsort {how} {','.join(maps)} --input {directory.latent}"


def demo(options: DemoOptions, made: DemoScore) -> Told:  # noqa: ARG001
    """Tell the score and where the results are."""
    yield f"particles in the right class: {made.accuracy:.1%}"
    for path, resolution in zip(made.maps, made.resolutions_ang, strict=True):
        yield f"{path}  {resolution:.1f} A at FSC 0.5 against the truth"
    yield f"{made.particles}  class and pose of every particle"
    yield from _report_of(RunDirectory(made.particles.parent))
    yield from () if made.verdict is None else made.verdict.lines


def split(options: SplitOptions, made: Split) -> Told:  # noqa: ARG001
    """Tell the sets, their sizes and the rule."""
    for item in made.sets:
        yield f"{item.star or item.name}  {counted(len(item), 'particle')}"
    yield f"all sets together: {made.n_particles:,} particles, all of iteration {made.iteration}"
    yield f"rule: {made.rule}"


def eotest(options: EotestOptions, made: EvenOddTest) -> Told:  # noqa: ARG001
    """Tell each map's resolution and where its curve is."""
    for item in made.maps:
        yield (
            f"{item.curve_file}  map {item.number}: {item.n_even} even and {item.n_odd} odd "
            f"particles used for it, {item.resolution_0143_ang:.2f} A at FSC 0.143, "
            f"{item.resolution_05_ang:.2f} A at 0.5"
        )
    for number in made.without_halves:
        yield f"map {number}: no particles in one of the halves"


def crossval(options: CrossvalOptions, made: Crossval) -> Told:  # noqa: ARG001
    """Tell the verdict on every two maps and on the run."""
    for pair in made.pairs:
        yield pair.words
    yield f"{made.path / 'crossval.txt'}  verdict: {made.verdict}"


def compare(options: CompareOptions, made: tuple[Compared, ...]) -> Told:
    """Tell where maps differ, and name the maps that show it."""
    for item in made:
        yield item.words
        if item.mirrored:
            yield f"{item.maps[1]} was in the other hand and has been mirrored"
        yield f"{item.deviations}  difference in standard errors"
        yield f"{item.mask}  significant part"
        yield f"{item.agreement}  resolution down to which both agree, A"
    yield from _report_of(RunDirectory(options.run[0]))


def deposit(options: DepositOptions, made: tuple[Deposited, ...]) -> Told:  # noqa: ARG001
    """Name the directories, and tell which halves were not apart."""
    for item in made:
        apart = "" if item.independent else ", of halves that share references"
        yield f"{item.path}  map {item.number}: {item.resolution_ang:.2f} A{apart}"


def followup(options: FollowupOptions, made: Followup) -> Told:
    """Tell each set's resolution before and after, and the verdict; write the report."""
    from mapsort.report.page import write_report

    for item in made.split.sets:
        yield f"{item.star or item.name}  {counted(len(item), 'particle')}"
    for number, found in made.refined.items():
        yield (
            f"{found.path}  set {number}: {found.resolution_ang:.2f} A at FSC 0.143 of independent "
            f"half maps; in the run {made.multi_resolution_ang[number]:.2f} A of halves that "
            "share references"
        )
    if made.crossval is not None:
        yield from crossval(options, made.crossval)
    yield str(write_report(made.path))


def report(options: ReportOptions) -> Told:
    """Write the report of each run, and name it."""
    from mapsort.report.page import write_report

    for run in options.runs:
        yield str(write_report(run))


def show(options: ShowOptions) -> Told:
    """Write the picture, and name it."""
    from mapsort.report.show import show as picture

    shown = picture(options)
    yield f"{options.output}  {shown}"


def project(options: ProjectOptions, made: Projected) -> Told:  # noqa: ARG001
    """Name the projections."""
    yield f"{made.images}  {counted(made.count, 'projection')}"
    if made.table is not None:
        yield f"{made.table}  their orientations"


def similarity(options: SimilarityOptions, made: tuple[int, int]) -> Told:
    """Name the matrix and its size."""
    n, m = made
    yield f"{options.out}  {counted(n, 'particle')} x {counted(m, 'projection')}"


def classify(options: ClassifyOptions, made: tuple[int, int]) -> Told:
    """Name the matrix and what it holds."""
    n, m = made
    yield f"{options.out}  {counted(n, 'particle')} in {counted(m, 'class', 'classes')}"


def average(options: AverageStageOptions, made: tuple[int, int]) -> Told:
    """Name the class averages."""
    n, m = made
    yield f"{options.out}  {counted(n, 'particle')} in {counted(m, 'class average')}"
    if options.result is not None:
        yield f"{options.result}  who was averaged, and where"


def reconstruct(options: ReconstructOptions, made: Reconstructed) -> Told:  # noqa: ARG001
    """Name the maps, and tell their resolution."""
    yield f"{made.path}  map of {counted(made.n_slices, 'image')}"
    for number, path in enumerate(made.half_paths, start=1):
        yield f"{path}  map of half {number}"
    if made.fsc_path is not None:
        yield f"{made.fsc_path}  FSC of the halves: 0.143 at {made.resolution_ang:.2f} A"


def info(options: InfoOptions) -> Told:
    """Tell what each file is: a table on a terminal, plain lines elsewhere."""
    from mapsort.jobs.describe import describe

    passthrough = [word for word in options.passthrough.split(",") if word]
    found = ((path, describe(path, passthrough=passthrough)) for path in options.files)
    if options.json:
        objects = [
            {"file": str(path)} | {fact.name.replace(" ", "_"): fact.value for fact in facts}
            for path, facts in found
        ]
        yield json.dumps(objects, indent=2)
        return
    for path, facts in found:
        if sys.stdout.isatty():
            yield _drawn(path, facts)
            continue
        for fact in facts:
            yield f"{path}\t{fact.name}\t{fact.text}"


def _drawn(path: Path, facts: Facts) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=str(path), show_header=False, title_justify="left")
    for fact in facts:
        table.add_row(fact.name, fact.text)
    console = Console()
    with console.capture() as shown:
        console.print(table)
    return shown.get().rstrip("\n")


def convert(options: ConvertOptions, made: Converted) -> Told:  # noqa: ARG001
    """Name the files."""
    first, *others = made.files
    yield f"{first}  {counted(made.n_images, 'particle')}" if made.n_images else f"{first}  map"
    for path in others:
        yield f"{path}  their images"


def expand(options: ExpandOptions, made: Expanded) -> Told:
    """Name the table, and tell its size."""
    rows = made.n_particles * made.n_copies
    yield f"{options.target}  {counted(made.n_particles, 'particle')}, {rows:,} copies"


def mask(options: MaskOptions, made: MadeMask) -> Told:
    """Name the mask, and tell what it holds."""
    yield (
        f"{options.output}  {made.part:.1%} of the box; density above {made.threshold:.4g}, "
        f"{made.n_kept:,} of {counted(made.n_pieces, 'piece')}, {made.mass_kda:.0f} kDa"
    )


def subtract(options: SubtractOptions, made: Subtracted) -> Told:  # noqa: ARG001
    """Name the files, and tell the map's scale."""
    yield (
        f"{made.table}  {counted(made.n_particles, 'particle')} of {made.box} px; the map is "
        f"{made.scale:.4g} times in the images"
    )
    yield f"{made.stack}  their images"
    yield f"{made.map}  {made.mask}  what is left of the map, and where"


def process(options: ProcessOptions, made: Processed) -> Told:
    """Name the file, and tell its size."""
    count = "1 map" if made.is_map else counted(made.n_members, "image")
    yield f"{options.files[1]}  {count}, {made.apix:g} A/pixel"


def simulate(options: SimulateOptions, made: Simulated) -> Told:
    """Name the files."""
    yield f"{made.particles}  {counted(options.n, 'particle')}"
    yield f"{made.truth}  the same with class, pose and shift"
    yield from (f"{path}  true map" for path in made.maps)
    yield from (f"{path}  low-passed map to start from" for path in made.seeds)


def modules(options: ModulesOptions) -> Told:
    """Tell the modules of one kind or of all."""
    # The declarations import numpy and scipy, which `--help` can do without.
    from mapsort.modules.listing import find_kind, kind_names, listing

    for number, kind in enumerate(options.kind or kind_names()):
        if number:
            yield ""
        yield from listing(find_kind(kind), parameters=options.verbose)


def doctor(options: DoctorOptions) -> Examined:  # noqa: ARG001
    """Tell every finding as it comes; the status is 1 if something failed."""
    from mapsort.jobs.doctor import State, examine

    failed = 0
    for finding in examine():
        yield f"{finding.state.value:6}  {finding.name:17}  {finding.text}"
        failed += finding.state is State.BAD
    yield "This installation works." if not failed else f"{failed} of these failed."
    return 1 if failed else 0


def build_info(options: BuildInfoOptions) -> Told:
    """Tell the build's record: one line for each item."""
    from mapsort.jobs.doctor import build_config

    config = build_config()
    if options.json:
        yield json.dumps(config, indent=2)
        return
    for name, value in config.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"{name}\t{text}"


def cluster(options: ClusterOptions) -> Told:
    """Tell what the workers are, and refuse if a run would not start."""
    from mapsort.errors import RunError
    from mapsort.jobs.cluster import check_cluster

    lines, problems = check_cluster(options.parallel, options.files)
    yield from lines
    if problems:
        raise RunError("\n".join(problems))
    yield "a run can start there"
