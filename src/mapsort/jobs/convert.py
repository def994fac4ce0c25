"""Convert particles (and maps) between the formats of RELION, cryoSPARC and EMAN2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mapsort.array_types import Float32
from mapsort.engines.chunks import chunk_length, chunk_ranges, length, read_ahead
from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.errors import ConfigError
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.eman_tables import eman_headers
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.image_stack import HDF_SUFFIXES, MRC_SUFFIXES
from mapsort.io.lst import can_keep, write_list
from mapsort.io.mrc import write_stack
from mapsort.io.optics import FLIPPED, IMAGE_SIGN
from mapsort.io.particle_files import (
    CRYOSPARC_SUFFIX,
    LIST_SUFFIXES,
    STAR_SUFFIX,
    ParticleFiles,
    read_particle_files,
)
from mapsort.io.star import write_particles
from mapsort.jobs.convert_images import Part, Recipe, parts_of_one_size
from mapsort.jobs.cryosparc_sets import GROUP_SUFFIX, original_fields, write_cryosparc_set
from mapsort.jobs.selection import select
from mapsort.jobs.stack_links import stacks_for_relion
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume, is_map
from mapsort.options.convert import ConvertOptions
from mapsort.options.fields import refuse_to_overwrite
from mapsort.physics.resample import match_box
from mapsort.refinement.suspect_images import counting_bad
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output, refuse_full_disk
from mapsort.runfiles.tables import image_names, seen_from_here

#: Images that are in memory at one time: read, being changed, and the next ones.
_COPIES = 4


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes
    ----------
    files : tuple of Path
        Files written, the one asked for first.
    n_images : int
        Particles in it; 0 for a map.
    """

    files: tuple[Path, ...]
    n_images: int


@dataclass(frozen=True)
class _Job:
    """Particles, what becomes of them, and who is told."""

    particles: Particles
    recipe: Recipe
    options: ConvertOptions
    target: Path
    copy: bool
    progress: Progress

    @property
    def optics(self) -> pd.DataFrame:
        return self.recipe.optics(self.particles.optics)

    @property
    def white_table(self) -> pd.DataFrame:
        """The table of images that are written: of all of them density is white."""
        return self.particles.table.drop(columns=IMAGE_SIGN, errors="ignore")

    def images(self) -> Iterator[tuple[slice, Float32]]:
        """Yield all images in chunks, and tell of them."""
        n, box = len(self.particles), max(self.particles.box, self.recipe.box)
        ranges = chunk_ranges(n, chunk_length(4 * _COPIES * box**2))
        self.progress.start("convert", n, iteration=0, n_iterations=0)
        found = read_ahead(self.recipe.images, ranges)
        for where, images in counting_bad(self.particles, found, ranges):
            yield where, images
            self.progress.advance(length(where))
        self.progress.finish(f"{n} particles")


def convert(options: ConvertOptions, *, progress: Progress | None = None) -> Converted:
    """Convert a particle file or a map.

    Raises
    ------
    ConfigError
        An option does not fit, the kind of file cannot be written, an input file would be
        overwritten, or the disk is too small: before anything is written.
    """
    options.validated()
    shown = progress or default_progress()
    write = _writer(options.target)
    if is_map(options.source):
        return _convert_map(options)
    read = read_particle_files(
        options.source,
        apix=options.inputapix,
        datadir=options.datadir,
        passthrough=options.passthrough,
    )
    chosen = select(
        read.particles,
        read.optics,
        where=options.where,
        first=options.first,
        random=options.random,
        randomseed=options.randomseed,
    )
    # Sizes are compared after the selection: that may leave one of them.
    read = read.subset(chosen)
    parts = parts_of_one_size(options.source, read, apix_given=options.inputapix is not None)
    validated = [note for _, particles in parts for note in particles.validate()]
    for note in (*read.notes, *validated):
        warn(shown, note)
    particles = _whole(read, parts)
    recipe = Recipe.of(options, parts)
    # Compressed images are new images, whatever a list could refer to.
    copy = options.copy or options.compressbits is not None
    return write(_Job(particles, recipe, options, options.target, copy, shown))


def _whole(read: ParticleFiles, parts: Sequence[Part]) -> Particles:
    """Return particles of all sizes, of which the tables count: images are made of the parts."""
    (_, particles), *others = parts
    if not others:
        return particles
    return replace(
        particles,
        table=read.particles,
        optics=read.optics,
        file_of=read.file_of,
        index_in_file=read.index_in_file,
    )


def _writer(target: Path) -> Callable[[_Job], Converted]:
    suffix = target.suffix.lower()
    for suffixes, write in (
        ((STAR_SUFFIX,), _write_star),
        ((CRYOSPARC_SUFFIX,), _write_cryosparc),
        (LIST_SUFFIXES, _write_list),
        (HDF_SUFFIXES, _write_hdf),
        (MRC_SUFFIXES, _write_mrc),
    ):
        if suffix in suffixes:
            return write
    raise ConfigError(f"{target}: written are .star, .cs, .lst, .hdf, .mrcs, .mrc, .st and .map")


def _write_mrc(job: _Job) -> Converted:
    _make_room(job, [job.target])
    with atomic_path(job.target) as part:
        write_stack(part, (images for _, images in job.images()), job.recipe.apix)
    return Converted((job.target,), len(job.particles))


def _write_hdf(job: _Job) -> Converted:
    _make_room(job, [job.target])
    optics = job.optics
    with (
        atomic_path(job.target) as part,
        HdfWriter(part, apix=job.recipe.apix, compressbits=job.options.compressbits) as writer,
    ):
        for where, images in job.images():
            headers = eman_headers(optics, job.white_table.iloc[where])
            for index, image, items in zip(
                range(where.start, where.stop), images, headers, strict=True
            ):
                base = job.particles.eman_header(index)
                items = _with_curves(items, base)
                if "ctf" in items:
                    items["ctf"] = items["ctf"].text()
                writer.append(image, {**base, **items})
    return Converted((job.target,), len(job.particles))


def _write_star(job: _Job) -> Converted:
    stack = _stack_anew(job)
    if stack is not None:
        (name,) = seen_from_here([stack], target=job.target)
        names = [f"{number:06d}@{name}" for number in range(1, len(job.particles) + 1)]
        table = job.white_table
    else:
        _tell_dark(job)
        stacks = stacks_for_relion(job.target, job.particles)
        if stacks != list(job.particles.files):
            job.progress.message(
                f"RELION opens stacks called .mrcs only: {job.target} names them by links in "
                f"{job.target.with_name(job.target.stem + '_stacks')}"
            )
        linked = replace(job.particles, files=tuple(stacks))
        names = image_names(linked, target=job.target)
        table = job.particles.table
    write_particles(job.target, job.optics, table.assign(rlnImageName=names))
    return Converted((job.target, *([stack] if stack else [])), len(job.particles))


def _stack_anew(job: _Job, *others: Path) -> Path | None:
    """Write the images beside a table that cannot refer to those that there are."""
    anew = job.copy or job.recipe.changes_pixels or not _all_of(job.particles, MRC_SUFFIXES)
    stack = job.target.with_suffix(".mrcs")
    _make_room(job, [job.target, *others, *([stack] if anew else [])], pixels=anew)
    if not anew:
        return None
    with atomic_path(stack) as part:
        write_stack(part, (images for _, images in job.images()), job.recipe.apix)
    return stack


def _write_cryosparc(job: _Job) -> Converted:
    optics, particles = job.optics, job.particles
    if FLIPPED in optics and optics[FLIPPED].astype(bool).any():
        raise ConfigError(f"{job.target}: cryoSPARC does not know images whose phases are flipped")
    kept = original_fields(particles.source, job.options.passthrough, particles)
    stack = _stack_anew(job, job.target.with_suffix(GROUP_SUFFIX))
    if stack is not None:
        particles = replace(
            particles,
            files=(stack,),
            table=job.white_table,
            file_of=np.zeros(len(particles), dtype=np.int64),
            index_in_file=np.arange(len(particles), dtype=np.int64),
        )
    files = write_cryosparc_set(
        job.target,
        replace(particles, optics=optics, box=job.recipe.box),
        kept,
        new_images=stack is not None or job.options.inputapix is not None,
    )
    return Converted((*files, *([stack] if stack else [])), len(particles))


def _write_list(job: _Job) -> Converted:
    n = len(job.particles)
    readable = (*MRC_SUFFIXES, *HDF_SUFFIXES)
    # A list has no place to tell that density is dark in a stack.
    anew = job.copy or job.recipe.changes_pixels or any(job.particles.dark)
    anew = anew or not _all_of(job.particles, readable)
    if anew:
        stack = job.target.with_suffix(".hdf")
        _make_room(job, [job.target, stack])
        (name,) = seen_from_here([stack], target=job.target)
        if not can_keep(name):
            raise ConfigError(f"{job.target}: EMAN2 lists cannot keep the blanks of {str(stack)!r}")
        _write_hdf(replace(job, target=stack))
        with atomic_path(job.target) as part:
            write_list(part, np.arange(n), [name] * n)
        return Converted((job.target, stack), n)
    _make_room(job, [job.target], pixels=False)
    seen = seen_from_here(job.particles.files, target=job.target)
    names = [seen[owner] for owner in job.particles.file_of.tolist()]
    headers = eman_headers(job.optics, job.particles.table)
    extras = [
        _with_curves(items, job.particles.eman_header(index)) for index, items in enumerate(headers)
    ]
    with atomic_path(job.target) as part:
        write_list(part, job.particles.index_in_file.tolist(), names, extras)
    return Converted((job.target,), n)


def _with_curves(items: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Keep the background and SNR curves that EMAN2 determined: they are not in the tables."""
    if "ctf" in items and isinstance(base.get("ctf"), str):
        items["ctf"] = items["ctf"].with_curves_of(EmanCtf.from_text(base["ctf"]))
    return items


def _all_of(particles: Particles, suffixes: Sequence[str]) -> bool:
    return all(file.suffix.lower() in suffixes for file in particles.files)


def _tell_dark(job: _Job) -> None:
    if any(job.particles.dark):
        job.progress.message(
            f"density is dark in the stacks that {job.target} refers to: its column {IMAGE_SIGN} "
            "tells mapsort, and RELION does not know it; --copy writes the images with white "
            "density"
        )


def _make_room(job: _Job, outputs: list[Path], *, pixels: bool = True) -> None:
    """Refuse to overwrite what is read, and a disk that is too small."""
    for path in outputs:
        check_output(path, job.particles.source, *job.particles.files)
        refuse_to_overwrite(path, overwrite=job.options.overwrite)
    need = len(job.particles) * (4 * job.recipe.box**2 + 4096) if pixels else 0
    refuse_full_disk(outputs[0], need, what=f"{outputs[0]}: the images take")


def _convert_map(options: ConvertOptions) -> Converted:
    for name in ("where", "first", "random", "phaseflip", "normalize", "passthrough"):
        if getattr(options, name):
            raise ConfigError(f"--{name}: is for particles, and {options.source} is a map")
    source, target = options.source, options.target
    if target.suffix.lower() not in (*MRC_SUFFIXES, *HDF_SUFFIXES) or target.suffix == ".mrcs":
        raise ConfigError(f"{target}: a map is written as .mrc, .map or .hdf")
    check_output(target, source)
    refuse_to_overwrite(target, overwrite=options.overwrite)
    volume = Volume.open(source, apix=options.inputapix)
    apix = options.apix or volume.apix
    box = options.box or max(2, 2 * round(volume.box * volume.apix / apix / 2))
    if (box, apix) != (volume.box, volume.apix):
        volume = Volume(match_box(volume.data, volume.apix, box=box, target_apix=apix), apix)
    if options.invert:
        volume = Volume(-volume.data, volume.apix)
    with atomic_path(target) as part:
        volume.write(part, compressbits=options.compressbits)
    return Converted((target,), 0)
