"""Open and check what a single-map refinement is given, and part the particles into halves."""

from __future__ import annotations

from dataclasses import replace

from mapsort.engines.progress import Progress
from mapsort.errors import ConfigError
from mapsort.model.half_sets import N_HALVES
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.modules.array_parameter import read_curve
from mapsort.options.refine import RefineOptions
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.refinement.single_seeds import half_run, half_seeds, sphere_of, start_resolution
from mapsort.refinement.single_state import SingleRun


def open_single(
    options: RefineOptions,
    progress: Progress,
    *,
    particles: Particles | None = None,
    volume: Volume | None = None,
) -> SingleRun:
    """Open and check everything, and part the particles into halves.

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
    whole = Run(request, inputs, plan, progress)
    resolution = start_resolution(options, inputs, plan)
    seeds = half_seeds(inputs.seeds[0], resolution, inputs.apix, seed=plan.seed)
    curve = None if options.m3dsetsf is None else read_curve(str(options.m3dsetsf))
    halves = tuple(half_run(whole, number, seed) for number, seed in enumerate(seeds))
    return SingleRun(options, whole, halves, resolution, curve)
