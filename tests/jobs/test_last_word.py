"""The last word of a converged run: particles judged by maps that were made without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort import refine_multi
from mapsort.engines.progress import SilentProgress
from mapsort.errors import Interrupted
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import Simulated, simulate
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


class _StopAfterJudging(SilentProgress):
    """Interrupts a run in the stage that follows the judgement."""

    judged = False

    def start(self, stage: str, *_: object, **__: object) -> None:
        if self.judged and stage == "average":
            raise Interrupted("stopped")
        self.judged |= stage == "judge classes"


def test_a_run_that_was_stopped_after_it_ends_the_same(problem, whole, tmp_path, results):
    with pytest.raises(Interrupted):
        sorted_by(problem, tmp_path / "run", progress=_StopAfterJudging())
    refine_multi(problem.particles, (), resume=tmp_path / "run")
    assert results(tmp_path / "run") == results(whole.path)


def test_threads_do_not_matter(problem, whole, tmp_path, results):
    sorted_by(problem, tmp_path / "run", parallel="thread:3")
    assert results(tmp_path / "run") == results(whole.path)
