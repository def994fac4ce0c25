"""After the run: the particles as sets, one per map, for what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.array_types import Bool, Float32, Int64
from mapsort.engines.chunks import chunk_length, chunk_ranges, read_ahead
from mapsort.errors import ConfigError, FormatError
from mapsort.io.cryosparc import UID
from mapsort.io.cryosparc_fields import Columns
from mapsort.io.hdf import count
from mapsort.io.lst import can_keep, write_list
from mapsort.io.mrc import write_stack
from mapsort.io.optics import IMAGE_SIGN
from mapsort.io.star import write_particles
from mapsort.jobs.cryosparc_sets import GROUP_SUFFIX, original_fields, write_cryosparc_set
from mapsort.jobs.finished_run import FinishedRun, open_finished, options_after
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.stack_links import stacks_for_relion
from mapsort.model.half_sets import ORIGINAL
from mapsort.model.particles import Particles
from mapsort.options.after_run import BY_MAP, SplitOptions, parse_ranges
from mapsort.options.fields import takes_options
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.matrices import Members, read_members
from mapsort.rundir.result_record import ResultRecord, ResultTable, write_result
from mapsort.rundir.set_counts import (
    COUNTING,
    POSTERIOR,
    USED,
    SetCounts,
    junk_name,
    percentages,
)
from mapsort.runfiles.tables import image_names, seen_from_here

REJECTED, UNSURE = "rejected", "unsure"
_SUFFIXES = _STAR, _LST, _STACK, _CS, _CSG = (".star", ".lst", ".mrcs", ".cs", GROUP_SUFFIX)


@dataclass(frozen=True)
class ParticleSet:
    """One set of particles.

    Attributes
    ----------
    name : str
        ``m1`` and so on for maps, ``junk``, ``junk2`` and so on for junk, ``classes_A-B`` and
        ``classes_other`` for a range, ``rejected`` and ``unsure`` for what was left out.
    particles : ndarray of int64
        Positions in the run's particle table, from 0, ascending.
    star, lst, stack, cs : Path or None
        Its files; None for an empty set, for a stack that was not asked for, for a list that
        cannot keep the images' names, and for a ``.cs`` of particles that came from no ``.cs``.
    """

    name: str
    particles: Int64
    star: Path | None = None
    lst: Path | None = None
    stack: Path | None = None
    cs: Path | None = None

    def __len__(self) -> int:
        return len(self.particles)


@dataclass(frozen=True)
class Split:
    """A finished split: every particle is in exactly one set.

    Attributes
    ----------
    path : Path
        Directory of the sets.
    iteration : int
        Iteration whose assignment was used.
    n_particles : int
        Particles of the run, of copies the one that stays: the sum over all sets.
    sets : tuple of ParticleSet
    rule : str
        How particles were assigned, in words.
    counts : SetCounts
        Of the run's iteration, to tell each set from what its map was made of.
    """

    path: Path
    iteration: int
    n_particles: int
    sets: tuple[ParticleSet, ...]
    rule: str
    counts: SetCounts

    def __getitem__(self, name: str) -> ParticleSet:
        return next(item for item in self.sets if item.name == name)


@takes_options(SplitOptions)
def split(run: str | Path | MultiRun, **options: Any) -> Split:
    """Write the particles of a run as sets (the Python face of ``mapsort split``).

    Parameters
    ----------
    run : str, Path or MultiRun
        A run directory or the run itself.
    **options
        Options of ``mapsort split`` by name: ``iter``, ``by``, ``exclude_rejected``, ``min_prob``,
        ``unique``, ``stack``, ``out``.

    Raises
    ------
    ConfigError
        An option is wrong.
    FormatError
        The run directory lacks what is needed, or a file of it is damaged.
    """
    return split_run(options_after(SplitOptions, run, options))


def split_run(options: SplitOptions) -> Split:
    """Write the particles of a run as sets: see `split`.

    Sets of an earlier split under the same names are replaced. Each set becomes a RELION
    ``.star``, an EMAN2 ``.lst``, where particles came from cryoSPARC a ``.cs`` with its ``.csg``
    and, if asked for, a stack. Images are named by their original
    files, as seen from the working directory.
    """
    finished = open_finished(options.run[0])
    iteration = finished.iteration(options.iter)
    particles = Particles.open(finished.directory.particles(iteration))
    members = _members(finished, options, iteration, len(particles))
    sets = _sets(finished, options, particles, members, iteration)
    assert sum(map(len, sets)) == len(particles), "every particle is in exactly one set"
    if options.unique:
        kept = _surest_copies(particles)
        sets = [replace(s, particles=s.particles[kept[s.particles]]) for s in sets]
    original = _original(finished, particles)
    directory = options.out if options.out is not None else finished.directory.path / "sets"
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{_input_name(finished)}_{finished.label}_it{iteration:02d}"
    _remove_earlier(directory, stem, {*(item.name for item in sets), REJECTED, UNSURE})
    written = tuple(
        _for_cryosparc(
            _write(item, particles, directory / f"{stem}_{item.name}", stack=options.stack),
            particles,
            original,
        )
        for item in sets
    )
    rule = _rule(options, finished.n_junk)
    if any(item.star is not None and item.lst is None for item in written):
        rule += f"; no {_LST} is written: EMAN2's lists cannot keep blanks in the images' names"
    counts = SetCounts.of_entry(finished.entry(iteration))
    made = Split(directory, iteration, sum(map(len, written)), written, rule, counts)
    write_result(finished.directory.path, "1_split", _record(made))
    return made


def _remove_earlier(directory: Path, stem: str, names: set[str]) -> None:
    """Remove what an earlier split left under these names: sets beside each other add up."""
    for name in names:
        for suffix in _SUFFIXES:
            (directory / f"{stem}_{name}{suffix}").unlink(missing_ok=True)


def _input_name(finished: FinishedRun) -> str:
    return Path(str(finished.manifest.options["input"])).stem


def _members(
    finished: FinishedRun, options: SplitOptions, iteration: int, n: int
) -> Members | None:
    """Read the classes; None where the run has not kept them and nothing asks for them."""
    path = finished.directory.cls_result(iteration)
    if not path.exists():
        needed = "--exclude-rejected" if options.exclude_rejected else f"--by={options.by}"
        if options.exclude_rejected or options.by != BY_MAP:
            raise FormatError(f"{path}: the run has not kept this file, which {needed} needs.")
        return None
    found = read_members(path, classify=finished.directory.classify(iteration))
    if len(found.class_of) != n:
        raise FormatError(
            f"{path}: {len(found.class_of)} particles, but "
            f"{finished.directory.particles(iteration)} has {n}."
        )
    return found


def _sets(
    finished: FinishedRun,
    options: SplitOptions,
    particles: Particles,
    members: Members | None,
    iteration: int,
) -> list[ParticleSet]:
    """Return the sets; what is left out by a filter forms sets of its own."""
    table = particles.table
    number = table["rlnClassNumber"].to_numpy(dtype=np.int64)
    highest = finished.n_models + finished.n_junk
    if number.min() < 1 or number.max() > highest:
        raise FormatError(f"{particles.source}: rlnClassNumber must lie between 1 and {highest}.")
    # Who is in each set; the last one that a particle is in counts.
    inside: dict[str, Bool] = {}
    if options.by == BY_MAP:
        inside |= {f"m{model}": number == model for model in range(1, finished.n_models + 1)}
    else:
        assert members is not None, "_members() refuses a range without classes"
        chosen = _in_ranges(options.by, members, finished, iteration)
        inside[f"classes_{options.by.replace(',', '_').replace(' ', '')}"] = chosen
        inside["classes_other"] = ~chosen
    # Junk is in no class, so that no filter of classes concerns it.
    kind = number - finished.n_models
    inside |= {junk_name(k): kind == k for k in range(1, finished.n_junk + 1)}
    if options.min_prob is not None:
        probability = table["rlnMaxValueProbDistribution"].to_numpy(dtype=np.float64)
        inside[UNSURE] = (kind <= 0) & (probability < options.min_prob)
    if options.exclude_rejected:
        assert members is not None, "_members() refuses this without the matrix"
        inside[REJECTED] = (kind <= 0) & members.kept_out[:, 0]
    place = np.zeros(len(number), dtype=np.int64)
    for order, these in enumerate(inside.values()):
        place[these] = order
    return [ParticleSet(name, np.flatnonzero(place == i)) for i, name in enumerate(inside)]


def _surest_copies(particles: Particles) -> Bool:
    """Return which particles stay where each image does once, (n,)."""
    image = particles.image_numbers()
    probability = particles.table["rlnMaxValueProbDistribution"].to_numpy(dtype=np.float64)
    likelihood = particles.table["rlnLogLikeliContribution"].to_numpy(dtype=np.float64)
    # of equal ones, which many are as sure as can be, the more likely, then the first
    order = np.lexsort((-likelihood, -probability, image))
    kept = np.zeros(len(image), dtype=bool)
    kept[order[np.flatnonzero(np.diff(image[order], prepend=-1))]] = True
    return kept


def _in_ranges(by: str, members: Members, finished: FinishedRun, iteration: int) -> Bool:
    """Return which particles' best class lies in one of the ranges."""
    ranges = parse_ranges(by)
    path = finished.directory.classes(iteration)
    n_classes = count(path) if path.exists() else int(members.class_of.max()) + 1
    highest = max(last for _, last in ranges)
    if highest >= n_classes:
        raise ConfigError(f"--by={by}: {path} holds classes 0 to {n_classes - 1}")
    best = members.class_of[:, 0]
    return np.asarray(np.any([(best >= first) & (best <= last) for first, last in ranges], axis=0))


def _rule(options: SplitOptions, n_junk: int) -> str:
    what = "3-D class" if options.by == BY_MAP else "projection class"
    words = f"each particle is assigned to the {what} it matches best"
    if n_junk:
        names = ", ".join(junk_name(kind) for kind in range(1, n_junk + 1))
        words += f"; junk is apart in {names}"
    if options.exclude_rejected:
        words += f"; those kept out of their class average are in the set {REJECTED}"
    if options.min_prob is not None:
        words += f"; those with a probability below {options.min_prob:g} are in the set {UNSURE}"
    if options.unique:
        words += "; of the copies of an image only the surest is written"
    return words


def _write(item: ParticleSet, particles: Particles, stem: Path, *, stack: bool) -> ParticleSet:
    """Write one set's files; an empty set has none, because no program reads an empty file."""
    if not len(item):
        return item
    chosen = particles.subset(item.particles)
    star, lst = (stem.with_name(stem.name + suffix) for suffix in (_STAR, _LST))
    names = image_names(replace(chosen, files=tuple(stacks_for_relion(star, chosen))))
    table = chosen.table.assign(rlnImageName=names)
    seen = seen_from_here(chosen.files)
    listed = all(map(can_keep, seen))
    if listed:
        in_list = [seen[owner] for owner in chosen.file_of]
        with atomic_path(lst) as part:
            write_list(part, chosen.index_in_file.tolist(), in_list)
    images = stem.with_name(stem.name + _STACK) if stack else None
    if images is not None:
        with atomic_path(images) as part:
            write_stack(part, _chunks(chosen), chosen.apix)
        (new,) = seen_from_here([images])
        # Density is white in the images as they are written.
        table = table.drop(columns=IMAGE_SIGN, errors="ignore")
        table["rlnImageName"] = [f"{number:06d}@{new}" for number in range(1, len(item) + 1)]
        if ORIGINAL not in table:  # else these are parts of images already
            table[ORIGINAL] = names
    write_particles(star, chosen.optics, table)
    return replace(item, star=star, lst=lst if listed else None, stack=images)


def _original(finished: FinishedRun, particles: Particles) -> Columns | None:
    """Return what the run's ``.cs`` files say of its particles, as far as they are still there."""
    recorded = {Path(item.path).name: Path(item.path) for item in finished.manifest.inputs}
    options = finished.manifest.options
    given = [options["input"], *(options.get("passthrough") or ())]
    source, *passthrough = (recorded.get(Path(str(name)).name, Path(str(name))) for name in given)
    if not all(path.exists() for path in (source, *passthrough)):
        return None
    return original_fields(source, passthrough, particles)


def _for_cryosparc(
    item: ParticleSet, particles: Particles, original: Columns | None
) -> ParticleSet:
    """Write a set for cryoSPARC, too, if its particles came from there."""
    if item.star is None or UID not in particles.table:
        return item
    rows = item.particles
    kept = None if original is None else {name: values[rows] for name, values in original.items()}
    chosen = particles.subset(rows)
    path, _ = write_cryosparc_set(item.star.with_suffix(_CS), chosen, kept, new_poses=True)
    return replace(item, cs=path)


def _chunks(particles: Particles) -> Iterator[Float32]:
    ranges = chunk_ranges(len(particles), chunk_length(4 * particles.box**2))
    for _, images in read_ahead(particles.images, ranges):
        yield images


def _record(made: Split) -> ResultRecord:
    counts = made.counts
    shares = percentages([len(item) for item in made.sets])
    share = {item.name: value for item, value in zip(made.sets, shares, strict=True)}
    of_map = {
        f"m{number}": both
        for number, both in enumerate(
            zip(counts.posterior or (), counts.used or (), strict=True), start=1
        )
    }
    table = ResultTable.of(
        "Sets",
        made.sets,
        {
            "set": lambda item: item.name,
            "particles": len,
            "occupancy [%]": lambda item: share[item.name],
            f"its map: {POSTERIOR}": lambda item: of_map.get(item.name, (None, None))[0],
            f"its map: {USED}": lambda item: of_map.get(item.name, (None, None))[1],
            "file": lambda item: str(item.star or "–"),
        },
    )
    return ResultRecord(
        title="Particle sets",
        summary=(
            f"Sets from iteration {made.iteration}: {made.rule}. "
            f"Together they hold all {made.n_particles} particles. {COUNTING}",
        ),
        tables=(table,),
    )
