"""Two starting maps from one, independent beyond a resolution: one for each half-set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapsort.engines.progress import warn
from mapsort.errors import ConfigError
from mapsort.model.half_sets import N_HALVES
from mapsort.options.refine import RefineOptions
from mapsort.physics.filters import apply_radial_curve, tanh_lowpass
from mapsort.physics.phase_randomisation import randomise_phases
from mapsort.refinement.contrast import tried_contrast
from mapsort.refinement.copied_images import Fingerprints
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.iteration import prepare_seeds, scanned
from mapsort.refinement.part_of_run import part_of
from mapsort.refinement.plan import MultiPlan
from mapsort.refinement.run import Run
from mapsort.refinement.single_state import HalfState, SingleRun, SingleState
from mapsort.stages.fourier_grid import Float32

#: The starting map resolves this many parts along the particle's diameter.
PARTS = 4.0
#: It has at least this many shells, whatever the particle's size.
LEAST_SHELLS = 4
#: Decay of the starting maps' low-pass about their end, relative to it.
_DECAY = 0.2
#: Draws of random numbers are told apart by these.
_SEEDS = 1


def start_resolution(options: RefineOptions, inputs: MultiInputs, plan: MultiPlan) -> float:
    """Return the resolution [A] up to which the starting map is used.

    Raises
    ------
    ConfigError
        ``--startres`` leaves nothing of the map, or all of it.

    Notes
    -----
    From the target as in EMAN2: 1.2 times it above 20 A, 1.5 times above 12 A, else twice.
    """
    box, apix = inputs.particles.box, inputs.apix
    finest, coarsest = 2.5 * apix, box * apix / LEAST_SHELLS
    if options.startres is not None:
        if not finest <= options.startres <= coarsest:
            raise ConfigError(
                f"--startres={options.startres:g}: takes {finest:g} (beyond is nothing left to "
                f"make independent) to {coarsest:g} A ({LEAST_SHELLS} Fourier shells)"
            )
        return options.startres
    if options.targetres is not None:
        target = options.targetres
        wanted = target * (1.2 if target > 20.0 else 1.5 if target > 12.0 else 2.0)
    else:
        wanted = 2.0 * plan.sphere_radius * apix / PARTS
    return float(np.clip(wanted, finest, coarsest))


def sphere_of(diameter_ang: float, inputs: MultiInputs) -> float:
    """Return the radius [pixels] of the sphere about the map, as ``--diameter`` says.

    Raises
    ------
    ConfigError
        The box does not hold it.
    """
    largest = 0.5 * inputs.particles.box - 2.0
    radius = 0.5 * diameter_ang / inputs.apix
    if radius > largest:
        raise ConfigError(
            f"--diameter={diameter_ang:g}: takes up to {2 * largest * inputs.apix:g} A, what the "
            f"box of {inputs.particles.box} px holds"
        )
    return radius


def half_seeds(
    volume: Float32, resolution_ang: float, apix: float, *, seed: int
) -> tuple[Float32, ...]:
    """Return one starting map for each half-set.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
    resolution_ang : float
        Beyond it phases are random, drawn for each half by itself.
    apix : float
        Pixel size [A].
    seed : int

    Returns
    -------
    tuple of ndarray (box, box, box)
        Low-passed about the same resolution: random terms are no use in a comparison, but what the
        low-pass leaves of them cannot bring the halves together.
    """
    cutoff = apix / resolution_ang
    frequency = np.arange(len(volume) // 2 + 1) / len(volume)
    lowpass = tanh_lowpass(frequency, cutoff=cutoff, fall_off=_DECAY)
    made = []
    for half in range(N_HALVES):
        rng = np.random.default_rng([seed, _SEEDS, half])
        turned = randomise_phases(volume, cutoff=cutoff, rng=rng)
        made.append(apply_radial_curve(turned, lowpass))
    return tuple(made)


def half_run(whole: Run, half: int, seed_map: Float32) -> Run:
    """Return the run of a half-set, with a starting map of its own."""
    part = part_of(whole, np.flatnonzero(whole.inputs.halves.half == half))
    return replace(part, inputs=replace(part.inputs, seeds=(seed_map,)))


def read_halves(run: SingleRun) -> SingleRun:
    """Read every image once, refusing unusable ones; each half learns its own mean spectrum.

    Images of any half that are copies of others under another name are noted, and particles that
    are dark where the map is white.
    """
    whole, prints = run.whole, Fingerprints(run.n_particles)

    def read(number: int) -> Run:
        rows = run.rows(number)
        return scanned(run.halves[number], look=lambda where, raw: prints.add(rows[where], raw))

    halves = tuple(read(number) for number in range(N_HALVES))
    found = prints.copies_in_words(whole.inputs.particles)
    contrast = tried_contrast(halves[0])
    found += (contrast.note,) if contrast.note else ()
    for note in found:
        warn(whole.progress, note)
    notes = whole.inputs.notes + found
    inputs = replace(whole.inputs, notes=notes, contrast=contrast.finding)
    return replace(run, whole=replace(whole, inputs=inputs), halves=halves)


def prepare_halves(run: SingleRun) -> SingleState:
    """Return the first state: each half's seed on the scale of its own particles."""
    halves = []
    for half in run.halves:
        state = prepare_seeds(half, half.seen.averaged)
        halves.append(HalfState(state.references[0], state.noise_power, None))
    mean = np.asarray(0.5 * (halves[0].reference + halves[1].reference), np.float32)
    return SingleState(0, tuple(halves), run.start_resolution_ang, False, mean)
