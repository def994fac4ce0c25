"""Classes and maps at work: clusters, selections, spectra, half maps and starting maps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transform2d import Transform2D
from mapsort.geometry.transform3d import Transform3D
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References
from mapsort.modules.processors import processor
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.image_moves import transform_image
from mapsort.physics.image_statistics import circle_mean
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.physics.reconstruction import ReconstructionMethod
from mapsort.stages import class_reconstruction, member_average
from mapsort.stages.class_reconstruction import MapSlices
from mapsort.stages.class_spectra import cross_power, matched_to_projections, processed_averages
from mapsort.stages.classify import given_membership
from mapsort.stages.fourier_grid import centred_images, centred_transform
from mapsort.stages.half_maps import solve_halves, solve_whole
from mapsort.stages.insertion_grid import InsertionGrid
from mapsort.stages.map_register import Register, other_hand
from mapsort.stages.member_average import MemberAverager, is_least_squares, is_sum
from mapsort.stages.normal_equations import NormalEquations
from mapsort.stages.realign import alignment_references, chosen_members
from mapsort.stages.reconstruct import solve
from mapsort.stages.search_plan import _in_noise, spectrally_matched
from mapsort.stages.seeds import random_phases, without_segments
from mapsort.stages.similarity import CoarseScores, Similarity
from mapsort.stages.slice_sums import SliceSums
from mapsort.stages.two_stage import (
    _average,
    _far_apart,
    _ordered,
    cluster_candidates,
    n_clusters,
)

BOX, APIX = 24, 6.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


# --- all pairs ------------------------------------------------------------------------------------


def three_matches():
    """Particle 0 with references 2 and 0, particle 1 with reference 3 alone."""
    return Matches(
        reference=np.array([[2, 0], [3, -1]], np.int32),
        score=np.array([[9.0, 4.0], [-2000.0, -np.inf]], np.float32),
        quality=np.zeros((2, 2), np.float32),
        alpha=np.array([[10.0, 20.0], [30.0, 0.0]], np.float32),
        dx=np.array([[1.0, 2.0], [3.0, 0.0]], np.float32),
        dy=np.array([[-1.0, -2.0], [-3.0, 0.0]], np.float32),
        mirror=np.array([[1, 0], [1, 0]], np.int32),
    )


def test_pairs_that_were_not_compared_come_last():
    found = Similarity.of_matches(three_matches(), 5)
    below = [4 - 1e-4, -2000 - 2e-3]
    expected = np.repeat(np.array(below, np.float32)[:, None], 5, axis=1)
    expected[0, 2], expected[0, 0], expected[1, 3] = 9, 4, -2000
    np.testing.assert_array_equal(found.score, expected)
    assert found.alpha[0, [0, 2]].tolist() == [20, 10]
    assert (found.dx[0, 0], found.dy[1, 3], found.mirror[0, 2]) == (2, -3, 1)
    unaligned = np.ones((2, 5), bool)
    unaligned[[0, 0, 1], [0, 2, 3]] = False
    for name in ("alpha", "dx", "dy", "mirror"):
        assert not getattr(found, name)[unaligned].any()
    joined = Similarity.joined([found.rows(np.array([1])), found.rows(np.array([0, 1]))])
    np.testing.assert_array_equal(joined.score, expected[[1, 0, 1]])


def test_no_pair_is_above_a_refined_one():
    """Codes: (shift x angles + turn) x 2 + mirror; the kernel's origins become translations."""
    n_angles = 8
    origins = np.array([[0.0, 0.0], [1.0, -2.0], [3.0, 0.5]], np.float32)
    shift, turn, mirror = (
        np.array(values) for values in ([[0, 1, 2, 1]] * 2, [[0, 2, 7, 3]] * 2, [[0, 1, 1, 0]] * 2)
    )
    score = np.array([[5.0, 50.0, 3.0, 4.1], [-3000.0, 1.0, 2.0, 3.0]], np.float32)
    coarse = CoarseScores(
        score, ((shift * n_angles + turn) * 2 + mirror).astype(np.int32), origins, n_angles
    )
    found = coarse.similarity(three_matches())
    best = np.float32(4 - 1e-4)
    np.testing.assert_allclose(found.score[0], [4, best, 9, best], rtol=1e-7)
    np.testing.assert_allclose(found.score[1], [-3000, -2000.002, -2000.002, -2000], rtol=1e-7)
    for column in (1, 3):  # those of particle 0 that were not refined
        angle = turn[0, column] * 45.0
        pose = Matches(
            *(np.array([[value]], kind) for value, kind in (
                (0, np.int32), (0, "f4"), (0, "f4"), (found.alpha[0, column], "f4"),
                (found.dx[0, column], "f4"), (found.dy[0, column], "f4"), (0, np.int32),
            ))
        )  # fmt: skip
        assert found.alpha[0, column] == pytest.approx(angle, abs=1e-4)
        np.testing.assert_allclose(pose.origin[0, 0], origins[shift[0, column]], atol=1e-5)
    assert found.mirror[0].tolist() == [0, 1, 1, 0]


# --- clusters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "expected"), [(6, 6), (8, 6), (9, 9), (15, 9), (16, 12), (100, 30), (120, 30)]
)
def test_clusters_are_three_times_the_root(n, expected):
    assert n_clusters(n) == expected


def test_centres_are_far_apart_and_neighbours_in_the_list_alike():
    place = np.array([0.0, 1.0, 5.0, 9.5, 10.0])
    distance = np.abs(place[:, None] - place)
    assert _far_apart(distance, 1) == [0]
    assert _far_apart(distance, 4) == [0, 4, 2, 1]
    assert sorted(_far_apart(distance, 9)) == [0, 1, 2, 3, 4]
    assert _ordered([0, 4, 2, 1], distance) == [0, 1, 2, 4]
    assert _ordered([2, 0, 4], distance) == [2, 0, 4]


def test_particles_meet_the_members_of_their_best_clusters():
    """Of four clusters, and of more until every map has enough."""
    members = ([0, 1], [1, 2], [3], [0, 3], [4])
    clusters = SimpleNamespace(members=tuple(np.array(m) for m in members))
    references = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])
    score = np.array([[5.0, 4, 3, 2, 1], [1.0, 2, 3, 4, 5]], np.float32)
    rng = np.random.default_rng(1)
    alpha, dx, dy = rng.uniform(-3, 3, (3, 2, 5)).astype(np.float32)
    first = Similarity(score, 40 * alpha, dx, dy, np.zeros((2, 5), np.int32))
    reference, origin = cluster_candidates(clusters, first, references, at_least=1)
    assert reference.tolist() == [[0, 1, 2, 3, -1], [4, 0, 3, 1, 2]]
    assert reference.dtype == np.int32
    # each where the first of its clusters had the particle's centre
    angle = np.deg2rad(40 * alpha)
    x = np.cos(angle) * dx - np.sin(angle) * dy
    y = np.sin(angle) * dx + np.cos(angle) * dy
    for row, of in enumerate(([0, 0, 1, 2], [4, 3, 3, 1, 1])):
        expected = np.stack([x[row, of], y[row, of]], axis=1)
        np.testing.assert_allclose(origin[row, : len(of)], expected, atol=1e-5)
    more, _ = cluster_candidates(clusters, first, references, at_least=2)
    assert more.tolist() == [[0, 1, 2, 3, 4], [4, 0, 3, 1, 2]]
    every, _ = cluster_candidates(clusters, first, references, at_least=99)
    assert sorted(every[0].tolist()) == [0, 1, 2, 3, 4]


def test_members_are_laid_onto_the_first_of_their_cluster():
    base = centred_images(phantom_slice(0, BOX, APIX, turns(1, 2)), BOX)[0]
    poses = [Transform2D(), Transform2D(90.0, 2, -1, True), Transform2D(180.0, 0, 3, False)]
    images = np.stack([transform_image(base, pose.inverse().matrix[:2]) for pose in poses])
    images = np.concatenate([np.ones((1, BOX, BOX), np.float32), images])
    values = {name: np.zeros((4, 4), np.float32) for name in ("alpha", "dx", "dy")}
    mirror = np.zeros((4, 4), np.int32)
    for row, pose in enumerate(poses, start=1):
        values["alpha"][row, 1] = pose.alpha
        values["dx"][row, 1], values["dy"][row, 1] = pose.tx, pose.ty
        mirror[row, 1] = pose.mirror
    similarity = Similarity(np.zeros((4, 4), np.float32), **values, mirror=mirror)
    found = _average(images, similarity, np.array([1, 2, 3]))
    inner = slice(6, -6)
    assert np.abs(found - base)[inner, inner].max() < 1e-3 * np.abs(base).max()
    np.testing.assert_array_equal(_average(images, similarity, np.array([2])), images[2])


# --- realignment ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("box", "edge"), [(32, 5), (64, 5), (72, 6), (96, 8)])
def test_masks_of_alignment_references(box, edge):
    """e2classaverage's: a twelfth of the box, at least five pixels; radii by that edge."""
    axis = np.arange(box) - box // 2
    blob = np.exp(-(axis[:, None] ** 2 + (axis - 3) ** 2) / (2 * (box / 8) ** 2)) + 2.0
    images = blob[None].astype(np.float32)
    level = images[0] - circle_mean(images[0])
    disc = processor(f"mask.gaussian:inner_radius={box // 2 - edge}:outer_radius={edge / 1.3}")
    found = alignment_references(images)[0]
    np.testing.assert_allclose(found, disc(level, apix=1.0), atol=1e-6)
    automatic = processor(
        f"mask.auto2d:nmaxseed=10:nshells={edge - 2}:nshellsgauss={edge}:sigma=0.2"
    )
    found = alignment_references(images, automatic=True)[0]
    np.testing.assert_allclose(found, automatic(level, apix=1.0), atol=1e-6)


def test_poor_averages_among_others_are_left_empty():
    images = np.random.default_rng(3).standard_normal((3, BOX, BOX)).astype(np.float32)
    images[1] = 0
    found = alignment_references(images)
    assert not found[1].any()
    assert found[0].any()
    assert found[2].any()


def test_members_with_the_smallest_values_are_used():
    members = given_membership(np.array([[0], [0], [1], [0], [1], [0]]), np.ones((6, 1), bool), 2)
    values = np.empty(6)
    values[np.argsort(members.particle)] = [0.4, 0.1, 0.9, 0.3, 0.8, 0.2]
    chosen = chosen_members(members, values, keep=0.5, keep_sigma=False)
    assert [sorted(chosen.members(c).tolist()) for c in (0, 1)] == [[1, 5], [4]]
    assert [sorted(chosen.excluded(c).tolist()) for c in (0, 1)] == [[0, 3], [2]]


# --- averages by averagers ------------------------------------------------------------------------


def test_names_of_averagers():
    assert is_least_squares(" ctf.auto ")
    assert is_least_squares("auto")
    assert not is_least_squares("mean")
    assert is_sum("mean ")
    assert is_sum("ctf.weight")
    assert not is_sum("mean:ignore0=1")


@pytest.mark.parametrize("group", [0, 1, 2, 100])
@pytest.mark.parametrize("flipped", [False, True])
def test_groups_of_images_have_the_average_of_all(monkeypatch, group, flipped):
    """Weighted by their particles' shares; phases are flipped once."""
    n = 9
    rng = np.random.default_rng(4)
    raw = rng.standard_normal((n, BOX, BOX)).astype(np.float32)
    ctf = ContrastTransfer(
        defocus_u_ang=np.linspace(9000, 15000, n), defocus_v_ang=np.linspace(9000, 15000, n),
        defocus_angle_deg=np.zeros(n), phase_shift_deg=np.zeros(n), voltage_kv=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7), amplitude_contrast=np.full(n, 0.1), bfactor_ang2=np.zeros(n),
    )  # fmt: skip
    zeros = np.zeros((n, 1), np.float32)
    matches = Matches(
        zeros.astype(np.int32), zeros, zeros, zeros, zeros, zeros, zeros.astype(np.int32)
    )
    weight = rng.uniform(0.2, 1.0, n).astype(np.float32)
    used = np.arange(n) != 4
    membership = Membership(np.array([0, n, n]), np.arange(n), np.zeros(n, np.int64), used, weight)
    asked = []

    def read(numbers):
        asked.append(len(numbers))
        return raw[numbers]

    monkeypatch.setattr(member_average, "GROUP_BYTES", group * 4 * BOX * BOX)
    averager = MemberAverager("mean", read, ctf, flipped, APIX)
    made = averager.averages(matches, membership, BOX)
    assert max(asked) == min(max(1, group), 4)
    assert made.count.tolist() == [8, 0]
    sign = np.ones((n, BOX, BOX // 2 + 1)) if flipped else np.sign(ctf_images(ctf, BOX, APIX))
    spectra = centred_transform(raw) * sign
    for half in range(2):
        own = np.flatnonzero(used & (np.arange(n) % 2 == half))
        total = weight[own].sum()
        assert made.density[half, 0] == pytest.approx(total, rel=1e-5)
        share = weight[own][:, None, None]
        expected = (share * spectra[own]).sum(axis=0)
        inner = (slice(0, BOX // 2 - 1), slice(0, BOX // 2 - 1))
        np.testing.assert_allclose(
            made.numerator[half, 0][inner], expected[inner],
            atol=0.03 * np.abs(expected).max(),
        )  # fmt: skip


# --- spectra of averages --------------------------------------------------------------------------


def random_averages(seed, n=3, box=BOX):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, n, box, box)).astype(np.float32)
    numerator = centred_transform(images.reshape(-1, box, box)).reshape(2, n, box, box // 2 + 1)
    density = rng.uniform(0.5, 4.0, numerator.shape).astype(np.float32)
    # terms and their mates, both on the column kx = 0, have one density
    density[..., 0] += density[..., -np.arange(box) % box, 0]
    return ClassAverages(numerator, density, np.array([4, 0, 7][:n]))


def full_shells(box):
    k = np.fft.fftfreq(box, 1 / box)
    x = np.arange(box // 2 + 1)
    shell = np.rint(np.hypot(k[:, None], x)).astype(int)
    nyquist = 2 * x == box
    return shell, np.where((x == 0) | nyquist, 1.0, 2.0) * np.ones(shell.shape)


def shell_mean(values, box, s):
    shell, weight = full_shells(box)
    inside = shell == s
    return (values[..., inside] * weight[inside]).sum(axis=-1) / weight[inside].sum()


@pytest.mark.parametrize("box", [16, 17])
def test_power_of_halves_is_weighed_by_their_density(box):
    averages = random_averages(5, box=box)
    found = cross_power(averages)
    shared = (averages.numerator[0] * averages.numerator[1].conj()).real
    weight = averages.density[0].astype(float) * averages.density[1]
    for s in range(box // 2 + 1):
        ratio = shell_mean(shared, box, s).sum() / shell_mean(weight, box, s).sum()
        assert found[s] == pytest.approx(max(ratio, 0.0), rel=1e-4, abs=1e-9)
    nothing = ClassAverages(averages.numerator, 0 * averages.density, averages.count)
    assert not cross_power(nothing).any()


def test_shells_are_scaled_to_the_power_of_the_projections():
    averages = random_averages(6)
    slices = centred_transform(np.random.default_rng(7).standard_normal((3, BOX, BOX)))
    slices[2] = 0
    found = matched_to_projections(averages, slices)
    shell, _ = full_shells(BOX)
    for s in range(BOX // 2 + 1):
        power = shell_mean(np.abs(averages.numerator.sum(axis=0)) ** 2, BOX, s)
        squares = shell_mean(averages.density.sum(axis=0).astype(float) ** 2, BOX, s)
        wanted = shell_mean(np.abs(slices) ** 2, BOX, s)
        factor = np.sqrt(wanted * squares / power)
        for c in range(3):
            np.testing.assert_allclose(
                found.numerator[:, c, shell == s],
                averages.numerator[:, c, shell == s] * factor[c],
                rtol=1e-3, atol=1e-5,
            )  # fmt: skip
    assert not found.numerator[:, 2].any()


def test_processed_averages_keep_their_sums_and_common_power():
    """A constant added to the image adds to the sum's origin, by the damped density there."""
    averages = random_averages(8)
    averages.numerator[1] = 0.5 * averages.numerator[0] + 0.1 * averages.numerator[1]
    found = processed_averages(averages, (processor("math.linear:shift=2"),), APIX)
    used = [0, 2]
    damping = 0.1 * averages.density.sum(axis=0)[used].mean()
    expected = averages.numerator.copy()
    # terms at Nyquist have no mates: their imaginary parts are none of an image
    expected[:, used, 0, 0] += 2 * BOX**2 * (averages.density[:, used, 0, 0] + damping)
    expected[:, 1] = 0

    def shared(sums):
        return np.vdot(sums[0], sums[1]).real

    expected *= np.sqrt(shared(averages.numerator) / shared(expected))
    inside = (slice(0, BOX // 2), slice(0, BOX // 2))
    for c in used:
        for half in range(2):
            np.testing.assert_allclose(
                found.numerator[half, c][inside], expected[half, c][inside],
                rtol=2e-2, atol=2e-3 * np.abs(expected).max(),
            )  # fmt: skip
    assert shared(found.numerator) == pytest.approx(shared(averages.numerator), rel=1e-4)
    np.testing.assert_array_equal(found.density, averages.density)
    with pytest.raises(ValueError, match="must keep their size"):
        processed_averages(averages, (processor("math.meanshrink:n=2"),), APIX)
    empty = ClassAverages(averages.numerator, averages.density, np.zeros(3, int))
    assert processed_averages(empty, (processor("math.linear:shift=2"),), APIX) is empty


def test_images_filtered_to_a_spectrum_stay_empty_where_they_were():
    rng = np.random.default_rng(9)
    images = rng.standard_normal((3, BOX, BOX)).astype(np.float32)
    images[0, :5] = 0
    images[2] = 0
    target = np.linspace(3.0, 1.0, BOX // 2 + 1) * BOX**2
    found = spectrally_matched(images, target)
    assert not found[0, :5].any()
    assert not found[2].any()
    radius = np.hypot(np.fft.fftfreq(BOX, 1 / BOX)[:, None], np.arange(BOX // 2 + 1))
    own = [shell_mean(np.abs(np.fft.rfft2(images[1])) ** 2, BOX, s) for s in range(BOX // 2 + 1)]
    curve = np.interp(radius, np.arange(BOX // 2 + 1), np.sqrt(target / own))
    expected = np.fft.irfft2(np.fft.rfft2(images[1]) * curve, s=(BOX, BOX))
    np.testing.assert_allclose(found[1], expected, atol=1e-4)


def test_weights_of_rings_fall_with_the_noise():
    """Ring 1 is the first of the weights, shell 0 the first of the noise."""
    found = _in_noise(np.array([6.0, 8.0], np.float32), np.array([9.0, 2.0, 4.0, 7.0]))
    assert found.tolist() == [3.0, 2.0]
    assert found.dtype == np.float32


# --- maps of halves -------------------------------------------------------------------------------


class Halves:
    """Slices of the phantom with noise, in two halves."""

    def __init__(self, noise, n=300):
        rng = np.random.default_rng(10)
        self.rotations = turns(n, seed=10)
        clean = phantom_slice(0, BOX, APIX, self.rotations)
        white = centred_transform(rng.standard_normal((n, BOX, BOX)).astype(np.float32)) / BOX
        level = noise * np.sqrt(np.mean(np.abs(clean) ** 2))
        self.slices = (clean + level * white).astype(np.complex64)
        self.grid = InsertionGrid.for_box(BOX)

    def sums(self):
        made = []
        for half in range(2):
            sums = SliceSums.empty(self.grid, BOX / 2)
            own = self.slices[half::2].copy()
            sums.insert(
                own, np.ones(own.shape, np.float32), self.rotations[half::2], np.eye(3)[None]
            )
            made.append(sums)
        return made


@pytest.fixture(scope="module")
def noisy_halves():
    return Halves(3.0)


def test_the_map_of_all_slices_and_those_of_halves(noisy_halves):
    """Without a filter each is the solution of its own equations."""
    method = ReconstructionMethod()
    parts = [NormalEquations.of(sums) for sums in noisy_halves.sums()]
    even, odd, whole = (solve(part) for part in (*parts, parts[0] + parts[1]))
    given = list(parts)
    found, halves = solve_halves(given, method)
    assert given == []
    np.testing.assert_array_equal(halves[0], even)
    np.testing.assert_array_equal(halves[1], odd)
    scale = np.abs(whole).max()
    # from another start: residuals of a ten-thousandth, of directions that are hardly measured
    np.testing.assert_allclose(found, whole, atol=5e-3 * scale)
    sums = noisy_halves.sums()
    np.testing.assert_allclose(solve_whole(sums, method), whole, atol=1e-4 * scale)
    assert sums == []
    alone = solve_whole(noisy_halves.sums()[:1], method)
    np.testing.assert_allclose(alone, even, atol=1e-4 * np.abs(even).max())


def test_the_map_of_all_is_filtered_by_what_halves_agree_on(noisy_halves):
    truth = phantom_map(0, BOX, APIX)
    method = ReconstructionMethod(max_steps=6, ssnr=True)
    plain, _ = solve_halves(
        [NormalEquations.of(s) for s in noisy_halves.sums()], ReconstructionMethod(max_steps=6)
    )
    filtered, halves = solve_halves([NormalEquations.of(s) for s in noisy_halves.sums()], method)
    quick = solve_whole(noisy_halves.sums(), method)

    def error(volume):
        return np.linalg.norm(volume - truth) / np.linalg.norm(truth)

    assert error(filtered) < 0.8 * error(plain)
    # quick estimates of the halves stand for them
    np.testing.assert_allclose(quick, filtered, atol=0.1 * np.abs(filtered).max())
    assert error(quick) < 0.8 * error(plain)
    # the halves themselves are not filtered
    assert error(0.5 * (halves[0] + halves[1])) > 0.8 * error(plain)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_classes_are_inserted_some_at_a_time(monkeypatch, at_once):
    averages = random_averages(11, n=3)
    averages = ClassAverages(
        np.concatenate([averages.numerator] * 3, axis=1),
        np.concatenate([averages.density] * 3, axis=1),
        np.arange(9),
    )
    slices = MapSlices(averages, turns(9, 11), symmetry("c2"), InsertionGrid.for_box(BOX), APIX)
    whole = slices.half_equations()
    monkeypatch.setattr(class_reconstruction, "CLASSES_AT_ONCE", at_once)
    told = []
    parts = slices.half_equations(inserted=lambda: told.append(1))
    assert len(told) == 2 * -(-9 // at_once)
    assert slices.max_radius == BOX // 2
    for one, other in zip(parts, whole, strict=True):
        for name in ("right", "transfer", "circulant"):
            expected = getattr(other, name)
            np.testing.assert_allclose(
                getattr(one, name), expected, atol=2e-5 * np.abs(expected).max()
            )


def test_brighter_slices_count_by_the_square():
    averages = random_averages(12)
    slices = MapSlices(averages, turns(3, 12), symmetry("c1"), InsertionGrid.for_box(BOX), APIX)
    found = slices.scaled(np.array([2.0, 1.0, 0.0])).averages
    np.testing.assert_allclose(found.numerator[:, 0], 2 * averages.numerator[:, 0])
    np.testing.assert_allclose(found.density[:, 0], 4 * averages.density[:, 0])
    np.testing.assert_array_equal(found.numerator[:, 1], averages.numerator[:, 1])
    assert not found.density[:, 2].any()
    assert found.count.tolist() == [4, 0, 0]


def test_scales_are_bounded_about_their_mean():
    refined = class_reconstruction._refined_scale
    found = refined(np.ones(3), np.array([1.0, 1.0, 9.0]), np.array([1, 1, 1]))
    np.testing.assert_allclose(found, np.array([1, 1, 2]) / (4 / 3))
    found = refined(np.array([2.0, 1.0]), np.array([0.75, 0.01]), np.array([3, 1]))
    np.testing.assert_allclose(found, [1.2, 0.5])  # 0.4 would be beyond the bound
    found = refined(np.ones(2), np.array([9.0, 0.01]), np.array([0, 1]))
    np.testing.assert_allclose(found, [2.0, 1.0])


# --- starting maps --------------------------------------------------------------------------------


def test_phases_change_from_the_first_frequency_beyond_50_ang():
    """A box of 32 pixels of 8 A: frequency 5 is 51.2 A, frequency 6 is 42.7 A."""
    volume = phantom_map(0, 32, 8.0)
    (seed,) = random_phases(volume, 1, 8.0, np.random.default_rng(13))
    before, after = scipy.fft.rfftn(volume), scipy.fft.rfftn(seed)
    k = np.fft.fftfreq(32, 1 / 32)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(17) ** 2)
    kept = radius <= 256 / 50
    scale = np.abs(before).max()
    np.testing.assert_allclose(after[kept], before[kept], atol=1e-5 * scale)
    changed = (radius > 256 / 50) & (np.abs(before) > 1e-3 * scale)
    turned = np.abs(np.angle(after[changed] / before[changed]))
    assert np.mean(turned > 0.1) > 0.9
    np.testing.assert_allclose(np.abs(after[changed]), np.abs(before[changed]), rtol=0.01)


def test_only_density_of_the_molecule_is_cut_into_segments():
    """Two strong blobs are a segment each; a weak one, of 0.14 of the highest, is of none."""
    axis = np.arange(24)

    def blob(x, y, z, height):
        square = (axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2
        return height * np.exp(-square / (2 * 1.5**2))

    volume = (blob(6, 6, 6, 1.0) + blob(17, 17, 17, 0.9) + blob(6, 18, 6, 0.14)).astype(np.float32)
    seeds = without_segments(volume, 2, np.random.default_rng(14))
    left = {tuple(np.round(seed[[6, 17, 6], [6, 17, 18], [6, 17, 6]], 2)) for seed in seeds}
    whole = volume[[6, 17, 6], [6, 17, 18], [6, 17, 6]]
    strong = sorted(left, key=lambda heights: heights[0])
    assert strong[0][0] < 0.1
    assert strong[0][1] == pytest.approx(whole[1], abs=0.01)
    assert strong[1][0] == pytest.approx(whole[0], abs=0.01)
    assert strong[1][1] < 0.1
    for heights in strong:
        assert heights[2] == pytest.approx(0.14, abs=0.01)


def test_a_map_is_mirrored_before_it_is_moved():
    volume = np.random.default_rng(15).standard_normal((9, 9, 9)).astype(np.float32)
    moved = Transform3D(shift=(2.0, 0.0, -1.0))
    found = Register(moved, True, 1.0).applied(volume)
    np.testing.assert_allclose(found, transform_image(other_hand(volume), moved.matrix))
    plain = Register(moved, False, 1.0).applied(volume)
    np.testing.assert_allclose(plain, transform_image(volume, moved.matrix))
    still = Register(Transform3D(), False, 1.0)
    assert still.applied(volume) is volume
