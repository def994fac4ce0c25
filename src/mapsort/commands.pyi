"""Every command of the program as a function.

Written by ci/write_stubs.py: change the options, not this file.
"""

# fmt: off
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

from mapsort.engines.progress import Progress
from mapsort.jobs.abinit import AbInitio
from mapsort.jobs.compare import Compared
from mapsort.jobs.convert import Converted
from mapsort.jobs.crossval.verdicts import Crossval
from mapsort.jobs.demo import DemoScore
from mapsort.jobs.deposit import Deposited
from mapsort.jobs.eotest import EvenOddTest
from mapsort.jobs.expand import Expanded
from mapsort.jobs.followup import Followup
from mapsort.jobs.mask import MadeMask
from mapsort.jobs.pca import Variability
from mapsort.jobs.process import Processed
from mapsort.jobs.project import Projected
from mapsort.jobs.reconstruct import Reconstructed
from mapsort.jobs.refine import RefinedMap
from mapsort.jobs.refinement import MultiRun
from mapsort.jobs.simulate import Simulated
from mapsort.jobs.split import Split
from mapsort.jobs.subtract import Subtracted

File = str | Path

@overload
def multi(*, check: Literal[True], **options: Any) -> str:
    """Classify particles against several references and refine these together."""
@overload
def multi(*, resume: File, **options: Any) -> MultiRun:
    """Classify particles against several references and refine these together."""
@overload
def multi(
    *, input: File, passthrough: Sequence[File] | File = ..., usefilt: File | None = ...,
    models: Sequence[File] | File = ..., model: File | None = ...,
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
    pad: int = ..., automask3d: str | None = ..., check: Literal[False] = ..., verbose: int = ...,
    no_report: bool = ..., quiet: bool = ..., resume: File | None = ..., log_json: bool = ...,
    progress: Progress | None = ...,
) -> MultiRun:
    """Classify particles against several references and refine these together."""

@overload
def refine(*, check: Literal[True], **options: Any) -> str:
    """Refine one map with independent half-sets, kept apart from the start."""
@overload
def refine(*, resume: File, **options: Any) -> RefinedMap:
    """Refine one map with independent half-sets, kept apart from the start."""
@overload
def refine(
    *, input: File, passthrough: Sequence[File] | File = ..., model: File | None = ...,
    startres: float | None = ..., diameter: float | None = ..., sym: Sequence[str] | str = ...,
    mass: Sequence[float] | float | str = ..., startiter: int | None = ...,
    resume: File | None = ..., iter: Literal["auto"] | int | None = ..., breaksym: bool = ...,
    relax: Sequence[str] | str = ..., path: File | None = ..., downsample: int | None = ...,
    targetres: float | None = ..., speed: int = ..., randomseed: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., orientgen: str = ...,
    maxshift: float | None = ..., simcmp: str = ..., pad: int = ..., automask3d: str | None = ...,
    bfactor: str | float = ..., m3dsetsf: File | None = ..., check: Literal[False] = ...,
    verbose: int = ..., no_report: bool = ..., quiet: bool = ..., progress: Progress | None = ...,
) -> RefinedMap:
    """Refine one map with independent half-sets, kept apart from the start."""

@overload
def pca(*, check: Literal[True], **options: Any) -> str:
    """How the particles of one map vary: principal components of the volume, with movies."""
@overload
def pca(*, resume: File, **options: Any) -> Variability:
    """How the particles of one map vary: principal components of the volume, with movies."""
@overload
def pca(
    *, input: File, passthrough: Sequence[File] | File = ..., model: File | None = ...,
    components: int | None = ..., skipalign: bool = ..., resume: File | None = ...,
    sym: Sequence[str] | str = ..., iter: Literal["auto"] | int | None = ..., breaksym: bool = ...,
    relax: Sequence[str] | str = ..., path: File | None = ..., downsample: int | None = ...,
    targetres: float | None = ..., speed: int = ..., randomseed: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., orientgen: str = ...,
    maxshift: float | None = ..., simcmp: str = ..., check: Literal[False] = ...,
    verbose: int = ..., no_report: bool = ..., quiet: bool = ..., progress: Progress | None = ...,
) -> Variability:
    """How the particles of one map vary: principal components of the volume, with movies."""

@overload
def abinit(*, check: Literal[True], **options: Any) -> str:
    """Make starting maps from the particles alone."""
@overload
def abinit(*, resume: File, **options: Any) -> AbInitio:
    """Make starting maps from the particles alone."""
@overload
def abinit(
    *, input: File | None = ..., nmodels: int = ..., sym: Sequence[str] | str = ...,
    latesym: str | None = ..., starts: int = ..., targetres: float | None = ...,
    diameter: float | None = ..., maxshift: float | None = ..., hand: bool = ...,
    path: File | None = ..., randomseed: int | None = ..., resume: File | None = ...,
    passthrough: Sequence[File] | File = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ...,
    check: Literal[False] = ..., verbose: int = ..., no_report: bool = ..., quiet: bool = ...,
    progress: Progress | None = ...,
) -> AbInitio:
    """Make starting maps from the particles alone."""

def demo(
    *, path: File = ..., n: int = ..., iter: int = ..., seed: int = ..., abinit: bool = ...,
    parallel: str = ..., progress: Progress | None = ...,
) -> DemoScore:
    """Classify a small simulated data set and score the result against the truth."""

def split(
    *run: File, by: str = ..., exclude_rejected: bool = ..., min_prob: float | None = ...,
    unique: bool = ..., stack: bool = ..., out: File | None = ..., iter: int | None = ...,
) -> Split:
    """Write the particles of each class as a set of its own (.star, .lst)."""

def eotest(
    *run: File, local: bool = ..., iter: int | None = ..., parallel: str = ..., quiet: bool = ...,
    progress: Progress | None = ...,
) -> EvenOddTest:
    """Even/odd resolution test of every map of a finished run."""

def crossval(
    *run: File, refineiter: int | None = ..., iter: int | None = ..., parallel: str = ...,
    quiet: bool = ..., progress: Progress | None = ...,
) -> Crossval:
    """Validate the classes: refine sets from each other's maps, score left-out particles."""

def compare(
    *run: File, halves: Sequence[File] | File = ..., iter: int | None = ...,
    mask: File | None = ..., fdr: float = ..., resolution: float | None = ..., asis: bool = ...,
    out: File | None = ..., apix: float | None = ..., parallel: str = ..., quiet: bool = ...,
    progress: Progress | None = ...,
) -> tuple[Compared, ...]:
    """Show where maps differ significantly: difference in standard errors, mask, mass."""

def deposit(
    *run: File, map: int | None = ..., out: File | None = ..., iter: int | None = ...,
) -> tuple[Deposited, ...]:
    """Gather what EMDB asks for: primary map, half maps, mask, FSC as XML, summary."""

def followup(
    *run: File, no_crossval: bool = ..., refineiter: int | None = ..., iter: int | None = ...,
    parallel: str = ..., quiet: bool = ..., progress: Progress | None = ...,
) -> Followup:
    """All steps after a run: split, refine each set, measure, cross-validate, report."""

def report(*runs: File) -> str:
    """Build the HTML report of a run from its directory."""

def show(
    *files: File, output: File = ..., first: int = ..., count: int = ..., size: int = ...,
    lowpass: float | None = ..., minus: File | None = ..., plain: bool = ...,
) -> str:
    """Draw a map (slices, projections) or a stack (montage) as PNG."""

def project(
    *maps: File, out: File, orientgen: str | None = ..., angles: File | None = ...,
    randomseed: int = ..., sym: Sequence[str] | str = ..., projector: str = ...,
    apix: float | None = ..., progress: Progress | None = ...,
) -> Projected:
    """Project maps along the directions of a generator or of a .star file."""

def similarity(
    *files: File, out: File, ctf: Literal["auto", "apply", "flipped", "none"] = ...,
    invert: bool = ..., apix: float | None = ..., datadir: File | None = ..., parallel: str = ...,
    quiet: bool = ..., maxshift: float | None = ..., simcmp: str = ..., twostage: int = ...,
    shrink: int = ..., simalign: str = ..., simaligncmp: str = ..., simralign: str = ...,
    simraligncmp: str = ..., simmask: File | None = ..., mask: Sequence[File] | File = ...,
    skipalign: bool = ..., prefilt: bool = ..., progress: Progress | None = ...,
) -> tuple[int, int]:
    """Compare particles with projections of a file: the similarity matrix."""

def classify(*files: File, sep: int = ..., out: File) -> tuple[int, int]:
    """Assign particles to their best references, from a similarity matrix."""

def average(
    *files: File, result: File | None = ..., out: File,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ..., quiet: bool = ...,
    classiter: int = ..., classcmp: str = ..., classalign: str = ..., classaligncmp: str = ...,
    classralign: str = ..., classraligncmp: str = ..., classaverager: str = ...,
    classkeep: float = ..., classkeepsig: bool = ..., classnormproc: str = ...,
    classrefsf: bool = ..., classautomask: bool = ..., progress: Progress | None = ...,
) -> tuple[int, int]:
    """Average the particles of each projection class, from a classification matrix."""

def reconstruct(
    *inputs: File, output: File = ..., halves: bool = ..., class_: int | None = ...,
    model: int | None = ..., sym: str = ..., maxres: float | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., recon: str = ..., pad: int = ...,
    parallel: str = ..., progress: Progress | None = ...,
) -> Reconstructed:
    """Reconstruct a map from particles with poses, or from a run's class averages."""

def info(*files: File, json: bool = ..., passthrough: str = ...) -> str:
    """Show what a file holds (size, pixel size, CTF, statistics), or the state of a run."""

def convert(
    *files: File, inputapix: float | None = ..., copy: bool = ..., compressbits: int | None = ...,
    where: str = ..., first: int | None = ..., random: int | None = ..., randomseed: int = ...,
    apix: float | None = ..., box: int | None = ..., phaseflip: bool = ..., invert: bool = ...,
    normalize: bool = ..., passthrough: Sequence[File] | File = ..., datadir: File | None = ...,
    overwrite: bool = ..., progress: Progress | None = ...,
) -> Converted:
    """Convert particles and maps between RELION, cryoSPARC and EMAN2 formats."""

def expand(
    *files: File, sym: str = ..., apix: float | None = ...,
    passthrough: Sequence[File] | File = ..., datadir: File | None = ..., overwrite: bool = ...,
    progress: Progress | None = ...,
) -> Expanded:
    """Symmetry expansion: a copy of each particle for each operation of a symmetry."""

def mask(
    *maps: File, output: File = ..., lowpass: float = ...,
    threshold: Literal["auto"] | float | None = ..., piece: float = ..., extend: float = ...,
    edge: float = ..., invert: bool = ..., apix: float | None = ..., overwrite: bool = ...,
) -> MadeMask:
    """Make a soft mask from the density of a map."""

def subtract(
    *particles: File, output: File = ..., model: File, mask: File, inside: bool = ...,
    center: bool = ..., box: int | None = ...,
    ctf: Literal["auto", "apply", "flipped", "none"] = ..., invert: bool = ...,
    apix: float | None = ..., datadir: File | None = ..., parallel: str = ...,
    overwrite: bool = ..., progress: Progress | None = ...,
) -> Subtracted:
    """Signal subtraction: subtract the density outside (or inside) a mask from particles."""

def process(
    *files: File, process: Sequence[str] | str = ..., apix: float | None = ..., stack: bool = ...,
) -> Processed:
    """Apply named processors to a map or a stack of images."""

def simulate(
    *maps: File, phantom: int | None = ..., box: int | None = ..., out: File,
    seedres: float | None = ..., n: int = ..., snr: float = ..., shift: float = ...,
    fractions: Sequence[float] | float | str = ..., seed: int = ..., no_ctf: bool = ...,
    defocus: Sequence[float] | float | str = ..., voltage: float = ..., cs: float = ...,
    ampcont: float = ..., apix: float | None = ..., overwrite: bool = ...,
    progress: Progress | None = ...,
) -> Simulated:
    """Simulate particles with known truth from maps or a built-in phantom."""

def modules(*kind: File, verbose: bool = ...) -> str:
    """List processors, comparators, aligners ... with their parameters."""

def doctor() -> str:
    """Check this installation: kernels, threads, memory, versions, a self-test of 5 s."""

def build_info(*, json: bool = ...) -> str:
    """Show how this installation was compiled and which instruction set it uses."""

def cluster(*action: File, parallel: str, files: Sequence[File] | File = ...) -> str:
    """Test the Dask workers of --parallel: versions, files, threads, bandwidth."""
