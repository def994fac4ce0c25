"""A nearly empty class takes over the particles that the others explain worst."""

from __future__ import annotations

import numpy as np

from mapsort.geometry.symmetry import symmetry
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.stages.classify.assignment import DONATED, nearly_empty, reseeded, shuffled

GRID = orientations("eman:n=20", symmetry("c1"))
REFERENCES = References.of_models([GRID, GRID, GRID])


def matches_of(models, rng):
    per_map = len(GRID)
    reference = np.stack([m * per_map + rng.integers(0, per_map, 1) for m in models])
    n = len(models)
    zeros = np.zeros((n, 1), np.float32)
    return Matches(
        reference=reference.astype(np.int32),
        score=rng.normal(30, 5, (n, 1)).astype(np.float32),
        quality=zeros,
        alpha=rng.uniform(0, 360, (n, 1)).astype(np.float32),
        dx=zeros,
        dy=zeros,
        mirror=np.zeros((n, 1), np.int32),
    )


def test_classes_with_next_to_nothing_are_nearly_empty():
    rng = np.random.default_rng(1)
    models = np.repeat([0, 1, 2], [600, 380, 20])
    assert nearly_empty(matches_of(models, rng), REFERENCES) == []
    models = np.repeat([0, 1], [600, 400])
    assert nearly_empty(matches_of(models, rng), REFERENCES) == [2]
    models = np.repeat([0, 1, 2], [985, 10, 5])
    assert nearly_empty(matches_of(models, rng), REFERENCES) == [1, 2]


def test_the_largest_map_gives_its_worst_with_their_poses():
    rng = np.random.default_rng(2)
    models = np.repeat([0, 1], [600, 400])
    before = matches_of(models, rng)
    after = reseeded(before, REFERENCES, [2])
    moved = REFERENCES.model[after.reference[:, 0]] == 2
    assert moved.sum() == int(DONATED * 600)
    assert np.all(models[moved] == 0)
    assert before.score[moved].max() <= before.score[~moved & (models == 0)].min()
    # the same view of the other map
    np.testing.assert_array_equal(
        after.reference[moved, 0], before.reference[moved, 0] + 2 * len(GRID)
    )
    np.testing.assert_array_equal(after.reference[~moved], before.reference[~moved])
    assert after.alpha is before.alpha


def test_two_nearly_empty_get_different_particles():
    rng = np.random.default_rng(3)
    after = reseeded(matches_of(np.zeros(1000, int), rng), REFERENCES, [1, 2])
    count = np.bincount(REFERENCES.model[after.reference[:, 0]], minlength=3)
    assert count.tolist() == [1000 - 250 - 187, 250, 187]


def test_a_random_split_is_even_and_keeps_poses():
    before = matches_of(np.zeros(3000, int), np.random.default_rng(4))
    after = shuffled(before, REFERENCES, np.random.default_rng(5), np.arange(3000))
    count = np.bincount(REFERENCES.model[after.reference[:, 0]], minlength=3)
    assert np.all(np.abs(count - 1000) < 4 * np.sqrt(3000 * 2 / 9))
    np.testing.assert_array_equal(after.reference % len(GRID), before.reference % len(GRID))


def test_copies_of_an_image_are_split_into_one_map():
    before = matches_of(np.zeros(3000, int), np.random.default_rng(4))
    image = np.arange(3000) % 1000
    after = shuffled(before, REFERENCES, np.random.default_rng(5), image)
    model = REFERENCES.model[after.reference[:, 0]].reshape(3, 1000)
    assert (model == model[0]).all()
    assert np.bincount(model[0]).min() > 250
