"""Scores of particles in all poses and the chances of these, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core

ORDERS, N, RINGS = 7, 3, 4
ANGLES = 2 * (ORDERS - 1)
LEAST = -40.0


def random_complex(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def terms(n_shifts=3, n_views=11, groups=1):
    """Particles in some shifts, and views that are the same for all or each one's own."""
    rng = np.random.default_rng(n_views + 100 * n_shifts + 10000 * groups)
    return {
        "orders": random_complex(rng, ORDERS, N, n_shifts, RINGS),
        "views": random_complex(rng, ORDERS, groups, RINGS, n_views),
        "same": rng.standard_normal((N, n_shifts, n_views)).astype(np.float32),
    }


@pytest.mark.parametrize("groups", [1, N])
@pytest.mark.parametrize("n_views", [1, 7, 8, 16, 37])
@pytest.mark.parametrize("n_shifts", [1, 2, 3, 4, 5, 9])
def test_scores_are_correlations_at_all_angles(n_shifts, n_views, groups):
    given = terms(n_shifts, n_views, groups)
    # orders 1 to the last but one have mates of negative orders; the first and last are real
    views = np.repeat(given["views"].astype(complex), N // groups, axis=1)
    cross = np.einsum("mnsr,mnrv->mnsv", given["orders"].astype(complex).conj(), views)
    counted = np.where((np.arange(ORDERS) % (ORDERS - 1)) == 0, 1.0, 2.0)
    turns = np.exp(2j * np.pi * np.outer(np.arange(ANGLES), np.arange(ORDERS)) / ANGLES) * counted
    expected = np.einsum("am,mnsv->nsav", turns, cross).real + given["same"][:, :, None]
    found = _core.score_poses(**given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("n_views", [1, 8, 19, 40])
def test_chances_are_those_of_the_best_pose_and_no_less_than_the_least(n_views):
    rng = np.random.default_rng(n_views)
    scores = (30.0 * rng.standard_normal((N, 5, ANGLES, n_views))).astype(np.float32)
    before = scores.astype(np.float64)
    top, sums = _core.pose_chances(scores, least=LEAST)
    best = before.max(axis=(1, 2, 3))
    np.testing.assert_array_equal(top, best)
    chance = np.exp(np.maximum(before - best[:, None, None, None], LEAST))
    assert np.any(chance == np.exp(LEAST))
    np.testing.assert_allclose(scores, chance, rtol=1e-5)
    np.testing.assert_array_equal(scores.max(axis=(1, 2, 3)), 1.0)
    np.testing.assert_allclose(sums, chance.sum(axis=2), rtol=1e-5)


@pytest.fixture
def mix():
    """Particles in poses of chances of which half are nothing; of 21 views some are wanted."""
    rng = np.random.default_rng(4)
    chances = rng.uniform(0.0, 1.0, (N, 5, ANGLES, 21)).astype(np.float32)
    chances[rng.random(chances.shape) < 0.5] = np.exp(LEAST)
    chances[1, 2:4] = np.exp(LEAST)
    return {
        "chances": chances,
        "sums": chances.sum(axis=2),
        "orders": random_complex(rng, ORDERS, N, 5, RINGS),
        "seen": np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 19], np.int32),
    }


@pytest.mark.parametrize("each", [True, False])
def test_particles_are_mixed_by_the_chances_of_their_poses(mix, each):
    waves = np.fft.rfft(mix["chances"][..., mix["seen"]].astype(float), axis=2)
    expected = np.einsum("nsmv,mnsr->mnvr", waves, mix["orders"])
    if not each:
        expected = expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_core.mix_poses(**mix, each=each), expected, rtol=1e-5, atol=1e-5)


def test_no_views_are_mixed_where_none_are_wanted(mix):
    found = _core.mix_poses(**(mix | {"seen": np.empty(0, np.int32)}))
    assert found.shape == (ORDERS, 1, 0, RINGS)


@pytest.mark.parametrize("name", ["chances", "sums", "orders", "seen"])
def test_what_does_not_go_together_is_not_mixed(mix, name):
    right = mix[name]
    for wrong in (right[..., None], right.astype(np.complex128)):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            _core.mix_poses(**(mix | {name: wrong}))
    with pytest.raises(ValueError, match=r"^seen: expected numbers of views"):
        _core.mix_poses(**(mix | {"seen": np.array([21], np.int32)}))


@pytest.mark.parametrize("name", ["orders", "views", "same"])
def test_terms_of_other_shapes_and_types_are_refused(name):
    right = terms()[name]
    for wrong in (right[:2].copy(), right[..., None], right.astype(np.complex128)):
        with pytest.raises(ValueError, match=r"^\w+: expected"):
            _core.score_poses(**(terms() | {name: wrong}))


def test_views_of_some_particles_are_refused():
    with pytest.raises(ValueError, match=r"^views: expected those of all particles or of each"):
        _core.score_poses(**(terms() | {"views": terms(groups=2)["views"]}))


def test_scores_that_have_no_poses_or_are_not_to_be_written_are_refused():
    with pytest.raises(ValueError, match=r"^scores: expected a pose at least"):
        _core.pose_chances(np.zeros((1, 2, 0, 3), np.float32), least=LEAST)
    scores = np.zeros((1, 2, 2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^least: expected"):
        _core.pose_chances(scores, least=-100.0)
    scores.flags.writeable = False
    with pytest.raises(ValueError, match=r"^scores: expected C-contiguous writeable"):
        _core.pose_chances(scores, least=LEAST)
