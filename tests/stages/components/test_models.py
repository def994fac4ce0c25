"""Noise, scales, pose errors and templates are learnt from particles that follow them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.errors import NumericalError
from mapsort.stages.components.band_choice import signal_band, signal_by_ring
from mapsort.stages.components.component_worth import PrincipalAxes
from mapsort.stages.components.folds import CHUNK, Folds, deal_folds
from mapsort.stages.components.latent_mixture import (
    _with_two_made_one,
    climbed,
    fit_mixture,
    held_out_likelihood,
)
from mapsort.stages.components.noise import PowerSums
from mapsort.stages.components.observed import Products
from mapsort.stages.components.polishing import polished
from mapsort.stages.components.scale import ScaleModel


def ignored():
    """Take no notice of a step done."""


def test_noise_is_told_apart_by_the_ctf():
    rng = np.random.default_rng(0)
    ring = np.repeat([1, 2, 3], 40)
    transfer = rng.uniform(-1, 1, (400, len(ring))).astype(np.float32)
    plain, imaged = np.array([2.0, 1.0, 0.5])[ring - 1], np.array([0.0, 3.0, 1.0])[ring - 1]
    variance = plain + imaged * transfer**2
    sums = PowerSums(ring)
    power = (variance * rng.exponential(size=transfer.shape)).astype(np.float32)
    for part in np.array_split(np.arange(400), 3):
        sums.add(power[part], transfer[part])
    model = sums.fit()
    np.testing.assert_allclose(model.plain[1:], [2.0, 1.0, 0.5], rtol=0.1)
    np.testing.assert_allclose(model.imaged[1:], [0.0, 3.0, 1.0], atol=0.25)
    np.testing.assert_allclose(
        model.deviation(ring, transfer)[:, 50], np.sqrt(variance[:, 50]), rtol=0.1
    )


def test_without_ctf_all_noise_is_plain():
    ring = np.array([1, 1, 2])
    sums = PowerSums(ring)
    sums.add(np.full((10, 3), 4.0, np.float32), np.ones((10, 3), np.float32))
    model = sums.fit()
    np.testing.assert_allclose(model.plain[1:], 4.0, rtol=1e-3)
    assert (model.imaged == 0).all()


def scales_of(scale, norm=200.0, seed=1):
    rng = np.random.default_rng(seed)
    norms = np.full((len(scale), 1), norm)
    return norms, norms * scale[:, None] + np.sqrt(norms) * rng.standard_normal(norms.shape)


def test_junk_is_told_by_its_scale():
    rng = np.random.default_rng(2)
    scale = np.concatenate([rng.normal(1, 0.12, 900), rng.normal(0.2, 0.2, 100)])
    terms = scales_of(scale)
    model, found = ScaleModel.start(junk=True).settled(*terms, np.ones(1), 30)
    assert found.junk[900:].mean() > 0.9
    assert found.junk[:900].mean() < 0.02
    assert model.junk_share == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("n", [40, 1000])
def test_without_junk_no_particle_is_lost(n):
    scale = np.random.default_rng(3).normal(1, 0.15, n)
    _, found = ScaleModel.start(junk=True).settled(*scales_of(scale), np.ones(1), 30)
    assert np.mean(found.junk > 0.5) <= 0.01


def test_only_junk_is_junk():
    scale = np.random.default_rng(4).normal(0.05, 0.1, 500)
    _, found = ScaleModel.start(junk=True).settled(*scales_of(scale), np.ones(1), 30)
    assert np.mean(found.junk > 0.5) > 0.95


def test_where_junk_is_ruled_out_there_is_none():
    scale = np.random.default_rng(5).normal(0.3, 0.3, 200)
    model, found = ScaleModel.start(junk=False).settled(*scales_of(scale), np.ones(1), 10)
    assert model.junk is None
    assert (found.junk == 0).all()
    np.testing.assert_allclose(found.responsibilities, 1.0)


def test_probabilities_add_up():
    rng = np.random.default_rng(6)
    norm, cross = rng.uniform(50, 90, (30, 3)), rng.uniform(0, 90, (30, 3))
    found = ScaleModel.start(junk=True).judge(norm, cross, np.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(found.responsibilities.sum(axis=1) + found.junk, 1.0)


def test_copies_of_an_image_are_in_one_fold():
    image = np.array([0, 1, 1, 2, 3, 0, 4, 5, 5, 6])
    folds = deal_folds(image, image % 2, 4)
    assert len({tuple(pair) for pair in zip(image, folds.number, strict=True)}) == 7
    assert (folds.number % 2 == image % 2).all()
    assert folds.count == 4


def test_chunks_hold_every_particle_once():
    folds = Folds(np.arange(3 * CHUNK) % 2)
    rows = np.concatenate([rows for _, rows in folds.chunks()])
    assert (np.sort(rows) == np.arange(3 * CHUNK)).all()
    assert [fold for fold, _ in folds.chunks()] == [0, 0, 1, 1]


def errors_deg(rotations, true):
    return np.rad2deg(Rotation.from_matrix(rotations @ true.transpose(0, 2, 1)).magnitude())


def test_two_degrees_of_pose_error_are_taken_back(simulated):
    data = simulated(800, states=1, noise=0.1, turn_deg=2.0, shift_px=0.4, seed=3)
    found = polished(data.observed, data.grid, junk=False, correct_poses=True, told=ignored)
    before, after = (
        np.median(errors_deg(rotations, data.true_rotations))
        for rotations in (data.rotations, found.observed.rotations)
    )
    assert before > 2.5
    assert after < 0.4 * before
    assert found.errors.turn == pytest.approx(np.deg2rad(2.0), rel=0.3)


def test_poses_that_are_right_stay(simulated):
    data = simulated(600, states=1, noise=1.0, seed=4)
    found = polished(data.observed, data.grid, junk=False, correct_poses=True, told=ignored)
    assert np.median(errors_deg(found.observed.rotations, data.true_rotations)) < 1.5


def products_of(coordinates, precision, seed):
    """What particles say of a mean and components, given their (scale, coordinates)."""
    rng = np.random.default_rng(seed)
    n, q = coordinates.shape
    root = rng.standard_normal((n, q, 4 * q)) * np.sqrt(precision / (4 * q))
    matrix = root @ root.transpose(0, 2, 1)
    noise = np.einsum("nab,nb->na", root, rng.standard_normal((n, 4 * q)))
    return Products(matrix, np.einsum("nab,nb->na", matrix, coordinates) + noise)


def mixture_products(centres, n=900, seed=7, label=None):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(centres) if label is None else label
    scale = rng.normal(1.0, 0.1, n)
    coordinates = np.concatenate([np.ones((n, 1)), np.asarray(centres, float)[label]], axis=1)
    return products_of(coordinates * scale[:, None], 60.0, seed), label


def test_templates_are_found_with_each_particles_precision():
    products, label = mixture_products([[1.2, 0.0], [-0.8, 0.9], [-0.4, -1.3]])
    mixture = fit_mixture(products, 3, np.random.default_rng(0), junk=True)
    table = np.zeros((3, 4))
    np.add.at(table, (label, mixture.found.labels), 1)
    assert table.max(axis=1).sum() > 0.97 * len(label)
    assert (mixture.templates[:, 0] == 1).all()


#: Four parts, each there or not, as in assembly, and how many particles hold them.
STATES = ((np.arange(16)[:, None] >> np.arange(4)) & 1) - 0.5
MEMBERS = 3 * np.array([27, 43, 70, 132, 91, 115, 12, 12, 38, 36, 54, 15, 105, 112, 121, 17])


def assembly(seed):
    """Products, labels and the mixture that climbs from the true templates."""
    centres = np.concatenate([STATES * [0.9, 0.8, 0.7, 0.6], np.zeros((16, 2))], axis=1)
    label = np.random.default_rng(seed).permutation(np.repeat(np.arange(16), MEMBERS))
    products, _ = mixture_products(centres, len(label), seed, label)
    templates = np.concatenate([np.ones((16, 1)), centres], axis=1)
    return products, label, climbed(products, templates, junk=False)


@pytest.mark.parametrize("seed", range(1, 6))
def test_states_are_found_that_hold_one_particle_in_a_hundred(seed):
    """The likelihood of the true templates is reached.

    Templates added where one of a dozen particles gains most, as it is, miss states in four of
    these sets.
    """
    products, label, true = assembly(seed)
    found = fit_mixture(products, 16, np.random.default_rng(seed), junk=False)
    assert found.log_likelihood > true.log_likelihood - 1e-3
    table = np.zeros((16, 16))
    np.add.at(table, (label, found.found.labels), 1)
    assert len(set(table.argmax(axis=1))) == 16


def test_two_templates_of_one_class_are_made_one_rather_than_a_small_class_lost():
    products, _, true = assembly(6)
    split = true.templates[12] + [0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0]
    more = climbed(products, np.vstack([true.templates, split]), junk=False)
    joined = climbed(products, _with_two_made_one(products, more), junk=False)
    assert joined.log_likelihood == pytest.approx(true.log_likelihood, abs=1e-3)


def test_held_out_particles_tell_how_many_classes_there_are():
    """A split of one class gains nothing for particles that had no part in it."""
    rng = np.random.default_rng(1)
    for centres, count in (([[0.0, 0.0]], 1), ([[1.0, 0.3], [-1.0, -0.3]], 2)):
        products, _ = mixture_products(centres, seed=8)
        kept_out = np.arange(900) % 3 == 0
        gains = [
            held_out_likelihood(products, k, kept_out, rng, junk=True).mean() for k in (1, 2, 3)
        ]
        found = 1 + int(np.argmax(np.array(gains) > max(gains) - 0.05))
        assert found == count, gains


def test_components_of_noise_are_worth_nothing():
    rng = np.random.default_rng(9)
    n = 1200
    coordinates = np.concatenate([np.ones((n, 1)), rng.standard_normal((n, 3))], axis=1)
    coordinates[:, 2:] *= 1e-3
    products = products_of(coordinates, 40.0, 9)
    axes = PrincipalAxes.of(products, np.arange(n) % 4 == 0)
    assert axes.count == 1
    assert axes.gain[1] > 1.0
    assert abs(np.abs(axes.basis[1:, 1]).argmax()) == 0


def test_a_component_that_holds_a_part_of_the_mean_is_worth_nothing():
    rng = np.random.default_rng(10)
    n, part = 1200, 0.6
    scale = rng.normal(1.0, 0.15, n)
    coordinates = np.stack([scale, part * scale, 0 * scale], axis=1)
    axes = PrincipalAxes.of(products_of(coordinates, 400.0, 9), np.arange(n) % 4 == 0)
    assert axes.count == 0
    np.testing.assert_allclose(axes.basis[:, 0], [1.0, part, 0.0], atol=0.02)
    # half the precision times the square of what would be left of it
    assert axes.gain[1] < 0.01 * 200.0 * part**2


def test_the_band_ends_with_the_signal():
    assert signal_band(np.array([0.0, 5, 5, 5, 5, 5, 5, 0.1, -0.1, 0.1])) == 6
    assert signal_band(np.array([0.0, 9.0, 0.0, 0.0])) == 3


def test_signal_is_seen_and_its_absence_told(simulated):
    data = simulated(400, states=1, noise=1.0, seed=5)
    signal = signal_by_ring(data.observed, data.grid)
    assert signal[1:4].min() > 5 * abs(signal[8])
    empty = simulated(400, states=1, junk=1.1, seed=6)
    with pytest.raises(NumericalError, match="beyond chance"):
        polished(empty.observed, empty.grid, junk=True, correct_poses=False, told=ignored)
