"""Every command as a function, runs opened by their directory, and what a notebook shows."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mapsort
from mapsort.cli.commands import COMMANDS
from mapsort.engines.progress import NotebookProgress, SilentProgress, default_progress
from mapsort.errors import ConfigError, FormatError
from mapsort.options.multi import MultiOptions


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Particles, seeds and a short run."""
    place = tmp_path_factory.mktemp("commands")
    made = mapsort.commands.simulate(
        phantom=2, n=60, box=28, apix=5.0, snr=0.5, seedres=30.0, out=place / "sim"
    )
    mapsort.commands.multi(
        input=made.particles,
        models=made.seeds,
        iter=1,
        orientgen="eman:delta=25",
        path=place / "run",
        no_report=True,
        randomseed=1,
    )
    return place


def test_there_is_a_function_for_every_command():
    assert dir(mapsort.commands) == sorted(name.replace("-", "_") for name in COMMANDS)
    for name in dir(mapsort.commands):
        function = getattr(mapsort.commands, name)
        assert function.__name__ == name
        assert function.__doc__.startswith(COMMANDS[name.replace("_", "-")].summary[1:6], 1)
    with pytest.raises(AttributeError, match="no attribute 'sort'"):
        _ = mapsort.commands.sort


def test_signatures_name_the_options():
    known = inspect.signature(mapsort.commands.convert).parameters
    assert known["files"].kind is inspect.Parameter.VAR_POSITIONAL
    assert known["random"].default is None
    assert "progress" in known
    assert "progress" not in inspect.signature(mapsort.commands.split).parameters
    refined = inspect.signature(mapsort.refine_multi).parameters
    assert refined["iter"].default == MultiOptions.__dataclass_fields__["iter"].default
    assert list(refined)[:2] == ["particles", "models"]
    assert "input" not in refined


def test_a_command_that_only_prints_returns_its_text(place):
    told = mapsort.commands.info(place / "sim/particles.star")
    assert "box\t28 pixel" in told
    assert "frc" in mapsort.commands.modules("comparators")


def test_a_job_returns_what_it_made(place, tmp_path):
    made = mapsort.commands.convert(place / "sim/particles.star", tmp_path / "a.star", first=10)
    assert made.n_images == 10
    assert len(mapsort.Particles.open(made.files[0])) == 10


def test_check_returns_the_plan(place):
    seeds = sorted((place / "sim").glob("seed_*.mrc"))
    told = mapsort.commands.multi(
        input=place / "sim/particles.star", models=seeds, iter=1, check=True
    )
    assert "60" in told


def test_a_finished_run_returns_when_resumed(place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = str(place / "run")
    run = mapsort.commands.multi(resume=path, path=path, iter=2)
    assert len(run.convergence) == 2
    with pytest.raises(ConfigError, match=r"unknown option 'itre'.*iter"):
        mapsort.commands.multi(resume=path, itre=3)


def test_bad_options_are_refused_as_on_the_command_line(place):
    with pytest.raises(ConfigError, match="--first"):
        mapsort.commands.convert(place / "sim/particles.star", "b.star", first=0)
    with pytest.raises(TypeError, match="keywords only"):
        mapsort.commands.multi(place / "sim/particles.star")


def test_open_run(place):
    run = mapsort.open_run(place / "run")
    assert len(run.maps) == 2
    assert len(run.assignments) == 60
    assert repr(run).startswith(f"<MultiRun {place / 'run'}: 2 maps, ")
    with pytest.raises(FormatError, match="run"):
        mapsort.open_run(place / "sim")


def test_results_are_data_frames(place):
    run = mapsort.open_run(place / "run")
    mapsort.split(run)
    course = run.course
    assert course.index.tolist() == list(range(1, len(run.convergence) + 1))
    last = run.convergence[-1]
    row = course.loc[last["iteration"]]
    assert [row["particles_1"], row["particles_2"]] == last["occupancy"]
    assert row["resolution_2_ang"] == last["maps"][1]["resolution_fsc_0143_ang"]
    (sets,) = (table for caption, table in run.tables.items() if "particles" in table.columns)
    assert sets["particles"].sum() == len(run.assignments)


def test_maps_are_arrays(place):
    one, two = mapsort.open_run(place / "run").maps
    assert np.asarray(one).shape == (28, 28, 28)
    assert np.asarray(one) is one.data
    np.testing.assert_array_equal(mapsort.fsc(one, two), mapsort.fsc(one.data, two.data))
    assert mapsort.process("normalize", one).shape == (28, 28, 28)
    assert repr(one).startswith("<Volume 28^3 voxels, 5 A/pixel, ")


class Handle:
    """What `IPython.display.display` returns, with what it was given."""

    def __init__(self):
        self.pages = []

    def show(self, shown, *, display_id):
        assert display_id
        self.pages.append(shown._repr_html_())
        return self

    def update(self, shown):
        self.pages.append(shown._repr_html_())


def test_a_notebook_shows_a_bar_and_then_lines():
    handle = Handle()
    shown = NotebookProgress(handle.show)
    shown.start("match", 4, iteration=1, n_iterations=2)
    shown.advance(3)
    assert 'value="3" max="4"' in handle.pages[-1]
    shown.finish("a < b")
    assert handle.pages[-1] == "<div>1/2 match: a &lt; b</div>"


def test_without_a_notebook_nothing_is_shown():
    assert isinstance(default_progress(), SilentProgress)


def test_a_notebook_has_its_bar_by_default(monkeypatch):
    handle, shell = Handle(), SimpleNamespace()
    program = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", program)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=handle.show))
    # In a terminal, IPython has no kernel.
    assert isinstance(default_progress(), SilentProgress)
    shell.kernel = object()
    default_progress().message("done")
    assert handle.pages == ["<div>done</div>"]
