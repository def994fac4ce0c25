"""Classes found from poses alone, of particles whose truth is known."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, NumericalError
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.folds import Folds
from mapsort.stages.components.found_classes import find_classes
from mapsort.stages.components.memory import search_bytes

SETTINGS = ComponentSettings(rings=7, radius_px=11.0)


def found(data, n_classes=2, settings=SETTINGS, seed=0, group="c1"):
    seen = data.observed_with(group)
    return find_classes(seen, n_classes, settings, seed=seed, progress=SilentProgress())


@pytest.fixture(scope="module")
def classes(two_states):
    return found(two_states)


def test_two_states_are_told_apart(two_states, classes):
    assert two_states.agreement(classes.labels) > 0.97
    assert np.mean(classes.junk > 0.5) < 0.02


def test_what_is_returned_fits_together(two_states, classes):
    n, box = len(two_states.state), two_states.particles.band.box
    np.testing.assert_allclose(classes.responsibilities.sum(axis=1) + classes.junk, 1.0)
    assert classes.maps.shape == (2, box, box, box)
    components = classes.components
    q = len(components.maps)
    assert components.maps.shape == (q, box, box, box)
    assert components.latent_means.shape == (n, q)
    assert components.latent_covariances.shape == (n, q, q)
    assert components.held_out_gain.shape == (q + 1,)
    # two states differ along one direction
    assert components.n_worth >= 1
    assert components.held_out_gain[1] > 0.8 * components.held_out_gain.max()
    assert set(classes.held_out) == {1, 2, 3}
    assert classes.held_out[2] > max(0.5, classes.held_out[3] - 0.1)
    # each iteration explains the particles better, but for what rounding leaves
    assert classes.log_likelihoods[-1] >= classes.log_likelihoods[0]


def test_maps_differ_where_the_states_do(two_states, classes):
    box = two_states.particles.band.box
    difference = classes.maps[0] - classes.maps[1]
    at = np.array([[6, -3, 4], [-6, 3, -4]]) + box // 2
    values = [difference[z, y, x] for x, y, z in at]
    assert values[0] * values[1] < 0
    assert min(np.abs(values)) > 4 * difference.std()


def test_the_seed_and_nothing_else_decides(two_states, classes):
    again = found(two_states, settings=replace(SETTINGS, n_threads=3))
    assert again.responsibilities.tobytes() == classes.responsibilities.tobytes()
    assert again.maps.tobytes() == classes.maps.tobytes()
    assert two_states.agreement(found(two_states, seed=5).labels) > 0.97


def test_wrong_poses_and_junk_do_not_hide_the_states(simulated):
    data = simulated(900, noise=0.8, junk=0.1, turn_deg=2.0, shift_px=0.3, seed=8)
    classes = found(data)
    assert data.agreement(classes.labels) > 0.93
    junk = data.state < 0
    assert np.mean(classes.junk[junk] > 0.5) > 0.9
    assert np.mean(classes.junk[~junk] > 0.5) < 0.03


def test_without_ctf(simulated):
    data = simulated(400, noise=1.5, ctf=False, seed=9)
    assert data.agreement(found(data).labels) > 0.95


def test_few_particles(simulated):
    data = simulated(60, noise=0.3, seed=10)
    classes = found(data)
    assert np.isfinite(classes.responsibilities).all()
    assert data.agreement(classes.labels) > 0.8


def test_more_classes_than_states_leave_the_states_apart(two_states):
    classes = found(two_states, n_classes=5)
    table = np.zeros((2, 6))
    np.add.at(table, (two_states.state, classes.labels), 1)
    assert table.max(axis=0).sum() > 0.93 * len(two_states.state)


def test_one_class_is_one(two_states):
    classes = found(two_states, n_classes=1)
    np.testing.assert_allclose(classes.responsibilities[:, 0] + classes.junk, 1.0)


def test_only_junk_is_told(simulated):
    empty = simulated(300, junk=1.1, seed=11)
    with pytest.raises(NumericalError, match="beyond chance"):
        found(empty)


def test_more_classes_than_particles_are_refused(two_states):
    with pytest.raises(ConfigError, match="601 classes"):
        found(two_states, n_classes=601)
    one_fold = Folds(np.zeros(600, np.intp))
    with pytest.raises(ConfigError, match="1 folds"):
        find_classes(
            replace(two_states.observed, folds=one_fold),
            2,
            SETTINGS,
            seed=0,
            progress=SilentProgress(),
        )


def test_a_few_images_of_something_bright_spoil_nothing(simulated):
    data = simulated(400, noise=0.6, seed=14)
    bright = np.arange(0, 400, 40)
    data.particles.spectra[bright] *= 40.0
    data.state[bright] = -1
    classes = found(data)
    assert data.agreement(classes.labels) > 0.95


def test_where_there_is_one_state_components_are_worth_nothing(simulated):
    data = simulated(400, states=1, noise=0.8, seed=12)
    classes = found(data)
    assert classes.components.n_worth == 0
    assert classes.components.held_out_gain.max() < 0.1
    assert max(classes.held_out.values()) < 0.1
    assert np.mean(classes.junk > 0.5) < 0.02


def test_maps_have_the_symmetry_asked_for(simulated):
    data = simulated(200, noise=0.8, seed=13)
    classes = found(data, group="c2")
    for volume in classes.maps:
        turned = np.roll(volume[:, ::-1, ::-1], 1, axis=(1, 2))
        middle = np.s_[4:-4, 4:-4, 4:-4]
        assert np.corrcoef(volume[middle].ravel(), turned[middle].ravel())[0, 1] > 0.99
    with pytest.raises(ConfigError, match="helices"):
        found(data, group="h5:1:20:7.5")


def test_memory_is_as_stated(two_states):
    n, folds = len(two_states.state), two_states.folds.count
    stated = search_bytes(
        n, two_states.particles.band, 7, n_classes=2, n_components=4, n_folds=folds
    )
    tracemalloc.start()
    found(two_states)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.4 * stated < peak < stated
