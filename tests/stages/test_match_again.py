"""Matching against few candidates, with known poses, and in noise of another level."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.geometry.transforms import Transform2D
from mapsort.model.references import References
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.match import match_chunk, match_images, match_near, scored
from mapsort.stages.search.search_plan import plan_image_match
from mapsort.stages.search.settings import SearchContext, SearchSettings, white_noise

BOX, APIX, N = 32, 4.0, 6


@pytest.fixture(scope="module")
def views():
    angles = mapsort.orientations("eman:delta=40", "c1")
    return mapsort.project(phantom_map(0, BOX, APIX), mapsort.euler.eman_to_matrix(angles))


@pytest.fixture(scope="module")
def particles(views):
    """Turned and moved views with a little noise, on the scale of the views."""
    rng = np.random.default_rng(1)
    poses = [
        Transform2D(rng.uniform(0, 360), *rng.uniform(-2, 2, 2), bool(k % 2)) for k in range(N)
    ]
    images = [transform_image(views[k], p.inverse().matrix[:2]) for k, p in enumerate(poses)]
    noise = 0.1 * views.std() * rng.standard_normal((N, BOX, BOX))
    return (np.stack(images) + noise).astype(np.float32)


def plan_of(views, scoring, **more):
    context = SearchContext(FourierGrid.for_box(BOX), APIX, white_noise(BOX), max_shift=3.0)
    return plan_image_match(views, context, SearchSettings(scoring), **more)


@pytest.fixture(scope="module")
def searched(views, particles):
    plan = plan_of(views, Scoring(0.3, Comparator.LOGLIK))
    spectra = plan.context.grid.image_spectra(particles)
    ctf = ctf_coefficients(None, N)
    return plan, spectra, ctf, match_chunk(plan, spectra, ctf, refined=3)[0]


def test_known_poses_have_the_scores_that_they_were_found_with(searched):
    plan, spectra, ctf, matches = searched
    assert matches.reference[:, 0].tolist() == list(range(N))
    again = scored(plan, spectra, ctf, matches)
    np.testing.assert_array_equal(again.reference, matches.reference)
    np.testing.assert_allclose(again.score, matches.score, rtol=1e-4)
    np.testing.assert_allclose(again.origin, matches.origin, atol=1e-4)
    backwards = matches.rows(np.arange(N)[::-1])
    np.testing.assert_allclose(
        scored(plan, spectra[::-1].copy(), ctf, backwards).score, matches.score[::-1], rtol=1e-4
    )


@pytest.mark.parametrize("reach_px", [None, 2.0])
def test_candidates_nearby_are_found_as_by_the_search_of_all(searched, reach_px):
    plan, spectra, ctf, matches = searched
    reference = np.ascontiguousarray(np.stack([(np.arange(N) + k) % N for k in (1, 0, 2)], 1))
    origin = np.repeat(matches.origin[:, :1] + np.float32(0.4), 3, axis=1)
    found = match_near(
        plan, spectra, ctf, reference.astype(np.int32), origin, reach_px=reach_px, refined=2
    )
    assert found.reference.shape == (N, 2)
    np.testing.assert_array_equal(found.reference[:, 0], np.arange(N))
    np.testing.assert_allclose(found.score[:, 0], matches.score[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.origin[:, 0], matches.origin[:, 0], atol=0.02)


def test_a_search_does_not_look_farther_than_told(searched):
    """Two pixels off, half a pixel's reach and its refinement do not come to the true place."""
    plan, spectra, ctf, matches = searched
    reference = np.ascontiguousarray(matches.reference[:, :1])
    away = matches.origin[:, :1] - np.sign(matches.origin[:, :1]) * np.float32(2.0)
    near = match_near(plan, spectra, ctf, reference, away, reach_px=4.0, refined=1)
    np.testing.assert_allclose(near.origin[:, 0], matches.origin[:, 0], atol=0.05)


def test_images_are_matched_in_white_noise_of_unit_variance(views, particles):
    found = match_images(
        particles,
        views,
        ctf_coefficients(None, N),
        apix=APIX,
        max_shift=3.0,
        top=2,
        scoring=Scoring(np.inf, Comparator.CCC),
    )
    assert found.reference.shape == (N, 2)
    assert found.reference[:, 0].tolist() == list(range(N))
    power = (particles.astype(float) ** 2).sum(axis=(1, 2))
    mean = particles.astype(float).sum(axis=(1, 2)) ** 2 / BOX**2
    # half of the power, but for the noise; integrals over rings count the band's ends otherwise
    ratio = found.score[:, 0] / (0.5 * (power - mean))
    np.testing.assert_allclose(ratio, 1.0, atol=0.1)


def test_in_stronger_noise_the_same_is_less_certain(searched):
    plan, spectra, ctf, matches = searched
    shells = BOX // 2 + 1
    louder = plan.in_noise(np.full(shells, 4.0))
    for own, other in zip(plan.levels, louder.levels, strict=True):
        np.testing.assert_allclose(other.ring_weight, own.ring_weight / 4, rtol=1e-6)
    assert louder.polishing is louder.deciding is louder.levels[-1]
    found = scored(louder, spectra, ctf, matches)
    stiff = matches.score[:, 0]
    assert (found.score[:, 0] < 0.3 * stiff).all()


def test_the_reference_list_is_the_callers(views):
    references = References.of_models([np.zeros((3, 3)), np.zeros((len(views) - 3, 3))])
    plan = plan_of(views, Scoring(np.inf, Comparator.CCC), references=references)
    assert plan.references is references
    assert plan.in_noise(np.full(BOX // 2 + 1, 4.0)) is plan  # weights are not of the noise
