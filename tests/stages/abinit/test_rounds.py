"""Rounds of a start, where the truth is known: views found, maps made anew, starts compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.image_moves import transform_image
from mapsort.stages.abinit.agreement import MIRROR, Frame, brought_onto, frame
from mapsort.stages.abinit.problem import Problem, Standing, at_stage
from mapsort.stages.abinit.rounds import begun, borrowed, judged, of_all
from mapsort.stages.abinit.schedule import COARSE_RINGS, MOST_BATCH_RINGS, Schedule, Stage, schedule
from mapsort.stages.abinit.search import FoundMaps, Rival, find_maps, starts_through
from mapsort.stages.abinit.verdict import signs
from mapsort.stages.abinit.wide import Wide, near_views, views
from mapsort.stages.components.band import Band, BandParticles
from mapsort.stages.components.slice_grid import SliceGrid
from mapsort.stages.map_register import other_hand

BOX, RINGS, COUNT = 32, 9, 120


def blobs(grid, seed):
    """Return the transform of lumps within the particle's sphere; half of them of -seed."""
    rng = np.random.default_rng(abs(seed))
    line = grid._line * grid.pixel
    density = np.zeros((grid.side,) * 3, np.float32)
    for centre in rng.uniform(-6, 6, (8, 3))[: 8 if seed > 0 else 4]:
        x, y, z = (np.exp(-((line - at) ** 2) / (2 * 1.6**2)) for at in centre)
        density += rng.uniform(0.5, 1.5) * (z[:, None, None] * y[:, None] * x).astype(np.float32)
    # a sum over samples, which are so far apart
    density *= np.float32(grid.pixel**3)
    return grid.masked(grid.fourier(density[..., None])) * grid.inside


def particles_of(seeds, noise=0.02):
    """Return a problem, and the true rotations and maps of its particles."""
    band = Band(BOX, RINGS + 2)
    grid = SliceGrid(band, RINGS + 2, 12.0)
    rng = np.random.default_rng(1)
    true = Rotation.from_quat(rng.standard_normal((COUNT, 4))).as_matrix()
    number = np.arange(COUNT) % len(seeds)
    maps = np.concatenate([blobs(grid, seed) for seed in seeds], axis=1)
    spectra = grid.slices(maps, true)[np.arange(COUNT), :, number]
    size = noise * np.sqrt(np.mean(np.abs(spectra) ** 2))
    spectra = spectra + size * (
        rng.standard_normal(spectra.shape) + 1j * rng.standard_normal(spectra.shape)
    )
    data = BandParticles(band, 1.0, spectra.astype(np.complex64), np.ones(spectra.shape, "f4"))
    problem = Problem(data, len(seeds), symmetry("c1"), 12.0, 1.0, 0.6, 3, 1)
    return problem, true, number


def standing_at_truth(problem, seeds, stage):
    """Return a start that has the true maps, and noise as strong as a tenth of the particles."""
    start = begun(problem, stage, 0)
    grid = problem.grid(stage)
    maps = np.concatenate([blobs(grid, seed) for seed in seeds], axis=1)
    return replace(start, maps=maps, sums=replace(start.sums, noise=0.1 * start.sums.noise))


def test_rounds_of_all_find_the_views():
    """To a few degrees: the step between views tried is 5 at 9 rings."""
    problem, true, _ = particles_of([1])
    stage = Stage.at(RINGS, BOX)
    start = standing_at_truth(problem, [1], Stage.at(5, BOX))
    first = of_all(problem, start, None, stage, lambda _: None)
    found = of_all(problem, first.standing, first.best, stage, lambda _: None)
    lying = frame(found.best.likeliest[1], true, np.eye(3)[None])
    assert lying.error_deg < 5.0
    assert found.standing.correlation[1:6].min() > 0.9


def test_nothing_depends_on_the_number_of_threads():
    problem, _, _ = particles_of([1])
    start = standing_at_truth(problem, [1], Stage.at(7, BOX))
    one, two = (
        of_all(replace(problem, n_threads=n), start, None, Stage.at(8, BOX), lambda _: None)
        for n in (1, 3)
    )
    assert one.standing.maps.tobytes() == two.standing.maps.tobytes()
    assert one.best.rotations.tobytes() == two.best.rotations.tobytes()


def test_a_map_is_made_anew_of_its_particles_by_another_map_s_poses():
    """Two molecules that share four of eight lumps; the second's map is in part a wrong one."""
    seeds = [1, -1]
    problem, _, _ = particles_of(seeds)
    # particles lie in the centre; another map's shifts are no part of what is looked at
    problem = replace(problem, max_shift=0.0)
    stage = Stage.at(6, BOX)
    right = standing_at_truth(problem, seeds, stage)
    wrong = begun(problem, stage, 5).maps[:, 1]
    maps = right.maps.copy()
    maps[:, 1] *= np.float32(0.6)
    maps[:, 1] += wrong * np.float32(0.5 * np.linalg.norm(maps[:, 0]) / np.linalg.norm(wrong))
    lost = replace(right, maps=maps)
    anew = borrowed(problem, lost, 0)

    def alike(standing):
        a, b = right.maps[:, 1], standing.maps[:, 1]
        return abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b))

    assert alike(lost) < 0.9
    assert alike(anew) > 0.95
    with_donor = Wide.of(problem, right, stage).of_map(1)
    assert with_donor.slices.data.shape[1] == len(with_donor.poses.rotations[0, 0])


def test_particles_tell_a_right_map_from_a_random_one():
    problem, _, _ = particles_of([1])
    stage = Stage.at(5, BOX)
    right = judged(problem, standing_at_truth(problem, [1], stage))
    start = begun(problem, stage, 0)
    random = judged(problem, replace(start, sums=replace(start.sums, noise=0.1 * start.sums.noise)))
    assert right.gain.mean() > 10.0
    assert right.likelihood.mean() > random.likelihood.mean() + 10.0


def test_a_start_on_another_grid_keeps_its_coefficients():
    problem, _, _ = particles_of([1])
    start = standing_at_truth(problem, [1], Stage.at(5, BOX))
    back = at_stage(problem, at_stage(problem, start, Stage.at(8, BOX)), Stage.at(5, BOX))
    np.testing.assert_array_equal(back.maps, start.maps)
    np.testing.assert_array_equal(back.sums.noise, start.sums.noise)


@pytest.mark.parametrize(("reach", "count"), [(1, 7), (2, 19)])
def test_near_views_are_a_hexagon(reach, count):
    turns = near_views(6.0, reach)
    assert len(turns) == count
    apart = np.rad2deg(np.arccos(np.clip(np.einsum("aj,bj->ab", turns[:, 2], turns[:, 2]), -1, 1)))
    np.fill_diagonal(apart, 90.0)
    np.testing.assert_allclose(apart.min(axis=1), 6.0, rtol=0.05)
    np.testing.assert_allclose(turns[count // 2], np.eye(3), atol=1e-12)


def test_views_cover_all_directions():
    directions = views(15.0)[:, 2]
    probe = Rotation.random(500, random_state=1).as_matrix()[:, 2]
    apart = np.rad2deg(np.arccos(np.clip((probe @ directions.T).max(axis=1), -1, 1)))
    assert apart.max() < 15.0


@pytest.mark.parametrize("box", [16, 24, 32, 64, 128])
@pytest.mark.parametrize("apix", [1.0, 2.0, 5.2])
def test_rings_rise_to_the_last(box, apix):
    plan = schedule(box, apix)
    rings = [stage.rings for stage in plan.batches]
    assert rings == sorted(set(rings))
    assert rings[-1] <= MOST_BATCH_RINGS
    last = [stage.rings for stage in plan.last]
    assert last == sorted(last)
    assert last[0] == rings[-1]
    assert last[-1] < box // 2
    assert all(stage.coarse(box).rings == min(stage.rings, COARSE_RINGS) for stage in plan.last)
    assert all(stage.angles >= 2 * stage.rings for stage in plan.batches + plan.last)


@pytest.mark.parametrize(
    ("n_starts", "n_models", "counts"),
    [(4, 1, [4, 4, 2, 1, 1]), (1, 1, [1] * 5), (4, 2, [4, 4, 2, 3, 1])],
)
def test_as_many_starts_as_are_foretold_go_through_each_stage(n_starts, n_models, counts):
    """A search of so many starts keeps as many records of each stage."""
    problem, _, _ = particles_of([1, -1][:n_models])
    plan = schedule(BOX, 4.0, 14.0)
    short = [replace(stage, rounds=1, batch=20) for stage in plan.batches]
    kept: Counter[int] = Counter()

    def record(stage, _name, kind, make):
        kept[stage] += kind is Standing
        return make()

    find_maps(
        problem,
        Schedule(short, plan.last[:1]),
        n_starts,
        kept=record,
        started=lambda *_: None,
        told=lambda _: None,
    )
    found = [kept[number] for number in range(len(short))]
    assert found == [starts_through(number, n_starts, n_models) for number in range(len(short))]
    assert found == counts[: len(short)]
    assert len(short) > 3


@pytest.mark.parametrize("rings", [3, 5, 7, 9, 16])
def test_shifts_leave_a_twelfth_of_the_last_wave_at_most(rings):
    """Along an axis; where more is left, views are found that make up for it."""
    wave = BOX / rings
    assert Stage.at(rings, BOX).shift_step / 2 <= wave / 12 + 1e-9


def test_views_in_another_frame_and_hand_are_the_same():
    rng = np.random.default_rng(2)
    others = Rotation.from_quat(rng.standard_normal((200, 4))).as_matrix()
    turn = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    group = symmetry("d2").matrices
    # each view in any of the equivalent ways
    own = MIRROR @ (others @ group[rng.integers(0, len(group), 200)] @ turn.T) @ MIRROR
    lying = frame(own, others, group)
    assert lying.mirrored
    assert lying.error_deg < 1e-4
    np.testing.assert_allclose(np.abs(np.linalg.det(lying.turn)), 1.0)
    random = Rotation.from_quat(rng.standard_normal((200, 4))).as_matrix()
    assert frame(random, others, np.eye(3)[None]).error_deg > 45.0


def test_a_map_in_another_frame_and_hand_is_brought_back():
    line = np.arange(24) - 12
    rng = np.random.default_rng(4)
    fixed = np.zeros((24, 24, 24), np.float32)
    for centre in rng.uniform(-4, 4, (6, 3)):
        x, y, z = (np.exp(-((line - at) ** 2) / (2 * 2.0**2)) for at in centre)
        fixed += (z[:, None, None] * y[:, None] * x).astype(np.float32)
    turn = Rotation.from_rotvec([0.4, -0.8, 0.5]).as_matrix()
    moved = other_hand(transform_image(fixed, np.hstack([turn, [[0.5], [-1.0], [0.0]]]), order=3))
    back = brought_onto(moved, fixed, Frame(turn, mirrored=True, error_deg=0.0))
    assert np.corrcoef(back.ravel(), fixed.ravel())[0, 1] > 0.98


def test_starts_that_are_as_likely_and_differ_are_told():
    rng = np.random.default_rng(3)
    rivals = {
        "1": Rival(0.0, 0.0, 0.0, 5),
        "2": Rival(0.1, 0.2, 70.0, 5),
        "3": Rival(0.9, 0.2, 70.0, 5),
        "4": Rival(0.1, 0.2, 70.0, 4),
    }
    found = FoundMaps(
        maps=rng.standard_normal((1, 16, 16, 16)).astype(np.float32),
        rings=5,
        correlation=np.ones((6, 1)),
        share=np.ones(1),
        rivals=rivals,
        best="1",
        gain=9.0,
        gain_error=0.1,
        number=np.zeros(500, np.intp),
        rotations=Rotation.random(500, random_state=1).as_matrix(),
        origins=np.zeros((500, 2)),
        junk=np.zeros(500),
    )
    told = signs(found)
    assert len(told) == 1
    assert "starts 1 and 2 are equally likely, but their views are 70 degrees apart" in told[0]
