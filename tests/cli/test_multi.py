"""The command around the job: what it is given, what is printed, how it ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from mapsort.cli.main import main

WORDS = ["multi", "--input", "p.star", "--models", "a.mrc,b.mrc", "--iter", "2"]


@pytest.fixture
def job(monkeypatch):
    """Stands for the job itself; keeps the options it was given."""
    module = ModuleType("mapsort.jobs.multi")
    module.given = []

    def refine_multi_run(options, *, progress, watcher):
        assert callable(watcher) is not options.no_report
        module.given.append(options)
        progress.start("match", 5, iteration=1, n_iterations=options.iter)
        module.during()
        progress.advance(5)
        progress.finish("5 particles")
        return SimpleNamespace(
            path=Path("multi_00"), convergence=[{}, {"occupancy": [2, 3]}], verdict=None
        )

    module.during = lambda: None
    module.refine_multi_run = refine_multi_run

    def plan_text(options, *, progress):
        progress.start("match", 5, iteration=0, n_iterations=0)
        return f"would run {options.iter} iterations"

    module.plan_text = plan_text
    monkeypatch.setitem(sys.modules, "mapsort.jobs.multi", module)
    return module


def test_the_end_names_maps_occupancies_and_the_table(job, capsys):
    assert main(WORDS) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "multi_00/threed_02_01.mrc  2 particles (40.0%)",
        "multi_00/threed_02_02.mrc  3 particles (60.0%)",
        "multi_00/particles_02.star  class and pose of every particle",
    ]
    assert captured.err.startswith("iteration 1/2  match: 5 particles (")
    assert job.given[0].models == (Path("a.mrc"), Path("b.mrc"))


def test_the_end_names_the_report_that_there_is(job, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Path("multi_00/report/index.html")

    def write():
        report.parent.mkdir(parents=True)
        report.touch()

    job.during = write
    assert main(WORDS) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{report}  report: open it in a browser"


def test_quiet_shows_the_end_only(job, capsys):
    assert main([*WORDS, "-q"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 3
    assert job.given[0].quiet


def test_check_prints_the_plan_and_runs_nothing(job, capsys):
    assert main([*WORDS, "--check"]) == 0
    assert capsys.readouterr().out == "would run 2 iterations\n"
    assert job.given == []


@pytest.mark.parametrize("more", [[], ["--check"]])
@pytest.mark.usefixtures("job")
def test_an_ignored_scratch_directory_is_said(capsys, more):
    assert main([*WORDS, "--parallel", "thread:1:/scratch", *more]) == 0
    assert "the scratch directory /scratch is not needed" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_with_75(job, capsys, number):
    job.during = lambda: os.kill(os.getpid(), number)
    assert main(WORDS) == 75
    assert f"interrupted by {number.name}" in capsys.readouterr().err
