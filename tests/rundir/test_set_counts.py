"""Counts of particles by set: shares add up, and records of earlier versions are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.rundir.set_counts import SetCounts, junk_name, percentages
from mapsort.rundir.wording import counted


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.integers(0, 3))
def test_shares_add_up_and_are_right_to_a_digit(counts, digits):
    shares = percentages(counts, digits=digits)
    if not sum(counts):
        assert shares == [0.0] * len(counts)
        return
    assert sum(round(share * 10**digits) for share in shares) == 100 * 10**digits
    for share, count in zip(shares, counts, strict=True):
        assert abs(share - 100 * count / sum(counts)) < 10.0**-digits


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((491, 477), [50.7, 49.3]), ((1, 1, 1), [33.4, 33.3, 33.3]), ((7,), [100.0])],
)
def test_shares_of_some_counts(counts, expected):
    assert percentages(counts) == expected


def test_counts_of_a_record():
    entry = {
        "occupancy": [5, 3],
        "junk": 2,
        "junk_sets": [2, 0],
        "posterior_sums": [4.5, 3.5],
        "particles_used": [6, 4],
    }
    counts = SetCounts.of_entry(entry)
    assert counts.names == ("map 1", "map 2", "junk", "junk2")
    assert counts.all == (5, 3, 2, 0)
    assert counts.total == 10
    assert counts.shares == [50.0, 30.0, 20.0, 0.0]
    assert counts.written() == "5/3, junk 2/0"


@pytest.mark.parametrize(
    ("junk", "expected"), [({}, ()), ({"junk": None}, ()), ({"junk": 4}, (4,))]
)
def test_records_of_earlier_versions(junk, expected):
    counts = SetCounts.of_entry({"occupancy": [5, 3]} | junk)
    assert counts.junk == expected
    assert counts.posterior is counts.used is None


def test_words():
    assert [junk_name(kind) for kind in (1, 2, 3)] == ["junk", "junk2", "junk3"]
    assert [counted(n, "map") for n in (0, 1, 2)] == ["0 maps", "1 map", "2 maps"]
    assert counted(1, "class", "classes") == "1 class"
    assert counted(1200, "class", "classes") == "1,200 classes"
