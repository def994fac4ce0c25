"""Classes found from one map: the whole way, and that particles stay in them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from mapsort import refine_multi
from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, Interrupted
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star import read_particles
from mapsort.jobs.one_map import common_symmetry
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions


@pytest.fixture(scope="module")
def two_states(tmp_path_factory) -> Simulated:
    out = tmp_path_factory.mktemp("two")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=400, box=32, apix=4.0, snr=0.6, shift=1.0, seed=3, seedres=40.0
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


def agreement(problem: Simulated, run) -> float:
    """Share of particles in their state's class, for the best of naming the classes."""
    truth = read_particles(problem.truth)[1]["rlnClassNumber"].to_numpy()
    found = run.assignments["rlnClassNumber"].to_numpy()
    return max(np.mean(np.array((0, *names))[truth] == found) for names in permutations((1, 2)))


@pytest.fixture(scope="module")
def whole(two_states, tmp_path_factory):
    return found_from_one(two_states, tmp_path_factory.mktemp("whole") / "run")


def test_two_states_are_found_from_the_map_of_one(two_states, whole):
    assert agreement(two_states, whole) > 0.9
    log = (whole.path / "run.log").read_text()
    assert "components tell particles apart beyond chance" in log
    assert not (whole.path / "checkpoint" / "consensus").exists()
    assert min(m["resolution_fsc_0143_ang"] for m in whole.convergence[-1]["maps"]) < 16


def test_particles_stay_in_their_classes_with_the_probabilities_they_were_found_with(whole):
    first, last = (read_particles(whole.path / f"particles_0{n}.star")[1] for n in (1, 2))
    for name in ("rlnClassNumber", "rlnMaxValueProbDistribution", "mapsortJunkProbability"):
        np.testing.assert_array_equal(first[name], last[name])
    assert [entry["fraction_changed_map"] for entry in whole.convergence] == [0.0, 0.0]
    assert whole.convergence[-1]["junk_sets"] is not None


def test_classes_have_the_symmetry_that_all_maps_have():
    c1, d7, helix = (symmetry(name) for name in ("c1", "d7", "h5:1:20:7.5"))
    assert common_symmetry([d7, d7]) == "d7"
    assert [common_symmetry(groups) for groups in ([c1, d7], [helix, helix])] == ["c1", "c1"]


class _StopAt(SilentProgress):
    """Interrupts a run when a stage begins for the n-th time."""

    def __init__(self, stage: str, nth: int) -> None:
        self.stage, self.left = stage, nth

    def start(self, stage: str, *_: object, **__: object) -> None:
        self.left -= self.stage in stage
        if self.left == 0:
            raise Interrupted("stopped")


@pytest.mark.parametrize(
    ("stage", "nth"),
    [("consensus 2/3: average", 1), ("prepare particles", 1), ("components", 1), ("match", 6)],
)
def test_a_run_that_was_stopped_finds_the_same(two_states, whole, tmp_path, results, stage, nth):
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        found_from_one(two_states, path, progress=_StopAt(stage, nth))
    refine_multi(two_states.particles, (), resume=path)
    assert results(path) == results(whole.path)


def test_threads_do_not_matter(two_states, whole, tmp_path, results):
    found_from_one(two_states, tmp_path / "run", parallel="thread:3")
    assert results(tmp_path / "run") == results(whole.path)


@pytest.mark.parametrize(
    "options",
    [{"halves": True}, {"inputmode": "particles"}, {"assign": "hard"}, {"junk": 0}],
    ids=str,
)
def test_with_other_options(two_states, tmp_path, options):
    run = found_from_one(two_states, tmp_path / "run", iter=1, **options)
    assert agreement(two_states, run) > 0.9
    assert ("mapsortJunkProbability" in run.assignments) is (options.get("junk") != 0)


def test_with_given_poses(two_states, tmp_path):
    run = found_from_one(
        replace(two_states, particles=two_states.truth), tmp_path / "run", skipalign=True, iter=1
    )
    assert agreement(two_states, run) > 0.9
    given, kept = read_particles(two_states.truth)[1], run.assignments
    for name in ("rlnAngleTilt", "rlnOriginXAngst"):
        np.testing.assert_allclose(kept[name], given[name], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"nmodels": 1}, "there is one class"),
        ({"sep": 2}, "--sep 2"),
        ({"sym": "c2"}, "--sym c2"),
        ({"mask": "mask.mrc"}, "--mask"),
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
