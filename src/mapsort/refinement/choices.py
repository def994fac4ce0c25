"""What a run decided by itself, and why: for the manifest, and so for the report."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import scipy.fft

from mapsort.model.half_sets import SUBSET
from mapsort.options.multi import MultiOptions, why_not_components
from mapsort.options.types import NARROW_FROM_SPEED, Assignment, CtfHandling, SeedMethod
from mapsort.refinement.batches import LARGEST, PER_MAP, batch_sizes
from mapsort.refinement.classification import SETTLED, why_hard
from mapsort.refinement.half_maps import joined_resolution_ang, start_resolution_ang
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.memory_plan import FULL_SIMILARITY_BYTES, similarity_bytes
from mapsort.refinement.plan import TARGET_MARGIN, MultiPlan
from mapsort.rundir.wording import readable_size

#: Pixels [A] that are small enough to tell structures apart: maps of classes of weak particles
#: hardly reach twice that.
ENOUGH_PIXEL_ANG = 2.6
#: Part of the box that a smaller one may have at most to be worth a word.
CLEARLY_SMALLER = 0.75


@dataclass(frozen=True)
class Choice:
    """One automatic decision."""

    #: What was decided, an option's name where there is one.
    name: str
    #: The decision.
    value: str
    #: Why, in one sentence.
    reason: str

    def as_record(self) -> dict[str, str]:
        """Return it as plain JSON types."""
        return asdict(self)


def automatic_choices(
    options: MultiOptions, inputs: MultiInputs, plan: MultiPlan
) -> tuple[Choice, ...]:
    """Return the decisions that were left to the program, those of the user's left out."""
    return (
        *_particle_choices(options, inputs),
        *_search_choices(options, inputs, plan),
        *_start_choices(options),
        *_batch_choices(options, len(inputs.particles)),
        *_assignment_choices(options),
        *_map_choices(options, inputs, plan),
        _similarity_choice(options, plan, len(inputs.particles)),
        *_machine_choices(options, plan),
    )


def _particle_choices(options: MultiOptions, inputs: MultiInputs) -> list[Choice]:
    source = inputs.particles.source
    chosen = []
    if options.apix is None:
        stored = inputs.particles.stored_apix
        chosen.append(Choice("--apix", f"{stored:g} A/px", f"as {source} states"))
    if (words := of_smaller_box(options, inputs)) is not None:
        chosen.append(Choice("--downsample", "images as they are", words))
    if options.ctf is CtfHandling.AUTO:
        if inputs.ctf is None:
            reason = f"{source} holds no CTF parameters"
            chosen.append(Choice("--ctf", "none", reason))
        else:
            reason = f"{source} holds defocus values, so projections are compared with each CTF"
            chosen.append(Choice("--ctf", "apply", reason))
    if inputs.contrast:
        value = "inverted" if options.invert else "as it is"
        chosen.append(Choice("contrast", value, inputs.contrast))
    return [*chosen, _half_set_choice(inputs)]


def of_smaller_box(options: MultiOptions, inputs: MultiInputs) -> str | None:
    """Return what to know of a clearly smaller box that is enough to tell structures apart.

    It is as large as fast transforms are and has pixels of up to `ENOUGH_PIXEL_ANG`, or as
    ``--targetres`` needs them.
    """
    if options.downsample is not None:
        return None
    field, pixel = inputs.particles.box * inputs.apix, ENOUGH_PIXEL_ANG
    if options.targetres is not None:
        pixel = min(pixel, 0.5 * options.targetres / TARGET_MARGIN)
    box = 2 * scipy.fft.next_fast_len(math.ceil(0.5 * field / pixel))
    if box > CLEARLY_SMALLER * inputs.particles.box:
        return None
    return f"--downsample {box} keeps all that is coarser than {2 * field / box:.1f} A"


def _half_set_choice(inputs: MultiInputs) -> Choice:
    halves = inputs.halves
    value = " and ".join(map(str, halves.counts)) + " particles"
    if halves.given:
        return Choice("half-sets", value, f"as {SUBSET} of {inputs.particles.source} says")
    reason = "images alternate between them"
    if halves.has_copies:
        n = len(halves.half)
        reason += f"; the {n} particles are copies of {halves.n_images} images, kept together"
    return Choice("half-sets", value, reason)


def _search_choices(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> list[Choice]:
    box = inputs.particles.box
    chosen = []
    if options.orientgen == "auto":
        aim = f"a box of {box} px"
        if options.targetres is not None:
            aim = f"--targetres {options.targetres:g} A"
        reason = f"the angular step that suits {aim} at --speed {options.speed}"
        chosen.append(Choice("--orientgen", plan.orientgen, reason))
    if options.targetres is None:
        chosen.append(
            Choice(
                "highest frequency compared",
                "chosen in each iteration",
                "no --targetres: as far as the maps hold signal above the particles' noise",
            )
        )
    if options.maxshift is None:
        chosen.append(
            Choice("--maxshift", f"{plan.max_shift:g} px", f"an eighth of the {box} px box")
        )
    return chosen


def _start_choices(options: MultiOptions) -> list[Choice]:
    if options.makes_maps:
        how = "no map is given; random starts, the likeliest for held-out particles"
        return [Choice("--models", "made of the particles", how)]
    if options.model is None or options.nmodels == 1:
        return []
    reason = why_not_components(options)
    chosen = []
    if options.nmodels is None:
        how = "as many as tell particles apart that had no part in finding them"
        chosen.append(Choice("--nmodels", "found with the classes", how))
    if options.seedmethod is SeedMethod.AUTO:
        how = "classes in which each particle is judged by maps made without it are kept"
        value = "pca" if reason is None else "noise"
        chosen.append(Choice("--seedmethod", value, how if reason is None else reason))
    if options.junk is None and options.finds_classes:
        told = "where classes are found, junk is told by its brightness and put apart"
        chosen.append(Choice("--junk", "1", told))
    return chosen


def _batch_choices(options: MultiOptions, n: int) -> list[Choice]:
    if options.batch is not None or not options.takes_batches:
        return []
    sizes = batch_sizes(options, n)
    if sizes:
        reason = "starting maps get better on some of the particles, and all need fewer iterations"
        value = f"{' and '.join(map(str, sizes))} particles before all"
        return [Choice("--batch", value, reason)]
    least = math.ceil(PER_MAP * len(options.models) / LARGEST)
    few = f"{n} particles are fewer than the {least} from which batches save time"
    asked = f"--iter {options.iter} asks for iterations of all"
    return [Choice("--batch", "all", few if options.iter is None else asked)]


def _assignment_choices(options: MultiOptions) -> list[Choice]:
    if options.assign is not Assignment.AUTO:
        return []
    reason = why_hard(options)
    if reason is not None:
        return [Choice("--assign", "hard", reason)]
    reason = (
        f"best matches separate maps quickly; once at most {SETTLED:.0%} of the particles change "
        "class, their probabilities make better maps"
    )
    return [Choice("--assign", "hard, then soft", reason)]


def _map_choices(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> list[Choice]:
    box = inputs.particles.box
    chosen = [
        Choice(
            "particle radius",
            f"{plan.sphere_radius:.1f} px radius",
            "the smallest that holds every starting map's density, and a margin",
        )
    ]
    if options.startres is None:
        # Not a fixed resolution: what a map of a small particle has is all beyond 40 A.
        reason = "a low-pass could take what tells the maps apart; a note names maps of fine detail"
        chosen.append(Choice("--startres", "maps as they are", reason))
    if options.pad == 0:
        value = f"{plan.map_grid.padded} px"
        times = f"{plan.map_grid.scale:.3g} times the {box} px box"
        chosen.append(Choice("--pad", value, times))
    if options.automask3d is None:
        chosen.append(
            Choice(
                "mask",
                "one for all maps",
                "the union of soft envelopes about all maps: no map gains by a mask of its own",
            )
        )
    if options.halves:
        start = start_resolution_ang(options, inputs.apix)
        joined = joined_resolution_ang(options, inputs.apix)
        chosen += [
            Choice(
                "starting maps of the halves",
                f"their own beyond {start:g} A",
                "phases are random there, so that nothing finer is common to the halves",
            ),
            Choice(
                "halves of a map",
                f"share what is coarser than {joined:g} A",
                "this holds both in one place, and in one state",
            ),
        ]
    return chosen


def _machine_choices(options: MultiOptions, plan: MultiPlan) -> list[Choice]:
    chosen = []
    if options.randomseed is None:
        reason = "drawn by chance; give it again for the same assignments"
        chosen.append(Choice("--randomseed", str(plan.seed), reason))
    if not options.parallel:
        value, reason = f"thread:{plan.n_threads}", "the cores that this process may use"
        chosen.append(Choice("--parallel", value, reason))
    return chosen


def _similarity_choice(options: MultiOptions, plan: MultiPlan, n_particles: int) -> Choice:
    need, limit = similarity_bytes(plan, n_particles), readable_size(FULL_SIMILARITY_BYTES)
    name, best = "similarity matrix", "best matches of each particle only"
    if need > FULL_SIMILARITY_BYTES:
        reason = f"the full matrix would take {readable_size(need)} an iteration, above {limit}"
        return Choice(name, best, reason)
    if options.speed >= NARROW_FROM_SPEED:
        reason = f"after the first iteration --speed {options.speed} does not search everywhere"
        return Choice(name, f"full, then {best}", reason)
    reason = (
        f"it takes {readable_size(need)} an iteration, not above {limit}; {best} where weak "
        "particles that stand still are searched near their last poses"
    )
    return Choice(name, "full", reason)
