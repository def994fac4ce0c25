"""What a run needs of memory and disk, and what it will do, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapsort.geometry.nearest_views import VIEWS_AT_ONCE
from mapsort.geometry.symmetry import symmetry
from mapsort.model.particles import Particles
from mapsort.modules.comparator import search_comparator
from mapsort.options.multi import MultiOptions
from mapsort.options.types import InputMode, KeptFiles
from mapsort.physics.map_symmetry import check_symmetry
from mapsort.refinement.focus import mask_warning
from mapsort.refinement.memory_plan import (
    FULL_SIMILARITY_BYTES,
    REPORT_BYTES,
    item_bytes,
    memory_bytes,
    scratch_bytes,
    similarity_bytes,
)
from mapsort.refinement.plan import MultiPlan
from mapsort.refinement.poses import MOST_COPIES
from mapsort.refinement.run import Run
from mapsort.rundir.outputs import free_bytes
from mapsort.rundir.wording import readable_size
from mapsort.stages.average.weighting import GROUP_BYTES, Weighting, weighting_of
from mapsort.stages.components.folds import N_FOLDS
from mapsort.stages.components.found_classes import MOST_COMPONENTS
from mapsort.stages.components.memory import search_bytes
from mapsort.stages.search.narrowing import NEIGHBOURS
from mapsort.stages.search.two_stage import LEAST_REFERENCES, n_clusters

#: Poses of a particle of independent half-sets: where the search begins and arrives.
_POSES_BYTES = 800
#: Bytes of a pair in a similarity matrix in memory, and images of one in a file.
_PAIR_BYTES, _MATRIX_IMAGES = 20, 6
#: Bytes of a pose beside a match: model, rotation, origin and score, and two copies in work.
_POSE_BYTES = 3 * 96

#: Correlation from which a map's copies are equal but for interpolation.
EQUAL_COPIES = 0.995


def _results_bytes(run: Run) -> int:
    """Return the disk space a run needs that does not keep halves apart.

    Of the files between the maps those of two iterations are there at a time, if not all stay.
    """
    options, plan, n_particles = run.options, run.plan, len(run.inputs.particles)
    box, n = plan.grid.box, options.n_iterations
    similarity = similarity_bytes(plan, n_particles)
    between = 2 * len(plan.references) * (4 * box * box + 4096)
    between += similarity if similarity <= FULL_SIMILARITY_BYTES else 0
    between += _option_disk(options, plan, n_particles)
    maps = (5 if plan.halves else 3) * plan.n_models * 4 * box**3
    held = n if options.keepfiles is KeptFiles.ALL else min(n, 2)
    results = n * (maps + 600 * n_particles) + held * between + plan.n_models * 4 * box**3
    return results + scratch_bytes(plan, n_particles)


def _option_memory(options: MultiOptions, plan: MultiPlan, n_particles: int) -> dict[str, int]:
    """Return the memory that options add, by purpose."""
    box, n_references = plan.grid.box, len(plan.references)
    image, plane = 4 * box * box, 12 * box * (box // 2 + 1)
    need = {}
    if not options.skipalign:
        mates = max(len(group.matrices) for group in plan.symmetries)
        need["neighbours"] = _neighbour_bytes(n_references, mates)
        need["neighbours"] += 2 * 12 * NEIGHBOURS * plan.n_models * min(plan.chunk, n_particles)
    if plan.band is not None:
        # of classes whose number is to be found there are hardly more than components
        n_classes = MOST_COMPONENTS if options.nmodels is None else plan.n_models
        need["search for classes"] = search_bytes(
            n_particles,
            plan.band,
            plan.band.rings,
            n_classes=n_classes,
            n_components=min(n_classes + 2, MOST_COMPONENTS),
            n_folds=N_FOLDS,
        )
    by_pixels = search_comparator(options.simcmp)[1] is not None
    if by_pixels or options.prefilt or options.classiter or options.classcmp != "auto":
        need["reference images"] = 3 * n_references * image
    if options.twostage and n_references >= LEAST_REFERENCES:
        pairs = n_references**2 + n_clusters(n_references) * n_particles
        need["clusters"] = 2 * _PAIR_BYTES * pairs + 2 * n_references * image
    if options.skipalign or options.inputmode is InputMode.PARTICLES or plan.copies is not None:
        columns = max(plan.refined, 0 if plan.copies is None else MOST_COPIES)
        need["poses"] = _POSE_BYTES * columns * plan.n_models * n_particles
    weighting = weighting_of(options.classaverager)
    if weighting is Weighting.SUM:
        need["second averages"] = 2 * n_references * plane
    elif weighting is Weighting.BY_MEMBER:
        largest = min(3 * GROUP_BYTES, 12 * n_particles * box * box)
        need["second averages"] = 2 * n_references * plane + largest
    return need


def _neighbour_bytes(n_references: int, mates: int) -> int:
    """Return what the table of neighbours takes with the tree and one block of its answers."""
    tree = 2 * mates * n_references * 64
    answers = min(VIEWS_AT_ONCE, n_references) * 2 * NEIGHBOURS * 64
    return 4 * NEIGHBOURS * n_references + tree + answers


def _option_disk(options: MultiOptions, plan: MultiPlan, n_particles: int) -> int:
    """Return the disk space that options add in each iteration [bytes]."""
    n_references = len(plan.references)
    if not options.twostage or n_references < LEAST_REFERENCES:
        return 0
    count = n_clusters(n_references)
    pairs = n_references**2 + count * n_particles
    return _MATRIX_IMAGES * 4 * pairs + count * (4 * plan.grid.box**2 + 4096)


def run_memory(run: Run) -> dict[str, int]:
    """Return the memory that a run needs, by purpose."""
    options, plan, n_particles = run.options, run.plan, len(run.inputs.particles)
    memory = memory_bytes(plan, n_particles)
    memory |= _option_memory(options, plan, n_particles)
    if run.independent is not None:
        memory["poses"] = _POSES_BYTES * n_particles
    if not options.no_report:
        memory["report"] = REPORT_BYTES + 3 * 4 * plan.grid.box**3
    return memory


def run_disk(run: Run) -> int:
    """Return the disk space that a run needs."""
    options, n_particles = run.options, len(run.inputs.particles)
    box, n = run.plan.grid.box, options.n_iterations
    if run.independent is not None:
        return n * (9 * 4 * box**3 + 1200 * n_particles)
    need = _results_bytes(run)
    return 2 * need + 4 * n_particles * box**2 if options.control else need


def _stored(particles: Particles) -> str:
    """Return how large images are in their stacks, where that is not how they are read."""
    if particles.stored_box == particles.box:
        return ""
    return f", where they are {particles.stored_box} px at {particles.stored_apix:g} A/px"


def plan_lines(run: Run, command: str) -> list[str]:
    """Return what would run, one fact a line."""
    options, inputs, plan = run.options, run.inputs, run.plan
    particles, box = inputs.particles, plan.grid.box
    memory = run_memory(run)
    counts = np.bincount(plan.references.model, minlength=plan.n_models)
    models: list[str] = [
        f"map {number}: {path}, symmetry {group.name}, {count} projections"
        for number, (path, group, count) in enumerate(
            zip(options.models, plan.symmetries, counts, strict=True), start=1
        )
    ]
    if options.searched != options.imposed:
        weighed = "weighed at every copy" if options.weighs_copies else "not weighed by copies"
        models.append(
            f"symmetry relaxed: {', '.join(options.searched)} searched in full, poses {weighed}"
        )
    if run.request is not None:
        models += [
            f"region {number}: {mask}, classes of its own at the poses of map 1"
            for number, mask in enumerate(run.request.mask, start=1)
        ]
    if run.independent is not None:
        models.append(
            f"halves: {' and '.join(map(str, inputs.halves.counts))} particles, apart from the "
            "start: own maps, own poses, random phases of their own beyond "
            f"{run.independent.start_resolution_ang:.1f} A"
        )
    ctf = "none" if inputs.ctf is None else ("phase-flipped" if plan.flipped else "applied")
    iterations = options.iter or f"until converged, at most {options.n_iterations}"
    return [
        f"particles: {inputs.halves.particles_in_words} of {box} px at {inputs.apix:g} A/px from "
        f"{particles.source}{_stored(particles)}",
        f"CTF: {ctf}; contrast {'inverted' if options.invert else 'not inverted'}",
        *(f"note: {note}" for note in inputs.notes),
        *models,
        f"orientations: {plan.orientgen}"
        + ("" if run.independent is None else " at first, then as the resolution asks for"),
        f"shifts: up to {plan.max_shift:g} px; particle radius: {plan.sphere_radius:.1f} px",
        f"iterations: {iterations}; threads: {plan.n_threads}; random seed: {plan.seed}",
        f"memory: {readable_size(sum(memory.values()))} ("
        + ", ".join(f"{name} {readable_size(size)}" for name, size in memory.items() if size)
        + ")",
        *(_memory_per_item(plan) if options.verbose else ()),
        f"disk: {readable_size(run_disk(run))} in {options.path or f'the next free {command}_XX'} "
        f"({readable_size(free_bytes(options.path or Path()))} free)",
    ]


def _memory_per_item(plan: MultiPlan) -> list[str]:
    sizes = (f"{name} {readable_size(size)}" for name, size in item_bytes(plan).items())
    return [f"memory per item: {', '.join(sizes)}"]


def symmetry_warnings(run: Run) -> list[str]:
    """Return a line for every starting map that disagrees with its symmetry, or should.

    A symmetry about other axes than the map's smears it out, and of equal copies (``--relax``)
    every particle takes the one that its noise fits; the refinement would not complain.
    """
    options, inputs, lines = run.options, run.inputs, []
    if options.makes_maps:
        # what stands for them is no map
        return []
    asked = "--relax" if options.relax else "--sym"
    relaxed = zip(options.searched, options.imposed, strict=True)
    for path, seed, (name, part) in zip(options.models, inputs.seeds, relaxed, strict=True):
        finding = check_symmetry(seed, symmetry(name), apix=inputs.apix)
        # what is relaxed agrees in part: only that it does better elsewhere is wrong
        if not finding.agrees and (name == part or finding.setting):
            lines.append(f"{asked}={name}: {path} {finding}")
        elif name != part and finding.agreement > EQUAL_COPIES:
            lines.append(
                f"{asked}={name}: {path} agrees with its symmetry copies to "
                f"{finding.agreement:.3f}: where nothing tells them apart, particles choose among "
                "them by their noise; begin with a map in which the difference shows"
            )
    if inputs.focus is not None:
        groups = {name: symmetry(name) for name in options.imposed}
        found = [mask_warning(options, inputs.focus, g, inputs.apix) for g in groups.values()]
        lines += [line for line in found if line is not None]
    return lines
