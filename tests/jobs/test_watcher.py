"""The watcher of a run sees the seeds, every iteration, and the end, in whole files."""

from __future__ import annotations

import pytest

import mapsort
from mapsort.engines.progress import SilentProgress
from mapsort.errors import MapsortError
from mapsort.jobs.multi import refine_multi_run
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.rundir.text import read_convergence


@pytest.fixture
def options(small, tmp_path):
    request = {
        "input": small.particles,
        "models": small.seeds,
        "path": tmp_path / "multi_00",
        "iter": 2,
        "orientgen": "eman:delta=24",
        "parallel": "thread:1",
    }
    return typed_options(MultiOptions, request).validated()


def test_called_when_seeds_and_when_each_iteration_is_written(options):
    seen = []

    def look(path):
        assert path == options.path
        assert (path / "threed_00_02.mrc").is_file()
        seen.append(len(read_convergence(path / "convergence.json")))
        if seen[-1]:
            assert (path / f"particles_{seen[-1]:02d}.star").is_file()

    refine_multi_run(options, watcher=look)
    # The last time with the verdict.
    assert seen == [0, 1, 2, 2]
    assert (options.path / "verdict.json").is_file()


def test_called_when_the_run_fails(options):
    class Stop(SilentProgress):
        def start(self, *_, iteration, **__):
            if iteration == 2:
                raise MapsortError("enough")

    seen = []

    def look(path):
        seen.append((path / "run.log").read_text())

    with pytest.raises(MapsortError, match="enough"):
        refine_multi_run(options, progress=Stop(), watcher=look)
    assert len(seen) == 3
    assert seen[-1].endswith("ERROR enough\n")


def test_the_python_interface_names_what_it_has():
    assert {"split", "eotest", "write_report"} <= set(dir(mapsort))
