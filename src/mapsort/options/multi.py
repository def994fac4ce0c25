"""Every option of a multi-map refinement: the one table the command line is built from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self, TypeVar

from mapsort.engines.resources import usable_cores
from mapsort.errors import ConfigError
from mapsort.options.fields import Options, per_map, refuse
from mapsort.options.maps import AverageOptions, ReconstructionOptions
from mapsort.options.refinement import ContinuedOptions, GeneralOptions, RefinementOptions
from mapsort.options.search import ClassificationOptions, ComparisonOptions, ProjectionOptions
from mapsort.options.types import (
    ALL_PARTICLES,
    LEAST_BATCH,
    Assignment,
    InputMode,
    SeedMethod,
)
from mapsort.rundir.wording import counted

#: Comparators that score any pose, not only those of projections (`stages.local_search`).
POSE_COMPARATORS = ("loglik", "ccc", "sqeuclidean")

#: Stands in ``models`` for each map that is made of the particles.
MADE_OF_PARTICLES = Path("(made of the particles)")

_Multi = TypeVar("_Multi", bound="MultiOptions")


class MultiOptions(
    RefinementOptions,
    ProjectionOptions,
    ComparisonOptions,
    ClassificationOptions,
    AverageOptions,
    ReconstructionOptions,
    GeneralOptions,
    ContinuedOptions,
):
    """Options of ``mapsort multi``; each field's metadata holds its help, group and values."""

    def validated(self) -> Self:
        """Return self, with a path for each map, after the checks that need no files."""
        return _with_models(super().validated())

    def _check(self) -> None:
        super()._check()
        self = _with_models(self)
        per_map("sym", self.sym, len(self.models))
        if self.mass:
            per_map("mass", self.mass, len(self.models))
        _check_relaxation(self)
        _check_resolution(self)
        _check_own_poses(self)
        _check_halves(self)
        _check_averager(self)
        _check_made_maps(self)
        _check_regions(self)
        _check_components(self)
        _check_batch(self)

    @property
    def map_suffix(self) -> str:
        """Ending of the maps' file names."""
        return f".{self.format.value}"

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Symmetry of each map."""
        return per_map("sym", self.sym, len(self.models))

    @property
    def imposed(self) -> tuple[str, ...]:
        """Symmetry that each map is reconstructed with."""
        return ("c1",) * len(self.models) if self.breaksym else self.symmetries

    @property
    def searched(self) -> tuple[str, ...]:
        """Symmetry of each map at whose copies poses are searched: it is nearly true at least."""
        return per_map("relax", self.relax, len(self.models)) if self.relax else self.symmetries

    @property
    def weighs_copies(self) -> bool:
        """Whether each particle is scored at all copies of its best pose with each map."""
        return bool(self.relax or self.breaksym) and _scores_any_pose(self)

    @property
    def masses(self) -> tuple[float, ...] | None:
        """Mass of each map [kDa], or None when maps are not scaled to a mass."""
        return per_map("mass", self.mass, len(self.models)) if self.mass else None

    @property
    def finds_classes(self) -> bool:
        """Whether classes are found from one map before maps and poses are refined."""
        if self.model is None:
            return False
        if self.seedmethod is SeedMethod.AUTO:
            return why_not_components(self) is None
        return self.seedmethod is SeedMethod.COMPONENTS

    @property
    def takes_batches(self) -> bool:
        """Whether batches of particles may improve the starting maps, by searching their poses."""
        begins_with_all = self.skipalign or self.halves or self.inputmode is InputMode.PARTICLES
        return not (self.finds_classes or self.splits_at_random or begins_with_all)

    @property
    def splits_at_random(self) -> bool:
        """Whether the first iteration puts particles into maps at random."""
        return self.model is not None and self.seedmethod is SeedMethod.RANDOM_CLASSES

    @property
    def judges_anew(self) -> bool:
        """Whether particles of a converged run are judged by maps that were made without them."""
        given = self.iter is None and len(self.models) > 1 and not self.finds_classes
        # halves are to share nothing; another comparator is what the user wants classes of
        alike = not self.halves and self.simcmp.partition(":")[0] == "loglik"
        return given and alike and why_not_components(self) is None

    @property
    def makes_maps(self) -> bool:
        """Whether starting maps are made of the particles, because none is given."""
        return self.models[:1] == (MADE_OF_PARTICLES,)

    @property
    def junk_sets(self) -> int:
        """Number of sets of junk beside the maps; auto is one where classes are found."""
        return int(self.finds_classes) if self.junk is None else self.junk

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the options are taken; one line each."""
        notes = []
        scratch = self.workers.ignored_scratch
        if scratch is not None:
            notes.append(
                f"--parallel={self.parallel}: the scratch directory {scratch} is not needed here"
            )
        usable = usable_cores()
        if self.n_threads > usable:
            notes.append(
                f"{self.n_threads} threads are more than the {counted(usable, 'core')} that this "
                "process may use; fewer are faster"
            )
        if self.makes_maps:
            notes.append(
                f"no starting map is given: {counted(len(self.models), 'map')} will be made of the "
                "particles first"
            )
        # With one map and --nmodels auto, the number of classes is not known yet.
        if len(self.models) == 1 and (self.model is None or self.nmodels is not None):
            notes.append(
                "there is one map, so nothing is classified; give two or more by --models, or "
                "--model FILE --nmodels K"
            )
        return tuple(notes)


def as_in_multi(options: Options, *own: str) -> dict[str, Any]:
    """Return the values of options that ``multi`` has too, but those of a meaning of their own."""
    known = {item.name for item in dataclasses.fields(MultiOptions)} - set(own)
    names = [item.name for item in dataclasses.fields(options) if item.name in known]
    return {name: getattr(options, name) for name in names}


def _with_models(options: _Multi) -> _Multi:
    """Return the options with a path for each map, ``--model`` repeated as often as asked for."""
    if options.model is None:
        made = (MADE_OF_PARTICLES,) * (options.nmodels or 1)
        if options.models in ((), made):
            return dataclasses.replace(options, models=made)
        for name in ("nmodels", "seedmethod"):
            # A run that was begun with them goes on as it was begun.
            given = getattr(options, name) != getattr(MultiOptions, name)
            if given and options.resume is None:
                raise ConfigError(
                    f"--{name}: says how maps are made of --model, and --models gives every map; "
                    "give --model or leave it out"
                )
        return options
    made = (options.model,) * (options.nmodels or 1)
    if options.models not in ((), made):
        raise ConfigError("--models and --model: give one of them")
    return dataclasses.replace(options, models=made)


def why_not_components(options: MultiOptions) -> str | None:
    """Return why classes cannot be found by components of the particles' volume, or None."""
    if options.nmodels == 1:
        return "there is one class"
    if options.sep > 1:
        return f"--sep {options.sep} asks for several references of each particle"
    names = {name.strip().lower() for name in options.sym}
    if len(names) > 1:
        return f"--sym {','.join(options.sym)}: components have one symmetry"
    if any(name.startswith("h") for name in names):
        return f"--sym {options.sym[0]}: components take point groups, no helices"
    if options.breaksym or options.relax:
        asked = "--breaksym" if options.breaksym else "--relax"
        return f"{asked} asks for maps without the symmetry that the poses have"
    return None


def _check_components(options: MultiOptions) -> None:
    reason = why_not_components(options)
    if options.seedmethod is SeedMethod.COMPONENTS and reason is not None:
        raise ConfigError(f"--seedmethod={options.seedmethod.value}: {reason}")
    if options.nmodels is None and not options.finds_classes:
        reason = reason or f"--seedmethod {options.seedmethod.value} finds no classes"
        raise ConfigError(f"--nmodels=auto: {reason}; give a number")


def _check_regions(options: MultiOptions) -> None:
    """Check what cannot go with several regions, whose classes are sought at given poses."""
    if len(options.mask) < 2:
        return
    asked = f"--mask: {len(options.mask)} regions"
    if len(options.models) == 1 and options.nmodels is not None:
        raise ConfigError(f"{asked} and one map: nothing is classified; give --nmodels from 2")
    names = {name.strip().lower() for name in options.imposed}
    if len(names) > 1 or any(name.startswith("h") for name in names):
        raise ConfigError(
            f"{asked} take one point group; --sym={','.join(options.sym)} is another thing"
        )


def _check_batch(options: MultiOptions) -> None:
    least = LEAST_BATCH * len(options.models)
    if options.batch not in (None, ALL_PARTICLES) and options.batch < least:
        words = f"at least {least}: maps of fewer than {LEAST_BATCH} particles each draw all to one"
        raise refuse("batch", options.batch, words)


def _check_made_maps(options: MultiOptions) -> None:
    """Check what cannot go without a starting map."""
    if not options.makes_maps:
        return
    why = "--models is missing: give maps A,B,..., or one map by --model"
    if options.seedmethod is not SeedMethod.AUTO:
        raise ConfigError(f"{why}: --seedmethod={options.seedmethod.value} makes maps of one")
    if options.nmodels is None:
        raise ConfigError(f"{why}: --nmodels=auto finds classes from one map")
    if options.mask:
        raise ConfigError(f"{why}: --mask lies in the frame of a map")
    if options.skipalign:
        raise ConfigError(
            f"{why}: mapsort reconstruct makes one with the poses that --skipalign takes"
        )
    names = {name.strip().lower() for name in options.symmetries}
    if len(names) > 1 or any(name.startswith("h") for name in names):
        asked = ",".join(options.sym)
        raise ConfigError(f"{why}: with --sym {asked} none are made; one point group is taken")


def _check_relaxation(options: MultiOptions) -> None:
    if not (options.breaksym or options.relax):
        return
    if options.breaksym and options.relax:
        raise ConfigError(
            "--breaksym and --relax: give one of them; --breaksym --sym=G is --relax=G --sym=c1"
        )
    broken = options.breaksym
    asked = "--breaksym" if broken else f"--relax={','.join(options.relax)}"
    searched = [name.strip().lower() for name in options.searched]
    if searched == [name.strip().lower() for name in options.imposed]:
        words = "names no symmetry to break; give one, for example c4"
        if options.relax:
            words = "is the same; give the part of it that is true, for example c1"
        raise ConfigError(f"{asked}: --sym {words}")
    if any(name.startswith("h") for name in (*searched, *options.imposed)):
        raise ConfigError(f"{asked}: takes point groups{' in --sym' if broken else ''}, no helices")


def _scores_any_pose(options: MultiOptions) -> bool:
    """Whether the comparator scores poses that are not those of projections."""
    kind = options.simcmp.partition(":")[0]
    return kind in POSE_COMPARATORS and options.simmask is None


def _check_own_poses(options: MultiOptions) -> None:
    """Check what cannot go with poses that are not those of the projections."""
    particles = options.inputmode is InputMode.PARTICLES
    regions = len(options.mask) > 1
    if not (particles or options.skipalign or options.relax or regions):
        return
    asked = "--relax" if options.relax else "--mask of several regions"
    asked = "--inputmode=particles" if particles else asked
    asked = "--skipalign" if options.skipalign else asked
    if options.simmask is not None:
        raise ConfigError(f"--simmask: masks projections, which {asked} does not compare with")
    if options.sep > len(options.models):
        words = f"at most {len(options.models)}, the number of maps, with {asked}"
        raise refuse("sep", options.sep, words)
    kind = options.simcmp.partition(":")[0]
    if kind not in POSE_COMPARATORS:
        known = ", ".join(POSE_COMPARATORS)
        raise ConfigError(f"--simcmp={options.simcmp}: {asked} takes {known}")
    averages_only = (
        ("m3diter", options.m3diter, 1, "chooses among class averages"),
        ("m3dpreprocess", options.m3dpreprocess, "none", "processes class averages"),
    )
    for name, value, off, does in averages_only:
        if particles and value != off:
            raise ConfigError(
                f"--{name}={value}: {does}; with --inputmode=particles maps are not made of them"
            )


def _check_halves(options: MultiOptions) -> None:
    """Refuse to align members with averages that hold both halves of the particles."""
    if not options.halves:
        return
    aligned = (
        ("classiter", options.classiter, 0),
        ("classalign", options.classalign, "auto"),
        ("classaligncmp", options.classaligncmp, "auto"),
        ("classralign", options.classralign, "refine"),
        ("classraligncmp", options.classraligncmp, "auto"),
    )
    for name, value, off in aligned:
        if value != off:
            raise ConfigError(
                f"--{name}={value}: aligns members with images of both halves, which --halves "
                f"keeps apart; leave it at {off}"
            )


def _check_resolution(options: MultiOptions) -> None:
    if options.targetres is None or options.apix is None:
        return
    if options.targetres < 2 * options.apix:
        words = f"at least {2 * options.apix:g} A, twice the pixel size"
        raise refuse("targetres", options.targetres, words)


def _check_averager(options: MultiOptions) -> None:
    from mapsort.stages.average.weighting import takes_weights

    if options.assign is Assignment.SOFT and not takes_weights(options.classaverager):
        raise refuse(
            "classaverager",
            options.classaverager,
            "an averager of weighted images with --assign soft",
        )
