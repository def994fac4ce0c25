"""``--batch``: starting maps that batches of particles improve before all are taken."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, Interrupted
from mapsort.io.star import read_particles
from mapsort.jobs import batches as job
from mapsort.jobs.multi import plan_text, refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.rundir.scratch import Scratch

LINE = re.compile(r"batch (\d)/(\d): (\d+) particles, [\d.]+%/[\d.]+%, resolution [\d.]+/[\d.]+ A")


def told(run):
    """Return number, number of batches and particles of each batch."""
    return [tuple(map(int, found)) for found in LINE.findall((run.path / "run.log").read_text())]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough particles for batches of a hundred for each of two maps."""
    out = tmp_path_factory.mktemp("many")
    kind = {"box": 32, "apix": 4.0, "snr": 0.3, "shift": 2.0, "seed": 3, "seedres": 24.0}
    return simulate(SimulateOptions(phantom=2, out=out, n=600, **kind))


@pytest.fixture(scope="module")
def both(many, tmp_path_factory, runs_on):
    """Two iterations of all particles, after batches and without any."""
    run = runs_on(many, tmp_path_factory.mktemp("batches"), iter=2, orientgen="eman:delta=24")
    return run(batch=200), run(batch="all")


def test_batches_come_before_iterations_of_all_particles(both):
    some, every = both
    rows = told(some)
    assert rows == [(number, 3, 200) for number in range(1, 1 + len(rows))]
    assert len(rows) >= 2
    assert told(every) == []
    assert [len(run.convergence) for run in both] == [2, 2]
    assert [len(run.assignments) for run in both] == [600, 600]
    assert not (some.path / "checkpoint" / "batches").exists()


def test_particles_are_sorted_as_well_and_change_less(many, both):
    truth = read_particles(many.truth)[1]["rlnClassNumber"].to_numpy()
    right, other = (np.mean(run.assignments["rlnClassNumber"].to_numpy() == truth) for run in both)
    # what chance does to the number of right ones among 600: three standard deviations
    assert right > other - 3 * np.sqrt(other * (1 - other) / 600)
    # the first iteration after batches finds what takes two without
    changed, more = (run.convergence[-1]["fraction_changed_map"] for run in both)
    assert changed < more


class StopsIn(SilentProgress):
    """Raises Interrupted as a signal would, in a stage of a batch."""

    def __init__(self, title: str) -> None:
        self._title, self._now = title, ""

    def start(self, stage: str, _total: int, **_of: int) -> None:
        self._now = stage

    def advance(self, _amount: int) -> None:
        if self._now == self._title:
            raise Interrupted("interrupted by SIGTERM")


@pytest.mark.parametrize("title", ["batches 1/2: match", "batches 2/2: average"])
def test_a_run_that_is_stopped_in_a_batch_ends_as_if_it_had_not_been(
    tiny, tmp_path, results, monkeypatch, title
):
    monkeypatch.setattr(job, "coarse_no_more", lambda _: False)
    monkeypatch.setattr("mapsort.options.multi.LEAST_BATCH", 10)
    quick = {"iter": 1, "orientgen": "eman:delta=60", "randomseed": 1, "parallel": "thread:1"}
    quick |= {"batch": 20, "models": tiny.seeds}
    whole = refine_multi(tiny.particles, path=tmp_path / "whole", **quick)
    with pytest.raises(Interrupted):
        refine_multi(tiny.particles, path=tmp_path / "stops", progress=StopsIn(title), **quick)
    again = refine_multi(tiny.particles, resume=tmp_path / "stops")
    assert results(again.path) == results(whole.path)
    # the batch before is not done again
    assert [number for number, _, _ in told(again)] == [1, 2]


def test_maps_that_lose_their_particles_are_not_what_all_begin_with(tiny, tmp_path, monkeypatch):
    quick = {"iter": 1, "orientgen": "eman:delta=60", "randomseed": 1, "parallel": "thread:1"}
    every = refine_multi(tiny.particles, tiny.seeds, path=tmp_path / "all", batch="all", **quick)
    monkeypatch.setattr(job, "lost_maps", lambda _: [1])
    monkeypatch.setattr("mapsort.options.multi.LEAST_BATCH", 10)
    lost = refine_multi(tiny.particles, tiny.seeds, path=tmp_path / "lost", batch=20, **quick)
    assert "map 2: (nearly) no particles of a batch" in (lost.path / "run.log").read_text()
    np.testing.assert_array_equal(lost.maps[0].data, every.maps[0].data)
    assert lost.assignments.equals(every.assignments)


def test_check_tells_of_batches(small, monkeypatch, tmp_path):
    request = {"input": small.particles, "models": small.seeds, "orientgen": "eman:delta=24"}

    def text(**more):
        place = {"path": tmp_path / "run", "parallel": "thread:1", "randomseed": 1}
        return plan_text(typed_options(MultiOptions, request | place | more).validated())

    monkeypatch.setattr("mapsort.options.multi.LEAST_BATCH", 20)
    assert "for batches" in text(batch=40)
    assert "for batches" not in text(batch="all")
    monkeypatch.setattr("mapsort.refinement.batches.PER_MAP", 10)
    assert "for batches" in text()


def test_some_particles_of_a_run_keep_their_optics_groups(small, tmp_path):
    request = {"input": small.particles, "models": small.seeds, "path": tmp_path / "x"}
    options = typed_options(MultiOptions, request).validated()
    inputs = open_inputs(options)
    inputs.particles.table["rlnOpticsGroup"] = 1 + np.arange(120) % 3
    scratch = Scratch(tmp_path)
    run = Run(options, inputs.in_scratch(scratch), resolve(options, inputs))
    chosen = np.array([1, 4, 5, 119])
    np.testing.assert_array_equal(run.optics_group[chosen], chosen % 3)
    # numbered among those there are: 1 and 2
    np.testing.assert_array_equal(run.only(chosen).optics_group, chosen % 3 - 1)


@pytest.mark.parametrize("batch", [199, 1])
def test_batches_too_small_for_the_maps_are_refused(small, batch):
    request = {"input": small.particles, "models": small.seeds, "batch": batch}
    with pytest.raises(ConfigError, match=f"--batch={batch}: expected at least 200"):
        typed_options(MultiOptions, request).validated()
