"""Sums, fits and images of particles, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import gumbel_r, norm

from mapsort.errors import ConfigError
from mapsort.geometry.euler import matrix_to_eman
from mapsort.geometry.symmetry import symmetry
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.modules.processors import processor
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages import pose_sums, slice_buffer
from mapsort.stages.average import (
    ClassAccumulator,
    ShellStatistics,
    plane_terms,
    wiener_images,
)
from mapsort.stages.classify import classify
from mapsort.stages.fourier_grid import (
    FourierGrid,
    centred_images,
    centred_transform,
    shift_images,
)
from mapsort.stages.insertion_grid import InsertionGrid
from mapsort.stages.junk import JunkModel, junk_probability
from mapsort.stages.particle_fit import (
    LARGEST_SPREAD,
    ParticleFit,
    misfit,
    outlier_scores,
    shift_spread,
)
from mapsort.stages.particle_slices import weighted_slices
from mapsort.stages.pose_sums import PoseSums
from mapsort.stages.postprocess import noise_to_signal, wiener_filtered
from mapsort.stages.prepare import (
    EDGE,
    ParticleTreatment,
    ProcessedTreatment,
    ctf_coefficients,
    shell_means,
)
from mapsort.stages.project import image_slices, project_images, project_slices
from mapsort.stages.slice_buffer import SliceBuffer
from mapsort.stages.slice_sums import SliceSums
from mapsort.stages.soft_assignment import (
    posterior,
    soft_membership,
    starting_temperature,
)

BOX, APIX = 16, 8.0
RNG = np.random.default_rng(0)


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


def matches_of(reference, score=None, quality=None):
    reference = np.asarray(reference, np.int32)
    zeros = np.zeros(reference.shape, np.float32)
    score = zeros if score is None else np.asarray(score, np.float32)
    quality = score if quality is None else np.asarray(quality, np.float32)
    return Matches(reference, score, quality, zeros, zeros, zeros, zeros.astype(np.int32))


# --- fits -----------------------------------------------------------------------------------------


def fits(n=300, *, mean=2.0, seed=1):
    rng = np.random.default_rng(seed)
    reference = rng.uniform(5, 200, n)
    scale = mean * (1 + 0.3 * rng.standard_normal(n))
    cross = reference * scale + np.sqrt(reference) * rng.standard_normal(n)
    return ParticleFit(cross, reference, rng.uniform(0.8, 1.2, n))


def test_the_spread_is_the_moment_estimate_for_unequal_weights():
    """DerSimonian & Laird: (Q - (k - 1)) / (sum w - sum w^2 / sum w) beyond the noise's 1 / w."""
    fit = fits()
    fit.reference[5] = 0.0  # nothing is known of this one
    fit.misfit[7] = 1e4  # and this one is no particle
    rest = np.delete(np.arange(300), [5, 7])
    w, s = fit.reference[rest], fit.cross[rest] / fit.reference[rest]
    centre = (w * s).sum() / w.sum()
    q = (w * (s - centre) ** 2).sum()
    between = (q - (len(w) - 1)) / (w.sum() - (w**2).sum() / w.sum())
    assert fit.scale_spread() == pytest.approx(np.sqrt(between) / centre, rel=1e-9)
    assert fit.scale_spread() == pytest.approx(0.3, rel=0.2)
    few = ParticleFit(np.array([1.0, 5.0]), np.array([1.0, 0.0]), np.ones(2))
    assert few.scale_spread() == LARGEST_SPREAD


def test_scales_are_means_of_the_posterior():
    """Two normal distributions: the particle's own, 1 / reference wide, and the prior's."""
    fit = fits()
    mean = fit.cross.sum() / fit.reference.sum()
    assert fit.mean_scale == pytest.approx(mean, rel=1e-12)
    prior = 1 / (fit.scale_spread() * mean) ** 2
    expected = (fit.cross / fit.reference * fit.reference + mean * prior) / (fit.reference + prior)
    np.testing.assert_allclose(fit.scales(), expected / mean, rtol=1e-9)
    against = ParticleFit(-fit.cross, fit.reference, fit.misfit)
    np.testing.assert_array_equal(against.scales(), np.ones(300))


def test_the_misfit_shell_by_shell():
    rng = np.random.default_rng(2)
    n, terms = 5, np.array([1.0, 8.0, 12.0, 0.0, 24.0])
    image, reference, noise = rng.uniform(1, 30, (3, n, 5))
    cross = rng.uniform(-5, 20, (n, 5))
    cross[4] = -1  # a particle against its map: the scale is 0, not negative
    expected = []
    for k in range(n):
        scale = max(0.0, (cross[k] / noise[k]).sum() / (reference[k] / noise[k]).sum())
        shells = []
        for s in range(1, 5):
            left = image[k, s] - 2 * scale * cross[k, s] + scale**2 * reference[k, s]
            ratio = left / noise[k, s] / max(terms[s], 1)
            shells.append((ratio - 1) ** 2 * terms[s] / 2)
        expected.append(np.mean(shells))
    np.testing.assert_allclose(misfit(image, cross, reference, noise, terms), expected, rtol=1e-9)


def test_misfits_are_told_apart_on_a_logarithmic_scale():
    """0.5, 1, 2: each a factor of two apart, the median distance log 2."""
    fit = ParticleFit(np.ones(3), np.ones(3), np.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(fit.misfit_deviations, np.array([-1, 0, 1]) / 1.4826, rtol=1e-9)
    quality = np.array([10.0, 30.0, 20.0])
    expected = np.maximum([-1, 0, 1], [1, -1, 0]) / 1.4826
    np.testing.assert_allclose(outlier_scores(fit, quality), expected, rtol=1e-9)


def test_the_median_of_squared_shifts():
    """3^2 2 ln 2 is that of a normal prior 3 pixels wide on each axis."""
    r = 3 * np.sqrt(2 * np.log(2))
    origins = np.array([[0, r], [r, 0], [0, -r], [0.1, 0], [50, 50]])
    assert shift_spread(origins) == pytest.approx(3.0, rel=1e-9)
    assert shift_spread(origins / 4) == 1.0  # never narrower


def test_the_fit_of_consecutive_particles_goes_to_its_place():
    whole = ParticleFit.empty(5)
    assert whole.misfit.tolist() == [1.0] * 5
    part = ParticleFit(np.array([1.0, 2]), np.array([3.0, 4]), np.array([5.0, 6]))
    whole.place(2, part)
    assert whole.cross.tolist() == [0, 0, 1, 2, 0]
    assert whole.reference.tolist() == [0, 0, 3, 4, 0]
    assert whole.misfit.tolist() == [1, 1, 5, 6, 1]


# --- class sums -----------------------------------------------------------------------------------


def test_statistics_of_groups_add_up():
    def made(k):
        return ShellStatistics(*(np.array([k, 2.0 * k, 5.0]) * factor for factor in (1, 2, 3, 4)))

    total = ShellStatistics.total([made(1), made(10)])
    one = made(1)
    one.merge(made(10))
    for found in (total, one):
        for factor, name in zip(
            (1, 2, 3, 4), ("image", "cross", "reference", "terms"), strict=True
        ):
            assert getattr(found, name).tolist() == [11 * factor, 22 * factor, 10 * factor]


class Views:
    """Noise-free particles at their references, the second half of them half as strong."""

    def __init__(self, n=12, n_classes=3):
        self.grid = FourierGrid.for_box(BOX)
        rotations = turns(n_classes, seed=3)
        self.references = References.of_models([matrix_to_eman(rotations)])
        self.slices = project_slices(phantom_map(0, BOX, APIX), self.references.rotations)
        self.matches = matches_of(
            np.stack([np.arange(n) % n_classes, (np.arange(n) + 1) % n_classes], axis=1),
            quality=np.random.default_rng(4).uniform(1, 2, (n, 2)),
        )
        strength = np.where(np.arange(n) < n // 2, 1.0, 0.5).astype(np.float32)
        images = centred_images(self.slices, BOX)[self.matches.reference[:, 0]]
        self.images = images * strength[:, None, None]
        self.n = n

    def summed(self, membership, **more):
        sums = ClassAccumulator(self.grid, APIX, self.slices, n_particles=self.n, **more)
        sums.add(
            self.grid.image_spectra(self.images),
            ctf_coefficients(None, self.n),
            0,
            self.matches,
            membership,
            n_threads=1,
        )
        return sums


def test_every_particle_is_looked_at_whether_averaged_or_not():
    """The scale of the second half is 0.5; noise of group 1 is four times that of group 0."""
    views = Views()
    noise = np.array([[1.0], [4.0]]) * np.linspace(1, 2, BOX // 2 + 1)
    group = np.arange(views.n) % 2
    every = views.summed(classify(views.matches, 3), noise_power=noise, group=group, n_groups=2)
    np.testing.assert_allclose(
        every.fit.cross / every.fit.reference, [1] * 6 + [0.5] * 6, rtol=0.02
    )
    # alone by the noise's level: particles 0 and 3 are of one class and of groups 0 and 1
    np.testing.assert_allclose(every.fit.reference[0], 4 * every.fit.reference[3], rtol=1e-3)
    kept = views.summed(
        classify(views.matches, 3, keep=0.5), noise_power=noise, group=group, n_groups=2
    )
    for name in ("cross", "reference", "misfit"):
        np.testing.assert_allclose(
            getattr(kept.fit, name), getattr(every.fit, name), rtol=1e-5, err_msg=name
        )
    assert kept.count.sum() == 6
    # one level of noise serves all groups
    alike = views.summed(classify(views.matches, 3), noise_power=noise[:1], group=group, n_groups=2)
    np.testing.assert_allclose(alike.fit.reference[1::2], 4 * every.fit.reference[1::2], rtol=1e-6)
    np.testing.assert_allclose(alike.fit.reference[::2], every.fit.reference[::2], rtol=1e-6)
    for number in range(2):
        assert every.of_groups[number].terms.sum() == pytest.approx(6 * plane_terms(BOX).sum())
    assert every.statistics.terms.sum() == pytest.approx(12 * plane_terms(BOX).sum())


def test_without_noise_power_nothing_is_said_of_particles():
    views = Views()
    sums = views.summed(classify(views.matches, 3))
    assert not sums.fit.cross.any()
    assert (sums.fit.misfit == 1).all()


def test_references_of_each_half_may_differ():
    """Even particles against the first set, odd ones against the second, twice as strong."""
    views = Views()
    both = np.stack([views.slices, 2 * views.slices])
    sums = ClassAccumulator(
        views.grid, APIX, both, noise_power=np.ones((1, BOX // 2 + 1)), n_particles=views.n
    )
    sums.add(
        views.grid.image_spectra(views.images),
        ctf_coefficients(None, views.n),
        0,
        views.matches,
        classify(views.matches, 3),
        n_threads=1,
    )
    ratio = sums.fit.cross / sums.fit.reference
    np.testing.assert_allclose(ratio, [1, 0.5] * 3 + [0.5, 0.25] * 3, rtol=0.02)
    assert sums.finish().numerator.shape == (2, 3, BOX, BOX // 2 + 1)


@pytest.mark.parametrize("box", [16, 17])
def test_averages_are_damped_by_the_noise_of_each_radius(box):
    rng = np.random.default_rng(6)
    shape = (2, 4, box, box // 2 + 1)
    averages = ClassAverages(
        np.stack([centred_transform(rng.standard_normal((4, box, box)))] * 2),
        rng.uniform(1, 2, shape).astype(np.float32),
        np.ones(4, np.int64),
    )
    ratio = np.linspace(0.1, 5.0, box // 2 + 1)
    found = wiener_images(averages, ratio, slice(1, 3))
    k = np.abs(np.fft.fftfreq(box, 1 / box))
    radius = np.hypot(k[:, None], np.arange(box // 2 + 1))
    # linear between the shells, and constant beyond the last
    term = np.where(radius < box // 2, 0.1 + 4.9 * np.minimum(radius / (box // 2), 1.0), ratio[-1])
    spectrum = averages.numerator.sum(axis=0)[1:3] / (averages.density.sum(axis=0)[1:3] + term)
    expected = np.fft.fftshift(np.fft.irfft2(spectrum, s=(box, box)), axes=(1, 2))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


# --- images and slices ----------------------------------------------------------------------------


@pytest.mark.parametrize("box", [16, 17])
def test_whole_shifts_roll_images(box):
    images = np.random.default_rng(7).standard_normal((3, box, box)).astype(np.float32)
    shifts = np.array([[0, 0], [3, -2], [-1, 5]])
    spectra = np.fft.rfft2(images).astype(np.complex64)
    shift_images(spectra, shifts)
    rolled = [np.roll(i, (y, x), axis=(0, 1)) for i, (x, y) in zip(images, shifts, strict=True)]
    np.testing.assert_allclose(np.fft.irfft2(spectra, s=(box, box)), rolled, atol=1e-5)


@pytest.mark.parametrize(
    ("box", "pad", "padded"),
    [
        (32, 0, 64),
        (33, 0, 66),
        (32, 40, 40),
        (32, 41, 42),
        (32, 39, 40),
        (32, 10, 40),
        (33, 10, 42),
    ],
)
def test_padding_is_even_and_at_least_a_quarter_more(box, pad, padded):
    grid = FourierGrid.for_box(box, pad)
    assert (grid.padded, grid.scale) == (padded, padded / box)


@pytest.mark.parametrize("box", [16, 17])
@pytest.mark.parametrize("max_radius", [None, 4.0])
def test_images_of_projections_lack_what_slices_lack(box, max_radius):
    """Corners and, of an even box, the Nyquist row and column."""
    images = np.random.default_rng(8).standard_normal((2, box, box)).astype(np.float32)
    found = image_slices(images, max_radius=max_radius)
    k = np.fft.fftfreq(box, 1 / box)[:, None]
    x = np.arange(box // 2 + 1)
    inside = np.hypot(k, x) <= (max_radius or box // 2)
    inside &= (2 * np.abs(k) != box) & (2 * x != box)
    np.testing.assert_allclose(found, centred_transform(images) * inside, atol=1e-5)
    slices = project_slices(
        np.random.default_rng(9).standard_normal((box,) * 3), turns(2, 9), max_radius=max_radius
    )
    assert not slices[:, ~inside].any()
    assert (slices[:, inside] != 0).all()


def test_projections_are_moved_by_their_shifts():
    volume = phantom_map(0, BOX, APIX)
    rotations = turns(3, seed=10)
    still = project_images(volume, rotations)
    moved = project_images(volume, rotations, shifts=np.array([[0, 0], [2, -1], [0, 3]]))
    for k, (x, y) in enumerate([(0, 0), (2, -1), (0, 3)]):
        expected = np.roll(still[k], (y, x), axis=(0, 1))
        np.testing.assert_allclose(moved[k], expected, atol=1e-4 * np.abs(expected).max())
    unmoved = project_images(volume, rotations, shifts=np.zeros((3, 2)))
    np.testing.assert_array_equal(unmoved, still)


@pytest.mark.parametrize("box", [16, 17])
def test_slices_of_images_are_weighted_and_centred(box):
    rng = np.random.default_rng(11)
    images = rng.standard_normal((3, box, box)).astype(np.float32)
    shifts = np.array([[1, 0], [-2, 3], [0, 0]])
    transfer = rng.uniform(-1, 1, (3, box, box // 2 + 1)).astype(np.float32)
    weights = np.array([0.5, 1.0, 3.0])
    centred = [np.roll(i, (-y, -x), axis=(0, 1)) for i, (x, y) in zip(images, shifts, strict=True)]
    spectra = centred_transform(np.stack(centred))
    share = weights[:, None, None]
    numerator, density = weighted_slices(images, shifts=shifts, transfer=transfer, weights=weights)
    scale = np.abs(spectra).max()
    np.testing.assert_allclose(numerator, share * transfer * spectra, atol=1e-5 * scale)
    np.testing.assert_allclose(density, share * transfer**2, rtol=1e-5)
    numerator, density = weighted_slices(images)
    np.testing.assert_allclose(numerator, centred_transform(images), atol=1e-5 * scale)
    assert (density == 1).all()


# --- sums at poses --------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [0, 1, 3, 1000])
@pytest.mark.parametrize("box", [16, 17])
def test_particles_at_poses_are_slices_of_their_map(monkeypatch, box, at_once):
    """Sums of C X and C^2 over all of them, and statistics over the plane, whatever the blocks."""
    rng = np.random.default_rng(12)
    n, volume = 7, phantom_map(0, box, APIX)
    rotations, origins = turns(n, seed=12), rng.integers(-2, 3, (n, 2))
    transfer = rng.uniform(-1, 1, (n, box, box // 2 + 1)).astype(np.float32)
    # on the column kx = 0 mates are both there, and have one transfer
    transfer[:, :, 0] += transfer[:, -np.arange(box) % box, 0]
    slices = project_slices(volume, rotations)
    seen = centred_images(slices * transfer, box)
    images = np.stack(
        [np.roll(i, (-y, -x), (0, 1)) for i, (x, y) in zip(seen, origins, strict=True)]
    )
    half = 12 * box * (box // 2 + 1)
    monkeypatch.setattr(pose_sums, "BUFFER_BYTES", at_once * half)
    grid = InsertionGrid.for_box(box)
    sums = PoseSums(grid, symmetry("c1"), APIX, FourierProjector.plan(volume))
    inserted = []
    insert = pose_sums.insert_copies
    monkeypatch.setattr(
        pose_sums,
        "insert_copies",
        lambda *a, **k: inserted.append(len(a[1])) or insert(*a, **k),
    )
    sums.add(images, rotations, origins, transfer=transfer)
    assert max(inserted) == min(n, max(1, at_once))
    statistics = sums.statistics
    terms = shell_sums(np.ones((box, box // 2 + 1)), box)
    np.testing.assert_array_equal(statistics.terms, n * terms)
    # the phantom's slices under their CTF are these particles: nothing is left
    signal = np.zeros(box // 2 + 1)
    for k in range(n):
        power = np.abs(transfer[k] * slices[k]) ** 2
        signal += shell_sums(power, box)
    shells = slice(0, box // 2 - 1)
    for values in (statistics.image, statistics.cross, statistics.reference):
        np.testing.assert_allclose(values[shells], signal[shells], rtol=0.02)
    expected = SliceSums.empty(grid, float(box // 2))
    expected.insert(
        (transfer * centred_transform(seen)).astype(np.complex64),
        transfer**2,
        rotations,
        np.eye(3)[None],
    )
    found = sums.sums.window
    np.testing.assert_allclose(found, expected.window, atol=1e-4 * np.abs(found).max())
    assert sums.finish().box == box


def shell_sums(plane, box):
    """Sums over the whole plane of the terms that slices hold, in rounded shells."""
    k = np.fft.fftfreq(box, 1 / box)
    x = np.arange(box // 2 + 1)
    shell = np.rint(np.hypot(k[:, None], x)).astype(int)
    held = (2 * np.abs(k[:, None]) != box) & (2 * x != box) & (shell <= box // 2)
    weight = np.where(x == 0, 1.0, 2.0) * held
    return np.bincount(shell.ravel(), (plane * weight).ravel())[: box // 2 + 1]


def test_particles_without_a_ctf_count_whole():
    volume, rotations = phantom_map(0, BOX, APIX), turns(4, seed=13)
    images = project_images(volume, rotations)
    grid = InsertionGrid.for_box(BOX)
    sums = PoseSums(grid, symmetry("c1"), APIX, FourierProjector.plan(volume))
    sums.add(images, rotations, np.zeros((4, 2)))
    ones = np.ones((4, BOX, BOX // 2 + 1), np.float32)
    expected = SliceSums.empty(grid, BOX / 2)
    expected.insert(centred_transform(images), ones, rotations, np.eye(3)[None])
    scale = np.abs(expected.window).max()
    np.testing.assert_allclose(sums.sums.window, expected.window, atol=1e-5 * scale)
    assert sums.statistics.scale(np.ones(BOX // 2 + 1)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("capacity", [0, 1, 3, 8, 100])
def test_a_buffer_inserts_what_it_was_given(monkeypatch, capacity):
    rotations = turns(10, seed=14)
    slices = phantom_slice(0, BOX, APIX, rotations).astype(np.complex64)
    weights = np.random.default_rng(14).uniform(0, 1, slices.shape).astype(np.float32)
    monkeypatch.setattr(slice_buffer, "BUFFER_BYTES", capacity * 12 * BOX * (BOX // 2 + 1))
    calls = []
    insert = slice_buffer.insert_copies
    monkeypatch.setattr(
        slice_buffer, "insert_copies", lambda *a, **k: calls.append(len(a[1])) or insert(*a, **k)
    )
    grid = InsertionGrid.for_box(BOX)
    sums = SliceSums.empty(grid, BOX / 2)
    buffer = SliceBuffer(sums, symmetry("c1"), apix=APIX)
    members = np.array([9, 0, 3, 3, 7, 1])
    buffer.add(slices, weights, rotations, members[:4])
    buffer.add(slices, weights, rotations, members[4:])
    buffer.flush()
    whole = max(1, capacity)
    assert [n for n in calls if n] == [whole] * (6 // whole) + [6 % whole] * bool(6 % whole)
    expected = SliceSums.empty(grid, BOX / 2)
    expected.insert(slices[members], weights[members], rotations[members], np.eye(3)[None])
    scale = np.abs(expected.window).max()
    np.testing.assert_allclose(sums.window, expected.window, atol=1e-5 * scale)
    both = sums + expected
    np.testing.assert_allclose(both.window, 2 * expected.window, atol=1e-5 * scale)


# --- treatment ------------------------------------------------------------------------------------


def test_particles_are_cut_to_a_soft_circle():
    """Within three hundredths of the box from its edge the image falls to zero."""
    box = 50
    images = np.full((1, box, box), 2.0, np.float32)
    treatment = ProcessedTreatment(
        FourierGrid.for_box(box), 20.0, invert=False, chain=(), apix=APIX, scale=1.0
    )
    found = treatment.images(images)[0] / 2
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis)
    inner = box / 2 - EDGE * box
    np.testing.assert_array_equal(found[radius <= inner], 1)
    np.testing.assert_array_equal(found[radius >= box / 2], 0)
    edge = (radius > inner + 0.2) & (radius < box / 2 - 0.2)
    assert ((found[edge] > 0) & (found[edge] < 1)).all()
    assert EDGE * box == 1.5


def test_processed_particles_have_one_scale():
    box = 20
    images = np.random.default_rng(15).standard_normal((3, box, box)).astype(np.float32)
    chain = (processor("math.linear:scale=2:shift=1"),)
    grid = FourierGrid.for_box(box)
    plain = ProcessedTreatment(grid, 8.0, invert=False, chain=(), apix=APIX)
    made = ProcessedTreatment(grid, 8.0, invert=False, chain=chain, apix=APIX, scale=0.5)
    black = ProcessedTreatment(grid, 8.0, invert=True, chain=chain, apix=APIX, scale=0.5)
    expected = plain.images(images) + 0.5 * plain.images(np.ones_like(images))
    np.testing.assert_allclose(made.images(images), expected, atol=1e-5)
    np.testing.assert_allclose(black.images(images), -expected, atol=1e-5)
    clipped = ProcessedTreatment(
        grid, 8.0, invert=False, chain=(processor("math.meanshrink:n=2"),), apix=APIX
    )
    with pytest.raises(ConfigError, match=r"processors math\.meanshrink: change the size"):
        clipped.images(images)


@pytest.mark.parametrize("box", [8, 9])
def test_means_of_shells_are_those_of_the_full_plane(box):
    images = np.random.default_rng(16).standard_normal((2, box, box))
    full = np.abs(np.fft.fft2(images)) ** 2
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.hypot(k[:, None], k)).astype(int)
    expected = [full[:, shell == s].mean(axis=1) for s in range(box // 2 + 1)]
    found = shell_means(np.abs(np.fft.rfft2(images)) ** 2, box)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9)


def test_spectra_of_raw_particles_are_those_of_treated_ones():
    images = RNG.standard_normal((2, BOX, BOX)).astype(np.float32)
    grid = FourierGrid.for_box(BOX)
    treatment = ParticleTreatment(grid, 6.0, invert=False)
    np.testing.assert_array_equal(
        treatment.spectra(images, n_threads=1), grid.image_spectra(treatment.images(images))
    )


# --- what is made of scores -----------------------------------------------------------------------


def test_noise_and_particles_share_a_score_by_bayes_rule():
    model = JunkModel(noise_mode=10.0, noise_scale=2.0, mean=30.0, deviation=5.0, share=0.2)
    scores = np.array([12.0, 18.0, 25.0])
    noise = 0.2 * gumbel_r.pdf(scores, 10, 2)
    particle = 0.8 * norm.pdf(scores, 30, 5)
    np.testing.assert_allclose(model.probability(scores), noise / (noise + particle), rtol=1e-9)
    # beyond the mode and the mean nothing changes any more, however the tails run
    ends = model.probability(np.array([10.0, -90.0, 30.0, 500.0]))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
    assert junk_probability(scores, None) is None


REFERENCES = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])


def test_temperatures_have_two_ends():
    clear = matches_of([[0, 3]] * 4, [[1e9, 0.0]] * 4)
    assert starting_temperature(clear, REFERENCES) == 1e4
    even = matches_of([[0, 3]] * 4, [[1.0, 1.0]] * 4)
    assert starting_temperature(even, REFERENCES) == 1.0
    # two maps 2 T artanh(0.5) apart: the likelier has 3/4
    apart = matches_of([[0, 3]] * 4, [[np.log(3) * 20, 0.0]] * 4)
    assert starting_temperature(apart, REFERENCES) == pytest.approx(20, rel=0.01)
    three = References.of_models([np.zeros((1, 3))] * 3)
    # of three maps 2/3: as likely as four times each of the others
    apart = matches_of([[0, 1, 2]] * 2, [[np.log(4) * 7, 0.0, 0.0]] * 2)
    assert starting_temperature(apart, three) == pytest.approx(7, rel=0.01)


def test_maps_without_a_share_lose_all_but_everything():
    matches = matches_of([[0, 3]], [[0.0, 0.0]])
    found = posterior(matches, REFERENCES, shares=np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [[1e-12, 1.0]], rtol=1e-6)


def test_memberships_of_a_hundredth_stay():
    matches = matches_of([[0, 3], [0, 3]], [[1.0, 0.0]] * 2)
    members = soft_membership(matches, np.array([[0.99, 0.01], [0.991, 0.009]]), 5)
    assert [list(members.members(c)) for c in (0, 3)] == [[0, 1], [0]]
    np.testing.assert_allclose(members.weight, [0.99, 1.0, 0.01], rtol=1e-6)


def test_the_noise_term_has_two_ends():
    """An FSC of 0.05 still says something; one of 1 leaves a ten-thousandth."""
    ratio = noise_to_signal([np.array([0.3, 1.0, 0.05, 0.0499, 0.9])])
    np.testing.assert_allclose(
        ratio, [1e-4 / 1.9998, 1e-4 / 1.9998, 0.95 / 0.1, 1e4, 1e4], rtol=1e-6
    )
    # shell 0 has one term: it takes its neighbour's value, if that is higher
    assert noise_to_signal([np.array([0.9, 0.5, 0.5])])[0] == pytest.approx(0.1 / 1.8)
    assert noise_to_signal([np.array([0.2, 0.5, 0.5])])[0] == pytest.approx(0.5)
    lowest = noise_to_signal([np.array([0.0, 0.0, 0.9])])
    np.testing.assert_array_equal(lowest, [1e4] * 3)


def test_filtered_maps_lose_the_share_of_noise():
    volume = RNG.standard_normal((BOX,) * 3).astype(np.float32)
    ratio = np.where(np.arange(BOX // 2 + 1) < 4, 0.0, 3.0)
    found = np.fft.rfftn(wiener_filtered(volume, ratio)) / np.fft.rfftn(volume)
    assert found[0, 0, 2].real == pytest.approx(1.0, rel=1e-4)
    assert found[0, 0, 6].real == pytest.approx(0.25, rel=1e-4)
