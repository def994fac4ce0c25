"""Matching: poses of simulated particles are found again, mirrors and conventions right."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import matrix_to_eman
from mapsort.geometry.pose import match_to_pose
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import FourierGrid, centred_images
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search import search_levels
from mapsort.stages.search.candidates import Started
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.search_levels import distinction, ring_ranges
from mapsort.stages.search.search_plan import plan_match
from mapsort.stages.search.settings import SearchContext, SearchSettings

APIX = 4.0
N_REFERENCES = 24


def contrast(n):
    return ContrastTransfer(
        defocus_u_ang=np.linspace(9000.0, 15000.0, n),
        defocus_v_ang=np.linspace(8500.0, 14000.0, n),
        defocus_angle_deg=np.linspace(0.0, 170.0, n),
        phase_shift_deg=np.zeros(n),
        voltage_kv=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7),
        amplitude_contrast=np.full(n, 0.1),
        bfactor_ang2=np.zeros(n),
    )


class Truth:
    """Noise-free particles whose views are exactly references of one of two maps."""

    def __init__(self, box, n=40):
        rng = np.random.default_rng(box)
        self.box, self.n = box, n
        turns = Rotation.random(2 * N_REFERENCES, rng=rng).as_matrix()
        eulers = matrix_to_eman(turns)
        self.references = References.of_models([eulers[:N_REFERENCES], eulers[N_REFERENCES:]])
        self.reference = rng.integers(0, 2 * N_REFERENCES, n)
        self.model = self.reference // N_REFERENCES
        self.alpha = rng.uniform(0, 360, n)
        self.dx, self.dy = rng.uniform(-2.5, 2.5, (2, n))
        self.mirror = rng.integers(0, 2, n)
        rotations = self.references.rotations[self.reference]
        self.rotations, self.origins = match_to_pose(
            rotations, self.alpha, self.dx, self.dy, self.mirror
        )
        self.ctf = contrast(n)
        slices = np.concatenate(
            [
                phantom_slice(m, box, APIX, r)
                for m, r in zip(2 * self.model, self.rotations, strict=True)
            ]
        )
        kx, ky = np.fft.rfftfreq(box), np.fft.fftfreq(box)[:, None]
        ox, oy = self.origins[:, 0, None, None], self.origins[:, 1, None, None]
        # the origin is the shift that centres the particle: as recorded it lies at minus that
        displaced = slices * np.exp(2j * np.pi * (kx * ox + ky * oy))
        transfer = ctf_images(self.ctf, box, APIX)
        self.images = centred_images((displaced * transfer).astype(np.complex64), box)

    def plan(self, scoring=None):
        grid = FourierGrid.for_box(self.box)
        # noise of a hundredth of the particles' power: noise-free images, finite weights
        power = np.full(self.box // 2 + 1, 0.01 * np.var(self.images) * self.box**2)
        return plan_match(
            [phantom_map(m, self.box, APIX) for m in (0, 2)],
            self.references,
            SearchContext(grid, APIX, power, max_shift=4.0),
            SearchSettings(scoring or Scoring(float("inf"))),
            support_radius=0.4 * self.box,
        )

    def match(self, plan, **options):
        spectra = plan.context.grid.image_spectra(self.images)
        return match_chunk(plan, spectra, ctf_coefficients(self.ctf, self.n), **options)


@pytest.fixture(scope="module", params=[32, 33])
def truth(request):
    return Truth(request.param)


@pytest.fixture(scope="module")
def plan(truth):
    return truth.plan()


@pytest.fixture(scope="module")
def matches(truth, plan):
    return truth.match(plan)[0]


def angle_between_deg(a, b):
    cosine = 0.5 * (np.einsum("nij,nij->n", a, b) - 1)
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def test_reference_map_and_mirror_are_right(truth, matches):
    np.testing.assert_array_equal(matches.reference[:, 0], truth.reference)
    np.testing.assert_array_equal(matches.mirror[:, 0], truth.mirror)


def test_the_alignment_is_right(truth, matches):
    """EMAN's convention: the transform of the particle onto the reference."""
    turn = (matches.alpha[:, 0] - truth.alpha + 180) % 360 - 180
    assert np.median(np.abs(turn)) <= 0.1
    assert np.abs(turn).max() <= 0.5
    off = np.hypot(matches.dx[:, 0] - truth.dx, matches.dy[:, 0] - truth.dy)
    assert np.median(off) <= 0.02
    assert off.max() <= 0.05


def test_the_poses_are_right(truth, matches):
    """The same through geometry.pose, as they are written into STAR files."""
    rotations, origins = matches.poses(truth.references)
    assert np.median(angle_between_deg(rotations, truth.rotations)) <= 0.2
    assert np.hypot(*(origins - truth.origins).T).max() <= 0.05
    np.testing.assert_allclose(matches.origin[:, 0], origins, atol=1e-4)


def test_scores_descend_and_every_map_is_heard(truth, matches):
    assert np.all(np.diff(matches.score, axis=1) <= 0)
    model = truth.references.model[matches.reference]
    assert np.all((model == 0).sum(axis=1) == (model == 1).sum(axis=1))
    for row in matches.reference:
        assert len(set(row)) == len(row)
    probability = matches.map_probabilities(truth.references)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(probability.argmax(axis=1), truth.model)


def test_the_score_is_the_likelihood_of_the_particle(truth, plan, matches):
    """With the right pose and scale 1, quality squared over two: |X|^2 / 2 noise, nearly."""
    quality = matches.quality[:, 0].astype(float)
    np.testing.assert_allclose(matches.score[:, 0], 0.5 * quality**2, rtol=1e-4)
    spectra = np.fft.rfft2(truth.images)
    weight = np.where(np.arange(truth.box // 2 + 1) == 0, 1.0, 2.0)
    radius = np.hypot(np.fft.fftfreq(truth.box, 1 / truth.box)[:, None], np.arange(weight.size))
    weight = weight * ((radius >= 0.5) & (radius <= plan.highest_ring + 0.5))
    noise = 0.01 * np.var(truth.images) * truth.box**2
    expected = 0.5 * np.sum(weight * np.abs(spectra) ** 2, axis=(1, 2)) / noise
    np.testing.assert_allclose(matches.score[:, 0], expected, rtol=0.05)


def test_a_first_look_finds_the_same_poses_in_any_number_of_threads(truth, matches, monkeypatch):
    monkeypatch.setattr(search_levels, "LOOK_WORTH", 0.0)
    plan = truth.plan()
    assert plan.first is plan.levels[0].look
    assert plan.in_noise(np.full(17, 2.0)).first.ring_weight == pytest.approx(
        plan.first.ring_weight / 2.0
    )
    found, every = truth.match(plan, with_similarity=True)
    assert every.score.shape == (truth.n, 2 * N_REFERENCES)
    np.testing.assert_array_equal(found.reference[:, 0], matches.reference[:, 0])
    np.testing.assert_allclose(found.score[:, 0], matches.score[:, 0], rtol=1e-3)
    threaded = truth.match(plan, n_threads=3)[0]
    for name in ("reference", "score", "alpha", "dx", "dy", "mirror"):
        np.testing.assert_array_equal(getattr(threaded, name), getattr(found, name))


@pytest.mark.parametrize("told", ["right", "wrong", "nothing"])
def test_last_poses_are_tried_besides_what_is_found(truth, matches, monkeypatch, told):
    monkeypatch.setattr(search_levels, "LOOK_WORTH", 0.0)
    rng = np.random.default_rng(1)
    other = (truth.reference + N_REFERENCES) % (2 * N_REFERENCES)
    reference = np.stack([truth.reference, other], axis=1)
    origin = np.repeat(truth.origins[:, None], 2, axis=1)
    if told == "wrong":
        reference = rng.integers([0, N_REFERENCES], [N_REFERENCES, 2 * N_REFERENCES], (truth.n, 2))
        origin = rng.uniform(-4, 4, origin.shape)
    if told == "nothing":
        reference[:] = -1
    last = Started(reference.astype(np.int32), origin.astype(np.float32))
    found, _ = truth.match(truth.plan(), last=last)
    np.testing.assert_array_equal(found.reference[:, 0], matches.reference[:, 0])
    np.testing.assert_allclose(found.score[:, 0], matches.score[:, 0], rtol=1e-3)
    for row in found.reference:
        assert len(set(row[row >= 0])) == (row >= 0).sum()


def test_the_last_pose_alone_is_found_again(truth, matches, monkeypatch):
    """Where a first look leaves no more than it must, by a shift that it cannot tell."""
    monkeypatch.setattr(search_levels, "LOOK_WORTH", 0.0)
    monkeypatch.setattr(search_levels, "LOOK_SIZE", 1)
    monkeypatch.setattr(search_levels, "LOOK_SHARE", 0.0)
    monkeypatch.setattr(search_levels, "LOOKED_CARRIED", 3)
    plan = truth.plan()
    alone = truth.match(plan, refined=1)[0]
    last = Started(matches.reference[:, :1].copy(), matches.origin[:, :1].copy())
    led = truth.match(plan, last=last, refined=1)[0]
    assert np.mean(alone.reference[:, 0] == matches.reference[:, 0]) < 1.0
    np.testing.assert_array_equal(led.reference[:, 0], matches.reference[:, 0])


def test_a_known_scale_finds_the_same_poses(truth):
    known, _ = truth.match(truth.plan(Scoring(0.3)))
    np.testing.assert_array_equal(known.reference[:, 0], truth.reference)
    np.testing.assert_array_equal(known.mirror[:, 0], truth.mirror)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_and_chunks_do_not_change_a_bit(truth, plan, matches, n_threads):
    spectra = plan.context.grid.image_spectra(truth.images)
    ctf = ctf_coefficients(truth.ctf, truth.n)
    parts = [
        match_chunk(plan, spectra[part], ctf[part], n_threads=n_threads)[0]
        for part in (slice(0, 13), slice(13, 14), slice(14, None))
    ]
    joined = Matches.joined(parts)
    for name, values in vars(matches).items():
        assert values.tobytes() == getattr(joined, name).tobytes(), name


def test_all_pairs_agree_with_the_matches(truth, plan, matches):
    again, similarity = truth.match(plan, with_similarity=True)
    assert similarity.score.shape == (truth.n, 2 * N_REFERENCES)
    np.testing.assert_array_equal(similarity.score.argmax(axis=1), matches.reference[:, 0])
    for name in ("score", "alpha", "dx", "dy", "mirror"):
        found = np.take_along_axis(getattr(similarity, name), again.reference, axis=1)
        np.testing.assert_array_equal(found, getattr(matches, name))


def test_the_lattice_of_shifts_covers_the_disc(plan):
    step = plan.levels[0].shift_step
    origins = plan.origins(step)
    angle = np.linspace(0, 2 * np.pi, 50)
    for radius in np.linspace(0, plan.max_shift, 9):
        points = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        gap = np.linalg.norm(points[:, None] - origins[None], axis=-1).min(axis=1)
        # no farther from a node than the middle of a cell
        assert gap.max() <= np.sqrt(0.5) * step + 1e-5


@given(
    st.floats(0.05, 5.0),
    st.floats(-50.0, 50.0, width=32),
    st.floats(0.0, 50.0, width=32),
)
def test_the_score_is_the_best_over_the_scale(spread, cross, norm):
    """max over s >= 0 of s f - s^2 g / 2 - (s - 1)^2 / (2 spread^2), by trying scales."""
    scale = np.linspace(0, 60, 60_001)
    tried = scale * cross - 0.5 * scale**2 * norm - 0.5 * ((scale - 1) / spread) ** 2
    found = Scoring(spread).scores(np.float32([cross]), np.float32([norm]))[0]
    best = (cross + spread**-2) / (norm + spread**-2)
    if best < 60:
        assert found == pytest.approx(tried.max(), rel=1e-3, abs=2e-3 * (1 + spread**-2))


def test_the_two_ends_of_the_scale_prior():
    cross, norm = np.float32([3.0, -2.0, 0.0]), np.float32([4.0, 4.0, 0.0])
    free, fixed = Scoring(float("inf")).scores(cross, norm), Scoring(0.0).scores(cross, norm)
    np.testing.assert_allclose(free, [9 / 8, 0, 0])
    np.testing.assert_allclose(fixed, [1, -4, 0])
    near = Scoring(1e-3).scores(cross, norm)
    np.testing.assert_allclose(near, fixed, atol=0.1)


def test_rings_with_the_wanted_share_of_the_signal():
    gain = np.zeros((6, 8))
    gain[0, 1:4] = 4.0, 3.0, 2.0
    gain[2, 2:5] = 1.0, 0.1, 1.0  # a gap between two strong ones
    gain[4, 6] = 0.05
    ranges = ring_ranges(gain, 9.0, 1)
    np.testing.assert_array_equal(ranges, [[1, 4]])
    ranges = ring_ranges(gain, 11.0, 1)
    np.testing.assert_array_equal(ranges, [[1, 4], [0, 0], [2, 5]])
    ranges = ring_ranges(gain, 1.0, 7)
    np.testing.assert_array_equal(ranges, [[1, 4], [0, 0], [2, 5], [0, 0], [6, 7]])


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.integers(1, 60))
def test_ranges_hold_what_is_asked_for(seed, share, at_least):
    gain = np.random.default_rng(seed).gamma(0.3, size=(9, 7))
    ranges = ring_ranges(gain, share * gain.sum(), at_least)
    held = sum(gain[m, first:last].sum() for m, (first, last) in enumerate(ranges))
    assert held >= share * gain.sum() * (1 - 1e-9)
    assert (ranges[:, 1] - ranges[:, 0]).sum() >= at_least
    assert ranges[-1, 1] > ranges[-1, 0]


def test_levels_grow_and_keep_their_share(plan):
    noise = 1.0 / plan.full.ring_weight
    gain = distinction(plan.full.bank, np.concatenate([noise[:1], noise]))
    entries = [level.bank.n_entries for level in plan.levels]
    assert entries == sorted(entries)
    powers = [distinction(level.bank, np.concatenate([noise[:1], noise])) for level in plan.levels]
    shares = [power.sum() / gain.sum() for power in powers]
    assert shares[0] >= 0.9 - 1e-6
    assert shares[-1] == pytest.approx(1.0)
    assert all(low <= high + 1e-9 for low, high in pairwise(shares))
    for level in plan.levels:
        assert level.bank.n_rotations > 2 * level.bank.max_order


def test_shared_rotational_average_tells_nothing_apart(plan):
    """p_0 of the mean over all references is no distinction."""
    power, mean = plan.full.bank.statistics()
    gain = distinction(plan.full.bank, np.ones(plan.highest_ring + 1))
    rings = np.arange(1, plan.highest_ring + 1)
    np.testing.assert_allclose(gain[0], 0.5 * np.pi * rings * (power[0] - mean**2), rtol=1e-9)
    np.testing.assert_allclose(gain[3], np.pi * rings * power[3], rtol=1e-9)


def test_transforms_up_to_the_highest_ring_are_all_that_is_read(truth, plan, matches):
    grid = plan.context.grid
    whole = grid.image_spectra(truth.images)
    cut = grid.image_spectra(truth.images, max_radius=plan.highest_ring)
    # elsewhere numbers that any use of them would show in the scores
    beyond = np.where((cut == 0) & (whole != 0), np.complex64(1e9), cut)
    assert not np.array_equal(beyond, cut)
    for spectra in (cut, beyond):
        found, _ = match_chunk(plan, spectra, ctf_coefficients(truth.ctf, truth.n))
        for name in ("reference", "alpha", "dx", "dy", "quality"):
            np.testing.assert_array_equal(getattr(found, name), getattr(matches, name))


def test_a_highest_ring_leaves_the_columns_below_it_as_they_are():
    grid = FourierGrid.for_box(48)
    images = np.random.default_rng(3).normal(size=(2, 48, 48)).astype(np.float32)
    whole, cut = (grid.image_spectra(images, max_radius=radius) for radius in (None, 9.5))
    read = int(9.5 * grid.scale) + 1
    np.testing.assert_array_equal(cut[:, :, :read], whole[:, :, :read])
    assert not cut[:, :, read + 8 :].any()
