"""Classes found from one map: the whole way, and that particles stay in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapsort import refine_multi
from mapsort.errors import ConfigError, Interrupted, NumericalError
from mapsort.io.mrc import write_map, write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.model.volume import Volume
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions


@pytest.fixture(scope="module")
def two_states(tmp_path_factory) -> Simulated:
    return simulated(tmp_path_factory.mktemp("two"), 400)


def simulated(out: Path, n: int) -> Simulated:
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=n, box=32, apix=4.0, snr=0.6, shift=1.0, seed=3, seedres=40.0
        )
    )


def found_from_one(problem: Simulated, path: Path, **options):
    quick = {
        "model": problem.seeds[0],
        "nmodels": 2,
        "iter": 2,
        "orientgen": "eman:delta=16",
        "randomseed": 1,
        "parallel": "thread:1",
        "path": path,
        "no_report": True,
    }
    return refine_multi(problem.particles, (), **(quick | options))


@pytest.fixture(scope="module")
def whole(two_states, tmp_path_factory):
    return found_from_one(two_states, tmp_path_factory.mktemp("whole") / "run")


def test_two_states_are_found_from_the_map_of_one(two_states, whole, agreement):
    assert agreement(two_states, whole) > 0.9
    log = (whole.path / "run.log").read_text()
    assert "components tell particles apart beyond chance" in log
    assert "number of classes and gain over one" in log
    assert not (whole.path / "checkpoint" / "consensus").exists()
    # views by the one map hold: nothing follows upon the sample
    (sample,) = whole.convergence[0]["views_elsewhere"]
    assert max(sample) < 0.1
    assert whole.convergence[1]["views_elsewhere"] is None
    assert min(m["resolution_fsc_0143_ang"] for m in whole.convergence[-1]["maps"]) < 16


def test_particles_stay_in_their_classes_with_the_probabilities_they_were_found_with(whole):
    first, last = (read_particles(whole.path / f"particles_0{n}.star")[1] for n in (1, 2))
    for name in ("rlnClassNumber", "rlnMaxValueProbDistribution", "mapsortJunkProbability"):
        np.testing.assert_array_equal(first[name], last[name])
    assert [entry["fraction_changed_map"] for entry in whole.convergence] == [0.0, 0.0]
    assert whole.convergence[-1]["junk_sets"] is not None


def test_stops_and_threads_do_not_matter(two_states, whole, tmp_path, results, stop_at):
    """Stopped in the consensus, before components, between them, and in the iteration."""
    path, where = tmp_path / "run", two_states.particles
    first = stop_at("consensus 2/3: average", 1)
    with pytest.raises(Interrupted):
        found_from_one(two_states, path, parallel="thread:3", progress=first)
    for stage, nth in (("prepare particles", 1), ("components", 1), ("match", 2)):
        with pytest.raises(Interrupted):
            refine_multi(where, (), resume=path, progress=stop_at(stage, nth))
    refine_multi(where, (), resume=path)
    assert results(path) == results(whole.path)


def test_workers_find_the_same(two_states, tmp_path, results, monkeypatch):
    """They are threads of this process; each is given several chunks."""
    from distributed import LocalCluster

    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 60)
    here, there = tmp_path / "here", tmp_path / "there"
    found_from_one(two_states, here, iter=1)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with LocalCluster(dashboard_address=":0", protocol="tcp", **workers) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        found_from_one(two_states, there, iter=1, parallel=f"dask:{address}")
    assert results(there) == results(here)


@pytest.mark.parametrize(
    "options",
    [{"halves": True}, {"inputmode": "particles"}, {"assign": "hard"}, {"junk": 0}],
    ids=str,
)
def test_with_other_options(two_states, tmp_path, options, agreement):
    run = found_from_one(two_states, tmp_path / "run", iter=1, **options)
    assert agreement(two_states, run) > 0.9
    assert ("mapsortJunkProbability" in run.assignments) is (options.get("junk") != 0)


def test_with_given_poses(two_states, tmp_path, agreement):
    run = found_from_one(
        replace(two_states, particles=two_states.truth), tmp_path / "run", skipalign=True, iter=1
    )
    assert agreement(two_states, run) > 0.9
    given, kept = read_particles(two_states.truth)[1], run.assignments
    for name in ("rlnAngleTilt", "rlnOriginXAngst"):
        np.testing.assert_allclose(kept[name], given[name], atol=1e-3)


def test_more_classes_than_the_particles_can_carry_are_told(two_states, tmp_path):
    run = found_from_one(two_states, tmp_path / "run", nmodels=12, iter=1)
    assert len(run.maps) == 12
    assert "more classes than the particles can carry" in (run.path / "run.log").read_text()


@pytest.mark.parametrize("nmodels", [41, "auto"])
def test_too_few_particles_for_any_classes_are_refused(two_states, tmp_path, nmodels):
    optics, table = read_particles(two_states.particles)
    few = tmp_path / "few.star"
    write_particles(few, optics, table[: 400 if nmodels == 41 else 100])
    made = replace(two_states, particles=few)
    with pytest.raises(ConfigError, match=f"--nmodels={nmodels}: .* are too few to find classes"):
        found_from_one(made, tmp_path / "run", nmodels=nmodels, datadir=two_states.particles.parent)
    assert not (tmp_path / "run").exists()


def test_noise_is_no_particle(two_states, tmp_path):
    noise = np.random.default_rng(5).normal(size=(120, 32, 32)).astype(np.float32)
    write_stack(tmp_path / "noise.mrcs", noise, 4.0)
    optics, table = read_particles(two_states.truth)
    names = [f"{number:06d}@{tmp_path / 'noise.mrcs'}" for number in range(1, 121)]
    write_particles(tmp_path / "noise.star", optics, table[:120].assign(rlnImageName=names))
    made = replace(two_states, particles=tmp_path / "noise.star")
    with pytest.raises(NumericalError, match=r"no classes were found from --model .*: the"):
        found_from_one(made, tmp_path / "run", skipalign=True)


def test_states_with_a_symmetry(two_states, tmp_path, agreement):
    paths = [tmp_path / f"c2_{number}.mrc" for number in (1, 2)]
    for source, path in zip(two_states.maps, paths, strict=True):
        volume = Volume.open(source)
        turned = np.roll(volume.data[:, ::-1, ::-1], (1, 1), axis=(1, 2))
        write_map(path, volume.data + turned, volume.apix)
    asked = SimulateOptions(
        maps=tuple(paths), out=tmp_path / "c2", n=300, snr=0.6, shift=1.0, seed=3, seedres=40.0
    )
    made = simulate(asked)
    run = found_from_one(made, tmp_path / "run", sym="c2", iter=1)
    assert agreement(made, run) > 0.9
    for volume in run.maps:
        turned = np.roll(volume.data[:, ::-1, ::-1], (1, 1), axis=(1, 2))
        assert np.corrcoef(volume.data.ravel(), turned.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"nmodels": 1}, "there is one class"),
        ({"sep": 2}, "--sep 2"),
        ({"sym": "c2,c4"}, "--sym c2,c4"),
        ({"sym": "h5:1:20:7.5"}, "--sym h5:1:20:7.5"),
        ({"sym": "c2", "breaksym": True}, "--breaksym"),
    ],
    ids=str,
)
def test_where_classes_cannot_be_found_that_is_said(options, why):
    asked = {"input": "p.star", "model": "m.mrc", "seedmethod": "pca"} | options
    with pytest.raises(ConfigError, match=f"--seedmethod=pca: {why}"):
        typed_options(MultiOptions, asked).validated()
    auto = typed_options(MultiOptions, asked | {"seedmethod": "auto"}).validated()
    assert not auto.finds_classes
    assert auto.junk_sets == 0


def test_noise_in_place_of_classes_is_told_with_its_reason(two_states, tmp_path):
    run = found_from_one(two_states, tmp_path / "run", sep=2, iter=1)
    log = (run.path / "run.log").read_text()
    assert "WARNING classes are not found before maps are refined" in log
    assert "--sep 2 asks for several references of each particle" in log


def test_the_number_of_classes_is_found(tmp_path, results, agreement, stop_at):
    """Also by a run that was stopped after they were found."""
    # 66 particles kept out of 400 gain 2.6 standard errors: too few to tell two classes from one
    states = simulated(tmp_path / "states", 800)
    run = found_from_one(states, tmp_path / "whole", nmodels="auto", iter=1)
    assert len(run.maps) == 2
    assert agreement(states, run) > 0.9
    with pytest.raises(Interrupted):
        found_from_one(
            states, tmp_path / "run", nmodels="auto", iter=1, progress=stop_at("average", 4)
        )
    refine_multi(states.particles, (), resume=tmp_path / "run")
    assert results(tmp_path / "run") == results(run.path)


def test_one_structure_is_one_class(two_states, tmp_path):
    optics, table = read_particles(two_states.truth)
    write_particles(tmp_path / "one.star", optics, table[table["rlnClassNumber"] == 1])
    made = replace(two_states, particles=tmp_path / "one.star")
    run = found_from_one(
        made,
        tmp_path / "run",
        nmodels="auto",
        iter=1,
        skipalign=True,
        datadir=two_states.truth.parent,
    )
    assert len(run.maps) == 1


def test_a_number_cannot_be_found_where_classes_are_not():
    asked = {"input": "p.star", "model": "m.mrc", "nmodels": "auto"}
    for other, why in (({"sep": 2}, "--sep 2"), ({"seedmethod": "noise"}, "--seedmethod noise")):
        with pytest.raises(ConfigError, match=f"--nmodels=auto: {why}"):
            typed_options(MultiOptions, asked | other).validated()
