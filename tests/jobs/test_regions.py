"""Several ``--mask`` regions: one pose of each particle, and a class of its own in each region."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError, Interrupted
from mapsort.io.mrc import write_map
from mapsort.io.star import read_particles
from mapsort.jobs.multi import plan_text, refine_multi_run
from mapsort.jobs.simulate import simulate
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.masks import lowpassed
from mapsort.physics.phantom import phantom_map

BOX, APIX, EACH = 32, 4.0, 100
#: Two sites that may be empty, and a place where nothing ever is.
SITES = {"a": (8.0, 1.0, 2.0), "b": (-7.0, 4.0, -3.0), "none": (1.0, -8.0, 6.0)}
#: Which of the sites each state has filled.
STATES = ((0, 0), (1, 0), (0, 1), (1, 1))


def distance(place):
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return np.sqrt((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2)


class Problem:
    """Particles of a body with two sites, each filled or not; maps, masks and truth in files."""

    def __init__(self, path):
        self.path = path
        body = phantom_map(0, BOX, APIX)
        body /= body.max()
        balls = [np.exp(-(distance(SITES[name]) ** 2) / (2 * 2.0**2)) for name in ("a", "b")]
        states = [(body + a * balls[0] + b * balls[1]).astype(np.float32) for a, b in STATES]
        for number, volume in enumerate(states):
            write_map(path / f"state{number}.mrc", volume, APIX)
        self.masks = {name: path / f"mask_{name}.mrc" for name in SITES}
        for name, place in SITES.items():
            mask = np.clip((7.0 - distance(place)) / 3.0, 0, 1)
            write_map(self.masks[name], mask.astype(np.float32), APIX)
        self.model = path / "mean.mrc"
        write_map(self.model, lowpassed(np.mean(states, axis=0), APIX / 20.0), APIX)
        request = {
            "maps": tuple(path / f"state{number}.mrc" for number in range(len(states))),
            "out": path / "sim",
            "n": EACH * len(states),
            "snr": 0.3,
            "shift": 1.0,
            "seed": 5,
        }
        self.truth = simulate(typed_options(SimulateOptions, request)).truth
        self.input = self.truth.with_name("particles.star")
        state = read_particles(self.truth)[1]["rlnClassNumber"].to_numpy(int) - 1
        self.filled = {"a": state % 2, "b": state // 2}

    def accuracy(self, labels, site):
        """Part of the particles that are in the class of their state, however it is called."""
        right = np.mean(labels == 1 + self.filled[site])
        return max(right, np.mean(labels == 2 - self.filled[site]))


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return Problem(tmp_path_factory.mktemp("regions"))


QUICK = {"orientgen": "eman:delta=20", "randomseed": 1, "parallel": "thread:1", "no_report": True}


def request(problem, path, names, **options):
    own = {"input": problem.input, "model": problem.model, "nmodels": 2, "iter": 2, "path": path}
    masks = {"mask": tuple(problem.masks[name] for name in names)}
    return typed_options(MultiOptions, own | masks | QUICK | options)


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    names = ("a", "b", "none")
    asked = request(problem, path, names, input=problem.truth, skipalign=True, control=True)
    return refine_multi_run(asked.validated())


def labels(run, number):
    table = read_particles(run.path / "regions.star")[1]
    return table[f"mapsortRegion{number}Class"].to_numpy(int)


def test_each_region_has_classes_of_its_own(problem, run):
    for number, site, other in ((1, "a", "b"), (2, "b", "a")):
        # of 400 particles a share by chance deviates by 0.025
        assert problem.accuracy(labels(run, number), site) > 0.95
        assert problem.accuracy(labels(run, number), other) < 0.6
    record = json.loads((run.path / "regions.json").read_text())
    assert [region["verdict"] for region in record["regions"][:2]] == ["supported"] * 2
    together = record["pairs"][0]
    assert together["regions"] == [1, 2]
    assert together["p_value"] > 1e-3


def test_a_region_where_nothing_differs_is_told_so(run):
    """The null: the sites' differences, seen through it in some views, make no classes there."""
    region = mapsort.open_run(run.path / "region_03")
    assert region.verdict.split.verdict == "not supported"
    assert "its classes: not supported" in (run.path / "run.log").read_text()


def test_every_region_has_a_control_of_its_own(run):
    assert not list(run.path.glob("control_*"))
    for number, verdict in ((1, "supported"), (2, "supported"), (3, "not supported")):
        found = mapsort.open_run(run.path / f"region_{number:02d}").verdict
        assert found.split.verdict == verdict
        assert found.control.verdict != "supported"
        # the same particles were enough to tell structures apart
        assert found.control.gain_nats is not None


def test_the_verdict_of_the_whole_tells_those_of_the_regions(problem, run):
    told = run.verdict
    assert told.split is None
    for number, name in enumerate(("a", "b", "none"), start=1):
        region, found = (
            told.regions[number - 1],
            mapsort.open_run(run.path / f"region_{number:02d}"),
        )
        assert (region.number, region.mask) == (number, str(problem.masks[name]))
        assert region.split == found.verdict.split
        assert found.verdict.mask == str(problem.masks[name])
        assert (
            f"split {region.split.verdict} inside {problem.masks[name]}: " in found.verdict.words[0]
        )
        assert told.words[number - 1] == region.words
        assert set(found.verdict.next_steps) <= set(told.next_steps)
    kept = json.loads((run.path / "verdict.json").read_text())
    assert [region["split"]["verdict"] for region in kept["regions"]] == [
        "supported",
        "supported",
        "not supported",
    ]


def test_every_region_is_a_run_at_the_same_poses(run):
    whole = poses(run)
    for number in (1, 2, 3):
        region = mapsort.open_run(run.path / f"region_{number:02d}")
        assert len(region.maps) == 2
        np.testing.assert_allclose(poses(region), whole, atol=1e-4)


def poses(run):
    names = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"]
    return run.assignments[names].to_numpy(float)


@pytest.mark.slow
def test_a_stopped_run_goes_on_by_two_threads_to_the_same_classes(problem, run, tmp_path):
    seen = []

    def stop(path):
        seen.append(path.name)
        if seen.count("region_02") == 1 and path.name == "region_02":
            raise Interrupted("stopped")

    path = tmp_path / "run"
    asked = request(problem, path, ("a", "b"), input=problem.truth, skipalign=True)
    with pytest.raises(Interrupted) as stopped:
        refine_multi_run(asked.validated(), watcher=stop)
    # the whole job is what goes on, not the region
    assert str(stopped.value).endswith(f"to continue: mapsort multi --resume {path}")
    assert (path / "RELION_JOB_EXIT_ABORTED").exists()
    first = (path / "region_01" / "particles_02.star").stat().st_mtime_ns
    again = mapsort.refine_multi(problem.truth, resume=path, parallel="thread:2")
    assert (path / "region_01" / "particles_02.star").stat().st_mtime_ns == first
    assert (path / "RELION_JOB_EXIT_SUCCESS").exists()
    offered = (path / "RELION_OUTPUT_NODES.star").read_text()
    for name in ("run_it002_data.star", "region_01/run_it002_class001.mrc", "region_02/run_it002_"):
        assert name in offered
    for name in ("region_01", "region_02"):
        for kind in ("threed_02_01.mrc", "threed_02_02.mrc", "particles_02.star"):
            one, other = (each.path / name / kind for each in (run, again))
            assert one.read_bytes() == other.read_bytes(), kind
    np.testing.assert_array_equal(labels(run, 2), labels(again, 2))


@pytest.mark.slow
def test_poses_are_searched_once_and_workers_find_the_same(problem, tmp_path):
    """Poses within ten degrees, by 53 projections: a quarter as many errors as by chance."""
    made = {}
    for where in ("thread:1", "dask:local=2"):
        options = {"inputmode": "particles", "parallel": where}
        asked = request(problem, tmp_path / where[:4], ("a", "b"), **options)
        run = refine_multi_run(asked.validated())
        made[where] = np.stack([labels(run, number) for number in (1, 2)])
    np.testing.assert_array_equal(*made.values())
    for found, site in zip(made["thread:1"], "ab", strict=True):
        assert problem.accuracy(found, site) > 0.75


@pytest.mark.slow
def test_given_maps_begin_every_region(problem, tmp_path):
    maps = tuple(problem.path / f"state{number}.mrc" for number in (0, 3))
    source = {"input": problem.truth, "skipalign": True, "model": None, "models": maps}
    run = refine_multi_run(request(problem, tmp_path / "run", ("a", "b"), **source).validated())
    for number, site in ((1, "a"), (2, "b")):
        # class 2 is that of the map with both sites filled
        assert np.mean(labels(run, number) == 1 + problem.filled[site]) > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nmodels": 1}, "2 regions and one map: nothing is classified"),
        ({"sym": ("c2", "c4")}, "2 regions take one point group"),
        ({"sep": 3}, "with --mask of several regions"),
        ({"simcmp": "frc"}, "--simcmp=frc: --mask of several regions takes"),
        ({"model": None}, "--mask lies in the frame of a map"),
    ],
    ids=str,
)
def test_what_does_not_go_with_regions_is_refused(problem, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        request(problem, tmp_path, ("a", "b"), **options).validated()


def test_a_check_tells_the_regions_and_what_they_share(problem, tmp_path):
    text = plan_text(request(problem, tmp_path / "run", ("a", "a")).validated())
    assert f"region 2: {problem.masks['a']}, classes of its own at the poses of map 1" in text
    assert "note: --mask: regions 1 and 2 share 100% of the smaller one" in text
