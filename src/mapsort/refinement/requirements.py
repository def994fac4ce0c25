"""What a run needs of memory and disk, and what it will do, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapsort.refinement.memory_plan import (
    FULL_SIMILARITY_BYTES,
    REPORT_BYTES,
    item_bytes,
    memory_bytes,
    scratch_bytes,
    similarity_bytes,
)
from mapsort.refinement.option_needs import option_disk, option_memory
from mapsort.refinement.plan import MultiPlan
from mapsort.refinement.run import Run
from mapsort.rundir.outputs import free_bytes
from mapsort.rundir.wording import readable_size

#: Poses of a particle of independent half-sets: where the search begins and arrives.
_POSES_BYTES = 800


def disk_bytes(plan: MultiPlan, n_particles: int, n_iterations: int) -> int:
    """Return the disk space a run needs."""
    box = plan.grid.box
    per_iteration = (
        2 * len(plan.references) * (4 * box * box + 4096)
        + (5 if plan.halves else 3) * plan.n_models * 4 * box**3
        + 600 * n_particles
    )
    similarity = similarity_bytes(plan, n_particles)
    per_iteration += similarity if similarity <= FULL_SIMILARITY_BYTES else 0
    results = n_iterations * per_iteration + plan.n_models * 4 * box**3
    return results + scratch_bytes(plan, n_particles)


def run_memory(run: Run) -> dict[str, int]:
    """Return the memory that a run needs, by purpose."""
    options, plan, n_particles = run.options, run.plan, len(run.inputs.particles)
    memory = memory_bytes(plan, n_particles)
    memory |= option_memory(options, plan, n_particles)
    if run.independent is not None:
        memory["poses"] = _POSES_BYTES * n_particles
    if not options.no_report:
        memory["report"] = REPORT_BYTES + 3 * 4 * plan.grid.box**3
    return memory


def run_disk(run: Run) -> int:
    """Return the disk space that a run needs."""
    options, plan, n_particles = run.options, run.plan, len(run.inputs.particles)
    n = options.n_iterations
    if run.independent is not None:
        return n * (9 * 4 * plan.grid.box**3 + 1200 * n_particles)
    added = option_disk(options, plan, n_particles)
    return disk_bytes(plan, n_particles, n) + n * added


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
    if options.breaksym:
        models.append(f"symmetry broken: {', '.join(options.symmetries)} searched in full")
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
        f"{particles.source}",
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
