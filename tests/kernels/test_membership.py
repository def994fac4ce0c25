"""The book-keeping of classes: members of classes, keep and reject."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapsort._membership import group_by_class, keep_best


@given(hnp.arrays(np.int32, st.integers(0, 40), elements=st.integers(-1, 6)))
def test_members_of_every_class_ascend_and_none_is_lost(class_of):
    start, member = group_by_class(class_of, 7)
    assert start.shape == (8,)
    assert start.dtype == member.dtype == np.int64
    for c in range(7):
        np.testing.assert_array_equal(
            member[start[c] : start[c + 1]], np.flatnonzero(class_of == c)
        )
    assert len(member) == np.count_nonzero(class_of >= 0)


def test_a_class_beyond_the_last_is_refused():
    with pytest.raises(ValueError, match="class_of: 3 is beyond the 3 classes"):
        group_by_class(np.array([0, 3], np.int32), 3)
    with pytest.raises(ValueError, match="n_classes"):
        group_by_class(np.array([], np.int32), -1)


GROUPED = st.lists(
    st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0, 4.0]), max_size=9), min_size=1, max_size=5
)


def grouped(lists, seed=0):
    """(start, member, score): classes whose members are scattered over the score's array."""
    sizes = [len(values) for values in lists]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    member = np.random.default_rng(seed).permutation(start[-1]).astype(np.int64)
    score = np.zeros(start[-1], np.float32)
    score[member] = np.array([v for values in lists for v in values], np.float32)
    return start, member, score


@given(GROUPED, st.floats(0.01, 1.0))
def test_a_fraction_keeps_the_best_rounded_up(lists, fraction):
    start, member, score = grouped(lists)
    used = keep_best(start, member, score, fraction, False)
    assert used.dtype == np.bool_
    for c, values in enumerate(lists):
        mine = used[start[c] : start[c + 1]]
        expected = max(1, int(np.ceil(len(values) * fraction - 1e-9))) if values else 0
        assert mine.sum() == min(expected, len(values))
        if mine.any() and not mine.all():
            assert np.array(values)[mine].min() >= np.array(values)[~mine].max()


@pytest.mark.parametrize(
    ("n", "fraction", "kept"),
    [
        (10, 0.7, 7),
        (10, 0.71, 8),
        (3, 0.34, 2),
        (3, 1 / 3, 1),
        (5, 1.0, 5),
        (5, 1e-6, 1),
        (1, 0.1, 1),
    ],
)
def test_how_many_a_fraction_keeps(n, fraction, kept):
    """ceil(n f), not one more by rounding: 10 x 0.7 is 7.000000000000001 in floating point."""
    used = keep_best(*grouped([list(range(n))]), fraction, False)
    np.testing.assert_array_equal(used, np.arange(n) >= n - kept)


def test_ties_are_kept_in_the_order_of_members():
    used = keep_best(*grouped([[1.0] * 6, [2.0] * 4]), 0.5, False)
    np.testing.assert_array_equal(used, [1, 1, 1, 0, 0, 0, 1, 1, 0, 0])


@given(GROUPED, st.floats(0.0, 3.0))
def test_sigma_keeps_what_is_not_far_below_the_mean(lists, n_sigma):
    start, member, score = grouped(lists)
    used = keep_best(start, member, score, n_sigma, True)
    for c, values in enumerate(lists):
        mine, v = used[start[c] : start[c + 1]], np.array(values)
        if not values:
            continue
        threshold = v.mean() - n_sigma * v.std()
        margin = 2e-6 * abs(v.mean()) + 1e-12
        assert mine[v >= threshold + margin].all()
        assert not mine[v < threshold - margin].any()
        assert mine.any()


def test_sigma_by_hand():
    # mean 5, standard deviation 3 (population): 1.9 < 5 - 3 = 2 <= 2.1
    values = [1.9, 8.1, 2.1, 7.9]
    assert np.std(values) == pytest.approx(3.0017, abs=1e-4)
    used = keep_best(*grouped([values]), 1.0, True)
    np.testing.assert_array_equal(used, [False, True, True, True])


def test_every_member_of_a_class_of_equals_is_kept():
    used = keep_best(*grouped([[0.1] * 7, [-123.456] * 5]), 0.0, True)
    assert used.all()


@pytest.mark.parametrize(
    ("start", "member", "message"),
    [
        ([0, 2], [0, 1, 2], "start: expected"),
        ([1, 3], [0, 1, 2], "start: expected"),
        ([0, 3, 1, 3], [0, 1, 2], "start: expected ascending"),
        ([], [], "start: expected"),
        ([0, 3], [0, 1, 4], "member: 4 is beyond the 4 scores"),
        ([0, 3], [0, -1, 2], "member: -1 is beyond the 4 scores"),
    ],
)
def test_keep_best_refuses_what_leads_out_of_the_arrays(start, member, message):
    with pytest.raises(ValueError, match=message):
        keep_best(
            np.array(start, np.int64),
            np.array(member, np.int64),
            np.zeros(4, np.float32),
            1.0,
            False,
        )


@pytest.mark.parametrize("wrong", [np.float64, np.int32])
def test_other_types_are_refused(wrong):
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        keep_best(
            np.array([0, 1], np.int64), np.array([0], np.int64), np.zeros(1, wrong), 1.0, False
        )
