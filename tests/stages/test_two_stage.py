"""Clusters of projections, and candidates from the best of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.transforms import Transform2D
from mapsort.model.references import References
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_slice
from mapsort.stages.fourier_grid import centred_images
from mapsort.stages.search.similarity import Similarity
from mapsort.stages.search.two_stage import (
    _average,
    _far_apart,
    _ordered,
    cluster_candidates,
    n_clusters,
)

BOX, APIX = 24, 6.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


@pytest.mark.parametrize(
    ("n", "expected"), [(6, 6), (8, 6), (9, 9), (15, 9), (16, 12), (100, 30), (120, 30)]
)
def test_clusters_are_three_times_the_root(n, expected):
    assert n_clusters(n) == expected


def test_centres_are_far_apart_and_neighbours_in_the_list_alike():
    place = np.array([0.0, 1.0, 5.0, 9.5, 10.0])
    distance = np.abs(place[:, None] - place)
    assert _far_apart(distance, 1) == [0]
    assert _far_apart(distance, 4) == [0, 4, 2, 1]
    assert sorted(_far_apart(distance, 9)) == [0, 1, 2, 3, 4]
    assert _ordered([0, 4, 2, 1], distance) == [0, 1, 2, 4]
    assert _ordered([2, 0, 4], distance) == [2, 0, 4]


def test_particles_meet_the_members_of_their_best_clusters():
    """Of four clusters, and of more until every map has enough."""
    members = ([0, 1], [1, 2], [3], [0, 3], [4])
    clusters = SimpleNamespace(members=tuple(np.array(m) for m in members))
    references = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])
    score = np.array([[5.0, 4, 3, 2, 1], [1.0, 2, 3, 4, 5]], np.float32)
    rng = np.random.default_rng(1)
    alpha, dx, dy = rng.uniform(-3, 3, (3, 2, 5)).astype(np.float32)
    first = Similarity(score, 40 * alpha, dx, dy, np.zeros((2, 5), np.int32))
    reference, origin = cluster_candidates(clusters, first, references, at_least=1)
    assert reference.tolist() == [[0, 1, 2, 3, -1], [4, 0, 3, 1, 2]]
    assert reference.dtype == np.int32
    # each where the first of its clusters had the particle's centre
    angle = np.deg2rad(40 * alpha)
    x = np.cos(angle) * dx - np.sin(angle) * dy
    y = np.sin(angle) * dx + np.cos(angle) * dy
    for row, of in enumerate(([0, 0, 1, 2], [4, 3, 3, 1, 1])):
        expected = np.stack([x[row, of], y[row, of]], axis=1)
        np.testing.assert_allclose(origin[row, : len(of)], expected, atol=1e-5)
    more, _ = cluster_candidates(clusters, first, references, at_least=2)
    assert more.tolist() == [[0, 1, 2, 3, 4], [4, 0, 3, 1, 2]]
    every, _ = cluster_candidates(clusters, first, references, at_least=99)
    assert sorted(every[0].tolist()) == [0, 1, 2, 3, 4]


def test_members_are_laid_onto_the_first_of_their_cluster():
    base = centred_images(phantom_slice(0, BOX, APIX, turns(1, 2)), BOX)[0]
    poses = [Transform2D(), Transform2D(90.0, 2, -1, True), Transform2D(180.0, 0, 3, False)]
    images = np.stack([transform_image(base, pose.inverse().matrix[:2]) for pose in poses])
    images = np.concatenate([np.ones((1, BOX, BOX), np.float32), images])
    values = {name: np.zeros((4, 4), np.float32) for name in ("alpha", "dx", "dy")}
    mirror = np.zeros((4, 4), np.int32)
    for row, pose in enumerate(poses, start=1):
        values["alpha"][row, 1] = pose.alpha
        values["dx"][row, 1], values["dy"][row, 1] = pose.tx, pose.ty
        mirror[row, 1] = pose.mirror
    similarity = Similarity(np.zeros((4, 4), np.float32), **values, mirror=mirror)
    found = _average(images, similarity, np.array([1, 2, 3]))
    inner = slice(6, -6)
    assert np.abs(found - base)[inner, inner].max() < 1e-3 * np.abs(base).max()
    np.testing.assert_array_equal(_average(images, similarity, np.array([2])), images[2])
