"""Open and check what a multi-map refinement is given, before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.array_types import Float32, Float64, Indices
from mapsort.engines.chunks import chunk_ranges, length, over_chunks
from mapsort.engines.progress import Progress
from mapsort.errors import ConfigError, FormatError
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star_tables import refuse_unwritable
from mapsort.model.half_sets import N_HALVES, HalfSets, dealt_out
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume, is_map
from mapsort.options.multi import MultiOptions
from mapsort.options.types import SMALLEST_BOX, InputMode
from mapsort.options.without_effect import options_without_effect
from mapsort.physics.ctf import ContrastTransfer
from mapsort.physics.resample import match_box
from mapsort.refinement.ctf_choice import are_flipped, chosen_ctf
from mapsort.refinement.finishing import given_structure_factor
from mapsort.refinement.focus import open_focus
from mapsort.refinement.given_maps import Steps, fitted_maps, largest_shift
from mapsort.refinement.starting_maps import first_maps, made_of_one
from mapsort.refinement.suspect_images import counting_bad
from mapsort.refinement.table_poses import table_poses
from mapsort.rundir.outputs import check_new_run, check_writable
from mapsort.rundir.scratch import KeptTable, Scratch
from mapsort.stages.prepare import ParticleTreatment

#: Column with the places of images.
IMAGE_NAME = "rlnImageName"


@dataclass(frozen=True)
class MultiInputs:
    """Particles and seeds of a run, checked as far as headers and tables tell.

    Attributes
    ----------
    seeds : tuple of ndarray (box, box, box)
        Starting maps at the particles' box and pixel size.
    ctf : ContrastTransfer or None
        None where no CTF is applied.
    files : tuple of Path
        Input files, for the record.
    halves : HalfSets
        Which half-set each particle is in, wherever the particles are parted in two.
    simmask : ndarray of shape (box, box), optional
        Mask that multiplies every projection in the comparison.
    flipped : bool
        Whether the images are phase-flipped.
    notes : tuple of str
        What the user should know of the particles, one line each.
    one_map : ndarray of shape (box, box, box), optional
        The map (``--model``) that the seeds were made of.
    focus : ndarray of shape (box, box, box), optional
        Mask of a focused classification (``--mask``); of several, each has a run of its own.
    poses : tuple of ndarray (n, 3, 3) and ndarray (n, 2), optional
        With ``--skipalign``: rotations and origins [pixels] of the input.
    filtered : Particles or None
        The same particles, filtered, that are compared and aligned in their place.
    table : KeptTable or None
        The particles' table, where ``particles`` does not hold it.
    moves : tuple of three int, or None, per map
        As of `mapsort.refinement.given_maps.GivenMaps`.
    contrast : str
        What a trial with some particles told of their contrast; empty before it.
    """

    particles: Particles
    seeds: tuple[Float32, ...]
    ctf: ContrastTransfer | None
    files: tuple[Path, ...]
    halves: HalfSets
    simmask: Float32 | None = None
    flipped: bool = False
    notes: tuple[str, ...] = ()
    one_map: Float32 | None = None
    focus: Float32 | None = None
    poses: tuple[Float64, Float64] | None = None
    filtered: Particles | None = None
    table: KeptTable | None = None
    moves: tuple[Steps | None, ...] = ()
    contrast: str = ""

    def in_scratch(self, scratch: Scratch) -> MultiInputs:
        """Return the same with everything that there is of each particle in a scratch.

        Names of images are made anew when they are needed.
        """
        return replace(
            self,
            particles=self.particles.without_table(scratch.placed),
            filtered=None if self.filtered is None else self.filtered.without_table(scratch.placed),
            ctf=scratch.with_arrays(self.ctf),
            poses=scratch.with_arrays(self.poses),
            halves=scratch.with_arrays(self.halves),
            table=KeptTable.of(self.particles.table, scratch, emptied=(IMAGE_NAME,)),
        )

    def only(self, chosen: Indices) -> MultiInputs:
        """Return the inputs with some of the particles.

        Half-sets among them are made anew: what is left of those of all may be one only.
        """
        particles = self.particles.subset(chosen)
        image, poses = particles.image_numbers(), self.poses
        return replace(
            self,
            particles=particles,
            halves=HalfSets(dealt_out(image), int(image.max(initial=-1)) + 1),
            filtered=None if self.filtered is None else self.filtered.subset(chosen),
            ctf=None if self.ctf is None else self.ctf[chosen],
            poses=None if poses is None else (poses[0][chosen], poses[1][chosen]),
            table=None if self.table is None else self.table.only(chosen),
        )

    def rows(self, where: slice) -> pd.DataFrame:
        """Return rows of the particles' table; names of images may be empty."""
        if self.table is None:
            return self.particles.table.iloc[where].reset_index(drop=True)
        return self.table.rows(where)

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """Return a column of numbers, or of text, of the particles' table, (n,)."""
        if self.table is None:
            return self.particles.table[name].to_numpy()
        return self.table.rows(slice(0, len(self.particles)), (name,))[name].to_numpy()

    @property
    def compared(self) -> Particles:
        """The particles that are compared with references: ``--usefilt``, else ``--input``."""
        return self.particles if self.filtered is None else self.filtered

    @property
    def apix(self) -> float:
        """Pixel size [A]."""
        return self.particles.apix


def open_particles(options: MultiOptions) -> Particles:
    """Open the particles of ``options.input``.

    Raises
    ------
    FormatError
        The file is missing, damaged or of a kind that cannot be used.
    ConfigError
        It is a map.
    """
    if is_map(options.input):
        raise ConfigError(f"--input={options.input}: is a map; give particles (maps: --models)")
    return Particles.open(
        options.input,
        apix=options.apix,
        datadir=options.datadir,
        passthrough=options.passthrough,
    )


def open_inputs(
    options: MultiOptions,
    *,
    particles: Particles | None = None,
    volumes: Sequence[Volume] | None = None,
) -> MultiInputs:
    """Open particles and maps and check them against each other and the options.

    Parameters
    ----------
    particles, volumes : optional
        Used in place of ``options.input`` and ``options.models`` (the Python API's objects).

    Raises
    ------
    FormatError
        A file is missing, damaged or of a kind that cannot be used.
    ConfigError
        An option does not fit the input.
    """
    if particles is None:
        particles = open_particles(options)
    particles = particles.downsampled(options.downsample)
    notes = (*options_without_effect(options), *particles.notes, *particles.validate())
    halves = particles.half_sets()
    notes += halves.notes
    _refuse_unfit(options, particles, halves)
    if volumes is None:
        volumes = first_maps(options, particles.box, particles.apix)
    _check_options(options, particles)
    if len(volumes) > halves.n_images:
        raise ConfigError(
            f"{len(volumes)} maps and {halves.particles_in_words} in {particles.source}: give at "
            "most as many maps as particles"
        )
    given_maps = fitted_maps(
        options,
        volumes,
        box=particles.box,
        apix=particles.apix,
        max_shift=largest_shift(options, particles.box),
    )
    seeds, notes = given_maps.maps, (*notes, *given_maps.notes)
    one = seeds[0] if options.model is not None else None
    if one is not None:
        seeds = made_of_one(options, one, particles.apix)
    for path, seed in zip(options.models, seeds, strict=True):
        if not np.any(seed):
            raise FormatError(f"{path}: no density inside the particles' box")
    mask = open_mask(options, particles)
    focus, doubts = open_focus(options, particles)
    filtered = _open_filtered(options, particles)
    files = _files(options, particles)
    return MultiInputs(
        particles,
        seeds,
        chosen_ctf(options.ctf, particles),
        files,
        halves,
        mask,
        flipped=are_flipped(options.ctf, particles),
        notes=(*notes, *doubts),
        one_map=one,
        focus=focus,
        poses=_given_poses(options, particles),
        filtered=filtered,
        moves=given_maps.moves,
    )


def _refuse_unfit(options: MultiOptions, particles: Particles, halves: HalfSets) -> None:
    """Refuse particles that no run with these options can use."""
    if options.halves and halves.n_images < N_HALVES:
        raise ConfigError(
            f"{particles.source}: holds {halves.particles_in_words} particle; --halves needs two "
            "distinct images"
        )
    refuse_unwritable(particles.source, particles.table)  # a run writes this table
    if particles.box < SMALLEST_BOX:
        raise FormatError(
            f"{particles.source}: images of {particles.box} pixels are too small; "
            f"at least {SMALLEST_BOX} are needed"
        )


def _files(options: MultiOptions, particles: Particles) -> tuple[Path, ...]:
    """Return the files that the run depends on, each once: an .hdf is a set and its own stack."""
    curve = given_structure_factor(options)
    given = [*options.passthrough, *options.models, *options.mask]
    given += [path for path in (options.simmask, options.usefilt, curve) if path is not None]
    files = (particles.source, *particles.files, *(path for path in given if path.exists()))
    return tuple(dict.fromkeys(files))


def _given_poses(options: MultiOptions, particles: Particles) -> tuple[Float64, Float64] | None:
    """Read the poses that ``--skipalign`` classifies with."""
    if not options.skipalign:
        return None
    source, table = particles.source, particles.table
    # origins of older tables are in pixels of the images as they are
    rotations, origins = table_poses(source, table, particles.stored_apix, purpose="--skipalign")
    return rotations, origins * (particles.box / particles.stored_box)


def _open_filtered(options: MultiOptions, particles: Particles) -> Particles | None:
    """Open ``--usefilt`` and hold it against the particles."""
    if options.usefilt is None:
        return None
    filtered = Particles.open(options.usefilt, apix=particles.stored_apix, datadir=options.datadir)
    filtered.validate()
    if (len(filtered), filtered.box) != (len(particles), particles.stored_box):
        raise ConfigError(
            f"--usefilt={options.usefilt}: holds {len(filtered)} images of {filtered.box} pixels; "
            f"the same {len(particles)} of {particles.stored_box} as in {particles.source} are "
            "needed"
        )
    return filtered.downsampled(options.downsample)


def open_mask(options: MultiOptions, particles: Particles) -> Float32 | None:
    """Read ``--simmask`` at the box of these particles.

    Raises
    ------
    ConfigError, FormatError
        It is no single image of that size, or zero everywhere.
    """
    if options.simmask is None:
        return None
    stack, box = MrcStack(options.simmask), particles.stored_box
    if stack.n_images != 1 or stack.box != (box, box):
        raise ConfigError(
            f"--simmask={options.simmask}: holds {stack.n_images} image(s) of {stack.box[1]} x "
            f"{stack.box[0]} pixels; one of {box} x {box}, the particles' box, is needed"
        )
    mask: Float32 = stack.read([0])[0]
    if not mask.any():
        raise ConfigError(f"--simmask={options.simmask}: is zero everywhere")
    return match_box(mask, 1.0, box=particles.box, target_apix=box / particles.box)


def _check_options(options: MultiOptions, particles: Particles) -> None:
    box, apix = particles.box, particles.apix
    if options.maxshift is not None and options.maxshift >= box / 2:
        raise ConfigError(
            f"--maxshift={options.maxshift:g}: must be below half the box ({box / 2:g} pixels)"
        )
    if options.pad and options.pad < int(np.ceil(1.25 * box)):
        raise ConfigError(
            f"--pad={options.pad}: is in pixels and must be at least 1.25 x box "
            f"({int(np.ceil(1.25 * box))}), or 0"
        )
    if options.targetres is not None and options.targetres < 2 * apix:
        raise ConfigError(
            f"--targetres={options.targetres:g}: must be at least {2 * apix:g} A, twice the pixel "
            f"size of {particles.source}"
        )
    helical = [name for name in options.sym if name.strip().lower().startswith("h")]
    if helical and (options.skipalign or options.inputmode is InputMode.PARTICLES):
        asked = "--skipalign" if options.skipalign else "--inputmode=particles"
        raise ConfigError(f"--sym={helical[0]}: {asked} takes point groups, no helices")
    if options.resume is None:
        check_new_run(options.path)
    else:
        check_writable(options.resume, f"--resume={options.resume}")


def scan_images(
    particles: Particles,
    treatment: ParticleTreatment,
    chunk: int,
    progress: Progress,
    n_threads: int,
    *,
    look: Callable[[slice, Float32], None] | None = None,
) -> Float32:
    """Read every image once, refusing unusable ones; return the mean power of each shell.

    Parameters
    ----------
    chunk : int
        Particles that are read together.
    look : callable, optional
        Is given the rows of each chunk, and its images.

    Returns
    -------
    ndarray of shape (box//2 + 1,)
        Mean |X|^2 of the treated images: noise and what there is of signal.

    Raises
    ------
    FormatError
        Images are constant or hold NaN or infinite pixels; the message names the first ones and
        counts all.
    """
    n = len(particles)
    total = np.zeros(particles.box // 2 + 1)
    progress.start("read particles", n, iteration=0, n_iterations=0)

    def powers(where: slice, raw: Float32) -> Float32:
        if look is not None:
            look(where, raw)
        return np.asarray(treatment.shell_powers(raw, n_threads=n_threads).sum(axis=0))

    ranges = chunk_ranges(n, chunk)
    found = over_chunks(particles.images, powers, ranges)
    for where, power in counting_bad(particles, found, ranges):
        total += power
        progress.advance(length(where))
    progress.finish(f"{n} particles")
    return (total / n).astype(np.float32)
