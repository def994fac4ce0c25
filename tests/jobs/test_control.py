"""The null control: classes of structures are supported, those of their twin are not."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mapsort
from mapsort import commands
from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, Interrupted
from mapsort.io.star import read_particles
from mapsort.jobs.control import held_against
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.twin import twin_images
from mapsort.rundir.result_record import read_results
from mapsort.rundir.verdict_record import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Split


def test_a_twin_has_the_scale_of_its_image_and_the_power_of_what_is_left():
    rng = np.random.default_rng(1)
    map_image = np.pad(rng.standard_normal((4, 8, 8)), ((0, 0), (12, 12), (12, 12)))
    map_image = 3 * map_image.astype(np.float32)
    noise = rng.standard_normal((4, 32, 32)).astype(np.float32)
    scales = np.array([0.5, 0.8, 1.0, 1.3], np.float32)[:, None, None]
    twins = twin_images(scales * map_image + noise, map_image, rng)
    found = np.sum(twins * map_image, axis=(1, 2)) / np.sum(map_image**2, axis=(1, 2))
    # The scale's error is that of the noise along the map, twice: of the image and of its twin.
    error = np.sqrt(2 / np.sum(map_image**2, axis=(1, 2)))
    assert np.all(np.abs(found - scales.ravel()) < 4 * error)
    left = twins - scales * map_image
    assert left.var() == pytest.approx(noise.var(), rel=0.05)
    # Nothing of the noise itself stays; four images of 1,024 pixels correlate by 0.016 by chance.
    assert np.abs(np.corrcoef(left.ravel(), noise.ravel())[0, 1]) < 0.07


@pytest.mark.parametrize(
    ("states", "halves"),
    [(2, False), (1, False), pytest.param(2, True, marks=pytest.mark.slow)],
)
def test_structures_are_supported_and_their_twin_is_not(tmp_path, lumps, states, halves):
    made, maps = lumps(states)
    run = refine_multi(
        made.particles,
        maps,
        path=tmp_path / "run",
        iter=1,
        orientgen="eman:delta=15",
        randomseed=1,
        parallel="thread:1",
        control=True,
        halves=halves,
        keepfiles="maps",
    )
    verdict = run.verdict
    assert (verdict.split.verdict == SUPPORTED) is (states == 2)
    assert verdict.control.verdict != SUPPORTED
    told = f"control, one structure: split {verdict.control.verdict}: {verdict.control.reason}"
    assert told in verdict.words
    assert told in (run.path / "run.log").read_text()
    kept = json.loads((run.path / "verdict.json").read_text())
    assert kept["control"]["gain_nats"] == verdict.control.gain_nats
    (table,) = next(r for r in read_results(run.path) if r.title == "Null control").tables
    assert [row[:2] for row in table.rows] == [
        ("data", verdict.split.verdict),
        ("control", verdict.control.verdict),
    ]
    # The twin's images are as large as the data.
    assert not (run.path / "control_01/particles.mrcs").exists()


class StopsInTheTwin(SilentProgress):
    """Stops at the second time that iteration 1 matches."""

    def __init__(self):
        self.times = 0

    def start(self, stage, _total, *, iteration, **_of):
        self.times += (stage, iteration) == ("match", 1)

    def advance(self, _amount):
        if self.times == 2:
            raise Interrupted("interrupted by SIGTERM; finished files are kept")


def test_a_control_is_the_same_after_a_stop_and_with_other_threads(tiny, tmp_path, results):
    def ran(name, **options):
        return refine_multi(
            tiny.particles,
            tiny.seeds,
            path=tmp_path / name,
            iter=1,
            randomseed=1,
            orientgen="eman:delta=60",
            control=True,
            **options,
        )

    whole = ran("whole", parallel="thread:1")
    with pytest.raises(Interrupted, match=f"--resume {tmp_path / 'stopped'}$"):
        ran("stopped", parallel="thread:2", progress=StopsInTheTwin())
    stopped = tmp_path / "stopped"
    assert mapsort.open_run(stopped).verdict.control is None
    resumed = commands.multi(resume=stopped)
    assert resumed.verdict.control == whole.verdict.control
    assert resumed.verdict.control is not None
    first, second = (path / "control_01" for path in (whole.path, stopped))
    assert "resumed after iteration 0" in (second / "multi/run.log").read_text()
    assert (first / "particles.mrcs").read_bytes() == (second / "particles.mrcs").read_bytes()
    found = [results(place / "multi") for place in (first, second)]
    for one in found:
        # They hold the names of the images, which lie elsewhere.
        del one["particles_01.star"], one["classes_01.hdf"]
    assert found[0] == found[1]
    written = read_particles(whole.path / "control_01/particles.star")[1]
    given = read_particles(tiny.particles)[1]
    assert written.drop(columns="rlnImageName").equals(given.drop(columns="rlnImageName"))
    before = (stopped / "verdict.json").read_bytes()
    commands.multi(resume=stopped)
    assert (stopped / "verdict.json").read_bytes() == before


def split(verdict, gain, error=0.1):
    return Split(verdict, "why", gain, error, 400, 0.9)


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        (split(NOT_SUPPORTED, 0.0), SUPPORTED),
        (Split(NOT_SUPPORTED, "one class holds all particles"), SUPPORTED),
        (split(UNDECIDED, 0.4), SUPPORTED),
        (split(UNDECIDED, 0.7), UNDECIDED),
        (split(SUPPORTED, 0.4), UNDECIDED),
    ],
)
def test_what_one_structure_gains_supports_nothing(control, verdict):
    assert held_against(split(SUPPORTED, 1.0), control).verdict == verdict
    assert held_against(split(NOT_SUPPORTED, 0.0), control).verdict == NOT_SUPPORTED


def test_a_filtered_copy_is_refused(tiny):
    with pytest.raises(ConfigError, match="--control"):
        refine_multi(tiny.particles, tiny.seeds, control=True, usefilt=tiny.particles, iter=1)
