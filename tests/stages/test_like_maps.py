"""Maps that are alike: which they are, what views they share, and what a search of these finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import matrix_to_eman
from mapsort.model.references import References
from mapsort.modules.search_aligner import SearchAligner, search_aligner
from mapsort.physics.phantom import phantom_map
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.project import project_images
from mapsort.stages.search import like_maps, search_levels
from mapsort.stages.search.candidates import Candidates, Started
from mapsort.stages.search.like_maps import SharedViews
from mapsort.stages.search.match import match_chunk, match_near
from mapsort.stages.search.search_plan import plan_match
from mapsort.stages.search.settings import SearchContext, SearchSettings

BOX, APIX, N_VIEWS, N = 32, 4.0, 20, 30
CONTEXT = SearchContext(FourierGrid.for_box(BOX), APIX, np.full(BOX // 2 + 1, 1.0), max_shift=3.0)


def eulers(seed, n=N_VIEWS):
    return matrix_to_eman(Rotation.random(n, rng=seed).as_matrix())


def some_maps(share):
    """Return a map, and others that differ from it by shares of another one."""
    one, other = (phantom_map(number, BOX, APIX) for number in (0, 2))
    return [np.asarray(one + s * (other - one), np.float32) for s in share]


def test_maps_are_alike_by_the_power_of_their_half_difference():
    one = some_maps([0.0])[0]
    views = References.of_models([eulers(1)] * 2)
    for factor, power in ((1.5, (0.5 / 2.5) ** 2), (2.5, (1.5 / 3.5) ** 2)):
        pair = [one, np.asarray(factor * one, np.float32)]
        groups = like_maps.like_maps(pair, views, CONTEXT, 10)
        assert groups == ([[0, 1]] if power <= like_maps.ALIKE else [[0], [1]])
        assert like_maps._unlikeness(*pair, CONTEXT, 10) == pytest.approx(power, rel=1e-4)
    nothing = np.zeros_like(one)
    assert like_maps.like_maps([nothing, nothing], views, CONTEXT, 10) == [[0], [1]]


def test_only_rings_compared_in_their_noise_tell_maps_apart():
    one = some_maps([0.0])[0]
    fine = np.random.default_rng(1).standard_normal(one.shape)
    spectrum = np.fft.rfftn(fine)
    k = [np.fft.fftfreq(BOX, 1 / BOX), np.fft.fftfreq(BOX, 1 / BOX), np.arange(BOX // 2 + 1)]
    spectrum[np.sqrt(sum(x**2 for x in np.meshgrid(*k, indexing="ij"))) < 9] = 0
    other = np.asarray(one + 20 * one.std() * np.fft.irfftn(spectrum, axes=(0, 1, 2)), np.float32)
    views = References.of_models([eulers(1)] * 2)
    assert like_maps.like_maps([one, other], views, CONTEXT, 7) == [[0, 1]]
    assert like_maps.like_maps([one, other], views, CONTEXT, 15) == [[0], [1]]
    loud = np.where(np.arange(BOX // 2 + 1) > 7, 1e9, 1.0)
    noisy = SearchContext(CONTEXT.grid, APIX, loud, max_shift=3.0)
    assert like_maps.like_maps([one, other], views, noisy, 15) == [[0, 1]]


def test_every_map_joins_the_first_one_like_it_that_has_its_views():
    maps = some_maps([0.0, 1.0, 0.02, 0.0, 1.02, 0.0])
    alike = like_maps._unlikeness(maps[0], maps[1], CONTEXT, 10)
    assert alike > like_maps.ALIKE
    views = [eulers(1)] * 3 + [eulers(2)] + [eulers(1)] + [eulers(1, 0)]
    found = like_maps.like_maps(maps, References.of_models(views), CONTEXT, 10)
    assert found == [[0, 2], [1, 4], [3], [5]]


def test_shared_views_and_the_references_that_they_stand_for():
    references = References.of_models([eulers(1, 3), eulers(2, 2), eulers(1, 3)])
    shared = SharedViews.of([[0, 2], [1]], references)
    np.testing.assert_array_equal(shared.members, [[0, 5], [1, 6], [2, 7], [3, -1], [4, -1]])
    np.testing.assert_array_equal(shared.view, [0, 1, 2, 3, 4, 0, 1, 2])
    np.testing.assert_array_equal(shared.references.eulers, references.eulers[:5])
    np.testing.assert_array_equal(shared.references.model, [0, 0, 0, 1, 1])
    origin = np.arange(16, dtype=np.float32).reshape(2, 4, 2)
    given = np.array([[6, 1, 4, 7], [-1, 0, 5, -1]], np.int32)
    started = shared.started(given, origin)
    np.testing.assert_array_equal(started.reference, [[1, -1, 4, 2], [-1, 0, -1, -1]])
    np.testing.assert_array_equal(started.origin, origin)
    candidates = Candidates.at(np.array([[4, 1], [-1, 0]], np.int32), origin[:, :2])
    candidates.alpha[:] = [[0.1, 0.2], [0.3, 0.4]]
    every = shared.on_every_map(candidates)
    np.testing.assert_array_equal(every.reference, [[4, -1, 1, 6], [-1, -1, 0, 5]])
    np.testing.assert_array_equal(every.origin, np.repeat(origin[:, :2], 2, axis=1))
    np.testing.assert_array_equal(every.alpha, np.repeat(candidates.alpha, 2, axis=1))
    assert all(values.flags.c_contiguous for values in vars(every).values())


class Case:
    """Particles of three maps, two of them alike, in weak noise; ``weight`` says how weak."""

    def __init__(self, weight):
        self.maps = some_maps([0.0, 1.0, 0.1])
        self.references = References.of_models([eulers(1)] * 3)
        rng = np.random.default_rng(3)
        self.reference = rng.integers(0, 3 * N_VIEWS, N)
        model = self.references.model[self.reference]
        images = np.concatenate(
            [
                project_images(self.maps[m], self.references.rotations[[r]])
                for m, r in zip(model, self.reference, strict=True)
            ]
        )
        self.images = np.roll(images, (1, -2), axis=(1, 2))
        power = np.full(BOX // 2 + 1, np.var(self.images) * BOX**2 / weight)
        self.context = SearchContext(CONTEXT.grid, APIX, power, max_shift=3.0)

    def plan(self, aligner=None, **more):
        settings = SearchSettings(Scoring(float("inf")), aligner or SearchAligner(), **more)
        return plan_match(
            self.maps, self.references, self.context, settings, support_radius=0.4 * BOX
        )

    def searched(self, matching, plan, *given, **more):
        spectra = CONTEXT.grid.image_spectra(self.images)
        return matching(plan, spectra, ctf_coefficients(None, N), *given, **more)


@pytest.mark.parametrize("weight", [100.0, 0.1])
@pytest.mark.parametrize("worth", [8.0, 0.0])
@pytest.mark.parametrize("told", [False, True])
def test_a_search_of_shared_views_finds_what_one_of_all_maps_does(monkeypatch, weight, worth, told):
    """With and without a first look, a middle level and last poses."""
    monkeypatch.setattr(search_levels, "LOOK_WORTH", worth)
    case = Case(weight)
    plan = case.plan()
    assert plan.like is not None
    assert len(plan.first.bank) == 2 * N_VIEWS
    assert [len(level.bank) for level in plan.levels[-2:]] == [3 * N_VIEWS] * 2
    assert len(plan.levels) == (3 if weight > 1 else 4)
    last = None
    if told:
        number = case.reference.astype(np.int32)[:, None]
        last = Started(number, np.zeros((N, 1, 2), np.float32))
    found, every = case.searched(match_chunk, plan, last=last, with_similarity=True)
    np.testing.assert_array_equal(found.reference[:, 0], case.reference)
    assert every.score.shape == (N, 3 * N_VIEWS)
    assert (every.score.argmax(axis=1) == case.reference).all()
    for model in range(3):
        own = case.references.model[found.reference] == model
        assert (own.sum(axis=1) == 4).all()
    threaded, _ = case.searched(match_chunk, plan, last=last, n_threads=3)
    for name, values in vars(found).items():
        np.testing.assert_array_equal(getattr(threaded, name), values)
    apart = case.plan(shares_views=False)
    assert apart.like is None
    other, _ = case.searched(match_chunk, apart, last=last)
    np.testing.assert_array_equal(other.reference[:, 0], found.reference[:, 0])
    np.testing.assert_allclose(other.score[:, 0], found.score[:, 0], rtol=1e-3)


@pytest.mark.parametrize("weight", [100.0, 0.1])
def test_candidates_of_like_maps_are_found_nearby(weight):
    case = Case(weight)
    view = case.reference % N_VIEWS
    reference = np.stack([view + m * N_VIEWS for m in range(3)], axis=1).astype(np.int32)
    origin = np.tile(np.float32([2.0, -1.0]), (N, 3, 1))
    plan = case.plan()
    found = case.searched(match_near, plan, reference, origin, refined=1)
    np.testing.assert_array_equal(np.sort(found.reference, axis=1), reference)
    everywhere, _ = case.searched(match_chunk, plan)
    np.testing.assert_array_equal(found.reference[:, 0], everywhere.reference[:, 0])
    np.testing.assert_allclose(found.score[:, 0], everywhere.score[:, 0], rtol=1e-3)


@pytest.mark.parametrize("weight", [100.0, 0.1])
def test_dear_candidates_nearby_are_compared_on_the_first_level_first(weight, monkeypatch):
    """Views that are clearly worse there are not compared further; each map's last pose is."""
    monkeypatch.setattr(search_levels, "LOOK_WORTH", 0.0)
    case = Case(weight)
    plan = case.plan()
    assert plan.looks_first
    view = case.reference % N_VIEWS
    around = np.stack([view, *((view + k) % N_VIEWS for k in range(1, 12))], axis=1)
    reference = np.concatenate([around + m * N_VIEWS for m in range(3)], axis=1).astype(np.int32)
    origin = np.tile(np.float32([2.0, -1.0]), (N, reference.shape[1], 1))
    own = Started(reference[:, ::12].copy(), origin[:, ::12].copy())
    found = case.searched(match_near, plan, reference, origin, last=own)
    np.testing.assert_array_equal(found.reference[:, 0], case.reference)
    everywhere, _ = case.searched(match_chunk, plan, last=own)
    np.testing.assert_allclose(found.score[:, 0], everywhere.score[:, 0], rtol=1e-3)
    for model in range(3):
        of_map = case.references.model[found.reference] == model
        assert (of_map.sum(axis=1) == 4).all()


def test_an_exhaustive_search_compares_every_map():
    case = Case(100.0)
    plan = case.plan(search_aligner("rtf_exhaustive"))
    assert plan.like is None
    found, _ = case.searched(match_chunk, plan)
    np.testing.assert_array_equal(found.reference[:, 0], case.reference)
