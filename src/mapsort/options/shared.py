"""Options that several commands have: each is declared here once.

Each function returns the dataclass field, for the command's own group in ``--help``. The annotated
type is that of the value, as with ``dataclasses.field``.
"""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path

from mapsort.options.fields import (
    ValueKind,
    chain_of,
    file_path,
    list_of,
    one_of,
    option,
    real_number,
    text,
    whole_number,
)
from mapsort.options.parallel import TAKES, TAKES_DASK
from mapsort.options.types import CtfHandling

_PARALLEL = ValueKind(TAKES, str, lambda value: isinstance(value, str))


def parallel_field(group: str, *, dask: bool = False) -> str:
    """Return the option ``--parallel``, of a command that can work on a Dask cluster or cannot."""
    words = "number of threads; by default all that this process may use"
    value: str = field(
        default="",
        metadata=option(
            replace(_PARALLEL, words=TAKES_DASK) if dask else _PARALLEL,
            group=group,
            flags=("-P",),
            metavar="WHERE" if dask else "thread:N",
            help=f"thread:N, the {words}; dask:HOST:PORT, the workers of a Dask scheduler; "
            "dask:local=N, N processes here"
            if dask
            else words,
        ),
    )
    return value


def quiet_field(group: str) -> bool:
    """Return the option ``--quiet``."""
    value: bool = field(
        default=False, metadata=option(None, group=group, flags=("-q",), help="no progress display")
    )
    return value


def overwrite_field(group: str) -> bool:
    """Return the option ``--overwrite``."""
    value: bool = field(
        default=False, metadata=option(None, group=group, help="replace output files that exist")
    )
    return value


def seed_field(group: str, words: str, *, default: int) -> int:
    """Return an option that is a seed of random numbers, with `words` in its help."""
    value: int = field(
        default=default, metadata=option(whole_number(0), group=group, metavar="N", help=words)
    )
    return value


def apix_field(group: str, things: str, otherwise: str) -> float | None:
    """Return the option ``--apix``: pixel size of `things`, by default as `otherwise`."""
    value: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=group,
            metavar="A",
            help=f"pixel size of {things} in Angstrom; by default as {otherwise}",
        ),
    )
    return value


def ctf_field(
    group: str, auto: str = "applied when the particles have CTF parameters"
) -> CtfHandling:
    """Return the option ``--ctf``; `auto` says what its default does."""
    value: CtfHandling = field(
        default=CtfHandling.AUTO,
        metadata=option(
            one_of(CtfHandling),
            group=group,
            help=f"contrast transfer: auto ({auto}), apply, flipped (the images are "
            "phase-flipped), none",
        ),
    )
    return value


def invert_field(group: str, words: str) -> bool:
    """Return the option ``--invert``, with `words` in its help."""
    value: bool = field(default=False, metadata=option(None, group=group, help=words))
    return value


def datadir_field(group: str, table: str) -> Path | None:
    """Return the option ``--datadir``, for image files named in `table`."""
    value: Path | None = field(
        default=None,
        metadata=option(
            file_path("a directory"),
            group=group,
            metavar="DIR",
            help=f"directory searched first for the image files that {table} names",
        ),
    )
    return value


def passthrough_field(group: str, table: str) -> tuple[Path, ...]:
    """Return the option ``--passthrough``, files that go with `table`."""
    value: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a passthrough file"), "passthrough files, none empty"),
            group=group,
            metavar="A,B,...",
            help=f"cryoSPARC's passthrough files that go with {table}",
        ),
    )
    return value


def maps_field(group: str, words: str) -> tuple[Path, ...]:
    """Return the positional maps, with `words` in their help."""
    value: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a map"), "maps"),
            group=group,
            metavar="MAP",
            positional=True,
            help=words,
        ),
    )
    return value


def run_field(group: str) -> tuple[Path, ...]:
    """Return the positional run directory of commands on a finished run."""
    value: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a run directory"), "a run directory"),
            group=group,
            metavar="RUN",
            positional=True,
            help="run directory (multi_XX or refine_XX)",
        ),
    )
    return value


def finished_iteration_field(group: str) -> int | None:
    """Return the option ``--iter`` of commands on a finished run."""
    value: int | None = field(
        default=None,
        metadata=option(
            whole_number(1), group=group, metavar="YY", help="iteration; by default the last"
        ),
    )
    return value


def symmetries_field(group: str, words: str) -> tuple[str, ...]:
    """Return the option ``--sym`` where each map may have its own, with `words` in its help."""
    value: tuple[str, ...] = field(
        default=("c1",),
        metadata=option(
            list_of(text("a symmetry"), "symmetries, none empty"),
            group=group,
            metavar="SYM",
            help=words,
        ),
    )
    return value


def projector_field(group: str) -> str:
    """Return the option ``--projector``."""
    value: str = field(
        default="fourier",
        metadata=option(
            text("a projector, for example standard"),
            group=group,
            metavar="SPEC",
            help="projector: fourier (slices, to :tolerance=E), fourier_gridding, gauss_fft; in "
            "real space standard, pawel, chao, maxval",
        ),
    )
    return value


def reconstructor_field(group: str, words: str) -> str:
    """Return the option ``--recon``, with `words` in its help."""
    value: str = field(
        default="fourier",
        metadata=option(
            text("a reconstructor, for example fourier"), group=group, metavar="SPEC", help=words
        ),
    )
    return value


def pad_field(group: str) -> int:
    """Return the option ``--pad``."""
    value: int = field(
        default=0,
        metadata=option(
            whole_number(0),
            group=group,
            metavar="PX",
            help="size in pixels of the padded Fourier volume; at least 2.5 times the box is taken "
            "(from 384 pixels 2.2 times)",
        ),
    )
    return value


def module_field(group: str, default: str, example: str, words: str) -> str:
    """Return an option that names a module, with `words` in its help."""
    value: str = field(
        default=default,
        metadata=option(
            text(f"a module, for example {example}"), group=group, metavar="SPEC", help=words
        ),
    )
    return value


def processors_field(group: str, words: str) -> str:
    """Return an option that names processors, none by default, with `words` in its help."""
    value: str = field(
        default="none",
        metadata=option(
            chain_of("processors, for example normalize.edgemean"),
            group=group,
            metavar="SPEC,...",
            help=words,
        ),
    )
    return value
