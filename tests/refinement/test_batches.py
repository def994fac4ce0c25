"""Which particles batches hold, and when they end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.batches import (
    LARGEST,
    PER_MAP,
    batch_sizes,
    batches,
    coarse_no_more,
    lost_maps,
)


def options(n_maps=2, **more):
    request = {"input": "p.star", "models": ",".join(f"m{k}.mrc" for k in range(n_maps))}
    return typed_options(MultiOptions, request | more)


@given(st.integers(1, 10**7), st.integers(1, 20))
def test_batches_that_are_chosen_grow_and_cost_less_than_half_an_iteration(n, n_maps):
    sizes = batch_sizes(options(n_maps), n)
    assert sum(sizes) <= 0.5 * n
    assert all(size <= LARGEST * n for size in sizes)
    assert list(sizes) == [PER_MAP * n_maps * 2**k for k in range(len(sizes))]
    assert bool(sizes) == (n >= PER_MAP * n_maps / LARGEST)


@pytest.mark.parametrize(
    ("more", "n", "sizes"),
    [
        ({"batch": "all"}, 10**6, ()),
        ({"batch": "200"}, 700, (200, 200, 200)),
        ({"batch": "200"}, 200, ()),
        ({"batch": "200"}, 100, ()),
        ({"iter": "3"}, 10**6, ()),
        ({"iter": "3", "batch": "400000"}, 10**6, (400000, 400000)),
        ({"skipalign": True}, 10**6, ()),
        ({"halves": True, "batch": "200"}, 10**6, ()),
        ({"models": (), "model": "m.mrc", "nmodels": 2, "batch": "200"}, 10**6, ()),
    ],
)
def test_sizes_that_are_asked_for(more, n, sizes):
    assert batch_sizes(options(**more), n) == sizes


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=80),
    st.lists(st.integers(1, 12), max_size=5),
    st.integers(0, 5),
)
def test_no_image_is_in_two_batches_and_copies_stay_together(images, sizes, seed):
    _, image = np.unique(images, return_inverse=True)
    found = batches(image, sizes, seed=seed)
    assert len(found) == len(sizes)
    held = [set(image[rows].tolist()) for rows in found]
    assert sum(map(len, held)) == len(set().union(*held)), "an image is in two batches"
    for rows, own in zip(found, held, strict=True):
        np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(image, list(own))))
    again = batches(image, sizes, seed=seed)
    assert all(map(np.array_equal, found, again))


def test_batches_have_as_many_particles_as_asked_for_and_any_of_them():
    found = batches(np.arange(1000), (100, 200), seed=1)
    assert [len(rows) for rows in found] == [100, 200]
    # uniform: the mean of 300 of 0 to 999 is known to 1000 / sqrt(12 * 300) = 17
    assert abs(np.concatenate(found).mean() - 499.5) < 4 * 17
    assert not np.array_equal(found[0], batches(np.arange(1000), (100, 200), seed=2)[0])


def test_they_end_when_no_map_becomes_finer():
    assert not coarse_no_more([])
    assert not coarse_no_more([[20.0, 20.0]])
    assert not coarse_no_more([[20.0, 20.0], [20.0, 19.0]])
    assert coarse_no_more([[30.0, 30.0], [20.0, 20.0], [19.9, 21.0]])


def test_maps_that_hold_a_tenth_of_their_part_are_lost():
    assert lost_maps([0.5, 0.5]) == []
    assert lost_maps([0.04, 0.96]) == [0]
    assert lost_maps([0.06, 0.94]) == []
    assert lost_maps([0.02, 0.02, 0.96]) == [0, 1]
