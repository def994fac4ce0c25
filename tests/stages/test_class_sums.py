"""Sums of the particles of classes, shell by shell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import matrix_to_eman
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.physics.phantom import phantom_map
from mapsort.stages.average.average import (
    ClassAccumulator,
    ShellStatistics,
    plane_terms,
    wiener_images,
)
from mapsort.stages.classify.assignment import classify
from mapsort.stages.fourier_grid import (
    FourierGrid,
    centred_images,
    centred_transform,
)
from mapsort.stages.prepare import (
    ctf_coefficients,
)
from mapsort.stages.project import project_slices

BOX, APIX = 16, 8.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


def matches_of(reference, score=None, quality=None):
    reference = np.asarray(reference, np.int32)
    zeros = np.zeros(reference.shape, np.float32)
    score = zeros if score is None else np.asarray(score, np.float32)
    quality = score if quality is None else np.asarray(quality, np.float32)
    return Matches(reference, score, quality, zeros, zeros, zeros, zeros.astype(np.int32))


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
        self.half = (np.arange(n) // 2 % 2).astype(np.uint8)

    def summed(self, membership, **more):
        sums = ClassAccumulator(self.grid, APIX, self.slices, self.half, n_particles=self.n, **more)
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
    members = classify(views.matches, 3)
    quality = views.matches.quality[members.particle, members.column]
    members = members.keeping(quality, keep=0.5, keep_sigma=False)
    kept = views.summed(members, noise_power=noise, group=group, n_groups=2)
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
    """The first half against the first set, the second against the other, twice as strong."""
    views = Views()
    both = np.stack([views.slices, 2 * views.slices])
    sums = ClassAccumulator(
        views.grid,
        APIX,
        both,
        views.half,
        noise_power=np.ones((1, BOX // 2 + 1)),
        n_particles=views.n,
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
    strength = np.repeat([1, 0.5], 6)
    np.testing.assert_allclose(ratio, strength / np.where(views.half, 2, 1), rtol=0.02)
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
