"""``--halves``: two half-sets that share low resolution only, and an FSC that can be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.fft

import mapsort
from mapsort.errors import ConfigError
from mapsort.io.mrc import write_map, write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.physics.filters import apply_radial_curve, radial_power
from mapsort.physics.fsc import resolution_at
from mapsort.physics.half_maps import half_map_curves
from mapsort.refinement.choices import automatic_choices
from mapsort.refinement.comparison import comparison_settings, match_plan
from mapsort.refinement.execution import Execution
from mapsort.refinement.half_maps import (
    HalfMaps,
    half_seeds,
    joined_resolution_ang,
    start_resolution_ang,
    warn_of_exchanged_maps,
)
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.iteration import matched, prepare_seeds
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import ParticleSpectra, Run
from mapsort.report.page import write_report
from mapsort.rundir.text import read_convergence, read_fsc
from mapsort.stages.classify.assignment import classify
from mapsort.stages.search.match import match_chunk

BOX, APIX = 32, 4.0
SHELL_OF_START = BOX * APIX / 24.0  # 5.3


@pytest.fixture(scope="module")
def run(small):
    request = {
        "input": small.particles,
        "models": small.seeds,
        "halves": True,
        "orientgen": "eman:delta=24",
        "randomseed": 1,
        "parallel": "thread:1",
    }
    options = typed_options(MultiOptions, request).validated()
    inputs = open_inputs(options)
    power = np.full(BOX // 2 + 1, float(BOX) ** 2, np.float32)
    seen = ParticleSpectra(power, power)
    return Run(options, inputs, resolve(options, inputs), Execution(), spectra_seen=seen)


@pytest.fixture(scope="module")
def state(run):
    return prepare_seeds(run, run.seen.averaged)


def volume(path):
    return mapsort.Volume.open(path).data


def test_starting_maps_of_the_halves_agree_up_to_the_start_resolution_only(run):
    rng = np.random.default_rng(2)
    whole = (rng.standard_normal((BOX,) * 3) * run.sphere).astype(np.float32)
    (even,), (odd,) = half_seeds(run, (whole,))
    curve = mapsort.fsc(even, odd)
    # The sphere that bounds both maps mixes neighbouring shells.
    assert np.all(curve[1:4] > 0.85)
    # Shells beyond have 600 terms and more, a tenth of them independent within the sphere.
    assert np.all(np.abs(curve[8:16]) < 0.35)
    assert abs(curve[8:16].mean()) < 0.12


@pytest.mark.parametrize(
    ("targetres", "start", "joined"), [(None, 24.0, 40.0), (15.0, 30.0, 40.0), (25.0, 50.0, 50.0)]
)
def test_resolutions_that_part_the_halves(run, targetres, start, joined):
    options = replace(run.options, targetres=targetres)
    assert start_resolution_ang(options, APIX) == pytest.approx(start)
    assert joined_resolution_ang(options, APIX) == pytest.approx(joined)
    told = {
        choice.name: choice.value for choice in automatic_choices(options, run.inputs, run.plan)
    }
    assert told["starting maps of the halves"] == f"their own beyond {start:g} A"
    assert told["halves of a map"] == f"share what is coarser than {joined:g} A"


@pytest.mark.parametrize("half", [0, 1])
def test_each_half_meets_its_own_references_only(run, state, half):
    """A particle's matches are those that its half's maps alone would give it."""
    settings = comparison_settings(run.options, 1)
    found = matched(run, state, settings, iteration=1)
    plan = match_plan(run, state.of_part(half), settings, run.plan.references)
    own = np.arange(half, len(run.inputs.particles), 2)
    spectra = run.spectra_of(run.inputs.particles.images(own))
    alone, _ = match_chunk(plan, spectra, run.ctf_of(own))
    np.testing.assert_array_equal(found.matches.rows(own).reference, alone.reference)
    np.testing.assert_array_equal(found.matches.rows(own).score, alone.score)
    # The other half's maps would not have given the same.
    other, _ = match_chunk(
        match_plan(run, state.of_part(1 - half), settings, run.plan.references),
        spectra,
        run.ctf_of(own),
    )
    assert not np.array_equal(alone.score, other.score)
    classes = classify(found.matches, len(run.plan.references))
    assert classes.used.sum() == len(run.inputs.particles)


def test_particles_dealt_out_in_turn_come_back_in_order(run):
    whole = run.chunks()
    assert [w.step or 1 for w in whole] == [1] * len(whole)
    numbers = np.arange(120)
    short = replace(run, plan=replace(run.plan, chunk=7))
    for part in (0, 1):
        own = short.of_part(part, 2)
        np.testing.assert_array_equal(own.numbers, numbers[part::2])
        pieces = [numbers[where] for where in own.chunks()]
        np.testing.assert_array_equal(np.concatenate(pieces), numbers[part::2])
        assert max(map(len, pieces)) == 7


def test_files_of_the_halves(run_small):
    found = run_small(halves=True, iter=2)
    for number in (1, 2):
        for iteration in (0, 1, 2):
            names = [f"threed_{half}_{iteration:02d}_{number:02d}.mrc" for half in ("even", "odd")]
            even, odd = (volume(found.path / name) for name in names)
            assert not np.array_equal(even, odd)
        frequency, curves = read_fsc(found.path / f"fsc_eo_02_{number:02d}.txt")
        assert curves.shape == (BOX // 2 + 1, 4)
        np.testing.assert_allclose(frequency, np.arange(17) / (BOX * APIX), atol=1e-6)
        # The curve without mask is that of the two maps as they lie there.
        np.testing.assert_allclose(curves[1:, 2], mapsort.fsc(even, odd)[1:], atol=1e-4)
        record = read_convergence(found.path / "convergence.json")[-1]
        item = record["maps"][number - 1]
        assert record["independent_halves"] is True
        np.testing.assert_allclose(item["half_fsc"], curves[:, 0], atol=1e-3)
        expected = resolution_at(curves[:, 0], 0.143, APIX, box=BOX)
        assert item["resolution_fsc_0143_ang"] == pytest.approx(expected, abs=0.05)
    subset = read_particles(found.path / "particles_02.star")[1]["rlnRandomSubset"]
    np.testing.assert_array_equal(subset, np.arange(120) % 2 + 1)


def test_a_run_without_halves_writes_none(small_run):
    found = small_run()
    assert not list(found.path.glob("threed_even*"))
    assert not list(found.path.glob("fsc_eo*"))
    assert "rlnRandomSubset" not in found.assignments
    assert found.convergence[0]["independent_halves"] is False


def test_noise_aligned_with_references_of_its_own_half_does_not_agree(run_small, small, tmp_path):
    """Shared references make structure of noise that both halves have; own ones do not."""
    rng = np.random.default_rng(8)
    stack, n = tmp_path / "noise.mrcs", 360
    write_stack(stack, rng.standard_normal((n, BOX, BOX)).astype(np.float32), APIX)
    optics, table = read_particles(small.particles)
    table = pd.concat([table] * (n // len(table)), ignore_index=True)
    table["rlnImageName"] = [f"{i + 1:06d}@{stack}" for i in range(len(table))]
    write_particles(tmp_path / "noise.star", optics, table)
    sharp = [sharpened(path, tmp_path / f"sharp_{z}.mrc") for z, path in enumerate(small.maps)]
    shared, apart = (
        run_small(tmp_path / "noise.star", sharp, halves=halves) for halves in (False, True)
    )
    beyond = slice(int(SHELL_OF_START) + 2, 13)
    means = [
        np.mean([m["half_fsc"][beyond] for m in found.convergence[0]["maps"]])
        for found in (shared, apart)
    ]
    # Five shells and more of two maps: by chance the mean is off zero by 0.03.
    assert means[0] > 0.2
    assert abs(means[1]) < 0.1


def sharpened(path, out):
    """Write a map whose power does not fall beyond shell 5, so that noise is aligned to it."""
    data = volume(path)
    power = radial_power(scipy.fft.rfftn(data))
    curve = np.sqrt(power[5] / power)
    curve[:5] = 1.0
    write_map(out, apply_radial_curve(data, curve), APIX)
    return out


def test_the_report_says_that_the_halves_were_apart(run_tiny):
    apart, shared = (
        write_report(run_tiny(halves=halves).path).read_text() for halves in (True, False)
    )
    assert "kept apart from the start" in apart
    assert "Effect of the mask" in apart
    assert "The halves share references" in shared
    assert "Effect of the mask" not in shared


def test_members_are_not_aligned_with_averages_of_both_halves():
    request = {"input": "p", "models": "a", "halves": True, "classiter": 1}
    with pytest.raises(ConfigError, match="--classiter=1: aligns members with images of both"):
        typed_options(MultiOptions, request).validated()


@pytest.mark.parametrize("exchanged", [False, True])
def test_exchanged_maps_are_told_with_what_to_do(run, caplog, exchanged):
    """Once, of the maps that a run ends with."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 12, 12, 12)).astype(np.float32)
    curves = half_map_curves(a, a, np.ones_like(a), rng=rng)
    order = (b, a) if exchanged else (a, b)
    halves = tuple(HalfMaps(e, o, curves) for e, o in zip((a, b), order, strict=True))
    warn_of_exchanged_maps(run, halves)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == int(exchanged)
    if exchanged:
        assert "even 1 with odd 2, even 2 with odd 1" in told[0]
        assert "--randomseed" in told[0]
