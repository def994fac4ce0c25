"""``mapsort pca``: what is found, what is written, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, FormatError, Interrupted
from mapsort.io.mrc import read_map
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.report.page import write_report
from mapsort.rundir.run_record import RunState, read_run

LIKE = {"n": 400, "snr": 0.1, "shift": 1.0, "seed": 4, "seedres": 40.0}
QUICK = {"randomseed": 1, "parallel": "thread:1"}


@pytest.fixture(scope="module")
def two_states(tmp_path_factory) -> Simulated:
    out = tmp_path_factory.mktemp("two")
    return simulate(SimulateOptions(phantom=2, box=32, apix=4.0, out=out, **LIKE))


@pytest.fixture(scope="module")
def found(two_states, tmp_path_factory):
    path = tmp_path_factory.mktemp("pca") / "run"
    return mapsort.pca(two_states.truth, two_states.seeds[0], path=path, skipalign=True, **QUICK)


def low_passed(volume, rings):
    """Return a map without what is beyond some rings."""
    along = np.fft.fftfreq(len(volume), 1 / len(volume))
    radius = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(along, along, along)))
    return np.fft.ifftn(np.fft.fftn(volume) * (radius <= rings)).real


def test_two_states_lie_apart_along_the_first_component(two_states, found):
    assert found.n_worth >= 1
    assert "worth it (gain" in found.words
    state = read_particles(two_states.truth)[1]["rlnClassNumber"].to_numpy(int)
    along = found.assignments["mapsortLatent1"].to_numpy(float)
    assert abs(np.corrcoef(state, along)[0, 1]) > 0.6
    # the component is the difference of the states in its band, but for its sign
    one, two = (read_map(path)[0] for path in two_states.maps)
    component = found.components[0].data
    assert abs(np.corrcoef(low_passed(one - two, 4).ravel(), component.ravel())[0, 1]) > 0.55


def test_what_is_written_fits_together(two_states, found):
    summary = json.loads((found.path / "pca.json").read_text())
    assert summary["components"] == summary["components_worth_it"] == len(found.components)
    assert summary["held_out_gain_nat"] == pytest.approx(found.gain)
    assert sum(summary["variance_share"]) == pytest.approx(1.0)
    mean, apix = read_map(found.path / "mean.mrc")
    assert apix == pytest.approx(4.0)
    component = read_map(found.path / "component_01.mrc")[0]
    frames = sorted((found.path / "component_01_movie").iterdir())
    for path, deviations in zip(frames, (-2, -1, 0, 1, 2), strict=True):
        np.testing.assert_allclose(read_map(path)[0], mean + deviations * component, atol=1e-5)
    given, kept = read_particles(two_states.truth)[1], found.assignments
    for name in ("rlnAngleTilt", "rlnOriginXAngst", "rlnDefocusU"):
        np.testing.assert_allclose(kept[name], given[name], atol=1e-3)
    assert set(kept["rlnClassNumber"]) <= {1, 2}
    assert "worth it" in (found.path / "run.log").read_text()


def test_threads_do_not_matter(two_states, found, tmp_path):
    threads = {**QUICK, "parallel": "thread:3"}
    again = mapsort.pca(
        two_states.truth, two_states.seeds[0], path=tmp_path / "run", skipalign=True, **threads
    )
    assert again.mean.data.tobytes() == found.mean.data.tobytes()
    assert again.gain == found.gain


class _StopBefore(SilentProgress):
    """Raises when a stage begins."""

    def __init__(self, stage):
        self.stage, self.seen = stage, []

    def start(self, stage, *_, **__):
        self.seen.append(stage)
        if stage == self.stage:
            raise Interrupted("stopped")


def test_a_stopped_run_goes_on_with_the_same_results(two_states, tmp_path):
    asked = {"orientgen": "eman:delta=16", "iter": 1, **QUICK}
    where = two_states.particles, two_states.seeds[0]
    whole = mapsort.pca(*where, path=tmp_path / "whole", **asked)
    path = tmp_path / "stopped"
    with pytest.raises(Interrupted, match=f"to continue: mapsort pca --resume {path}"):
        mapsort.pca(*where, path=path, progress=_StopBefore("components"), **asked)
    assert json.loads((path / "progress.json").read_text())["state"] == "interrupted"
    seen = _StopBefore(None)
    again = mapsort.pca("", "", resume=path, progress=seen)
    assert not any("match" in stage for stage in seen.seen), "the consensus was there"
    assert again.mean.data.tobytes() == whole.mean.data.tobytes()
    assert (path / "particles.star").read_text() == (whole.path / "particles.star").read_text()
    assert json.loads((path / "progress.json").read_text())["state"] == "finished"
    # nothing is left to be done
    seen = _StopBefore(None)
    mapsort.pca("", "", resume=path, progress=seen)
    assert "components" not in seen.seen
    with pytest.raises(ConfigError, match=r"--iter: differs from the run"):
        mapsort.pca("", "", resume=path, iter=2)
    with pytest.raises(FormatError, match="is a run of mapsort pca"):
        mapsort.commands.multi(resume=path)


def test_check_tells_what_would_run(two_states, tmp_path, capsys):
    words = ["pca", "--input", two_states.truth, "--model", two_states.seeds[0], "--skipalign"]
    assert main([str(word) for word in [*words, "--path", tmp_path / "run", "--check"]]) == 0
    told = capsys.readouterr().out
    assert "time: about" in told
    assert "map 1:" in told
    assert not (tmp_path / "run").exists()


def test_the_report_shows_components(found):
    text = write_report(found.path).read_text()
    assert "Particles along component 1" in text
    assert "Mean map and components" in text
    assert "No iteration has ended" not in text
    assert f"{found.n_worth} of 8 components explain left-out particles better" in text
    assert read_run(found.path).state is RunState.FINISHED


def test_the_command_searches_poses_and_says_what_it_found(two_states, tmp_path, capsys):
    words = ["pca", "--input", two_states.particles, "--model", two_states.seeds[0]]
    words += ["--components", "2", "--orientgen", "eman:delta=16", "--iter", "1", "-q"]
    words += ["--randomseed", "1", "--parallel", "thread:1", "--path", tmp_path / "run"]
    assert main([str(word) for word in words]) == 0
    assert "worth it" in capsys.readouterr().out
    assert (tmp_path / "run" / "component_02_movie" / "frame_05.mrc").exists()
    assert (tmp_path / "run" / "latent.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_one_structure_has_no_component(two_states, tmp_path, capsys):
    one = simulate(SimulateOptions(maps=two_states.maps[:1], out=tmp_path / "one", **LIKE))
    words = ["pca", "--input", one.truth, "--model", one.seeds[0], "--skipalign", "-q"]
    words += ["--randomseed", "1", "--parallel", "thread:1", "--path", tmp_path / "run"]
    assert main([str(word) for word in words]) == 0
    assert "no component is worth it: the particles look like one structure" in (
        capsys.readouterr().out
    )
    assert (tmp_path / "run" / "latent.png").exists()
    assert not list((tmp_path / "run").glob("component*"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"components": 41}, "--components=41: at most 40 of 400 particles"),
        ({"sym": "c1,c2"}, "one symmetry"),
        ({"sym": "h3:1:20:5"}, "helices"),
    ],
    ids=str,
)
def test_what_is_refused(two_states, options, why):
    with pytest.raises(ConfigError, match=why):
        mapsort.pca(two_states.truth, two_states.seeds[0], skipalign=True, **options)
