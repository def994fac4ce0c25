"""The return of a set to its own map: told from noise that is shared, and from a turned frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort.geometry.transforms import Transform3D
from mapsort.jobs.crossval.exchange import compare_return, likeness, measured_shells
from mapsort.jobs.refine import RefinedMap
from mapsort.model.volume import Volume
from mapsort.physics.image_moves import transform_image
from mapsort.physics.masks import soft_sphere
from mapsort.physics.phantom import phantom_map

BOX, APIX = 28, 4.6


def refined(halves):
    mask = soft_sphere(BOX, 0.4 * BOX, 2.0)
    mean = 0.5 * (halves[0] + halves[1])
    return RefinedMap(
        path=Path("refine_00"),
        maps=(Volume(mean * mask, APIX),),
        particles=Path("refine_00/particles_03.star"),
        sharpened=Volume(mean * mask, APIX),
        half_maps=tuple(Volume(half, APIX) for half in halves),
        mask=Volume(mask, APIX),
        resolution_ang=10.0,
        convergence=[],
    )


def halves_of(structure, rng, level=1.0):
    """Half maps whose noise has the structure's own size."""
    size = level * float(structure.std())
    noise = [size * rng.standard_normal(structure.shape).astype(np.float32) for _ in range(2)]
    return [structure + part for part in noise]


@pytest.fixture(scope="module")
def states():
    return [phantom_map(state, BOX, APIX) for state in (0, 2)]


def returned_from(same, rng):
    """A set refined from elsewhere: the same particles, so the same noise, and a little more."""
    return [half + 0.1 * half.std() * rng.standard_normal(half.shape) for half in same]


def test_a_real_difference_is_seen_beyond_doubt(states):
    rng = np.random.default_rng(0)
    own, other = halves_of(states[0], rng), halves_of(states[1], rng)
    back = returned_from(own, rng)
    found = compare_return(
        1, 2, *(refined([np.float32(h) for h in pair]) for pair in (back, own, other))
    )
    assert found.returns
    # likeness is freed from the noise: 1 to itself
    assert found.likeness_own == pytest.approx(1.0, abs=4 * found.margin_error + 0.02)
    assert found.likeness_start < 0.95


def test_shared_noise_is_no_return(states):
    """Two sets of one structure: the map shares its own set's noise, and yet is no nearer to it."""
    verdicts = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        own, other = halves_of(states[0], rng), halves_of(states[0], rng)
        back = returned_from(own, rng)
        found = compare_return(
            1, 2, *(refined([np.float32(h) for h in pair]) for pair in (back, own, other))
        )
        # the plain FSC is fooled
        assert found.fsc_own > found.fsc_start + 0.05
        assert abs(found.margin) < 4.0 * found.margin_error
        verdicts.append(found.returns)
    assert not any(verdicts)


def test_a_turned_frame_is_turned_back(states):
    """Five degrees and half a voxel between two refinements of one structure are no difference."""
    rng = np.random.default_rng(3)
    angle = np.deg2rad(5.0)
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    )
    pose = Transform3D(turn, np.array([0.5, -0.3, 0.2]))
    moved = transform_image(states[0], pose.matrix)
    own, back = halves_of(states[0], rng, 0.3), halves_of(moved, rng, 0.3)
    found = compare_return(
        1, 2, *(refined([np.float32(h) for h in pair]) for pair in (back, own, own))
    )
    assert found.likeness_own > 0.95


def test_likeness_corrects_for_what_noise_takes_off():
    curve = np.array([1.0, 0.8, 0.4])
    np.testing.assert_allclose(likeness(0.9 * curve, curve, curve), 0.9)


def test_shells_end_where_halves_disagree():
    np.testing.assert_array_equal(measured_shells(np.array([1, 0.9, 0.5, 0.2, 0.9])), [1, 2])
    np.testing.assert_array_equal(measured_shells(np.array([1, 0.1, 0.1, 0.1])), [1, 2])
    np.testing.assert_array_equal(measured_shells(np.ones(4)), [1, 2, 3])
