"""Options that another one leaves without effect: told before a run, which goes on without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mapsort.options.fields import flag_of
from mapsort.options.types import NARROW_FROM_SPEED, Assignment, InputMode

if TYPE_CHECKING:
    from mapsort.options.multi import MultiOptions

_AUTO = "auto"
#: Suffixes of particle files that name no other files.
_OWN_IMAGES = (".mrc", ".mrcs")


@dataclass(frozen=True)
class WithoutEffect:
    """Options that do nothing under a condition."""

    #: The options' fields.
    names: tuple[str, ...]
    #: Whether the condition holds.
    holds: Callable[[MultiOptions], bool]
    #: Why they do nothing, for the user; ends in what to do where that is not plain.
    words: str


def _members_aligned(options: MultiOptions) -> bool:
    """Whether members of classes are aligned anew, by the search's own settings."""
    by = (options.classalign, options.classaligncmp, options.classraligncmp)
    return (
        options.classiter > 0
        or any(value != _AUTO for value in by)
        or options.classralign != "refine"
    )


def _aligner(options: MultiOptions) -> str:
    return options.simalign.partition(":")[0].strip()


#: Every option that another one can leave without effect.
WITHOUT_EFFECT = (
    WithoutEffect(
        ("maxshift", "simaligncmp"),
        lambda options: options.skipalign and not _members_aligned(options),
        "says how poses are searched, and --skipalign searches none",
    ),
    WithoutEffect(
        ("twostage", "shrink", "simalign", "simralign", "simraligncmp"),
        lambda options: options.skipalign,
        "says how poses are searched, and --skipalign searches none",
    ),
    WithoutEffect(
        ("maxshift",),
        lambda options: _aligner(options) in ("rotational", "rotate_flip"),
        "the aligner of --simalign searches no shifts",
    ),
    WithoutEffect(
        ("twostage",),
        lambda options: (
            _aligner(options) in ("rtf_exhaustive", "rtf_slow_exhaustive") and not options.skipalign
        ),
        "leaves out references, and --simalign asks for an exhaustive search; give one of them",
    ),
    WithoutEffect(
        ("twostage",),
        lambda options: options.speed >= NARROW_FROM_SPEED and not options.skipalign,
        f"serves the first iteration only: from --speed {NARROW_FROM_SPEED} on, later ones search "
        "near the last poses",
    ),
    WithoutEffect(
        ("simraligncmp",),
        lambda options: options.simralign == "none" and not options.skipalign,
        "says how poses are refined, and --simralign none refines none",
    ),
    WithoutEffect(
        ("speed",),
        lambda options: options.orientgen != _AUTO and options.speed < NARROW_FROM_SPEED,
        "sets the angular step, which --orientgen gives",
    ),
    WithoutEffect(
        ("sep",),
        lambda options: options.assign is Assignment.SOFT,
        "--assign soft shares each particle among all references by their probability",
    ),
    WithoutEffect(
        ("junk",),
        lambda options: options.iter == 1 and not options.finds_classes,
        "junk is told from the second iteration on, and --iter 1 makes one",
    ),
    WithoutEffect(
        ("classautomask",),
        lambda options: options.classiter == 0,
        "masks class averages that members are aligned with; --classiter 1 aligns them",
    ),
    WithoutEffect(
        ("classcmp",),
        lambda options: options.classkeep == 1 and not options.classkeepsig,
        "chooses the members that are averaged, and --classkeep 1 keeps all",
    ),
    WithoutEffect(
        ("m3dkeep", "m3dkeepsig"),
        lambda options: options.m3diter < 2,
        "chooses among class averages from --m3diter 2 on",
    ),
    WithoutEffect(
        ("classrefsf",),
        lambda options: options.inputmode is InputMode.PARTICLES,
        "filters class averages, and maps are not made of them with --inputmode particles",
    ),
    WithoutEffect(
        ("starts",),
        lambda options: len(options.models) == 1,
        "tries several divisions into classes, and there is one map",
    ),
    WithoutEffect(
        ("replicates",),
        lambda options: len(options.models) == 1,
        "divides into classes again, and there is one map",
    ),
    WithoutEffect(
        ("control",),
        lambda options: len(options.models) == 1 and options.nmodels is not None,
        "asks whether one structure is divided, too, and there is one map",
    ),
    WithoutEffect(
        ("starts",),
        lambda options: options.finds_classes,
        "tries several divisions into classes, and --seedmethod pca does so by itself",
    ),
    WithoutEffect(
        ("batch",),
        lambda options: options.finds_classes,
        "improves starting maps, and --seedmethod pca finds classes of all particles first",
    ),
    WithoutEffect(
        ("batch",),
        lambda options: options.skipalign or options.halves or options.splits_at_random,
        "improves starting maps, and --skipalign, --halves and --seedmethod randclassify begin "
        "with all particles",
    ),
    WithoutEffect(
        ("batch",),
        lambda options: options.inputmode is InputMode.PARTICLES,
        "improves starting maps, and --inputmode particles begins with all particles",
    ),
    WithoutEffect(
        ("datadir",),
        lambda options: options.input.suffix.lower() in _OWN_IMAGES and options.usefilt is None,
        "says where the images are that a table names, and --input is a stack",
    ),
)


def options_without_effect(options: MultiOptions) -> tuple[str, ...]:
    """Return one line for each option that is given and does nothing."""
    return tuple(
        f"{flag_of(name)}: {row.words}"
        for row in WITHOUT_EFFECT
        if row.holds(options)
        for name in row.names
        if getattr(options, name) != getattr(type(options), name)
    )
