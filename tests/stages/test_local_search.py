"""Local search: simulated particles come as near to their true poses as the noise allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import simulate
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.model.references import References
from mapsort.model.volume import Volume
from mapsort.modules.orientgen import orientations
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import FourierGrid, centred_transform
from mapsort.stages.prepare import ParticleTreatment, ctf_coefficients
from mapsort.stages.search.local_search import LocalSearchPlan, plan_local_search, search_locally
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.search_plan import plan_match
from mapsort.stages.search.settings import SearchContext, SearchSettings

BOX, APIX, N, STEP_DEG = 48, 3.0, 300, 15.0
SCORING = Scoring(float("inf"))


@dataclass
class Problem:
    """Particles with known poses, matched with projections of their map on a coarse grid."""

    volume: np.ndarray
    noise: np.ndarray
    images: np.ndarray
    ctf: np.ndarray
    rotations: np.ndarray
    origins: np.ndarray
    candidates: Poses

    def plan(self, scoring=SCORING, **changed):
        context = SearchContext(FourierGrid.for_box(len(self.volume)), APIX, self.noise, 4.0)
        return plan_local_search([self.volume], replace(context, **changed), scoring)

    def search(self, candidates, **options):
        return search_locally(
            self.plan(), centred_transform(self.images), self.ctf, candidates, **options
        )

    def truth(self):
        one = np.zeros((N, 1), np.int32)
        nothing = np.zeros((N, 1), np.float32)
        return Poses(one, self.rotations[:, None], self.origins[:, None], nothing)

    def errors_deg(self, poses):
        found = poses.rotation[:, 0]
        cosine = 0.5 * (np.einsum("nij,nij->n", found, self.rotations) - 1)
        return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def problem_of(out, snr):
    made = simulate(
        SimulateOptions(
            phantom=1, out=out, n=N, box=BOX, apix=APIX, snr=snr, shift=2.0, seed=3, seedres=20.0
        )
    )
    particles = Particles.open(made.particles)
    _, table = read_particles(out / "particles_truth.star")
    volume = Volume.open(out / "true_01.mrc").data
    grid = FourierGrid.for_box(BOX)
    treatment = ParticleTreatment(grid, 0.45 * BOX, invert=False)
    raw = particles.images(slice(0, N))
    images, ctf = treatment.images(raw), ctf_coefficients(particles.ctf, N)
    noise = treatment.shell_powers(raw, n_threads=1).mean(axis=0)
    if snr > 1:
        # nearly all of the power is signal: what little noise there is, is that of the last shells
        noise = np.full_like(noise, np.median(noise))
    references = References.of_models(
        [orientations(f"eman:delta={STEP_DEG}:inc_mirror=0:perturb=0", symmetry("c1"))]
    )
    plan = plan_match(
        [volume],
        references,
        SearchContext(grid, APIX, noise, max_shift=4.0),
        SearchSettings(SCORING),
        support_radius=22.0,
    )
    matches, _ = match_chunk(plan, grid.image_spectra(images), ctf)
    angles = table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float)
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float) / APIX
    return Problem(
        volume,
        noise,
        images,
        ctf,
        relion_to_matrix(angles),
        origins,
        Poses.of_matches(matches, references),
    )


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return problem_of(tmp_path_factory.mktemp("noisy") / "made", 0.1)


@pytest.fixture(scope="module")
def clear(tmp_path_factory):
    return problem_of(tmp_path_factory.mktemp("clear") / "made", 10.0)


def test_clear_particles_lie_a_small_fraction_of_the_grid_step_off(clear):
    """The grid leaves 6 degrees; what the search leaves is what a start from the truth leaves."""
    grid, found = clear.errors_deg(clear.candidates), clear.search(clear.candidates)
    assert np.median(grid) > 5.0
    errors = clear.errors_deg(found)
    assert np.median(errors) < STEP_DEG / 30
    assert errors.max() < STEP_DEG / 8
    limit = clear.errors_deg(clear.search(clear.truth(), max_steps=25))
    assert np.median(errors) < 1.1 * np.median(limit)
    assert np.median(np.abs(found.origin[:, 0] - clear.origins)) < 0.03


def test_noisy_particles_lie_as_far_off_as_noise_alone_takes_them(noisy):
    """At SNR 0.1 the maximum of the likelihood lies 3.9 degrees from the truth, in the median."""
    found = noisy.search(noisy.candidates)
    errors, grid = noisy.errors_deg(found), noisy.errors_deg(noisy.candidates)
    limit = noisy.errors_deg(noisy.search(noisy.truth(), max_steps=25))
    assert np.median(errors) < 0.65 * np.median(grid)
    assert np.median(errors) < 1.1 * np.median(limit)


def test_the_maximum_is_as_much_above_the_truth_as_five_fitted_parameters_make_it(noisy):
    """Twice the gain is chi-squared with 5 degrees of freedom: mean 2.5 nats, here of 300."""
    best = noisy.search(noisy.truth(), max_steps=25)
    gain = best.score[:, 0] - noisy.search(noisy.truth(), max_steps=0).score[:, 0]
    assert np.all(gain >= 0)
    # 300 draws of a standard deviation of 1.6 nats leave 0.1; images were normalised on the way,
    # with a background that holds some signal, which takes up to a tenth
    assert 2.5 * 0.8 < gain.mean() < 2.5 + 0.4


def test_more_candidates_never_score_worse(noisy):
    first = np.broadcast_to(np.arange(1), (N, 1))
    one = noisy.search(noisy.candidates.taken(first)).score[:, 0]
    every = noisy.search(noisy.candidates)
    assert np.all(every.score[:, 0] >= one)
    assert np.all(np.diff(every.score, axis=1) <= 0)


def test_any_number_of_threads_gives_the_same_poses(noisy):
    one = noisy.search(noisy.candidates)
    many = noisy.search(noisy.candidates, n_threads=3)
    np.testing.assert_array_equal(one.rotation, many.rotation)
    np.testing.assert_array_equal(one.score, many.score)


def test_none_stays_none_and_comes_last(noisy):
    there = np.ones(noisy.candidates.model.shape, bool)
    there[:, 0] = False
    found = noisy.search(noisy.candidates.only(there))
    assert np.all(found.model[:, -1] == -1)
    assert np.all(np.isneginf(found.score[:, -1]))
    assert np.all(found.model[:, :-1] == 0)


def test_best_of_each_map():
    model = np.array([[0, 1, 0, -1]], np.int32)
    score = np.array([[1.0, 5.0, 3.0, -np.inf]], np.float32)
    rotation = np.broadcast_to(np.eye(3), (1, 4, 3, 3))
    best = Poses(model, rotation, np.zeros((1, 4, 2)), score).best_of_each_map(2)
    np.testing.assert_array_equal(best.model, [[1, 0]])
    np.testing.assert_array_equal(best.score, [[5.0, 3.0]])


def test_comparators_without_derivatives_are_refused(clear):
    with pytest.raises(ConfigError, match="simcmp=frc"):
        clear.plan(scoring=Scoring(float("inf"), Comparator.FRC))


def test_in_stronger_noise_rings_weigh_less():
    """Ring 1 is the first of the weights, shell 0 the first of the noise."""
    weight = np.array([6.0, 8.0], np.float32)
    ratio = np.array([9.0, 2.0, 4.0, 7.0])
    plan = LocalSearchPlan((), weight, None, Scoring(0.5, Comparator.LOGLIK))
    assert plan.in_noise(ratio).ring_weight.tolist() == [3.0, 2.0]
    assert (plan.highest_ring, plan.stiffness) == (2, 4.0)
    plain = LocalSearchPlan((), weight, None, Scoring(0.0, Comparator.SQEUCLIDEAN))
    assert plain.in_noise(ratio) is plain
    assert plain.stiffness == float("inf")
