"""Pieces of the classic options, each against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mapsort
from mapsort import _core
from mapsort.geometry.transforms import Transform2D
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.processors import PROCESSORS
from mapsort.modules.search_aligner import SearchAligner, polish, search_aligner
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.physics.shells import shell_means
from mapsort.stages.average.class_spectra import (
    cross_power,
    matched_to_projections,
    processed_averages,
)
from mapsort.stages.average.realign import alignment_references, composed
from mapsort.stages.average.weighting import MemberAverager, SumWeights
from mapsort.stages.classify.assignment import given_membership
from mapsort.stages.fourier_grid import FourierGrid, centred_transform
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.pair_scores import PairComparison, reranked
from mapsort.stages.search.search_plan import plan_image_match, spectrally_matched
from mapsort.stages.search.settings import SearchContext, SearchSettings, white_noise
from mapsort.stages.search.two_stage import cluster_candidates, cluster_references, n_clusters

BOX, APIX = 32, 4.0


@pytest.fixture(scope="module")
def views():
    volume = phantom_map(0, BOX, APIX)
    angles = mapsort.orientations("eman:delta=30", "c1")
    return mapsort.project(volume, mapsort.euler.eman_to_matrix(angles))


def matches_of(reference, alpha, dx, dy, mirror):
    n = len(reference)
    score = np.zeros((n, 1), np.float32)
    columns = [np.asarray(v, np.float32).reshape(n, 1) for v in (alpha, dx, dy)]
    return Matches(
        np.asarray(reference, np.int32).reshape(n, 1), score, score, *columns,
        np.asarray(mirror, np.int32).reshape(n, 1),
    )  # fmt: skip


CCC = Scoring(float("inf"), Comparator.CCC)


def matched(images, references, aligner, max_shift=3.0):
    grid = FourierGrid.for_box(BOX)
    context = SearchContext(grid, APIX, white_noise(BOX), max_shift)
    plan = plan_image_match(references, context, SearchSettings(CCC, aligner))
    ctf = ctf_coefficients(None, len(images))
    return match_chunk(plan, grid.image_spectra(images), ctf, refined=1)[0]


# --- what a search may change ---------------------------------------------------------------------


def test_a_mirrored_particle_is_not_found_without_mirror(views):
    """The particle is the mirror image of a reference; so are all that the search may not try."""
    mirrored = np.stack([np.roll(view[:, ::-1], 1, axis=1) for view in views[3:6]])
    free = matched(mirrored, views, SearchAligner())
    rigid = matched(mirrored, views, SearchAligner(mirror=False))
    assert (free.mirror[:, 0] == 1).any()
    assert not rigid.mirror.any()
    assert (free.score[:, 0] >= rigid.score[:, 0] - 1e-3).all()
    assert (free.score[:, 0] > rigid.score[:, 0] + 1e-3 * np.abs(rigid.score[:, 0])).any()


@pytest.mark.parametrize("shift", [(2, -1), (0, 3)])
def test_without_rotation_only_the_shift_is_found(views, shift):
    moved = np.roll(views[4:5], (shift[1], shift[0]), axis=(1, 2))
    found = matched(moved, views[4:5], search_aligner("translational"))
    assert (found.alpha[0, 0], found.mirror[0, 0]) == (0, 0)
    # what brings the particle onto the reference
    np.testing.assert_allclose([found.dx[0, 0], found.dy[0, 0]], -np.array(shift), atol=0.05)


def test_without_shift_only_the_rotation_is_found(views):
    matrix = Transform2D(alpha=40.0, tx=0.0, ty=0.0, mirror=False).matrix[:2]
    turned = transform_image(views[4], matrix)[None]
    found = matched(turned, views[4:5], search_aligner("rotational"))
    assert (found.dx[0, 0], found.dy[0, 0], found.mirror[0, 0]) == (0, 0, 0)
    assert abs((found.alpha[0, 0] + 40 + 180) % 360 - 180) < 1.0


def bank_of(images):
    grid = FourierGrid.for_box(BOX)
    bank = _core.ReferenceBank(
        first_ring=1, n_rings=10, n_angles=64, box=BOX, support_radius=BOX / 2
    )
    bank.add_images(grid.image_spectra(images), scale=grid.scale, oversampling=grid.scale)
    return bank, grid


def batch_of(images, grid):
    spectra, ctf = grid.image_spectra(images), ctf_coefficients(None, len(images))
    scale = grid.scale
    return _core.ParticleBatch(spectra, ctf, scale=scale, oversampling=scale, apix=APIX)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("rotate", [True, False])
def test_the_kernel_takes_the_best_of_what_is_allowed(views, mirror, rotate):
    """All poses one by one, each evaluated where it stands, against the search."""
    bank, grid = bank_of(views[:4])
    batch = batch_of(views[6:8], grid)
    origins = np.array([[0, 0], [1, 0], [0, -2]], np.float32)
    alignment = _core.Alignment(bank, np.ones(10, np.float32), rotate=rotate, mirror=mirror)
    every = _core.Alignment(bank, np.ones(10, np.float32))
    cross, _, code = alignment.search_pairs(batch, origins)
    n = bank.n_rotations
    turns = range(n) if rotate else (0,)
    poses = [(o, a, m) for o in origins for a in turns for m in ((0, 1) if mirror else (0,))]
    best = np.full(cross.shape, -np.inf)
    for origin, turn, flipped in poses:
        shape = (2, 4)
        value, norm = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        candidates = _core.Candidates(
            np.tile(np.arange(4, dtype=np.int32), (2, 1)),
            np.tile(origin, (2, 4, 1)).astype(np.float32),
            np.full(shape, 2 * np.pi * turn / n, np.float32),
            np.full(shape, flipped, np.int32),
            value,
            norm,
        )
        every.refine_candidates(batch, candidates, iterations=0, max_origin=5.0)
        best = np.maximum(best, value)
    # single precision sums of some 300 terms
    np.testing.assert_allclose(cross, best, rtol=2e-4)
    assert mirror or not (code % 2).any()
    assert rotate or not (code // 2 % n).any()


@pytest.mark.parametrize(("free", "fixed"), [("rotate", "translate"), ("translate", "rotate")])
def test_refinement_holds_what_is_not_free(views, free, fixed):
    bank, grid = bank_of(views[:1])
    start = {
        "origin": np.full((1, 1, 2), 0.4, np.float32),
        "alpha": np.full((1, 1), 0.1, np.float32),
    }
    arrays = {name: a.copy() for name, a in start.items()}
    cross, norm = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    none = np.zeros((1, 1), np.int32)
    candidates = _core.Candidates(none, **arrays, mirror=none.copy(), cross=cross, norm=norm)
    alignment = _core.Alignment(bank, np.ones(10, np.float32), **{fixed: False})
    alignment.refine_candidates(batch_of(views[:1], grid), candidates, iterations=8, max_origin=3.0)
    moves = {"rotate": "alpha", "translate": "origin"}
    np.testing.assert_array_equal(arrays[moves[fixed]], start[moves[fixed]])
    assert not np.allclose(arrays[moves[free]], start[moves[free]], atol=1e-3)


def test_names_and_parameters_of_aligners():
    assert search_aligner("rotate_translate_flip:maxshift=5").max_shift_px == 5
    assert search_aligner("rotational").max_shift_px == 0
    assert search_aligner("rtf_slow_exhaustive:transtep=2").shift_step_px == 2
    assert search_aligner("rotate_translate:rmin=3:rmax=9").outer_px == 9
    assert polish("none", steps=4) is None
    assert polish("refine:maxiter=2:maxshift=1.5", steps=4).max_steps == 2


def test_terms_that_choose_the_same_pose():
    infinite = float("inf")
    dot = Scoring(infinite, Comparator.DOT)
    assert dot.terms == CCC.terms
    assert dot.terms != Scoring(infinite, Comparator.LOGLIK).terms
    # references are never ranked by a bare scalar product on the way to another score
    final = Scoring(infinite, Comparator.FRC)
    assert SearchSettings(final, search=dot).ranking.comparator is Comparator.CCC
    assert SearchSettings(CCC, search=dot).ranking is CCC


# --- pairs ----------------------------------------------------------------------------------------


def test_pairs_are_compared_in_the_place_of_the_particle(views):
    """A particle that is a moved, mirrored reference under a CTF has the perfect value."""
    ctf = ContrastTransfer(
        defocus_u_ang=[12000.0], defocus_v_ang=[11000.0], defocus_angle_deg=[20.0],
        phase_shift_deg=[0.0], voltage_kv=[300.0], cs_mm=[2.7], amplitude_contrast=[0.1],
        bfactor_ang2=[0.0],
    )  # fmt: skip
    pose = Transform2D(alpha=25.0, tx=1.5, ty=-0.7, mirror=True)
    placed = transform_image(views[5], pose.inverse().matrix[:2])
    spectrum = np.fft.rfft2(np.fft.ifftshift(placed)) * ctf_images(ctf, BOX, APIX)[0]
    particle = np.fft.fftshift(np.fft.irfft2(spectrum, s=(BOX, BOX)))[None].astype(np.float32)
    matches = matches_of([5], [pose.alpha], [pose.tx], [pose.ty], [1])
    found = PairComparison(COMPARATORS.bind("ccc"), views, APIX).values(particle, ctf, matches)
    assert found[0, 0] == pytest.approx(-1.0, abs=1e-5)
    other = PairComparison(COMPARATORS.bind("ccc"), views, APIX).values(
        particle, ctf, matches_of([5], [pose.alpha + 60], [pose.tx], [pose.ty], [1])
    )
    assert other[0, 0] > -0.98


def test_the_order_of_pairs_is_the_comparators_and_the_scale_stays():
    score = np.array([[10.0, 8.0, 5.0], [7.0, 6.0, -np.inf]], np.float32)
    reference = np.array([[0, 1, 2], [0, 1, -1]], np.int32)
    zero = np.zeros((2, 3), np.float32)
    matches = Matches(reference, score, zero, zero, zero, zero, zero.astype(np.int32))
    values = np.array([[0.3, 0.1, 0.2], [0.5, 0.6, np.inf]])
    new = reranked(matches, values)
    np.testing.assert_array_equal(new.reference, [[1, 2, 0], [0, 1, -1]])
    for row in range(2):
        valid = np.isfinite(score[row])
        assert new.score[row][valid].mean() == pytest.approx(score[row][valid].mean(), rel=1e-5)
    # among one particle's matches, over all particles, the scores spread as they did
    spread = [sum(np.var(s[r][np.isfinite(s[r])]) * np.isfinite(s[r]).sum() for r in range(2))
              for s in (score, new.score)]  # fmt: skip
    assert spread[1] == pytest.approx(spread[0], rel=1e-4)


# --- members of classes ---------------------------------------------------------------------------

_POSE = st.tuples(st.floats(-180, 180), st.floats(-5, 5), st.floats(-5, 5), st.booleans())


@given(first=_POSE, second=_POSE)
def test_poses_through_an_average_compose(first, second):
    one, two = (Transform2D(a, x, y, m) for a, x, y, m in (first, second))
    wanted = two.compose(one)
    found = composed(*(matches_of([0], [t.alpha], [t.tx], [t.ty], [t.mirror]) for t in (one, two)))
    # angles are held in single precision
    np.testing.assert_allclose(found.placing(0), wanted.matrix[:2], atol=2e-4)


def test_references_of_an_alignment_have_no_background_and_an_edge(views):
    disc = alignment_references(views[:3] + 7.0)
    automatic = alignment_references(views[:3] + 7.0, automatic=True)
    assert not alignment_references(np.zeros((1, BOX, BOX), np.float32)).any()
    corner = np.abs(disc[:, :2, :2]).max()
    assert corner < 0.02 * np.abs(disc).max()
    assert not np.array_equal(disc, automatic)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("spec", ["mean", "ctf.weight"])
def test_sums_are_the_averagers_of_their_names(views, spec, flipped):
    """Sum of c a X over sum of c^2 is the averager's image, ring by ring of the transforms."""
    n = 5
    ctf = ContrastTransfer(
        defocus_u_ang=np.linspace(9000, 15000, n), defocus_v_ang=np.linspace(9000, 15000, n),
        defocus_angle_deg=np.zeros(n), phase_shift_deg=np.zeros(n), voltage_kv=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7), amplitude_contrast=np.full(n, 0.1), bfactor_ang2=np.zeros(n),
    )  # fmt: skip
    transfer = ctf_images(ctf, BOX, APIX)
    clean = centred_transform(views[:n])
    seen = np.fft.irfft2(clean * (np.abs(transfer) if flipped else transfer), s=(BOX, BOX))
    raw = np.fft.fftshift(seen, axes=(1, 2)).astype(np.float32)
    weights = SumWeights(spec, flipped, APIX)
    told = np.abs(transfer) if spec == "ctf.weight" else np.ones_like(transfer)
    spectra = centred_transform(weights.images(raw, ctf))
    ours = (told * spectra).sum(axis=0) / np.maximum((told**2).sum(axis=0), 1e-9)
    phase_flipped = np.fft.fftshift(
        np.fft.irfft2(clean * np.abs(transfer), s=(BOX, BOX)), axes=(1, 2)
    ).astype(np.float32)
    theirs = centred_transform(mapsort.average(spec, phase_flipped, ctf=ctf, apix=APIX)[None])[0]
    inside = (
        np.hypot(*np.meshgrid(np.arange(BOX // 2 + 1), np.fft.fftfreq(BOX, 1 / BOX))) < BOX // 2
    )
    difference = np.abs(ours - theirs)[inside].max()
    assert difference < 1e-2 * np.abs(theirs).max()


def test_an_averager_sees_the_aligned_members_of_each_half(views):
    n = 6
    poses = [Transform2D(30.0 * k, 0.5 * k, -0.25 * k, bool(k % 2)) for k in range(n)]
    images = np.stack([transform_image(views[2], p.inverse().matrix[:2]) for p in poses])
    matches = matches_of(
        [0] * n, *([getattr(p, name) for p in poses] for name in ("alpha", "tx", "ty", "mirror"))
    )
    membership = given_membership(np.zeros((n, 1), int), np.ones((n, 1), bool), 2)
    halves = np.array([0, 0, 1, 1, 1, 0], np.uint8)
    averager = MemberAverager("median", lambda numbers: images[numbers], None, False, APIX, halves)
    made = averager.averages(matches, membership, BOX)
    assert made.count.tolist() == [6, 0]
    aligned = np.stack(
        [transform_image(image, p.matrix[:2]) for image, p in zip(images, poses, strict=True)]
    )
    for half in range(2):
        wanted = 3 * centred_transform(np.median(aligned[halves == half], axis=0)[None])[0]
        np.testing.assert_allclose(
            made.numerator[half, 0], wanted, atol=1e-3 * np.abs(wanted).max()
        )
        assert (made.density[half, 0] == 3).all()
        assert not made.numerator[half, 1].any()


# --- spectra --------------------------------------------------------------------------------------


def averages_of(images, density=4.0):
    numerator = density * centred_transform(images)
    both = np.stack([numerator, numerator])
    count = np.full(len(images), 2)
    return ClassAverages(both, np.full(both.shape, density, np.float32), count)


def test_references_are_filtered_to_a_spectrum(views):
    target = np.linspace(5.0, 1.0, BOX // 2 + 1) * 1e3
    found = spectrally_matched(views[:3], target)
    power = shell_means(np.abs(np.fft.rfft2(found)) ** 2, BOX)
    # within a shell, power varies as steeply as the factor that is interpolated across it; left
    # as they were, the views are off by factors of up to hundreds
    ratio = np.abs(np.log(power[:, 1:12] / target[1:12]))
    assert np.median(ratio) < 0.15
    assert ratio.max() < 0.5


def test_averages_take_the_spectrum_of_their_projections(views):
    averages = averages_of(views[:4])
    slices = 3.0 * centred_transform(views[4:8])
    found = matched_to_projections(averages, slices)
    power = shell_means(np.abs(found.numerator.sum(axis=0) / 8.0) ** 2, BOX)
    wanted = shell_means(np.abs(slices) ** 2, BOX)
    np.testing.assert_allclose(power[:, 1:15], wanted[:, 1:15], rtol=1e-4)


def test_halves_share_the_power_of_the_signal(views):
    rng = np.random.default_rng(1)
    averages = averages_of(views)
    signal = shell_means(np.abs(centred_transform(views)) ** 2, BOX).mean(axis=0)
    noise = rng.normal(size=(2, *views.shape)) * views.std() * 3
    noisy = ClassAverages(
        averages.numerator + 4.0 * centred_transform(noise.reshape(-1, BOX, BOX)).reshape(
            averages.numerator.shape
        ),
        averages.density,
        averages.count,
    )  # fmt: skip
    np.testing.assert_allclose(cross_power(averages)[:14], signal[:14], rtol=1e-4)
    # of the noise's power, nine times that of the signal, little is left
    assert abs(cross_power(noisy)[2:5].sum() / signal[2:5].sum() - 1) < 0.3


def test_processing_averages_keeps_sums_that_nothing_changes(views):
    averages = averages_of(views[:3])
    scaled = processed_averages(averages, (PROCESSORS.bind("math.linear:scale=5"),), APIX)
    np.testing.assert_allclose(
        scaled.numerator, averages.numerator, atol=1e-4 * np.abs(averages.numerator).max()
    )
    assert processed_averages(averages, (), APIX) is averages


# --- two stages -----------------------------------------------------------------------------------


def test_clusters_hold_every_reference_twice_and_like_with_like(views):
    clusters = cluster_references(views, apix=APIX, max_shift=2.0, max_radius=8)
    assert len(clusters.members) == n_clusters(len(views))
    assert (np.bincount(np.concatenate(clusters.members), minlength=len(views)) == 2).all()
    itself = clusters.similarity.score
    np.testing.assert_allclose(np.diagonal(itself), 1.0, atol=1e-5)
    together = np.zeros(itself.shape, bool)
    for members in clusters.members:
        together[np.ix_(members, members)] = True
    np.fill_diagonal(together, False)
    apart = ~together
    np.fill_diagonal(apart, False)
    assert itself[together].mean() > itself[apart].mean()


def test_every_map_has_candidates(views):
    """Clusters of the other map only would be visited first: more are added."""
    from mapsort.model.references import References

    clusters = cluster_references(views, apix=APIX, max_shift=2.0, max_radius=8)
    n = len(views)
    angles = mapsort.orientations("eman:delta=30", "c1")
    references = References.of_models([angles[: n - 5], angles[n - 5 :]])
    grid = FourierGrid.for_box(BOX)
    context = SearchContext(grid, APIX, white_noise(BOX), max_shift=2.0)
    plan = plan_image_match(clusters.averages, context, SearchSettings(CCC))
    _, first = match_chunk(
        plan, grid.image_spectra(views), ctf_coefficients(None, n), with_similarity=True
    )
    reference, origin = cluster_candidates(clusters, first, references, at_least=4)
    assert origin.shape == (*reference.shape, 2)
    for row in reference:
        own = row[row >= 0]
        assert len(set(own)) == len(own)
        counts = np.bincount(references.model[own], minlength=2)
        assert (counts >= 4).all()
    # a view itself is among its candidates
    assert np.mean([number in row for number, row in enumerate(reference)]) > 0.95
