"""The best references of each particle: one stable sort, worked out without sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapsort import _core

# few distinct values, so that there are ties
SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.sampled_from([-np.inf, -2.0, -0.5, 0.0, 1.0, 1.5, 7.0]),
)


def expected(scores, codes, first, last, k):
    """One stable argsort: descending score, ties to the lower reference."""
    best = np.argsort(-scores[:, first:last], axis=1, kind="stable")[:, :k] + first
    short = ((0, 0), (0, k - best.shape[1]))
    return (
        np.pad(best, short, constant_values=-1),
        np.pad(np.take_along_axis(codes, best, 1), short),
    )


@given(SCORES, st.integers(0, 6), st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_the_best_are_those_of_one_sort(scores, k, a, b, n_threads):
    codes = np.arange(scores.size, dtype=np.int32).reshape(scores.shape) * 3
    first, last = sorted(min(edge, scores.shape[1]) for edge in (a, b))
    found = _core.best_references(scores, codes, first=first, last=last, k=k, n_threads=n_threads)
    for ours, sorted_ in zip(found, expected(scores, codes, first, last, k), strict=True):
        np.testing.assert_array_equal(ours, sorted_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((2, 2), np.int32)}, "codes: expected C-contiguous int32 of shape"),
        ({"scores": np.zeros((2, 3))}, "scores: expected C-contiguous float32 of shape"),
        ({"last": 4}, "first, last: expected references of the scores"),
        ({"first": -1}, "first, last: expected references of the scores"),
        ({"first": 3, "last": 2}, "first, last: expected references of the scores"),
        ({"k": -1}, "k: expected at least 0"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    right = {
        "scores": np.zeros((2, 3), np.float32),
        "codes": np.zeros((2, 3), np.int32),
        "first": 0,
        "last": 3,
        "k": 1,
    }
    arguments = right | change
    with pytest.raises(ValueError, match=message):
        _core.best_references(arguments.pop("scores"), arguments.pop("codes"), **arguments)
