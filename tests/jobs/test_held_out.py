"""Particles that had no part in it judge a split: a real one, and one of noise alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError
from mapsort.jobs.crossval.exchange import SetReturn
from mapsort.jobs.crossval.job import crossval, judged_pairs
from mapsort.jobs.crossval.validation import HeldOutPair
from mapsort.jobs.crossval.verdicts import NOT_SUPPORTED, SUPPORTED, Crossval, PairVerdict
from mapsort.jobs.finished_run import open_finished
from mapsort.jobs.followup import followup
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.rundir.result_record import read_results

QUICK = {"orientgen": "eman:delta=15", "randomseed": 1, "parallel": "thread:1"}


@pytest.fixture(scope="module")
def one_state(tmp_path_factory):
    """One structure, sorted between two seeds that differ by noise."""
    out = tmp_path_factory.mktemp("one_state")
    made = simulate(
        SimulateOptions(
            phantom=1, out=out, n=240, box=32, apix=4.0, snr=0.1, shift=1.0, seed=2, seedres=20.0
        )
    )
    return refine_multi(
        made.particles,
        [],
        model=made.seeds[0],
        nmodels=2,
        iter=2,
        path=out / "multi_00",
        **QUICK,
    )


def run_of_two_states(out, n):
    """Two structures, sorted between their own seeds."""
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=n, box=32, apix=4.0, snr=0.2, shift=1.0, seed=2, seedres=20.0
        )
    )
    return refine_multi(made.particles, made.seeds, iter=2, path=out / "multi_00", **QUICK)


@pytest.fixture(scope="module")
def two_states(tmp_path_factory):
    return run_of_two_states(tmp_path_factory.mktemp("two_states"), 240)


def judged(run):
    pairs = judged_pairs(open_finished(run.path), 2, SilentProgress(), parallel="thread:1")
    assert [pair.maps for pair in pairs] == [(1, 2)]
    return pairs[0]


def test_two_structures_explain_particles_unseen_better_than_one(two_states):
    found = judged(two_states)
    assert found.n_particles == 240
    assert found.predicts
    assert found.gain_nats > 1.0


def test_two_maps_of_one_structure_do_not(one_state):
    """They are noisier than the map of all, and noise predicts nothing: no gain, or a loss."""
    found = judged(one_state)
    assert found.n_particles == 240
    assert not found.predicts
    assert found.gain_nats < 0.5


def test_a_run_of_one_map_is_refused(two_states, tmp_path):
    seed = two_states.path / "threed_00_01.mrc"
    source = two_states.path.parent / "particles.star"
    run = refine_multi(source, [seed], iter=1, path=tmp_path / "multi_00", **QUICK)
    with pytest.raises(ConfigError, match="one map"):
        crossval(run)


def returned(margin, error):
    return SetReturn(1, 2, None, 9.0, 0.9, 0.8, 1.0, 1.0 - margin, margin, error)


def verdict(margins, gain):
    pair = PairVerdict((1, 2), tuple(returned(*m) for m in margins), HeldOutPair((1, 2), 50, *gain))
    return Crossval(None, 3, (pair,))


@pytest.mark.parametrize(
    ("margins", "gain", "supported"),
    [
        (((0.1, 0.01), (0.1, 0.01)), (2.0, 0.1), True),
        # both return, but only their particles' noise does
        (((0.1, 0.01), (0.1, 0.01)), (-0.1, 0.1), False),
        # one stops half-way: no evidence; one stays: evidence against
        (((0.1, 0.01), (0.01, 0.01)), (2.0, 0.1), True),
        (((0.1, 0.01), (-0.1, 0.01)), (2.0, 0.1), False),
        (((0.1, 0.08), (0.1, 0.08)), (2.0, 0.1), False),
    ],
)
def test_a_verdict_needs_both(margins, gain, supported):
    found = verdict(margins, gain)
    assert found.supported is supported
    assert found.verdict == (SUPPORTED if supported else NOT_SUPPORTED)
    assert found.pairs[0].words.startswith(f"maps 1 and 2: {found.verdict}")


def test_small_sets_support_nothing():
    pair = PairVerdict((1, 2), (), None)
    assert not pair.supported
    assert "too small" in pair.words
    assert not Crossval(None, 1, ()).supported


@pytest.mark.slow
def test_the_followup_of_a_real_split(tmp_path):
    """The errors of 240 particles would leave both sets between the maps."""
    run = run_of_two_states(tmp_path, 480)
    # after two iterations a set that began with the other's map is still between both
    made = followup(run, refineiter=3, parallel="thread:1")
    assert sum(map(len, made.split.sets)) == 480
    assert sorted(made.refined) == [1, 2]
    assert made.crossval.verdict == SUPPORTED
    content = json.loads((made.crossval.path / "crossval.json").read_text())
    assert content["verdict"] == SUPPORTED
    assert np.isfinite([item["margin"] for item in content["pairs"][0]["returns"]]).all()
    titles = [record.title for record in read_results(made.path)]
    of_the_run, of_the_followup = titles[:2], titles[2:]
    assert of_the_run == ["Populations", "Why a class"]
    assert of_the_followup == ["Particle sets", "Sets refined alone", "Cross-validation"]
