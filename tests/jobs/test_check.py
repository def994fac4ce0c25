"""``--check``: what a run needs of memory, disk and time, and what it says of it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mapsort.jobs import multi
from mapsort.jobs.multi import plan_text
from mapsort.options.multi import MultiOptions
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.plan import resolve
from mapsort.refinement.requirements import run_disk, run_memory
from mapsort.refinement.time_estimate import TimeEstimate, readable_time


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
    plan = resolve(options, open_inputs(options))
    return sum(run_memory(options, plan, n).values()), run_disk(options, plan, n)


def test_check_tells_memory_disk_and_time_and_leaves_nothing(options, tmp_path):
    text = plan_text(options)
    assert re.search(r"^memory: .* MiB \(maps ", text, re.MULTILINE)
    assert re.search(r"^disk: .* free\)$", text, re.MULTILINE)
    (line,) = [line for line in text.splitlines() if line.startswith("time: ")]
    assert re.match(r"time: about \d+ (s|min), \d+ (s|min) an iteration \(match \d+ s, ave", line)
    assert list(tmp_path.iterdir()) == []


def test_until_convergence_is_at_most():
    line = TimeEstimate(10.0, 20.0, 30.0).line(25, at_most=True)
    assert line.startswith("time: at most about 25 min, 1 min an iteration (match 10 s")


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


def test_too_little_memory_is_warned_of(options, monkeypatch):
    monkeypatch.setattr(multi, "available_memory", lambda: 2**20)
    text = plan_text(options)
    assert "warning: the run needs about" in text
    assert "--lowmem takes less" in text


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (130, "2 min"), (9000, "2.5 h")])
def test_times_are_readable(seconds, words):
    assert readable_time(seconds) == words
