"""Members aligned anew with their class average."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.modules.processors import PROCESSORS
from mapsort.physics.normalization import circle_mean
from mapsort.stages.average.realign import alignment_references
from mapsort.stages.classify.assignment import given_membership

BOX, APIX = 24, 6.0


@pytest.mark.parametrize(("box", "edge"), [(32, 5), (64, 5), (72, 6), (96, 8)])
def test_masks_of_alignment_references(box, edge):
    """e2classaverage's: a twelfth of the box, at least five pixels; radii by that edge."""
    axis = np.arange(box) - box // 2
    blob = np.exp(-(axis[:, None] ** 2 + (axis - 3) ** 2) / (2 * (box / 8) ** 2)) + 2.0
    images = blob[None].astype(np.float32)
    level = images[0] - circle_mean(images[0])
    disc = PROCESSORS.bind(
        f"mask.gaussian:inner_radius={box // 2 - edge}:outer_radius={edge / 1.3}"
    )
    found = alignment_references(images)[0]
    np.testing.assert_allclose(found, disc(level, apix=1.0), atol=1e-6)
    automatic = PROCESSORS.bind(
        f"mask.auto2d:nmaxseed=10:nshells={edge - 2}:nshellsgauss={edge}:sigma=0.2"
    )
    found = alignment_references(images, automatic=True)[0]
    np.testing.assert_allclose(found, automatic(level, apix=1.0), atol=1e-6)


def test_poor_averages_among_others_are_left_empty():
    images = np.random.default_rng(3).standard_normal((3, BOX, BOX)).astype(np.float32)
    images[1] = 0
    found = alignment_references(images)
    assert not found[1].any()
    assert found[0].any()
    assert found[2].any()


def test_members_with_the_smallest_values_are_used():
    members = given_membership(np.array([[0], [0], [1], [0], [1], [0]]), np.ones((6, 1), bool), 2)
    values = np.empty(6)
    values[np.argsort(members.particle)] = [0.4, 0.1, 0.9, 0.3, 0.8, 0.2]
    chosen = members.keeping(-values, keep=0.5, keep_sigma=False)
    assert [sorted(chosen.members(c).tolist()) for c in (0, 1)] == [[1, 5], [4]]
    assert [sorted(chosen.excluded(c).tolist()) for c in (0, 1)] == [[0, 3], [2]]
