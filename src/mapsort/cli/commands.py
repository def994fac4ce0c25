"""The table of commands: everything that differs between one and another."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple


class Command(NamedTuple):
    """One command.

    What it needs is named and not imported, for all of it would load numpy to print a line of help.

    Attributes
    ----------
    group : str
        Heading in the overview; commands of a group stand together in the table.
    summary : str
        Line in the overview.
    options : str
        The options' type in `mapsort.options`, as ``module.Type``.
    job : str
        Function in `mapsort.jobs` of the options. The function of `mapsort.cli.results` that is
        called as the command yields the lines to print, from the options and what the job returned,
        or without a job from the options; a number that it returns is the exit status.
    examples : tuple of (str, str)
        Command lines without ``mapsort COMMAND``, and what each is for.
    shows_progress : bool
        Whether the job takes a ``progress``.
    refreshes : bool
        Whether the report of the run that the options name is written anew, if there is one.
    reports : bool
        Whether the job takes a ``watcher`` that keeps its run's report, as those with a plan do.
    plan : str
        Of commands that refine for hours, with ``--check``, ``--resume`` and a report: the function
        in `mapsort.jobs` that returns the text of ``--check``.
    """

    group: str
    summary: str
    options: str
    examples: tuple[tuple[str, str], ...]
    job: str = ""
    shows_progress: bool = True
    refreshes: bool = False
    reports: bool = False
    plan: str = ""

    @property
    def is_watched(self) -> bool:
        """Whether the job takes a ``watcher``."""
        return self.reports or bool(self.plan)

    def options_type(self) -> type[Any]:
        """Return the type of its options."""
        found: type[Any] = load("options", self.options)
        return found


def load(room: str, place: str) -> Any:
    """Import what a row of the table names: ``module.name`` in a room of mapsort."""
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(f"mapsort.{room}.{module}"), name)


DESCRIPTION = (
    "Classify cryo-EM particle images against several 3-D references and refine these together: "
    "3D classification, heterogeneous refinement."
)

_REFINE = "classify and refine"
_AFTER = "after a run"
_STAGES = "stages of an iteration"
_FILES = "files"
_PROGRAM = "this program"

COMMANDS: Mapping[str, Command] = {
    "multi": Command(
        _REFINE,
        "classify particles against several references and refine these together",
        options="multi.MultiOptions",
        job="multi.refine_multi_run",
        plan="multi.plan_text",
        examples=(
            ("--input particles.star --models a.mrc,b.mrc --check", "what would run"),
            ("--input particles.star --models a.mrc,b.mrc", "the job, until it converges"),
            ("--input particles.star --model a.mrc --nmodels 3", "three maps from one"),
            ("--input p.cs --passthrough q.cs --models a.mrc,b.mrc --sym d7", "from cryoSPARC"),
            ("--input p.star --models a.mrc,b.mrc --targetres 9 --speed 3", "finer and slower"),
            ("--resume multi_00", "continue a stopped run"),
        ),
    ),
    "refine": Command(
        _REFINE,
        "refine one map with independent half-sets, kept apart from the start",
        options="refine.RefineOptions",
        job="refine.refine_run",
        plan="refine.refine_plan_text",
        examples=(
            ("--input particles.star --model map.mrc", "one map, two halves kept apart"),
            ("--input multi_00/sets/particles_mul00_it06_m1.star --model a.mrc", "one set"),
        ),
    ),
    "pca": Command(
        _REFINE,
        "how the particles of one map vary: principal components of the volume, with movies",
        options="pca.PcaOptions",
        job="pca.pca_run",
        plan="pca.plan_text",
        examples=(
            ("--input particles.star --model map.mrc", "components that are worth it"),
            ("--input run_data.star --model map.mrc --skipalign", "at the poses of the input"),
            ("--input particles.star --model map.mrc --components 2", "the first two"),
            ("--resume pca_00", "continue a stopped run"),
        ),
    ),
    "abinit": Command(
        _REFINE,
        "make starting maps from the particles alone",
        options="abinit.AbinitOptions",
        job="abinit.abinit_run",
        plan="abinit.plan_text",
        examples=(
            ("--input particles.star", "one map, to start a refinement from"),
            ("--input particles.star --nmodels 3 --sym c4", "three maps of one symmetry"),
            ("--resume abinit_00", "continue a stopped run"),
        ),
    ),
    "demo": Command(
        _REFINE,
        "classify a small simulated data set and score the result against the truth",
        options="small.DemoOptions",
        job="demo.demo",
        reports=True,
        examples=(
            ("--path trial --n 1000", "a smaller one, in the directory trial"),
            ("--abinit", "without starting maps"),
        ),
    ),
    "split": Command(
        _AFTER,
        "write the particles of each class as a set of its own (.star, .lst)",
        options="after_run.SplitOptions",
        job="split.split_run",
        shows_progress=False,
        refreshes=True,
        examples=(("multi_00", "one .star file for each map of the last iteration"),),
    ),
    "eotest": Command(
        _AFTER,
        "even/odd resolution test of every map of a finished run",
        options="after_run.EotestOptions",
        job="eotest.eotest_run",
        refreshes=True,
        examples=(("multi_00", "FSC between even and odd particles of every map"),),
    ),
    "crossval": Command(
        _AFTER,
        "validate the classes: refine sets from each other's maps, score left-out particles",
        options="after_run.CrossvalOptions",
        job="crossval.job.crossval_run",
        refreshes=True,
        examples=(("multi_00", "does each set come back from the other sets' maps?"),),
    ),
    "compare": Command(
        _AFTER,
        "show where maps differ significantly: difference in standard errors, mask, mass",
        options="compare.CompareOptions",
        job="compare.compare_maps",
        refreshes=True,
        examples=(
            ("multi_00", "every two maps of a run"),
            ("a.mrc b.mrc --halves a1.mrc,a2.mrc,b1.mrc,b2.mrc", "two maps of any program"),
        ),
    ),
    "deposit": Command(
        _AFTER,
        "gather what EMDB asks for: primary map, half maps, mask, FSC as XML, summary",
        options="after_run.DepositOptions",
        job="deposit.deposit",
        shows_progress=False,
        examples=(
            ("refine_00", "the map of a refinement"),
            ("multi_00 --map 2", "one map of several, after mapsort eotest multi_00"),
        ),
    ),
    "followup": Command(
        _AFTER,
        "all steps after a run: split, refine each set, measure, cross-validate, report",
        options="after_run.FollowupOptions",
        job="followup.followup_run",
        examples=(("multi_00", "split, refine each set, measure, cross-validate"),),
    ),
    "report": Command(
        _AFTER,
        "build the HTML report of a run from its directory",
        options="after_run.ReportOptions",
        examples=(("multi_00", "writes multi_00/report/index.html"),),
    ),
    "show": Command(
        _AFTER,
        "draw a map (slices, projections) or a stack (montage) as PNG",
        options="files.ShowOptions",
        examples=(
            ("multi_00/threed_03_01.mrc -o map.png", "slices and projections of a map"),
            ("particles.mrcs -o some.png --count 25 --lowpass 20", "the first images, filtered"),
            ("a.mrc --minus b.mrc -o difference.png", "where two maps differ"),
        ),
    ),
    "project": Command(
        _STAGES,
        "project maps along the directions of a generator or of a .star file",
        options="project.ProjectOptions",
        job="project.project_maps",
        examples=(
            (
                "map.mrc --out projections.hdf --orientgen eman:delta=7.5",
                "over the asymmetric unit",
            ),
        ),
    ),
    "similarity": Command(
        _STAGES,
        "compare particles with projections of a file: the similarity matrix",
        options="stages.SimilarityOptions",
        job="stages.similarity_matrix",
        examples=(
            ("projections_01.hdf particles.star -o simmx.hdf", "every particle with every view"),
        ),
    ),
    "classify": Command(
        _STAGES,
        "assign particles to their best references, from a similarity matrix",
        options="stages.ClassifyOptions",
        job="stages.classification_matrix",
        shows_progress=False,
        examples=(("simmx_01.hdf -o classify.hdf --sep 2", "two classes for each particle"),),
    ),
    "average": Command(
        _STAGES,
        "average the particles of each projection class, from a classification matrix",
        options="stages.AverageStageOptions",
        job="stages.class_averages",
        examples=(
            (
                "projections_01.hdf particles.star classify_01.hdf -o classes.hdf",
                "as a run does it",
            ),
        ),
    ),
    "reconstruct": Command(
        _STAGES,
        "reconstruct a map from particles with poses, or from a run's class averages",
        options="reconstruct.ReconstructOptions",
        job="reconstruct.reconstruct_map",
        examples=(("particles.star -o map.mrc", "from the poses in a particle table"),),
    ),
    "info": Command(
        _FILES,
        "show what a file holds (size, pixel size, CTF, statistics), or the state of a run",
        options="files.InfoOptions",
        examples=(("particles.star map.mrc", "two files"),),
    ),
    "convert": Command(
        _FILES,
        "convert particles and maps between RELION, cryoSPARC and EMAN2 formats",
        options="convert.ConvertOptions",
        job="convert.convert",
        examples=(
            ("particles.cs particles.star --passthrough extra.cs", "cryoSPARC to RELION"),
            ("particles.star some.star --random 1000", "a subset"),
        ),
    ),
    "expand": Command(
        _FILES,
        "symmetry expansion: a copy of each particle for each operation of a symmetry",
        options="focus.ExpandOptions",
        job="expand.expand",
        examples=(
            ("refine_00/particles_09.star expanded.star --sym d7", "14 rows for each particle"),
        ),
    ),
    "mask": Command(
        _FILES,
        "make a soft mask from the density of a map",
        options="focus.MaskOptions",
        job="mask.make_mask",
        shows_progress=False,
        examples=(
            ("map.mrc -o mask.mrc", "about the whole particle"),
            ("part.mrc -o region.mrc --threshold 0.02 --extend 4", "about a part cut out"),
        ),
    ),
    "subtract": Command(
        _FILES,
        "signal subtraction: subtract the density outside (or inside) a mask from particles",
        options="focus.SubtractOptions",
        job="subtract.subtract",
        examples=(
            ("particles.star --model map.mrc --mask region.mrc -o region.star", "same box"),
            ("expanded.star --model map.mrc --mask unit.mrc --center --box 96", "a subunit each"),
        ),
    ),
    "process": Command(
        _FILES,
        "apply named processors to a map or a stack of images",
        options="files.ProcessOptions",
        job="process.process_file",
        shows_progress=False,
        examples=(
            (
                "map.mrc out.mrc --process mask.sharp:outer_radius=20 --process normalize",
                "two processors, in this order",
            ),
        ),
    ),
    "simulate": Command(
        _FILES,
        "simulate particles with known truth from maps or a built-in phantom",
        options="simulate.SimulateOptions",
        job="simulate.simulate",
        examples=(
            ("open.mrc closed.mrc --n 2000 --snr 0.05 --out sim", "from two maps"),
            ("--phantom 2 --n 2000 --out sim", "from the built-in phantom"),
        ),
    ),
    "modules": Command(
        _PROGRAM,
        "list processors, comparators, aligners ... with their parameters",
        options="small.ModulesOptions",
        examples=(("comparators -v", "the comparators with their parameters"), ("", "everything")),
    ),
    "doctor": Command(
        _PROGRAM,
        "check this installation: kernels, threads, memory, versions, a self-test of 5 s",
        options="small.DoctorOptions",
        examples=(("", "all checks"),),
    ),
    "build-info": Command(
        _PROGRAM,
        "show how this installation was compiled and which instruction set it uses",
        options="small.BuildInfoOptions",
        examples=(("--json", "for a report of a problem"),),
    ),
    "cluster": Command(
        _PROGRAM,
        "test the Dask workers of --parallel: versions, files, threads, bandwidth",
        options="small.ClusterOptions",
        examples=(
            ("check --parallel dask:local=2 --files particles.mrcs", "two workers of this host"),
        ),
    ),
}
