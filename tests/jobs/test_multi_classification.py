"""Whole runs with the ways to classify: soft, with junk, until converged, from identical seeds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import mapsort
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

BOX, APIX = 32, 4.0


def classes(table):
    return table["rlnClassNumber"].to_numpy(int)


def truth(problem):
    return classes(read_particles(problem.truth)[1])


def accuracy(run, problem):
    return float(np.mean(classes(run.assignments) == truth(problem)))


def log_of(run):
    return (run.path / "run.log").read_text()


# --- soft assignment ------------------------------------------------------------------------------


def test_soft_runs_share_particles_among_classes(small_run, small):
    hard, soft = (small_run(iter=2, assign=way) for way in ("hard", "soft"))
    with HdfReader(soft.path / "classify_02.hdf") as file:
        reference, weight = file.image(0), file.image(1)
    with HdfReader(hard.path / "classify_02.hdf") as file:
        assert file.image(1).shape == (120, 1)
    assert reference.shape[0] == 120
    assert reference.shape[1] > 1
    np.testing.assert_allclose(weight.sum(axis=1), 1.0, atol=1e-5)
    assert np.mean((weight > 0).sum(axis=1) > 1) > 0.5
    assert "temperature" in log_of(soft)
    assert "temperature" not in log_of(hard)
    assert accuracy(soft, small) >= accuracy(hard, small) - 0.1


def test_soft_runs_do_not_depend_on_threads(run_tiny):
    one, two = (run_tiny(iter=2, assign="soft", parallel=f"thread:{n}") for n in (1, 2))
    np.testing.assert_array_equal(classes(one.assignments), classes(two.assignments))
    np.testing.assert_array_equal(one.maps[0].data, two.maps[0].data)


# --- junk -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_noise(tmp_path_factory):
    """240 particles of two states and 60 images of noise alone, the last ones."""
    out = tmp_path_factory.mktemp("with_noise")
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=240, box=BOX, apix=APIX, snr=0.4, shift=1.0, seed=5, seedres=20.0
        )
    )
    stack = mapsort.Particles.open(made.particles).images(slice(0, 240))
    noise = np.random.default_rng(6).standard_normal((60, BOX, BOX)).astype(np.float32)
    write_stack(made.stack, np.concatenate([stack, noise]), APIX)
    for path in (made.particles, made.truth):
        optics, table = read_particles(path)
        name = str(table["rlnImageName"].iloc[0]).split("@")[1]
        more = table.iloc[:60].copy()
        more["rlnImageName"] = [f"{i:06d}@{name}" for i in range(241, 301)]
        if "rlnClassNumber" in more:
            more["rlnClassNumber"] = 3
        write_particles(path, optics, pd.concat([table, more], ignore_index=True))
    return made


def test_junk_is_a_class_of_its_own(with_noise, tmp_path):
    run = refine_multi(
        with_noise.particles,
        with_noise.seeds,
        path=tmp_path / "run",
        iter=3,
        junk=1,
        orientgen="eman:delta=18",
        randomseed=1,
        parallel="thread:1",
    )
    found, real = classes(run.assignments) == 3, truth(with_noise) == 3
    assert np.mean(found[real]) >= 0.9
    assert np.mean(real[found]) >= 0.9
    probability = run.assignments["mapsortJunkProbability"].to_numpy(float)
    np.testing.assert_array_equal(probability > 0.5, found)
    last = run.convergence[-1]
    assert last["junk"] == found.sum()
    assert sum(last["occupancy"]) == np.sum(~found)
    # and it enters no average
    with HdfReader(run.path / "cls_result_03.hdf") as file:
        used = file.image(1)[:, 0]
    assert not used[found].any()
    assert used[~found].mean() > 0.8


def test_without_junk_there_is_no_such_class(small_run):
    run = small_run(iter=2)
    assert set(classes(run.assignments)) <= {1, 2}
    assert "mapsortJunkProbability" not in run.assignments
    assert run.convergence[-1]["junk"] is None


# --- until converged ------------------------------------------------------------------------------


def test_runs_go_on_until_nothing_moves(run_tiny):
    run = run_tiny(iter=None)
    assert 3 <= len(run.convergence) <= 25
    parameters = json.loads((run.path / "0_refine_parms.json").read_text())
    assert "auto" in json.dumps(parameters)
    if len(run.convergence) < 25:
        assert "converged: in 2 iterations" in log_of(run)
        assert all(e["fraction_changed_map"] <= 0.005 for e in run.convergence[-2:])


# --- seeds that are the same ----------------------------------------------------------------------


def test_identical_seeds_do_not_leave_a_map_empty(run_small, small):
    """All particles prefer the first of two equal maps: the other takes the worst explained."""
    run = run_small(models=[small.seeds[0]] * 2, iter=4)
    assert run.convergence[0]["reseeded_maps"] == [2]
    assert "class 2 was nearly empty" in log_of(run)
    assert min(run.convergence[-1]["occupancy"]) >= 0.1 * 120
    assert run.convergence[-1]["reseeded_maps"] == []


@pytest.mark.parametrize(
    ("name", "value"), [("assign", "fuzzy"), ("junk", 10), ("junk", -1), ("iter", 0), ("iter", "x")]
)
def test_bad_values_are_refused_by_name(run_small, name, value):
    with pytest.raises(mapsort.errors.ConfigError, match=f"--{name}={value}"):
        run_small(**{name: value})


# --- seeds made of one map ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["noise", "randphase", "randclassify", "mapfragment"])
def test_seeds_from_one_map(small, run_small, method):
    run = run_small(models=[], model=small.seeds[0], seedmethod=method, iter=2)
    seeds = [mapsort.Volume.open(run.path / f"threed_00_0{n}.mrc").data for n in (1, 2)]
    alike = np.corrcoef(seeds[0].ravel(), seeds[1].ravel())[0, 1]
    low, high = {
        "noise": (0.9, 0.9999),
        "randphase": (-0.5, 0.99),
        "randclassify": (1 - 1e-6, 1 + 1e-6),
        "mapfragment": (-0.5, 0.95),
    }[method]
    assert low <= alike <= high
    occupancy = run.convergence[0]["occupancy"]
    if method == "randclassify":
        # half of 120 with a standard deviation of 5.5
        assert abs(occupancy[0] - 60) < 20
        assert run.convergence[0]["reseeded_maps"] == []
    assert len(run.maps) == 2
