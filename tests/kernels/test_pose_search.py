"""The local search's kernel against direct sums: terms, arrival at a maximum, scale, threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort import _core
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.stages.fourier_grid import centred_transform

BOX, APIX, N_RINGS = 24, 3.0, 9


class Case:
    """Particles of a band-limited map with astigmatic CTFs, and f and g by direct sums."""

    def __init__(self, oracle, *, noise=0.3, n=5):
        rng = np.random.default_rng(1)
        self.oracle = oracle
        self.volume = oracle.band_limited_noise(BOX, 5, ndim=3)
        self.rotations = oracle.random_rotations(n, 3)
        self.origins = rng.uniform(-2, 2, (n, 2))
        self.ring_weight = np.linspace(2.0, 0.5, N_RINGS).astype(np.float32) * 1e-3
        self.ctf = np.zeros((n, 7), np.float32)
        self.ctf[:, 0] = np.linspace(-200, -320, n)
        self.ctf[:, 1], self.ctf[:, 2] = 12.0, np.linspace(0, 3, n)
        self.ctf[:, 4] = 0.1
        self.kx, self.ky = oracle.plane_frequencies(BOX)
        slices = oracle.volume_slices(self.volume, self.rotations, self.kx, self.ky)
        recorded = slices * self.transfer() * np.conj(self.phases(self.origins))
        spread = noise * np.abs(recorded).mean()
        recorded = recorded + spread * centred_transform(rng.standard_normal((n, BOX, BOX))) / BOX
        self.transforms = np.ascontiguousarray(recorded.astype(np.complex64))

    def transfer(self):
        return np.stack(
            [self.oracle.ctf_at(c, self.kx, self.ky, BOX, APIX) for c in self.ctf.astype(float)]
        )

    def phases(self, origins):
        turns = origins[:, 0, None, None] * self.kx + origins[:, 1, None, None] * self.ky
        return np.exp(-2j * np.pi / BOX * turns)

    def terms(self, rotations, origins):
        """f and g by the definition, over the half plane with its mates."""
        radius = np.hypot(self.kx, self.ky)
        ring = np.rint(radius).astype(int)
        inside = (radius <= N_RINGS) & (ring >= 1) & (2 * self.kx < BOX) & (2 * self.ky > -BOX)
        weight = np.where(inside, self.ring_weight[np.clip(ring, 1, N_RINGS) - 1], 0.0)
        weight = weight * np.where(self.kx > 0, 2.0, 1.0)
        p = self.oracle.volume_slices(self.volume, rotations, self.kx, self.ky)
        c = self.transfer()
        image = c * self.transforms * self.phases(origins)
        cross = np.sum(weight * (np.conj(image) * p).real, axis=(1, 2))
        return cross, np.sum(weight * c**2 * np.abs(p) ** 2, axis=(1, 2))

    def search(self, rotations, origins, *, chosen=None, max_steps=0, stiffness=0.0, **options):
        """Run the kernel with one candidate per particle."""
        projector = FourierProjector.plan(self.volume, tolerance=1e-5, max_radius=float(N_RINGS))
        n = len(self.transforms)
        turned = np.ascontiguousarray(rotations[:, None]).copy()
        moved = np.ascontiguousarray(origins[:, None]).copy()
        cross, norm = np.zeros((n, 1)), np.zeros((n, 1))
        settings = {"max_turn": 0.15, "max_origin": 4.0, "n_threads": 1} | options
        n_threads = settings.pop("n_threads")
        search = _core.PoseSearch(
            projector.for_kernels, self.ring_weight, apix=APIX, stiffness=stiffness, **settings
        )
        search.climb(
            self.transforms,
            self.ctf,
            _core.PoseCandidates(turned, moved, cross, norm),
            chosen=np.ones((n, 1), np.int32) if chosen is None else chosen,
            max_steps=max_steps,
            n_threads=n_threads,
        )
        return turned[:, 0], moved[:, 0], cross[:, 0], norm[:, 0]


@pytest.fixture(scope="module")
def case(oracle):
    return Case(oracle)


def displaced(case, degrees, pixels, seed=2):
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((len(case.rotations), 3))
    axes *= np.deg2rad(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    turned = Rotation.from_rotvec(axes).as_matrix() @ case.rotations
    return turned, case.origins + rng.uniform(-pixels, pixels, case.origins.shape)


def angles_deg(a, b):
    cosine = 0.5 * (np.einsum("nij,nij->n", a, b) - 1)
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def score(cross, norm, stiffness):
    if np.isinf(stiffness):
        return cross - 0.5 * norm
    return 0.5 * np.maximum(cross + stiffness, 0) ** 2 / (norm + stiffness) - 0.5 * stiffness


def test_terms_are_those_of_the_definition(case):
    """Slices to 1e-5 of their norm: f and g agree to some 1e-5 of theirs."""
    rotations, origins = displaced(case, 20.0, 1.0)
    _, _, cross, norm = case.search(rotations, origins)
    expected_cross, expected_norm = case.terms(rotations, origins)
    np.testing.assert_allclose(norm, expected_norm, rtol=1e-4)
    image = case.terms(case.rotations, case.origins)[0]
    np.testing.assert_allclose(cross, expected_cross, atol=1e-4 * np.abs(image).max())


def test_poses_are_scored_alike_with_and_without_derivatives(case):
    """A search reads slices with their derivatives, scoring alone reads them without."""
    rotations, origins, cross, norm = case.search(*displaced(case, 5.0, 0.7), max_steps=30)
    again = case.search(rotations, origins, max_steps=0)
    np.testing.assert_array_equal(again[0], rotations)
    np.testing.assert_array_equal(again[1], origins)
    np.testing.assert_allclose(again[2], cross, rtol=1e-5)
    np.testing.assert_allclose(again[3], norm, rtol=1e-5)


@pytest.mark.parametrize("stiffness", [0.0, 11.0, np.inf])
def test_it_arrives_at_a_maximum_of_the_score_by_direct_sums(case, stiffness):
    """No step in any of the five directions improves; the gain promised by more is below 0.003."""
    start = displaced(case, 5.0, 0.7)
    rotations, origins, _, _ = case.search(*start, max_steps=30, stiffness=stiffness)
    here = score(*case.terms(rotations, origins), stiffness)
    assert np.all(here > score(*case.terms(*start), stiffness))
    products = rotations @ rotations.swapaxes(1, 2)
    np.testing.assert_allclose(products - np.eye(3), 0.0, atol=1e-9)
    for direction in range(5):
        for sign in (-1, 1):
            vector, shift = np.zeros(3), np.zeros(2)
            if direction < 3:
                vector[direction] = sign * np.deg2rad(1.0)
            else:
                shift[direction - 3] = sign * 0.1
            turned = Rotation.from_rotvec(vector).as_matrix() @ rotations
            there = score(*case.terms(turned, origins + shift), stiffness)
            assert np.all(there < here + 0.003), (direction, sign)


def test_the_truth_is_found_without_noise(oracle):
    clean = Case(oracle, noise=0.0)
    rotations, origins, _, _ = clean.search(*displaced(clean, 6.0, 0.8), max_steps=30)
    # a promise of less than 0.003 nat ends the search: the curvature makes it so much of an angle
    assert angles_deg(rotations, clean.rotations).max() < 0.5
    assert np.abs(origins - clean.origins).max() < 0.05


def test_candidates_that_are_not_chosen_stay(case):
    chosen = np.array([[1], [0], [1], [0], [1]], np.int32)
    start = displaced(case, 5.0, 0.7)
    rotations, _, cross, _ = case.search(*start, chosen=chosen, max_steps=10)
    moved = angles_deg(rotations, start[0]) > 0
    np.testing.assert_array_equal(moved, chosen[:, 0] == 1)
    np.testing.assert_array_equal(cross != 0, chosen[:, 0] == 1)


def test_origins_stay_within_the_limit(case):
    rotations, origins = displaced(case, 2.0, 0.1)
    _, found, _, _ = case.search(rotations, np.clip(origins, -1, 1), max_steps=10, max_origin=1.0)
    assert np.abs(found).max() <= 1.0


def test_threads_do_not_change_a_bit(case):
    start = displaced(case, 5.0, 0.7)
    one = case.search(*start, max_steps=10)
    many = case.search(*start, max_steps=10, n_threads=3)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_arguments_are_named(case):
    with pytest.raises(ValueError, match="rotation: matrix 0"):
        case.search(2 * case.rotations, case.origins)
    with pytest.raises(ValueError, match="chosen"):
        case.search(case.rotations, case.origins, chosen=np.ones((2, 1), np.int32))
    with pytest.raises(ValueError, match="max_turn"):
        case.search(case.rotations, case.origins, max_turn=0.0)
