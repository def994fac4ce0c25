"""Which references go on from a first look: the likely ones, of each map some, never too many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapsort.model.references import References
from mapsort.stages.search.first_look import KNOWN, UNKNOWN, likely

REFERENCES = References.of_models([np.zeros((7, 3)), np.zeros((5, 3))])
#: Few distinct values, so that there are ties.
SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(12)),
    elements=st.sampled_from([-9.0, -2.5, 0.0, 1.0, 6.5, 30.0]),
)
COUNTS = st.tuples(st.integers(1, 5), st.integers(0, 5))


@given(SCORES, COUNTS, COUNTS, st.sampled_from([UNKNOWN, KNOWN]))
def test_what_goes_on_is_within_the_windows_and_counts(scores, first, second, window):
    counts = [(least, min(least + more, n)) for (least, more), n in ((first, 7), (second, 5))]
    found = likely(scores, REFERENCES, counts, window)
    assert found.dtype == np.int32
    for row, own in zip(scores, found, strict=True):
        listed = own[own >= 0].tolist()
        assert own.tolist() == listed + [-1] * (len(own) - len(listed))
        assert np.all(np.diff(row[listed]) <= 0)
        expected = []
        for model, (least, most) in enumerate(counts):
            block = range(12)[REFERENCES.block(model)]
            ranked = sorted(block, key=lambda r: -row[r])
            floor = min(row.max() - window.nats, row[ranked[0]] - window.own_nats)
            likely_ones = sum(row[r] >= floor for r in ranked)
            expected += ranked[: min(most, max(least, likely_ones))]
        assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize("value", [0.0, -np.inf])
def test_particles_without_any_preference_are_left_with_the_first(value):
    found = likely(np.full((2, 12), value, np.float32), REFERENCES, [(2, 3), (1, 2)])
    np.testing.assert_array_equal(np.sort(found), [[0, 1, 2, 7, 8]] * 2)
