"""Maps of the even and of the odd particles, and which slices they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.model.class_averages import ClassAverages
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.physics.reconstruction import ReconstructionMethod
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.reconstruct import class_reconstruction
from mapsort.stages.reconstruct.class_reconstruction import MapSlices
from mapsort.stages.reconstruct.half_maps import solve_halves, solve_whole
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.reconstruct.slice_sums import SliceSums

BOX, APIX = 24, 6.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


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
def test_classes_are_inserted_some_at_a_time(monkeypatch, at_once, random_averages):
    averages = random_averages(11, BOX)
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


def test_brighter_slices_count_by_the_square(random_averages):
    averages = random_averages(12, BOX)
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
