"""What a single-map refinement will do, and what it decided by itself: for people."""

from __future__ import annotations

from pathlib import Path

from mapsort.options.refine import AUTO
from mapsort.options.types import MOST_ITERATIONS
from mapsort.refinement.choices import Choice, automatic_choices
from mapsort.refinement.memory_plan import memory_bytes
from mapsort.refinement.single_state import SingleRun
from mapsort.rundir.outputs import refuse_full_disk
from mapsort.rundir.wording import readable_size

#: Decisions of the multi-map refinement that this one takes otherwise.
_NOT_HERE = ("--orientgen", "--startres", "mask", "similarity matrix")
#: Rows of tables, poses and CTF of a particle, which stay in memory here.
_PARTICLE_BYTES = 800


def check_disk(run: SingleRun) -> None:
    """Refuse a refinement for which there is no room.

    Raises
    ------
    ConfigError
        Naming the directory, the need and what is free.
    """
    place = run.options.resume or run.options.path or Path()
    refuse_full_disk(place, disk_bytes(run), what=f"--path={place}: the refinement needs")


def disk_bytes(run: SingleRun) -> int:
    """Return the disk space of a refinement: six maps and two tables of poses an iteration."""
    volume = 4 * run.whole.plan.grid.box**3
    return run.options.n_iterations * (6 * volume + 1200 * run.n_particles)


def single_plan_lines(run: SingleRun) -> list[str]:
    """Return what would run, one fact a line."""
    plan, inputs, options = run.whole.plan, run.whole.inputs, run.options
    particles = inputs.particles
    need = memory_bytes(plan, len(particles)) | {"table": _PARTICLE_BYTES * len(particles)}
    ctf = "none" if inputs.ctf is None else ("phase-flipped" if plan.flipped else "applied")
    iterations = options.iter or f"until nothing moves, at most {MOST_ITERATIONS}"
    halves = " and ".join(str(len(half.inputs.particles)) for half in run.halves)
    return [
        f"particles: {inputs.halves.particles_in_words} of {plan.grid.box} px at "
        f"{inputs.apix:g} A/px from {particles.source}",
        f"halves: {halves} particles, apart from the start: own maps, own poses, random phases of "
        f"their own beyond {run.start_resolution_ang:.1f} A",
        f"CTF: {ctf}; contrast {'inverted' if options.invert else 'not inverted'}",
        *(f"note: {note}" for note in inputs.notes),
        f"map: {options.model}, symmetry {plan.symmetries[0].name}",
        f"shifts: up to {plan.max_shift:g} px; particle radius: {plan.sphere_radius:.1f} px",
        f"iterations: {iterations}; threads: {plan.n_threads}; random seed: {plan.seed}",
        f"memory: at most {readable_size(sum(need.values()))}; disk: up to "
        f"{readable_size(disk_bytes(run))}",
    ]


def single_choices(run: SingleRun) -> tuple[Choice, ...]:
    """Return the decisions that were left to the program."""
    options = run.options
    chosen = [
        choice
        for choice in automatic_choices(run.whole.options, run.whole.inputs, run.whole.plan)
        if choice.name not in _NOT_HERE
    ]
    if options.startres is None:
        reason = "a quarter of the particle's diameter: its shape, and no detail"
        if options.targetres is not None:
            reason = f"coarse enough beside --targetres {options.targetres:g} A"
        value = f"{run.start_resolution_ang:.1f} A"
        chosen.append(Choice("--startres", value, reason))
    if options.orientgen == AUTO:
        reason = "the step follows the resolution; then about the last poses only"
        chosen.append(Choice("--orientgen", "chosen in each iteration", reason))
    if options.bfactor == AUTO and options.m3dsetsf is None:
        reason = "fitted beyond 10 A where there are shells enough, else none"
        chosen.append(Choice("--bfactor", "chosen in each iteration", reason))
    if options.automask3d is None:
        reason = "a soft envelope about the mean map for the FSC, about each half's own for it"
        chosen.append(Choice("mask", "automatic", reason))
    return tuple(chosen)
