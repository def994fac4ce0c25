"""Any particle file → RELION's two tables and the place of every image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Int64
from mapsort.errors import FormatError
from mapsort.io.cryosparc import read_cryosparc
from mapsort.io.eman_tables import read_hdf_particles, read_list_particles
from mapsort.io.image_stack import HDF_SUFFIXES, MRC_SUFFIXES, refuse_bdb
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.optics import GROUP, IMAGE_SIGN, PIXEL
from mapsort.io.star import read_noted_particles, resolve_stack, split_image_names
from mapsort.io.table_notes import refuse_volumes, table_notes

STAR_SUFFIX, CRYOSPARC_SUFFIX = ".star", ".cs"
LIST_SUFFIXES = (".lst", ".lsx")
PARTICLE_SUFFIXES = (
    STAR_SUFFIX,
    CRYOSPARC_SUFFIX,
    *HDF_SUFFIXES,
    *LIST_SUFFIXES,
    *MRC_SUFFIXES,
)


@dataclass(frozen=True, eq=False)
class ParticleFiles:
    """A set of particles as its file describes it."""

    #: One row per optics group, RELION 3.1 column names.
    optics: pd.DataFrame
    #: One row per particle, RELION 3.1 column names; columns of other origin are kept, those of
    #: EMAN2 as ``eman_<name>``.
    particles: pd.DataFrame
    #: The stacks that hold the images.
    files: tuple[Path, ...]
    #: Which of ``files`` holds each particle, (n,).
    file_of: Int64
    #: Position of each particle in its stack, from 0, (n,).
    index_in_file: Int64
    #: What was assumed in reading, one line each.
    notes: tuple[str, ...] = ()
    #: Which of ``files`` hold dark density, by cryoSPARC's sign. A file of both is there twice.
    dark: tuple[bool, ...] = ()

    def subset(self, rows: Int64) -> ParticleFiles:
        """Take some of the particles, in this order, and the optics groups that they are of."""
        particles = self.particles.iloc[rows].reset_index(drop=True)
        return replace(
            self,
            optics=self.optics[self.optics[GROUP].isin(particles[GROUP])].reset_index(drop=True),
            particles=particles,
            file_of=self.file_of[rows],
            index_in_file=self.index_in_file[rows],
        )


def read_particle_files(
    path: str | Path,
    *,
    apix: float | None = None,
    datadir: str | Path | None = None,
    passthrough: Sequence[str | Path] = (),
) -> ParticleFiles:
    """Read what a particle file says; images are not read.

    Parameters
    ----------
    path : str or Path
        RELION ``.star``, cryoSPARC ``.cs``, EMAN2 ``.hdf`` or ``.lst``, or an MRC stack.
    apix : float, optional
        Pixel size [A/pixel] to use in place of the file's.
    datadir : str or Path, optional
        Where image files that the file names are looked for first.
    passthrough : sequence of str or Path, optional
        cryoSPARC's passthrough files that go with a ``.cs``.
    """
    refuse_bdb(str(path), "input")
    path = Path(path)
    if datadir is not None and not Path(datadir).is_dir():
        raise FormatError(f"--datadir={datadir}: no such directory.")
    suffix = path.suffix.lower()
    if passthrough and suffix != CRYOSPARC_SUFFIX:
        raise FormatError(f"{path}: passthrough files go with a cryoSPARC .cs file only.")
    if suffix in MRC_SUFFIXES:
        return _bare_stack(path, apix)
    readers: dict[str, Callable[[], tuple[pd.DataFrame, pd.DataFrame, list[str]]]] = {
        STAR_SUFFIX: lambda: read_noted_particles(path, apix=apix),
        CRYOSPARC_SUFFIX: lambda: read_cryosparc(path, passthrough, apix=apix),
        **dict.fromkeys(HDF_SUFFIXES, lambda: read_hdf_particles(path, apix=apix)),
        **dict.fromkeys(
            LIST_SUFFIXES, lambda: read_list_particles(path, apix=apix, datadir=datadir)
        ),
    }
    if suffix not in readers:
        raise FormatError(
            f"{path}: particles are read from {', '.join(PARTICLE_SUFFIXES)}, not from "
            f"{suffix or 'a file without suffix'}."
        )
    optics, particles, notes = readers[suffix]()
    notes = [*notes, *table_notes(path, optics, particles)]
    indices, names = split_image_names(path, particles["rlnImageName"])
    return _located(path, datadir, optics, particles, indices, names, tuple(notes))


def _located(
    path: Path,
    datadir: str | Path | None,
    optics: pd.DataFrame,
    particles: pd.DataFrame,
    indices: Int64,
    names: list[str],
    notes: tuple[str, ...],
) -> ParticleFiles:
    """Find the stack of every image."""
    refuse_volumes(path, optics, particles)
    file_of, distinct = pd.factorize(np.array(names, dtype=object))
    found = [resolve_stack(str(name), path, datadir=datadir) for name in distinct]
    _refuse_one_file_of_two_names(path, datadir, list(map(str, distinct)), found)
    files, dark = tuple(found), (False,) * len(found)
    if IMAGE_SIGN in particles:
        signs = pd.to_numeric(particles[IMAGE_SIGN], errors="coerce").to_numpy(dtype=np.float64)
        by_sign = 2 * file_of + (signs < 0)
        file_of, distinct = pd.factorize(by_sign)
        files = tuple(found[code // 2] for code in distinct.tolist())
        dark = tuple(bool(code % 2) for code in distinct.tolist())
    return ParticleFiles(optics, particles, files, file_of.astype(np.int64), indices, notes, dark)


def _refuse_one_file_of_two_names(
    path: Path, datadir: str | Path | None, names: list[str], found: list[Path]
) -> None:
    """Refuse different paths that only their last part led to the same file of ``datadir``.

    Two ways to write one path are fine, and so are links.
    """
    if datadir is None:
        return
    first: dict[Path, tuple[str, bool]] = {}
    for name, file in zip(names, found, strict=True):
        plain = os.path.normpath(name.lstrip("/"))
        in_root = file == Path(datadir) / Path(name).name
        # Found by its last part alone: in a directory that is not the one the table says.
        by_end = in_root and plain != Path(name).name
        if not in_root:
            continue
        other, other_by_end = first.setdefault(file, (name, by_end))
        if os.path.normpath(other.lstrip("/")) != plain and (by_end or other_by_end):
            raise FormatError(
                f"{path}: two names of the table lead to one file: {other} and {name} are both "
                f"{file}. Keep the files in their directories, and give with --datadir the "
                "directory where these names begin."
            )


def _bare_stack(path: Path, apix: float | None) -> ParticleFiles:
    stack = MrcStack(path)
    size = apix if apix is not None else stack.stated_apix
    if size is None:
        raise FormatError(f"{path}: its header states no pixel size; give it with --apix.")
    numbers = range(1, stack.n_images + 1)
    optics = pd.DataFrame(
        {
            GROUP: [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            PIXEL: [float(size)],
            "rlnImageSize": [stack.box[1]],
            "rlnImageDimensionality": [2],
        }
    )
    names = [f"{number:06d}@{path}" for number in numbers]
    return ParticleFiles(
        optics,
        pd.DataFrame({"rlnImageName": names, GROUP: 1}),
        (path,),
        np.zeros(stack.n_images, dtype=np.int64),
        np.arange(stack.n_images, dtype=np.int64),
    )
