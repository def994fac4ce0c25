"""``--check``: what a run needs of memory, disk and time, and what it says of it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.jobs import multi
from mapsort.jobs.multi import plan_text
from mapsort.options.multi import MultiOptions
from mapsort.options.types import KeptFiles
from mapsort.refinement import plan as plan_module
from mapsort.refinement import time_estimate
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.iteration import scanned
from mapsort.refinement.plan import resolve
from mapsort.refinement.requirements import run_disk, run_memory
from mapsort.refinement.run import Run
from mapsort.refinement.time_estimate import TimeEstimate, estimated_time, readable_time
from mapsort.rundir import outputs


@pytest.fixture
def options(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return MultiOptions(
        input=small.particles,
        models=tuple(small.seeds),
        orientgen="eman:delta=24",
        parallel="thread:1",
        randomseed=1,
        iter=2,
    ).validated()


def needs(options, n=20_000):
    """Memory and disk of a run with so many particles."""
    inputs = open_inputs(options)
    many = inputs.only(np.arange(n) % len(inputs.particles))
    run = Run(options, many, resolve(options, inputs), Execution())
    return sum(run_memory(run).values()), run_disk(run)


def test_check_tells_memory_disk_and_time_and_leaves_nothing(options, tmp_path):
    text = plan_text(options)
    assert re.search(r"^memory: .* MiB \(maps ", text, re.MULTILINE)
    assert re.search(r"^disk: .* free\)$", text, re.MULTILINE)
    (line,) = [line for line in text.splitlines() if line.startswith("time: ")]
    assert re.match(r"time: about \d+ (s|min), \d+ (s|min) an iteration \(match \d+ s, ave", line)
    assert list(tmp_path.iterdir()) == []


def test_until_convergence_is_what_is_usual_and_at_most():
    line = TimeEstimate(10.0, 20.0, 30.0).line(25, at_most=True)
    assert line.startswith(
        "time: about 8 min if it converges in 8 iterations, at most 25 min, 1 min an iteration (ma"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"twostage": 2},
        {"classiter": 1},
        {"classaverager": "mean"},
        {"classaverager": "median"},
        {"simcmp": "frc:zeromask=1"},
    ],
    ids=str,
)
def test_options_that_need_memory_say_so(options, change):
    assert needs(replace(options, **change))[0] > needs(options)[0]


def test_two_stages_take_disk_and_lowmem_saves_memory(options):
    assert needs(replace(options, twostage=2))[1] > needs(options)[1]
    assert needs(replace(options, lowmem=True))[0] < needs(options)[0]


def test_files_that_do_not_stay_take_no_disk(options):
    longer = replace(options, iter=20)
    kept = replace(longer, keepfiles=KeptFiles.MAPS)
    assert needs(kept)[1] < 0.5 * needs(longer)[1]
    # two iterations' files are there at a time
    assert needs(replace(options, keepfiles=KeptFiles.MAPS)) == needs(options)


def test_too_little_disk_is_refused_with_what_takes_less(options, monkeypatch):
    monkeypatch.setattr(outputs, "free_bytes", lambda _: 2**10)
    with pytest.raises(ConfigError, match=r"needs about .* are free there; --keepfiles maps takes"):
        plan_text(replace(options, iter=20))


def test_too_little_memory_is_warned_of(options, monkeypatch):
    monkeypatch.setattr(multi, "available_memory", lambda: 2**20)
    text = plan_text(options)
    assert "warning: the run needs about" in text
    assert "--lowmem takes less" in text


@pytest.mark.parametrize(
    ("seconds", "tried"),
    [(0.0, "10 particles"), (1e9, "64 particles")],
)
def test_the_trial_is_bounded_by_time(options, monkeypatch, seconds, tried):
    ticks = itertools.count(0.0, 0.5)
    monkeypatch.setattr(time_estimate, "TRIAL_SECONDS", seconds + 0.75)
    monkeypatch.setattr(time_estimate.time, "process_time", lambda: next(ticks))
    n_threads = 10 if seconds == 0 else 1
    text = plan_text(replace(options, parallel=f"thread:{n_threads}"))
    assert f"from a trial with {tried}" in text


def test_a_trial_of_some_projections_counts_for_all(options, monkeypatch):
    request = replace(options, orientgen="eman:delta=12")
    inputs = open_inputs(request)
    plan = resolve(request, inputs)
    run = scanned(Run(request, inputs, plan, Execution()))
    whole = estimated_time(run)
    monkeypatch.setattr(plan_module, "_LEAST_BLOCK", len(plan.references) // 4)
    parts = replace(run, plan=replace(plan, block_bytes=1))
    assert len(parts.plan.reference_blocks) >= 4
    seconds = [0.0]
    monkeypatch.setattr(time_estimate, "_seconds", lambda job: (job(), 1.0)[1])
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: seconds[0])
    assert estimated_time(parts).match == pytest.approx(
        len(plan.references) / (len(plan.references) // 4)
    )
    assert whole.n_tried == estimated_time(parts).n_tried == 64


def test_what_a_job_takes_for_any_number_does_not_grow_with_it(monkeypatch):
    monkeypatch.setattr(time_estimate, "_seconds", lambda job: job())
    assert time_estimate._for_all(lambda n: 5.0 + 0.25 * n, 64, 4000) == pytest.approx(1005.0)
    assert time_estimate._for_all(lambda _: 5.0, 1, 4000) == pytest.approx(5.0)


def test_the_verdict_counts_where_there_are_several_maps(options):
    assert re.search(r"\), \d+ s for the verdict; from a trial", plan_text(options))
    one = replace(options, models=options.models[:1])
    assert "verdict" not in plan_text(one)


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (130, "2 min"), (9000, "2.5 h")])
def test_times_are_readable(seconds, words):
    assert readable_time(seconds) == words


def test_the_search_for_classes_counts(options, small):
    one = replace(options, model=options.models[0], models=(), nmodels=2, iter=2).validated()
    told = r"an iteration \(.*\), \d+ s for the verdict, \d+ s for classes beside; from a trial"
    text = plan_text(one)
    assert re.search(told, text)
    assert re.search(r"; up to 12 iterations before them, \d+ (s|min), where particles of a", text)
    given = replace(one, input=small.truth, skipalign=True).validated()
    assert "up to 12 iterations" not in plan_text(given)
