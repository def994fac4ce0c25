"""What a run learns of its particles, and what it makes of junk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage

from mapsort.engines.progress import SilentProgress
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.model.particles import Particles
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs, scan_images
from mapsort.refinement.iteration import iterate, prepare_seeds
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import ParticleSpectra, Run

BOX, APIX = 32, 4.0


@pytest.fixture(scope="module")
def spoilt(small, tmp_path_factory):
    """Every second particle in another optics group, with blurred noise; ten have bright edges."""
    folder = tmp_path_factory.mktemp("spoilt")
    rng = np.random.default_rng(6)
    images = Particles.open(small.particles).images(slice(None)).copy()
    blurred = rng.standard_normal(images.shape)
    blurred = scipy.ndimage.gaussian_filter(blurred, (0, 1.0, 1.0))
    other = np.arange(len(images)) % 2 == 1
    images[other] += 1.5 * images.std() * (blurred / blurred.std())[other]
    edges = np.arange(0, 100, 10)
    images[edges] += 6 * images.std() * (np.arange(BOX) > 20)[:, None] * np.ones(BOX)
    write_stack(folder / "p.mrcs", images.astype(np.float32), APIX)
    optics, table = read_particles(small.particles)
    table["rlnImageName"] = [f"{i + 1:06d}@{folder / 'p.mrcs'}" for i in range(len(table))]
    one = folder / "one.star"
    write_particles(one, optics, table)
    table["rlnOpticsGroup"] = np.where(other, 2, 1)
    two = folder / "two.star"
    second = optics.assign(rlnOpticsGroup=2, rlnOpticsGroupName="second")
    write_particles(two, pd.concat([optics, second], ignore_index=True), table)
    return one, two, other, edges


def iterated(small, star, n=2, **options):
    request = {
        "input": star,
        "models": small.seeds,
        "orientgen": "eman:delta=24",
        "randomseed": 1,
        "parallel": "thread:1",
    }
    request = typed_options(MultiOptions, request | options).validated()
    inputs = open_inputs(request)
    plan = resolve(request, inputs)
    progress = SilentProgress()
    power = scan_images(inputs.particles, plan.treatment, plan.chunk, progress, 1)
    run = Run(
        request, inputs, plan, Execution(progress), spectra_seen=ParticleSpectra(power, power)
    )
    state = prepare_seeds(run, power)
    for _ in range(n):
        outcome = iterate(run, state)
        state = outcome.state
    return run, outcome


def test_each_optics_group_has_its_noise(small, spoilt):
    run, outcome = iterated(small, spoilt[1])
    noise = outcome.state.learnt.group_noise
    assert noise.shape == (2, BOX // 2 + 1)
    images = run.inputs.particles.images(slice(None))
    powers = run.plan.treatment.shell_powers(images, n_threads=1)
    # Beyond shell 9 the molecule's power is a few percent of the noise's. Bright edges go to the
    # lowest shells; sixty images.
    beyond = slice(10, 16)
    for number, chosen in enumerate((~spoilt[2], spoilt[2])):
        np.testing.assert_allclose(
            noise[number, beyond], powers[chosen][:, beyond].mean(axis=0), rtol=0.12
        )
    # The second group's noise is blurred: with the same variance, less at high frequency.
    assert np.all(noise[1, beyond] < 0.7 * noise[0, beyond])
    # What is common to both lies between them.
    mean = outcome.state.noise_power[beyond]
    assert np.all((noise[1, beyond] < mean) & (mean < noise[0, beyond]))


def test_the_groups_noise_counts_in_the_scores(small, spoilt):
    _, one = iterated(small, spoilt[0])
    _, two = iterated(small, spoilt[1])
    assert one.state.learnt.group_noise is None
    assert not np.allclose(
        one.averaged.matches.score[:, 0], two.averaged.matches.score[:, 0], rtol=0.02
    )


def test_scales_shifts_and_outliers_are_told(small, spoilt):
    _, outcome = iterated(small, spoilt[1])
    learnt = outcome.state.learnt
    assert 0.05 <= learnt.scale_spread <= 1.0
    # Shifts were drawn with a spread of two pixels.
    assert 1.0 <= learnt.shift_spread < 3.5
    worst = np.argsort(learnt.misfit)[-10:]
    assert set(worst) == set(spoilt[3])


def test_images_unlike_any_map_are_a_class_of_their_own(run_small, spoilt):
    # Each group's noise is learnt with what does not fit it left out: over three iterations the
    # spoilt images' misfit grows from 1.7 by 4.5 to 13, beside 3 at most of the others.
    table = run_small(spoilt[1], junk=2, iter=4).assignments
    unlike = np.flatnonzero(table["rlnClassNumber"] == 4)
    assert set(unlike) == set(spoilt[3])
    assert np.all(table.loc[unlike, "mapsortJunkProbability"] == 1)
    scores = table["mapsortOutlierScore"].to_numpy()
    assert set(np.argsort(scores)[-10:]) == set(spoilt[3])
    assert np.isfinite(table["mapsortScale"].to_numpy(float)).all()


@pytest.mark.slow
def test_kinds_of_junk_are_told_by_their_spectra(small, spoilt):
    run, outcome = iterated(small, spoilt[1], n=4, junk=3)
    unlike = outcome.junk.kind > 1
    # Edges lie in even places only, all in the first optics group: as one kind, or as two.
    assert set(np.flatnonzero(unlike)) == set(spoilt[3])
    assert set(outcome.junk.kind[unlike]) == {2, 3}
    assert np.sum(outcome.junk.kind == 2) >= np.sum(outcome.junk.kind == 3)
    assert run.options.junk == 3


def test_without_junk_there_is_none(small_run):
    table = small_run().assignments
    assert table["rlnClassNumber"].max() <= 2
    assert "mapsortJunkProbability" not in table
