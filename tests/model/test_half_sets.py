"""Half-sets: copies of an image together, the table's own where it has them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.model.half_sets import dealt_out, half_sets, image_numbers

SOURCE = Path("particles.star")


def numbers_of(files, places):
    """Return numbers of images given as (file, index) pairs."""
    owner, index = np.array(places, dtype=np.int64).T
    return image_numbers(files, owner, index)


def of_table(image, **columns):
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(image)))
    return half_sets(SOURCE, table, np.asarray(image))


def test_every_image_once_is_dealt_out_in_turn():
    halves = of_table(np.arange(7))
    np.testing.assert_array_equal(halves.half, np.arange(7) % 2)
    assert not halves.has_copies
    assert halves.notes == ()
    assert halves.particles_in_words == "7"


@pytest.mark.parametrize(
    "image",
    [
        np.repeat(np.arange(50), 2),
        np.tile(np.arange(50), 2),
        np.repeat(np.arange(50), 3),
        np.concatenate([np.arange(50), np.arange(20)]),
        np.concatenate([np.arange(50), [7] * 9]),
        np.concatenate([np.repeat(np.arange(40), 7), np.arange(50)]),
    ],
    ids=["in a row", "in blocks", "three", "joined", "one many times", "mostly seven"],
)
def test_copies_stay_together_and_halves_are_balanced(image):
    half = dealt_out(image)
    for number in np.unique(image):
        assert len(np.unique(half[image == number])) == 1
    copies = np.bincount(image)
    first, second = np.bincount(half)
    assert abs(first - second) <= copies.max() - 1 + (len(copies) % 2)
    images = np.bincount([half[image == k][0] for k in range(len(copies))])
    assert abs(images[0] - images[1]) <= 1


def test_names_of_one_file_are_one(tmp_path, monkeypatch):
    """Links, hard links, and relative, dotted and absolute paths; a copy is another file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    real, other = tmp_path / "a.mrcs", tmp_path / "b.mrcs"
    real.write_bytes(b"x")
    other.write_bytes(b"x")
    (tmp_path / "sub" / "link.mrcs").symlink_to(real)
    os.link(real, tmp_path / "hard.mrcs")
    names = ["a.mrcs", "./sub/../a.mrcs", str(real), "sub/link.mrcs", "hard.mrcs", "b.mrcs"]
    files = [Path(name) for name in names]
    found = numbers_of(files, [(k, 4) for k in range(6)] + [(0, 5), (3, 5)])
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 2, 2]
    # files that are not there are told apart by their paths
    missing = [Path("no.mrcs"), tmp_path / "no.mrcs", Path("none.mrcs")]
    assert numbers_of(missing, [(0, 0), (1, 0), (2, 0)]).tolist() == [0, 0, 1]


def test_numbers_are_in_the_order_of_first_occurrence():
    files = [Path("x.mrcs"), Path("y.mrcs")]
    places = [(1, 3), (0, 9), (1, 3), (0, 2), (0, 9), (1, 2)]
    assert numbers_of(files, places).tolist() == [0, 1, 0, 2, 1, 3]
    assert len(image_numbers(files, np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0


def test_the_table_s_halves_are_kept():
    subset = np.random.default_rng(1).integers(1, 3, 200)
    halves = of_table(np.arange(200), rlnRandomSubset=subset)
    np.testing.assert_array_equal(halves.half + 1, subset)
    counts = " and ".join(str((subset == k).sum()) for k in (1, 2))
    assert halves.notes == (
        f"particles.star: half-sets are those of rlnRandomSubset: {counts} particles",
    )
    # numbers that were read as text do as well
    text = of_table(np.arange(200), rlnRandomSubset=subset.astype(str))
    np.testing.assert_array_equal(text.half, halves.half)


def test_copies_in_both_halves_go_with_the_first():
    image = np.tile(np.arange(10), 2)
    subset = np.concatenate([np.arange(10) % 2 + 1, np.arange(10) // 5 + 1])
    halves = of_table(image, rlnRandomSubset=subset)
    np.testing.assert_array_equal(halves.half, image % 2)
    assert halves.particles_in_words == "20 (copies of 10 distinct images)"
    assert "20 rows are of 10 distinct images (up to 2 copies of one)" in halves.notes[0]
    apart = np.flatnonzero(subset[:10] != subset[10:])
    assert halves.notes[1] == (
        f"particles.star: rlnRandomSubset puts copies of {len(apart)} images into both half-sets "
        f"(particles {apart[0] + 1} and {apart[0] + 11} are the same image); all copies go where "
        "the first one is"
    )
    assert halves.notes[2].endswith("10 and 10 particles")


@pytest.mark.parametrize("value", [1, 2])
def test_one_half_only_is_no_partition(value):
    halves = of_table(np.arange(6), rlnRandomSubset=[value] * 6)
    np.testing.assert_array_equal(halves.half, [0, 1] * 3)
    assert halves.notes == (
        f"particles.star: rlnRandomSubset is {value} for all particles; half-sets are made anew",
    )


@pytest.mark.parametrize("wrong", [0, 3, 1.5, float("nan"), "x"])
def test_other_values_are_refused(wrong):
    with pytest.raises(FormatError, match=r"rlnRandomSubset of particle 3 is .*; expected 1 or 2"):
        of_table(np.arange(4), rlnRandomSubset=[1, 2, wrong, 1])


def test_a_million_particles_take_no_time():
    n = 1_000_000
    files = [Path(f"{k}.mrcs") for k in range(1000)]
    rows = np.random.default_rng(1).permutation(n) // 2
    begin = time.process_time()
    image = image_numbers(files, rows % 1000, rows // 1000)
    halves = of_table(image)
    assert time.process_time() - begin < 2.0
    assert halves.n_images == n // 2
    assert halves.counts == (n // 2, n // 2)
