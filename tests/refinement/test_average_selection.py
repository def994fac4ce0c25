"""Selection of class averages in a run: planted noise is found among a run's own averages."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.jobs.simulate import simulate
from mapsort.model.class_averages import ClassAverages
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.fsc import fsc
from mapsort.physics.masks import inscribed_sphere
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs, scan_images
from mapsort.refinement.iteration import iterate, prepare_seeds
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.refinement.solving import solved
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.reconstruct.class_reconstruction import AverageSelection, MapSlices


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """One map's class averages from an iteration on 1,200 particles of the phantom."""
    out = tmp_path_factory.mktemp("averaged")
    made = simulate(
        SimulateOptions(phantom=1, out=out, n=1200, box=40, apix=3.2, snr=0.2, seed=8, seedres=20.0)
    )
    options = typed_options(
        MultiOptions,
        {
            "input": made.particles,
            "models": made.seeds,
            "orientgen": "eman:delta=15",
            "randomseed": 1,
            "parallel": "thread:1",
        },
    ).validated()
    inputs = open_inputs(options)
    plan = resolve(options, inputs)
    run = Run(options, inputs, plan, Execution())
    power = scan_images(
        inputs.particles, plan.treatment, plan.chunk, run.execution.progress, plan.n_threads
    )
    outcome = iterate(run, prepare_seeds(run, power))
    slices = MapSlices(
        outcome.averaged.averages,
        plan.references.rotations,
        plan.symmetries[0],
        plan.map_grid,
        inputs.apix,
    )
    return run, slices


def with_noise(slices, planted, seed):
    """Replace averages by white noise of the same power in each half."""
    rng = np.random.default_rng(seed)
    numerator = slices.averages.numerator.copy()
    density = slices.averages.density
    box = slices.averages.box
    for half in range(2):
        for index in planted:
            image = rng.standard_normal((1, box, box)).astype(np.float32)
            noise = centred_transform(image)[0] * np.sqrt(density[half, index])
            old = numerator[half, index]
            # a half may hold no particle of the class
            level = np.linalg.norm(old) / max(float(np.linalg.norm(noise)), 1e-30)
            numerator[half, index] = noise * level
    averages = ClassAverages(numerator, density, slices.averages.count)
    return MapSlices(averages, slices.rotations, slices.symmetry, slices.grid, slices.apix)


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_planted_among_a_run_s_averages_is_left_out(averaged, seed):
    """A tenth of the averages replaced; ``--m3dkeep 0.8`` rejects at least 95 % of them."""
    run, slices = averaged
    used = np.flatnonzero(slices.averages.count > 0)
    planted = np.random.default_rng(seed).choice(used, len(used) // 10, replace=False)
    noisy = with_noise(slices, planted, seed)
    _, rejected = noisy.selected(AverageSelection(0.8, False, 2), run.sphere)
    assert len(rejected) == len(used) - int(np.ceil(0.8 * len(used)))
    assert np.isin(planted, rejected).mean() >= 0.95


def test_a_map_of_its_band_has_the_terms_of_the_whole_map(averaged):
    """Solved on a coarser box of the same extent, a map differs at the band's end only."""
    run, slices = averaged
    whole, coarse = (sum_of_halves(part.half_equations()) for part in (slices, slices.within(13.0)))
    assert (whole.box, coarse.box) == (40, 28)
    ratio = np.full(21, 0.3)
    ratio[12:] = 1e4
    expected = solved(run, whole, noise_to_signal=ratio)
    found = solved(run, coarse, noise_to_signal=ratio)
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert difference < 0.01
    assert np.all(fsc(found, expected)[1:11] > 0.995)


def sum_of_halves(parts):
    return parts[0] + parts[1]


def test_slices_that_fit_no_map_are_found_in_the_band_too(averaged):
    _, slices = averaged
    planted = np.flatnonzero(slices.averages.count > 0)[::9]
    changed = with_noise(slices, planted, 3).within(13.0)
    mask = inscribed_sphere(28)
    _, left_out = changed.selected(AverageSelection(0.8, False, 2), mask)
    assert np.isin(planted, left_out).mean() > 0.9
