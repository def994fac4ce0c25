"""Options that several commands have, each declared once: the parts that tables are composed of."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError
from mapsort.options.fields import Options, choice, flag, option
from mapsort.options.parallel import TAKES, TAKES_DASK, ParallelRequest, parse_parallel
from mapsort.options.types import (
    CtfHandling,
    ValueKind,
    chain_of,
    file_path,
    list_of,
    real_number,
    text,
    whole_number,
)

_THREADS = "number of threads; by default all that this process may use"


def _where(words: str) -> ValueKind:
    return ValueKind(words, str, lambda value: isinstance(value, str))


class Parallel(Options):
    """How many threads do the work."""

    parallel: str = option(_where(TAKES), "thread:N", _THREADS, "", flags=("-P",))
    _dask = False

    @cached_property
    def workers(self) -> ParallelRequest:
        """What ``--parallel`` asks for."""
        return parse_parallel(self.parallel, dask=self._dask)

    @property
    def n_threads(self) -> int:
        """Threads to use: those asked for, else all that this process may use."""
        return self.workers.n_threads or available_threads()

    def _check(self) -> None:
        super()._check()
        _ = self.workers


class Workers(Parallel):
    """Where the work is done: threads here, or a Dask cluster."""

    parallel: str = option(
        _where(TAKES_DASK),
        "WHERE",
        f"thread:N, the {_THREADS}; dask:HOST:PORT, the workers of a Dask scheduler; "
        "dask:local=N, N processes here",
        "",
        flags=("-P",),
    )
    _dask = True


class Quiet(Options):
    """Whether progress is shown."""

    quiet: bool = flag("no progress display", "-q")


class Overwrite(Options):
    """Whether files may be replaced."""

    overwrite: bool = flag("replace output files that exist")


class FromTo(Options):
    """What is read, and what is written of it."""

    files: tuple[Path, ...] = option(
        list_of(file_path("a file"), "two files"), "FILE", "IN and OUT", (), positional=True
    )

    def _check(self) -> None:
        super()._check()
        if len(self.files) != 2:
            raise ConfigError(f"give two files, IN and OUT; there are {len(self.files)}")

    @property
    def source(self) -> Path:
        """What is read."""
        return self.files[0]

    @property
    def target(self) -> Path:
        """What is written."""
        return self.files[1]


class Apix(Options):
    """The pixel size."""

    apix: float | None = option(
        real_number(above=0),
        "A",
        "pixel size of the particles in Angstrom; by default as their file says",
    )


class Datadir(Options):
    """Where images are."""

    datadir: Path | None = option(
        file_path("a directory"),
        "DIR",
        "directory searched first for the image files that the input names",
    )


class Passthrough(Options):
    """What goes with a cryoSPARC file."""

    passthrough: tuple[Path, ...] = option(
        list_of(file_path("a passthrough file"), "passthrough files, none empty"),
        "A,B,...",
        "cryoSPARC's passthrough files that go with input",
        (),
    )


class ParticleImages(Apix, Datadir):
    """How particle images are read."""

    ctf: CtfHandling = choice(
        CtfHandling.AUTO,
        "contrast transfer: auto (applied when the particles have CTF parameters), apply, flipped "
        "(the images are phase-flipped), none",
    )
    invert: bool = flag("invert the particles, which have dark density")


class Maps(Options):
    """Maps as bare words."""

    maps: tuple[Path, ...] = option(
        list_of(file_path("a map"), "maps"), "MAP", "maps", (), positional=True
    )


class FinishedRun(Options):
    """The finished run that a command looks at."""

    run: tuple[Path, ...] = option(
        list_of(file_path("a run directory"), "a run directory"),
        "RUN",
        "run directory (multi_XX or refine_XX)",
        (),
        positional=True,
    )
    iter: int | None = option(whole_number(1), "YY", "iteration; by default the last")

    def _check(self) -> None:
        super()._check()
        if len(self.run) != 1:
            raise ConfigError(f"one run directory is needed; {len(self.run)} are given")


class Symmetries(Options):
    """The symmetry of each map."""

    sym: tuple[str, ...] = option(
        list_of(text("a symmetry"), "symmetries, none empty"),
        "SYM",
        "symmetry c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:1:<turn>:<rise> (degrees "
        "and Angstrom): one for all maps, or one per map",
        ("c1",),
        names="geometry.symmetry:symmetry",
    )


class Projector(Options):
    """How maps are projected."""

    projector: str = option(
        text("a projector, for example standard"),
        "SPEC",
        "projector: fourier (slices, to :tolerance=E), fourier_gridding, gauss_fft; in "
        "real space standard, pawel, chao, maxval",
        "fourier",
        names="modules.projector:projector",
    )


class Pad(Options, group="reconstruction"):
    """The Fourier volume of a reconstruction."""

    pad: int = option(
        whole_number(0),
        "PX",
        "size in pixels of the padded Fourier volume; at least 2.5 times the box is taken "
        "(from 384 pixels 2.2 times)",
        0,
    )


class Reconstructor(Pad):
    """How a map is reconstructed."""

    recon: str = option(
        text("a reconstructor, for example fourier"),
        "SPEC",
        "fourier, wiener_fourier, back_projection, nn4, nn4_rect, nn4_ctf or nnSSNR",
        "fourier",
        names="modules.reconstructor:reconstructor",
    )


SEARCH_ALIGNER = "modules.search_aligner:search_aligner"
POSE_REFINEMENT = "modules.search_aligner:polish"
RANKING_COMPARATOR = "modules.comparator:search_comparator"
POSE_COMPARATOR = "modules.comparator:pose_scoring"
AVERAGER = "modules.averagers:AVERAGERS.bind"


def module(names: str, default: str, example: str, words: str) -> Any:
    """Declare an option that names a module, with `words` in its help; `names` as for `option`."""
    return option(text(f"a module, for example {example}"), "SPEC", words, default, names=names)


def processors(words: str) -> Any:
    """Declare an option that names processors, none by default, with `words` in its help."""
    return option(
        chain_of("processors, for example normalize.edgemean"),
        "SPEC,...",
        words,
        "none",
        names="modules.processors.process:processor_chain",
    )
