"""Class averages: halves, weights, statistics and the averages as images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import matrix_to_eman
from mapsort.geometry.pose import match_to_pose
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages.average.average import (
    ClassAccumulator,
    ShellStatistics,
    plane_terms,
    wiener_images,
)
from mapsort.stages.classify.assignment import classify
from mapsort.stages.fourier_grid import FourierGrid, centred_images
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.project import project_slices

APIX, N, N_CLASSES = 4.0, 31, 4
#: Half-set of each particle.
HALF = (np.arange(N) % 2).astype(np.uint8)


class Scene:
    """Noise-free views of the phantom, known matches, two classes a particle."""

    def __init__(self, box):
        rng = np.random.default_rng(box)
        self.box, self.grid = box, FourierGrid.for_box(box)
        turns = Rotation.random(N_CLASSES, rng=rng).as_matrix()
        self.references = References.of_models([matrix_to_eman(turns)])
        reference = np.stack([rng.permutation(N_CLASSES)[:2] for _ in range(N)]).astype(np.int32)
        reference[reference == 3] = 0  # class 3 stays empty
        values = rng.uniform(-2, 2, (2, N, 2)).astype(np.float32)
        self.matches = Matches(
            reference=reference,
            score=np.zeros((N, 2), np.float32),
            quality=rng.uniform(1, 2, (N, 2)).astype(np.float32),
            alpha=rng.uniform(0, 360, (N, 2)).astype(np.float32),
            dx=values[0],
            dy=values[1],
            mirror=rng.integers(0, 2, (N, 2)).astype(np.int32),
        )
        rotations, origins = match_to_pose(
            self.references.rotations[reference[:, 0]],
            *(getattr(self.matches, name)[:, 0] for name in ("alpha", "dx", "dy", "mirror")),
        )
        slices = phantom_slice(0, box, APIX, rotations)
        kx, ky = np.fft.rfftfreq(box), np.fft.fftfreq(box)[:, None]
        ox, oy = origins[:, 0, None, None], origins[:, 1, None, None]
        displaced = slices * np.exp(2j * np.pi * (kx * ox + ky * oy))
        self.images = centred_images(displaced.astype(np.complex64), box)
        self.slices = project_slices(phantom_map(0, box, APIX), self.references.rotations)
        self.ctf = ctf_coefficients(None, N)

    def average(self, membership, *, chunks=(0, N), n_threads=1):
        accumulator = ClassAccumulator(self.grid, APIX, self.slices, HALF)
        spectra = self.grid.image_spectra(self.images)
        for first, last in pairwise(chunks):
            accumulator.add(
                spectra[first:last],
                self.ctf[first:last],
                first,
                self.matches,
                membership,
                n_threads=n_threads,
            )
        return accumulator


@pytest.fixture(scope="module", params=[32, 33])
def scene(request):
    return Scene(request.param)


def measured(box):
    k = np.fft.fftfreq(box, 1 / box)
    kx = np.arange(box // 2 + 1)
    nyquist = (np.abs(k[:, None]) * 2 == box) | (kx * 2 == box)
    return (np.hypot(k[:, None], kx) <= box // 2) & ~nyquist


def test_the_average_of_aligned_views_is_the_reference(scene):
    """C = 1 and right alignments: numerator = weight x slice, density = weight."""
    averages = scene.average(classify(scene.matches, N_CLASSES)).finish()
    inside = measured(scene.box)
    members = np.bincount(scene.matches.reference[:, 0], minlength=N_CLASSES)
    np.testing.assert_array_equal(averages.count, members)
    halves = np.zeros((2, N_CLASSES))
    np.add.at(halves, (np.arange(N) % 2, scene.matches.reference[:, 0]), 1)
    for half in range(2):
        for c in range(N_CLASSES):
            np.testing.assert_allclose(
                averages.density[half, c][inside], halves[half, c], rtol=1e-5, atol=1e-6
            )
            expected = halves[half, c] * scene.slices[c]
            error = np.linalg.norm((averages.numerator[half, c] - expected)[inside])
            assert error <= 2e-3 * max(np.linalg.norm(expected), 1e-3)


def kept(matches, members, *, keep):
    """Members of which the best of each class are in use."""
    quality = matches.quality[members.particle, members.column]
    return members.keeping(quality, keep=keep, keep_sigma=False)


def test_excluded_members_are_left_out_and_shares_are_weights(scene):
    membership = kept(scene.matches, classify(scene.matches, N_CLASSES, sep=2), keep=0.6)
    averages = scene.average(membership).finish()
    inside = measured(scene.box)
    density = np.zeros((2, N_CLASSES))
    np.add.at(
        density,
        (membership.particle % 2, membership.class_of_member),
        membership.weight * membership.used,
    )
    np.testing.assert_allclose(
        averages.density[:, :, inside], np.repeat(density[:, :, None], inside.sum(), 2), atol=1e-5
    )
    counts = [len(membership.members(c)) for c in range(N_CLASSES)]
    np.testing.assert_array_equal(averages.count, counts)


@pytest.mark.parametrize("chunks", [(0, 5, 6, N), (0, 0, 17, N, N)])
def test_chunks_do_not_change_the_sums(scene, chunks):
    membership = classify(scene.matches, N_CLASSES, sep=2)
    whole, parts = scene.average(membership), scene.average(membership, chunks=chunks)
    scale = np.abs(whole.numerator).max()
    np.testing.assert_allclose(parts.numerator, whole.numerator, atol=1e-5 * scale)
    np.testing.assert_allclose(parts.density, whole.density, atol=1e-5)
    np.testing.assert_array_equal(parts.count, whole.count)
    for name, values in vars(whole.statistics).items():
        np.testing.assert_allclose(getattr(parts.statistics, name), values, rtol=1e-5)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(scene, n_threads):
    membership = classify(scene.matches, N_CLASSES, sep=2)
    one, many = scene.average(membership), scene.average(membership, n_threads=n_threads)
    assert one.numerator.tobytes() == many.numerator.tobytes()
    assert one.density.tobytes() == many.density.tobytes()
    for name, values in vars(one.statistics).items():
        assert values.tobytes() == getattr(many.statistics, name).tobytes()


def test_perfect_particles_leave_no_noise_and_scale_1(scene):
    statistics = scene.average(classify(scene.matches, N_CLASSES)).statistics
    signal = statistics.reference / np.maximum(statistics.terms, 1)
    shells = slice(1, int(0.4 * scene.box))
    assert np.all(statistics.residual_power()[shells] <= 1e-4 * signal[1])
    assert statistics.scale(np.ones(len(signal))) == pytest.approx(1.0, abs=1e-3)


def test_the_residual_power_is_that_of_the_noise(scene):
    """White noise of variance v has the power v box^2 in every shell."""
    noisy = Scene(scene.box)
    rng = np.random.default_rng(7)
    noisy.images = noisy.images + 2.0 * rng.standard_normal(noisy.images.shape).astype(np.float32)
    statistics = noisy.average(classify(noisy.matches, N_CLASSES)).statistics
    expected = 4.0 * noisy.box**2
    # frequencies of the padded transform between those of the box: still N terms of noise each
    found = statistics.residual_power()[3 : noisy.box // 2]
    np.testing.assert_allclose(found, expected, rtol=0.2)
    assert found.mean() == pytest.approx(expected, rel=0.03)


def test_the_scale_is_the_least_squares_scale():
    statistics = ShellStatistics(
        image=np.array([9.0, 16.0]),
        cross=np.array([3.0, 8.0]),
        reference=np.array([1.0, 4.0]),
        terms=np.array([1.0, 2.0]),
    )
    assert statistics.scale(np.array([1.0, 2.0])) == pytest.approx((3 + 4) / (1 + 2))
    np.testing.assert_allclose(statistics.residual_power(2.0), [9 - 12 + 4, (16 - 32 + 16) / 2])
    half = [9 - 3 + 0.25, (16 - 8 + 1) / 2]
    np.testing.assert_allclose(statistics.residual_power(0.5), half)
    empty = ShellStatistics(*(np.zeros(2) for _ in range(4)))
    assert empty.scale(np.ones(2)) == 1.0


@pytest.mark.parametrize("box", [8, 9, 32])
def test_terms_of_the_plane_are_counted_shell_by_shell(box):
    inside = measured(box)
    k = np.fft.fftfreq(box, 1 / box)
    radius = np.rint(np.hypot(k[:, None], np.arange(box // 2 + 1))).astype(int)
    weight = np.where(np.arange(box // 2 + 1) == 0, 1.0, 2.0) * inside
    expected = np.bincount(radius[inside], weight[inside], box // 2 + 1)
    np.testing.assert_array_equal(plane_terms(box), expected)


def test_no_members_in_a_chunk_change_nothing(scene):
    empty = Membership(
        start=np.zeros(N_CLASSES + 1, np.int64),
        particle=np.zeros(0, np.int64),
        column=np.zeros(0, np.int64),
        used=np.zeros(0, bool),
        weight=np.zeros(0, np.float32),
    )
    averages = scene.average(empty).finish()
    assert not averages.numerator.any()
    assert not averages.count.any()


def test_averages_as_images_are_projections_damped_by_the_wiener_term(scene):
    averages = scene.average(classify(scene.matches, N_CLASSES)).finish()
    n = averages.count[:, None, None]
    weak = wiener_images(averages, np.full(scene.box // 2 + 1, 1e-6), slice(0, 3))
    expected = centred_images(scene.slices[:3], scene.box)
    assert np.linalg.norm(weak - expected) <= 1e-2 * np.linalg.norm(expected)
    strong = wiener_images(averages, np.full(scene.box // 2 + 1, 5.0), slice(0, 3))
    np.testing.assert_allclose(
        strong, weak * (n[:3] / (n[:3] + 5.0)), atol=1e-4 * np.abs(weak).max()
    )
    empty = wiener_images(averages, np.ones(scene.box // 2 + 1), slice(3, 4))
    np.testing.assert_array_equal(empty, 0)


@pytest.mark.parametrize("sep", [1, 2])
def test_pieces_made_apart_and_merged_are_the_whole(scene, sep):
    """Each piece starts from zero; float32 sums of at most N terms differ by N roundings."""
    membership = kept(scene.matches, classify(scene.matches, N_CLASSES, sep=sep), keep=0.7)
    group = np.arange(N) % 2
    noise = np.linspace(1.0, 2.0, 2 * (scene.box // 2 + 1)).reshape(2, -1)
    spectra = scene.grid.image_spectra(scene.images)

    def sums(first, last, matches, members):
        made = ClassAccumulator(
            scene.grid,
            APIX,
            scene.slices,
            HALF[first:last],
            noise_power=noise,
            group=group[first:last],
            n_particles=last - first,
            first_particle=first,
            n_groups=2,
        )
        if last > first and members is not None:
            here = slice(first, last)
            made.add(spectra[here], scene.ctf[here], first, matches, members, n_threads=1)
        return made

    straight = sums(0, N, scene.matches, membership)
    merged = sums(0, N, scene.matches, None)
    for first, last in pairwise((0, 7, 20, N)):
        where = slice(first, last)
        own = membership.of_particles(where)
        assert own.n_classes == N_CLASSES
        assert set(own.particle.tolist()) <= set(range(first, last))
        piece = sums(first, last, scene.matches.part(where), own).piece()
        assert len(piece.slots) < 2 * N_CLASSES  # class 3 has no members
        merged.merge(piece)
    scale = np.abs(straight.numerator).max()
    np.testing.assert_array_equal(merged.count, straight.count)
    np.testing.assert_allclose(merged.numerator, straight.numerator, atol=1e-7 * N * scale)
    np.testing.assert_allclose(merged.density, straight.density, rtol=1e-7 * N)
    for name in ("cross", "reference", "misfit"):
        np.testing.assert_array_equal(getattr(merged.fit, name), getattr(straight.fit, name))
    for one, other in zip(merged.of_groups, straight.of_groups, strict=True):
        np.testing.assert_allclose(one.image, other.image, rtol=1e-12)
        np.testing.assert_allclose(one.terms, other.terms, rtol=1e-12)
