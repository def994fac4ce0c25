"""The last word of a converged run: particles judged by maps that were made without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapsort import refine_multi
from mapsort.engines.progress import SilentProgress
from mapsort.errors import Interrupted
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.model.particles import Particles
from mapsort.options.simulate import SimulateOptions


@pytest.fixture(scope="module")
def problem(tmp_path_factory) -> Simulated:
    out = tmp_path_factory.mktemp("two")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=300, box=32, apix=4.0, snr=0.6, shift=1.0, seed=3, seedres=40.0
        )
    )


def sorted_by(problem: Simulated, path: Path, **options):
    quick = {"orientgen": "eman:delta=16", "randomseed": 1, "parallel": "thread:1"}
    return refine_multi(
        problem.particles, problem.seeds, path=path, no_report=True, **(quick | options)
    )


@pytest.fixture(scope="module")
def whole(problem, tmp_path_factory):
    return sorted_by(problem, tmp_path_factory.mktemp("whole") / "run")


def agreement(problem: Simulated, table) -> float:
    truth = read_particles(problem.truth)[1]["rlnClassNumber"].to_numpy()
    return float(np.mean(truth == table["rlnClassNumber"].to_numpy()))


def test_one_more_iteration_has_the_classes_judged_anew(problem, whole):
    *_, before, last = whole.convergence
    assert before["last_word_after"].startswith("converged")
    assert before["end"] is None
    assert last["end"].endswith("then each was judged by maps made without it")
    assert "each particle judged by maps made without it" in (whole.path / "run.log").read_text()
    first = read_particles(whole.path / f"particles_{before['iteration']:02d}.star")[1]
    assert agreement(problem, whole.assignments) >= agreement(problem, first) - 0.01
    assert agreement(problem, whole.assignments) > 0.9


def test_junk_is_put_apart_in_the_end(problem, tmp_path):
    images = Particles.open(problem.particles).images(slice(None)).copy()
    junk = np.arange(len(images)) % 8 == 0
    rng = np.random.default_rng(5)
    images[junk] = rng.normal(0.0, images[:, 0].std(), (junk.sum(), *images.shape[1:]))
    write_stack(tmp_path / "some.mrcs", images, 4.0)
    optics, table = read_particles(problem.particles)
    names = [f"{i + 1:06d}@some.mrcs" for i in range(len(images))]
    write_particles(tmp_path / "some.star", optics, table.assign(rlnImageName=names))
    some = replace(problem, particles=tmp_path / "some.star")
    run = sorted_by(some, tmp_path / "run")
    assert [entry["junk_sets"] for entry in run.convergence[:-1]] == [None] * (
        len(run.convergence) - 1
    )
    found = run.assignments["rlnClassNumber"].to_numpy(int) == 3
    assert found[junk].mean() > 0.8
    assert found[~junk].mean() < 0.02
    assert run.convergence[-1]["junk_sets"] == [found.sum()]
    assert "look like no particle and are put apart" in (run.path / "run.log").read_text()


class _StopAfterJudging(SilentProgress):
    """Interrupts a run in the stage that follows the judgement."""

    judged = False

    def start(self, stage: str, *_: object, **__: object) -> None:
        if self.judged and stage == "average":
            raise Interrupted("stopped")
        self.judged |= stage == "judge classes"


def test_stops_and_threads_do_not_matter(problem, whole, tmp_path, results):
    with pytest.raises(Interrupted):
        sorted_by(problem, tmp_path / "run", parallel="thread:3", progress=_StopAfterJudging())
    refine_multi(problem.particles, (), resume=tmp_path / "run")
    assert results(tmp_path / "run") == results(whole.path)
