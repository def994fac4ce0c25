"""Where independent half-sets begin: inputs opened, images read, a starting map for each half."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapsort.array_types import Float32
from mapsort.engines.progress import Progress, warn
from mapsort.errors import ConfigError
from mapsort.model.half_sets import N_HALVES
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.modules.parameter import read_curve
from mapsort.options.refine import RefineOptions
from mapsort.physics.filters import apply_radial_curve, randomise_phases, tanh_lowpass
from mapsort.refinement.contrast import tried_contrast
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import MultiInputs, open_inputs
from mapsort.refinement.iteration import prepare_seeds, scanned
from mapsort.refinement.plan import MultiPlan, resolve
from mapsort.refinement.run import IndependentHalves, ParticleSpectra, Run
from mapsort.refinement.state import State
from mapsort.refinement.suspect_images import Fingerprints

#: The starting map resolves this many parts along the particle's diameter.
PARTS = 4.0
#: It has at least this many shells, whatever the particle's size.
LEAST_SHELLS = 4
#: Decay of the starting maps' low-pass about their end, relative to it.
_DECAY = 0.2
#: Draws of random numbers are told apart by these.
_SEEDS = 1


def open_halves(
    options: RefineOptions,
    progress: Progress,
    *,
    particles: Particles | None = None,
    volume: Volume | None = None,
) -> Run:
    """Open and check everything.

    Raises
    ------
    FormatError, ConfigError
        What is wrong with the request or its input.
    """
    request = options.as_multi()
    volumes = None if volume is None else [volume]
    inputs = open_inputs(request, particles=particles, volumes=volumes)
    if inputs.halves.n_images < N_HALVES:
        raise ConfigError(
            f"{inputs.particles.source}: holds {inputs.halves.particles_in_words} particle; halves "
            "need two distinct images"
        )
    plan = resolve(request, inputs)
    if options.diameter is not None:
        plan = replace(plan, sphere_radius=sphere_of(options.diameter, inputs))
    resolution = start_resolution(options, inputs, plan)
    curve = None if options.m3dsetsf is None else read_curve(str(options.m3dsetsf))
    policy = IndependentHalves(options, resolution, curve)
    return Run(request, inputs, plan, Execution(progress), policy)


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


def _half_runs(run: Run) -> list[Run]:
    """Return a run of each half-set alone, with a starting map of its own."""
    whole, made = run.inputs, []
    resolution = run.policy.start_resolution_ang
    seeds = half_seeds(whole.seeds[0], resolution, whole.apix, seed=run.plan.seed)
    for part, seed in enumerate(seeds):
        inputs = replace(whole.only(np.flatnonzero(whole.halves.half == part)), seeds=(seed,))
        made.append(replace(run, inputs=inputs, spectra_seen=None, part_name=f"-half{part}"))
    return made


def looked_through(run: Run) -> Run:
    """Read every image once, refusing unusable ones; each half learns its own mean spectrum.

    Images of any half that are copies of others under another name are noted, and particles that
    are dark where the map is white.
    """
    prints = Fingerprints(len(run.inputs.particles))

    def read(part: int, half: Run) -> Run:
        rows = run.of_part(part, N_HALVES).numbers
        return scanned(half, look=lambda where, raw: prints.add(rows[where], raw))

    halves = [read(part, half) for part, half in enumerate(_half_runs(run))]
    found = prints.copies_in_words(run.inputs.particles)
    contrast = tried_contrast(halves[0])
    found += (contrast.note,) if contrast.note else ()
    for note in found:
        warn(run.execution.progress, note)
    inputs = replace(run.inputs, notes=run.inputs.notes + found, contrast=contrast.finding)
    averaged, compared = (
        np.stack([getattr(half.seen, name) for half in halves]) for name in ("averaged", "compared")
    )
    return replace(run, inputs=inputs, spectra_seen=ParticleSpectra(averaged, compared))


def prepare_halves(run: Run) -> State:
    """Return the first state: each half's seed on the scale of its own particles."""
    even, odd = (
        prepare_seeds(half, run.seen.of_part(part).averaged)
        for part, half in enumerate(_half_runs(run))
    )
    mean = np.asarray(0.5 * (even.references[0] + odd.references[0]), np.float32)
    return State(
        0,
        (mean,),
        np.stack([even.noise_power, odd.noise_power]),
        None,
        halves=(even.references, odd.references),
        resolution_ang=run.policy.start_resolution_ang,
    )
