"""3D classification and heterogeneous refinement of single-particle cryo-EM images.

Written by ci/write_stubs.py: change the options, not this file.
"""

# fmt: off
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mapsort.engines.progress import Progress
from mapsort.jobs.abinit import AbInitio
from mapsort.jobs.crossval.verdicts import Crossval
from mapsort.jobs.eotest import EvenOddTest
from mapsort.jobs.followup import Followup
from mapsort.jobs.pca import Variability
from mapsort.jobs.refine import RefinedMap
from mapsort.jobs.refinement import MultiRun
from mapsort.jobs.split import Split
from mapsort import commands as commands
from mapsort import errors as errors
from mapsort._version import __version__ as __version__
from mapsort.api import build_config as build_config
from mapsort.api import match as match
from mapsort.api import project as project
from mapsort.api import reconstruct as reconstruct
from mapsort.engines.progress import CallbackProgress as CallbackProgress
from mapsort.engines.progress import ProgressEvent as ProgressEvent
from mapsort.geometry import euler as euler
from mapsort.geometry.symmetry import symmetry as symmetry
from mapsort.jobs.finished_run import open_run as open_run
from mapsort.model.particles import Particles as Particles
from mapsort.model.volume import Volume as Volume
from mapsort.modules.aligners import align as align
from mapsort.modules.averagers import average as average
from mapsort.modules.comparators import compare as compare
from mapsort.modules.extension import aligner as aligner
from mapsort.modules.extension import averager as averager
from mapsort.modules.extension import comparator as comparator
from mapsort.modules.extension import processor as processor
from mapsort.modules.extension import projector as projector
from mapsort.modules.extension import reconstructor as reconstructor
from mapsort.modules.orientgen import orientations as orientations
from mapsort.modules.processors import process as process
from mapsort.physics.fsc import fsc as fsc
from mapsort.report.page import write_report as write_report

File = str | Path

def abinit(
    particles: str | Path | Particles, *, progress: Progress | None = ..., nmodels: int = ...,
    sym: Sequence[str] | str = ..., latesym: str | None = ..., starts: int = ...,
    targetres: float | None = ..., diameter: float | None = ..., maxshift: float | None = ...,
    hand: bool = ..., path: File | None = ..., randomseed: int | None = ...,
    resume: File | None = ..., passthrough: Sequence[File] | File = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., check: bool = ...,
    verbose: int = ..., no_report: bool = ..., quiet: bool = ...,
) -> AbInitio:
    """Make maps from particles alone (``mapsort abinit`` in Python)."""

def crossval(
    run: str | Path | MultiRun, *, refineiter: int | None = ..., iter: int | None = ...,
    parallel: str = ..., quiet: bool = ...,
) -> Crossval:
    """Cross-validate the split of a run (the Python face of ``mapsort crossval``)."""

def eotest(
    run: str | Path | MultiRun, *, local: bool = ..., iter: int | None = ..., parallel: str = ...,
    quiet: bool = ...,
) -> EvenOddTest:
    """Test a run by even and odd particles (the Python face of ``mapsort eotest``)."""

def followup(
    run: str | Path | MultiRun, *, no_crossval: bool = ..., refineiter: int | None = ...,
    iter: int | None = ..., parallel: str = ..., quiet: bool = ...,
) -> Followup:
    """Split a run, refine each set, cross-validate (the Python face of ``mapsort followup``)."""

def pca(
    particles: str | Path | Particles, model: str | Path | Volume, *,
    progress: Progress | None = ..., passthrough: Sequence[File] | File = ...,
    components: int | None = ..., skipalign: bool = ..., resume: File | None = ...,
    sym: Sequence[str] | str = ..., iter: Literal["auto"] | int | None = ..., breaksym: bool = ...,
    relax: Sequence[str] | str = ..., path: File | None = ..., downsample: int | None = ...,
    targetres: float | None = ..., speed: int = ..., randomseed: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., orientgen: str = ...,
    maxshift: float | None = ..., simcmp: str = ..., check: bool = ..., verbose: int = ...,
    no_report: bool = ..., quiet: bool = ...,
) -> Variability:
    """Find how the particles of one map vary (``mapsort pca`` in Python)."""

def refine(
    particles: str | Path | Particles, model: str | Path | Volume, *,
    progress: Progress | None = ..., passthrough: Sequence[File] | File = ...,
    startres: float | None = ..., diameter: float | None = ..., sym: Sequence[str] | str = ...,
    mass: Sequence[float] | float | str = ..., startiter: int | None = ...,
    resume: File | None = ..., iter: Literal["auto"] | int | None = ..., breaksym: bool = ...,
    relax: Sequence[str] | str = ..., path: File | None = ..., downsample: int | None = ...,
    targetres: float | None = ..., speed: int = ..., randomseed: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., orientgen: str = ...,
    maxshift: float | None = ..., simcmp: str = ..., pad: int = ..., automask3d: str | None = ...,
    bfactor: str | float = ..., m3dsetsf: File | None = ..., check: bool = ..., verbose: int = ...,
    no_report: bool = ..., quiet: bool = ...,
) -> RefinedMap:
    """Refine one map by independent half-sets (the Python face of ``mapsort refine``)."""

def refine_multi(
    particles: str | Path | Particles, models: Sequence[str | Path | Volume] | None = ..., *,
    progress: Progress | None = ..., passthrough: Sequence[File] | File = ...,
    usefilt: File | None = ..., model: File | None = ...,
    nmodels: Literal["auto"] | int | None = ...,
    seedmethod: Literal["auto", "pca", "noise", "randphase", "randclassify", "mapfragment"] = ...,
    startres: float | None = ..., starts: int = ..., batch: Literal["auto"] | int | None = ...,
    replicates: int = ..., control: bool = ..., mass: Sequence[float] | float | str = ...,
    sym: Sequence[str] | str = ..., iter: Literal["auto"] | int | None = ..., breaksym: bool = ...,
    relax: Sequence[str] | str = ..., path: File | None = ..., downsample: int | None = ...,
    targetres: float | None = ..., speed: int = ..., randomseed: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., lowmem: bool = ...,
    format: Literal["mrc", "hdf"] = ..., keepfiles: Literal["all", "last", "maps"] = ...,
    orientgen: str = ..., projector: str = ..., maxshift: float | None = ..., simcmp: str = ...,
    twostage: int = ..., shrink: int = ..., simalign: str = ..., simaligncmp: str = ...,
    simralign: str = ..., simraligncmp: str = ..., simmask: File | None = ...,
    mask: Sequence[File] | File = ..., skipalign: bool = ..., prefilt: bool = ..., sep: int = ...,
    assign: Literal["auto", "hard", "soft"] = ..., junk: Literal["auto"] | int | None = ...,
    classiter: int = ..., classcmp: str = ..., classalign: str = ..., classaligncmp: str = ...,
    classralign: str = ..., classraligncmp: str = ..., classaverager: str = ...,
    classkeep: float = ..., classkeepsig: bool = ..., classnormproc: str = ...,
    classrefsf: bool = ..., classautomask: bool = ..., m3dkeep: float = ..., m3dkeepsig: bool = ...,
    m3dsetsf: str = ..., m3diter: int = ..., m3dpreprocess: str = ..., m3dpostprocess: str = ...,
    inputmode: Literal["classes", "particles"] = ..., halves: bool = ..., recon: str = ...,
    pad: int = ..., automask3d: str | None = ..., check: bool = ..., verbose: int = ...,
    no_report: bool = ..., quiet: bool = ..., resume: File | None = ..., log_json: bool = ...,
) -> MultiRun:
    """Classify particles and refine the maps they are compared with (``mapsort multi`` in Python)."""

def split(
    run: str | Path | MultiRun, *, by: str = ..., exclude_rejected: bool = ...,
    min_prob: float | None = ..., unique: bool = ..., stack: bool = ..., out: File | None = ...,
    iter: int | None = ...,
) -> Split:
    """Write the particles of a run as sets (the Python face of ``mapsort split``)."""
