"""Classes from the map of one state, in which views of the other state's particles are wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mapsort import refine_multi
from mapsort.errors import Interrupted
from mapsort.io.mrc import write_map
from mapsort.jobs import class_views
from mapsort.jobs.class_views import Moved
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.simulate import SimulateOptions


def blobs(points: np.ndarray, box: int = 32) -> np.ndarray:
    """Return a map of Gaussians of 1.5 pixels at points, (n, 3) from the centre."""
    line = np.arange(box) - box // 2
    part = [np.exp(-((line - x[:, None]) ** 2) / (2 * 1.5**2)) for x in points.T]
    return np.einsum("nz,ny,nx->zyx", *part).astype(np.float32)


@pytest.fixture(scope="module")
def unlike_states(tmp_path_factory) -> Simulated:
    """Two structures that have nothing in common but their size."""
    out = tmp_path_factory.mktemp("unlike")
    rng = np.random.default_rng(5)
    maps = (out / "first.mrc", out / "second.mrc")
    for path in maps:
        points = rng.normal(0, 3.5, (12, 3))
        write_map(path, blobs(points - points.mean(axis=0)), 4.0)
    return simulate(
        SimulateOptions(maps=maps, out=out / "set", n=400, snr=0.6, shift=1.0, seed=3, seedres=40.0)
    )


def found_from_first(problem: Simulated, path, **options):
    quick = {"orientgen": "eman:delta=16", "randomseed": 1, "parallel": "thread:1", "iter": 1}
    more = {"model": problem.seeds[0], "nmodels": 2, "path": path, "no_report": True}
    return refine_multi(problem.particles, (), **(quick | more | options))


@pytest.fixture(scope="module")
def whole(unlike_states, tmp_path_factory):
    return found_from_first(unlike_states, tmp_path_factory.mktemp("whole") / "run")


def test_views_of_the_other_state_are_found(unlike_states, whole, agreement):
    assert agreement(unlike_states, whole) > 0.98  # 0.87 where views stay near the first ones
    log = (whole.path / "run.log").read_text()
    assert "all are searched everywhere, and classes found anew" in log
    assert not (whole.path / "checkpoint" / "views").exists()
    # a sample, then each search but the first; views have settled after the last
    sample, *searches = whole.convergence[0]["views_elsewhere"]
    assert max(sample) > 0.1
    assert max(searches[-1]) <= 0.03 < min(map(max, [sample, *searches[:-1]]))
    assert log.count("of the classes moved elsewhere") == len(searches)
    assert "have not settled" not in log
    # the second class agrees with itself as far as the first one does
    first, second = (item["resolution_fsc_0143_ang"] for item in whole.convergence[-1]["maps"])
    assert second < 1.2 * first


def test_stops_and_threads_do_not_matter(unlike_states, whole, tmp_path, results, stop_at):
    """Stopped at the sample, in the first search, in a later one, and before classes anew."""
    path, where = tmp_path / "run", unlike_states.particles
    with pytest.raises(Interrupted):
        found_from_first(unlike_states, path, parallel="thread:2", progress=stop_at("match", 5))
    for stage, nth in (("views 1/", 2), ("views 4/", 1), ("prepare particles", 1)):
        with pytest.raises(Interrupted):
            refine_multi(where, (), resume=path, progress=stop_at(stage, nth))
    refine_multi(where, (), resume=path)
    assert results(path) == results(whole.path)


def test_views_that_settle_are_not_counted_as_classes(unlike_states, tmp_path, agreement):
    """Counted at the first views, there would be ten: one of the structures in nine views."""
    run = found_from_first(unlike_states, tmp_path / "run", nmodels="auto")
    assert len(run.maps) == 2
    assert agreement(unlike_states, run) > 0.98
    log = (run.path / "run.log").read_text()
    assert log.count("number of classes and gain over one") == 1  # of those that it goes on with


@pytest.mark.parametrize("nmodels", [2, "auto"], ids=str)
def test_views_that_have_not_settled_are_told(unlike_states, tmp_path, monkeypatch, nmodels):
    monkeypatch.setattr(class_views, "VIEWS_ITERATIONS", 2)
    run = found_from_first(unlike_states, tmp_path / "run", nmodels=nmodels)
    shares = run.convergence[0]["views_elsewhere"][-1]
    log = (run.path / "run.log").read_text()
    (told,) = [line for line in log.splitlines() if "settled" in line]
    found = re.search(r"not settled in 2 iterations: (.+)%/(.+)% of the classes still moved", told)
    # both are rounded: the record to a hundredth, the line to a tenth of a percent
    assert [float(share) for share in found.groups()] == pytest.approx(
        [100 * share for share in shares], abs=0.0501 + 0.00501
    )
    assert told.endswith("if you know it") is (nmodels == "auto")


@pytest.mark.parametrize(
    ("particles", "elsewhere", "beyond"),
    [((500, 500), (30, 60), False), ((500, 500), (0, 80), True), ((500, 5), (0, 1), False)],
    ids=str,
)
def test_a_few_particles_lie_elsewhere_by_chance(particles, elsewhere, beyond):
    moved = Moved(np.array(particles), np.array(elsewhere))
    assert moved.beyond_chance is beyond


def test_an_empty_class_has_not_moved():
    moved = Moved(np.array([10, 0]), np.array([1, 0]))
    assert moved.share.tolist() == [0.1, 0.0]
    assert moved.words == "10.0%/0.0%"
