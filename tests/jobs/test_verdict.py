"""The verdict at the end of a run: one structure is never called two, two are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from mapsort import commands
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.jobs.frames import own_frames
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.jobs.verdict import FEWEST, SIGNIFICANT, judged_split
from mapsort.model.volume import Volume
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map
from mapsort.report.page import write_report
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.verdict_record import NOT_SUPPORTED, SUPPORTED, UNDECIDED, read_verdict
from mapsort.stages.components.held_out_split import HeldOutSplit


@pytest.fixture
def ran(lumps, tmp_path):
    """Make a run on particles of so many structures."""

    def run(states):
        made, _ = lumps(states)
        one = {"model": made.seeds[0], "nmodels": 2, "seedmethod": "noise"}
        return refine_multi(
            made.particles,
            made.seeds if states == 2 else (),
            path=tmp_path / "run",
            iter=2,
            orientgen="eman:delta=15",
            randomseed=1,
            parallel="thread:1",
            **({} if states == 2 else one),
        )

    return run


def test_two_structures_are_supported_and_it_is_told_everywhere(ran):
    run = ran(2)
    split = run.verdict.split
    assert split.verdict == SUPPORTED
    assert split.gain_nats > SIGNIFICANT * split.error_nats
    assert split.judges == pytest.approx(360 / 6, abs=5)
    assert split.p_value == 1 / 100
    kept = json.loads((run.path / "verdict.json").read_text())
    assert kept["split"]["verdict"] == SUPPORTED
    assert kept["words"][0] in (run.path / "run.log").read_text()
    assert split.reach in kept["words"]
    assert read_verdict(RunDirectory(run.path), 2) == run.verdict
    assert sum(shell.gain_nats for shell in split.shells) == pytest.approx(split.gain_nats)
    # The maps differ by a cube of five pixels of 4 A: low resolution tells it.
    assert max(split.shells, key=lambda shell: shell.gain_nats).resolution_ang > 20
    assert not run.verdict.converged
    assert "has not converged" in run.verdict.next_steps[0]
    page = write_report(run.path).read_text()
    assert page.index("split supported") < page.index('class="merits"')
    assert "Gain of the split by resolution shell" in page
    # It is of an iteration: a run that has gone on has none until it ends.
    assert read_verdict(RunDirectory(run.path), 3) is None


def test_one_structure_is_not_supported(ran):
    run = ran(1)
    assert run.verdict.split.verdict != SUPPORTED
    assert run.verdict.split.gain_nats < SIGNIFICANT * run.verdict.split.error_nats


def test_few_particles_decide_nothing(small_run):
    split = small_run(iter=2).verdict.split
    assert split.verdict == UNDECIDED
    assert f"{FEWEST} are needed" in split.reason


#: What the mean map is worth; a split is to gain a thousandth of it.
WORTH = 150.0


def said(gain, deviation, n=400, alike=True, p_value=0.01):
    rng = np.random.default_rng(1)
    gains = rng.standard_normal(n)
    gains = gain + deviation * (gains - gains.mean()) / gains.std(ddof=1)
    classes = rng.integers(0, 2, n)
    theirs = classes if alike else rng.integers(0, 2, n)
    by_ring = gains[:, None] * [0.25, 0.75]
    found = HeldOutSplit(np.arange(n), by_ring, np.array([40.0, 20.0]), classes, p_value, WORTH)
    return judged_split(found, 1 + theirs)


@pytest.mark.parametrize(
    ("gain", "deviation", "alike", "verdict"),
    [
        (1.0, 2.0, True, SUPPORTED),
        (1.0, 2.0, False, UNDECIDED),
        (1.0, 8.0, True, UNDECIDED),
        # beyond chance, but no more than the model's faults
        (0.1, 0.1, True, NOT_SUPPORTED),
        (0.2, 0.1, True, SUPPORTED),
        (-1.0, 2.0, True, NOT_SUPPORTED),
    ],
)
def test_the_verdict_follows_from_gain_error_and_association(gain, deviation, alike, verdict):
    found = said(gain, deviation, alike=alike)
    assert found.verdict == verdict
    assert found.gain_nats == pytest.approx(gain)
    assert found.error_nats == pytest.approx(deviation / 20)
    told = [(shell.resolution_ang, shell.gain_nats, shell.error_nats) for shell in found.shells]
    expected = [
        (ang, part * gain, part * deviation / 20) for ang, part in ((40.0, 0.25), (20.0, 0.75))
    ]
    np.testing.assert_allclose(told, expected, rtol=1e-9)
    if verdict == SUPPORTED:
        assert found.reach == "half of the gain comes from shells down to 20 A, 90% down to 20 A"


def test_classes_that_random_ones_match_are_not_supported():
    found = said(1.0, 2.0, p_value=0.2)
    assert found.verdict == UNDECIDED
    assert found.p_value == 0.2


def test_hardly_any_judges_decide_nothing():
    assert said(1.0, 0.1, n=10).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("turn_deg", "state", "told"), [(40.0, 0, True), (0.0, 1, True), (0.0, 0, False)]
)
def test_maps_that_are_more_alike_when_turned_are_told_with_figures(
    tmp_path, turn_deg, state, told
):
    """A copy that was turned, and a state whose large part has moved: maps do not tell which."""
    directory = RunDirectory(tmp_path)
    Volume(phantom_map(0, 48, 3.0), 3.0).write(directory.maps(1, 1))
    turned(phantom_map(state, 48, 3.0), turn_deg, 3.0).write(directory.maps(1, 2))
    frames = own_frames(directory, 1, (symmetry("c1"),) * 2, apix=3.0)
    assert bool(frames.words) is bool(frames.registers) is told
    if told:
        found = re.match(r"map 2 is more like map 1 when it is turned by (\d+)°", frames.words[0])
        # Compared in voxels of 6 A, one of which is 6 degrees at the molecule's edge.
        assert turn_deg == 0 or float(found[1]) == pytest.approx(turn_deg, abs=3)


def test_a_run_that_ended_without_its_verdict_gets_it_when_resumed(run_tiny):
    path = run_tiny(iter=1, randomseed=1).path
    of_the_first = (path / "verdict.json").read_bytes()
    commands.multi(resume=path, iter=2)
    (path / "verdict.json").write_bytes(of_the_first)
    assert commands.multi(resume=path, iter=2).verdict.iteration == 2


def turned(volume, turn_deg, apix):
    turn = Transform3D(eman_to_matrix([[turn_deg, 0.0, 0.0]])[0])
    return Volume(transform_image(volume, turn.matrix), apix)


@pytest.mark.parametrize("states", [1, 2])
def test_a_part_that_moved_is_supported_and_the_same_in_another_frame_is_not(tmp_path, states):
    """Maps of either are more alike when one is turned; their particles tell which it is."""
    first = phantom_map(0, 48, 3.0)
    Volume(first, 3.0).write(tmp_path / "a.mrc")
    second = Volume(phantom_map(1, 48, 3.0), 3.0) if states == 2 else turned(first, 40.0, 3.0)
    second.write(tmp_path / "b.mrc")
    maps = (tmp_path / "a.mrc", tmp_path / "b.mrc")
    made = simulate(
        SimulateOptions(maps=maps[:states], out=tmp_path / "made", n=600, snr=1.0, shift=1.0)
    )
    run = refine_multi(
        made.particles,
        maps,
        path=tmp_path / "run",
        iter=1,
        orientgen="eman:delta=15",
        randomseed=1,
        parallel="thread:1",
    )
    split = run.verdict.split
    assert "more like map 1 when it is turned" in split.reason
    assert split.verdict == (SUPPORTED if states == 2 else NOT_SUPPORTED)
