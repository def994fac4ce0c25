"""Matches and references: merging sets of matches, parts of the list of references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.model.matches import Matches
from mapsort.model.references import References


def references_of(sizes):
    rng = np.random.default_rng(len(sizes))
    return References.of_models([rng.uniform(0, 180, (size, 3)) for size in sizes])


def matches_of(reference, score):
    """Matches whose alignments tell which reference they belong to."""
    reference = np.array(reference, np.int32)
    score = np.array(score, np.float32)
    own = reference.astype(np.float32)
    return Matches(
        reference=reference,
        score=score,
        quality=np.sqrt(np.maximum(score, 0)),
        alpha=own * 3,
        dx=own / 8,
        dy=-own / 8,
        mirror=reference % 2,
    )


@st.composite
def sets_of_matches(draw):
    """(references, sets of the same particles with different references, matches per map)."""
    references = references_of(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    n, total = draw(st.integers(1, 4)), len(references)
    n_sets = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, n_sets, total)
    sets = []
    for number in range(n_sets):
        own = np.flatnonzero(owner == number)
        reference = np.stack([rng.permutation(own) for _ in range(n)])
        # few different values: ties, too
        score = rng.integers(0, 12, reference.shape) / 4
        sets.append(matches_of(reference, score))
    return references, sets, draw(st.integers(1, 5))


@given(sets_of_matches())
def test_merged_is_a_sort(case):
    references, sets, per_map = case
    merged = Matches.merged(sets, references, per_map=per_map)
    for row in range(len(merged)):
        every = [
            (float(part.score[row, c]), int(part.reference[row, c]))
            for part in sets
            for c in range(part.reference.shape[1])
        ]
        expected = []
        for model in range(references.n_models):
            own = [e for e in every if references.model[e[1]] == model]
            expected += sorted((score for score, _ in own), reverse=True)[:per_map]
        np.testing.assert_array_equal(merged.score[row], sorted(expected, reverse=True))
        # the right references stand beside the scores, each once
        found = list(zip(merged.score[row].tolist(), merged.reference[row].tolist(), strict=True))
        assert set(found) <= set(every)
        assert len(set(merged.reference[row])) == len(found)


@given(sets_of_matches())
def test_merged_keeps_what_belongs_together(case):
    references, sets, per_map = case
    merged = Matches.merged(sets, references, per_map=per_map)
    again = matches_of(merged.reference, merged.score)
    for name, values in vars(merged).items():
        np.testing.assert_array_equal(values, getattr(again, name))
        assert values.flags.c_contiguous
        assert values.dtype == getattr(again, name).dtype


@given(sets_of_matches())
def test_merging_in_steps_is_merging_at_once(case):
    references, sets, per_map = case
    at_once = Matches.merged(sets, references, per_map=per_map)
    step = sets[0]
    for part in sets[1:]:
        step = Matches.merged([step, part], references, per_map=per_map)
    step = Matches.merged([step], references, per_map=per_map)
    np.testing.assert_array_equal(step.score, at_once.score)


def test_a_map_that_a_set_does_not_know():
    """The second set has the second map only; the other has both."""
    references = references_of([2, 3])
    first = matches_of([[1, 2], [2, 0]], [[5, 4], [9, 8]])
    second = matches_of([[4, 3], [3, 4]], [[7, 1], [6, 5]])
    merged = Matches.merged([first, second], references, per_map=2)
    np.testing.assert_array_equal(merged.reference, [[4, 1, 2], [2, 0, 3]])
    np.testing.assert_array_equal(merged.score, [[7, 5, 4], [9, 8, 6]])


def test_places_without_a_match_come_last():
    references = references_of([2, 2])
    first = matches_of([[0, -1], [2, 0]], [[-3, 50], [5, 4]])
    second = matches_of([[2, 3], [3, 1]], [[-7, -8], [6, 3]])
    merged = Matches.merged([first, second], references, per_map=2)
    # of the first map every particle has one at least, the first one no more
    np.testing.assert_array_equal(merged.reference, [[0, 2, 3], [3, 2, 0]])
    np.testing.assert_array_equal(merged.score, [[-3, -7, -8], [6, 5, 4]])


def test_no_more_than_asked_for_of_a_map():
    references = references_of([6])
    merged = Matches.merged(
        [matches_of([[0, 1, 2]], [[1, 2, 3]]), matches_of([[5, 4, 3]], [[6, 5, 4]])],
        references,
        per_map=4,
    )
    np.testing.assert_array_equal(merged.reference, [[5, 4, 3, 2]])


def test_ties_go_to_the_earlier_set():
    references = references_of([4])
    sets = [matches_of([[1, 0]], [[2, 1]]), matches_of([[3, 2]], [[2, 1]])]
    merged = Matches.merged(sets, references, per_map=3)
    np.testing.assert_array_equal(merged.reference, [[1, 3, 0]])


def test_renumbered():
    matches = matches_of([[0, 3, -1]], [[3, 2, 1]])
    moved = matches.renumbered(10)
    np.testing.assert_array_equal(moved.reference, [[10, 13, -1]])
    assert moved.reference.dtype == np.int32
    np.testing.assert_array_equal(moved.score, matches.score)
    assert matches.renumbered(0) is matches


def test_rows():
    matches = matches_of([[0, 1], [2, 3], [4, 5]], [[1, 0], [3, 2], [5, 4]])
    chosen = matches.rows(np.array([2, 0]))
    np.testing.assert_array_equal(chosen.reference, [[4, 5], [0, 1]])
    back = Matches.joined([chosen, matches.rows(np.array([1]))]).rows(np.array([1, 2, 0]))
    for name, values in vars(matches).items():
        np.testing.assert_array_equal(getattr(back, name), values)


def test_best_of_model():
    references = references_of([2, 2])
    matches = matches_of([[3, 0, 2, 1]], [[9, 8, 7, 6]])
    assert matches.best_of_model(references, 0).reference.item() == 0
    assert matches.best_of_model(references, 1).reference.item() == 3


def test_probabilities_of_maps_do_not_depend_on_blocks():
    references = references_of([3, 3])
    whole = matches_of([[0, 4, 5, 1]], [[3.0, 2.5, 2.0, 1.0]])
    sets = [matches_of([[0, 1]], [[3.0, 1.0]]), matches_of([[4, 5]], [[2.5, 2.0]])]
    merged = Matches.merged(sets, references, per_map=2)
    expected = np.exp([[3.0, 2.5]]) / np.exp([3.0, 2.5]).sum()
    for matches in (whole, merged):
        np.testing.assert_allclose(matches.map_probabilities(references), expected, rtol=1e-6)


# --- parts of the list of references --------------------------------------------------------------

SIZES = [4, 1, 7, 2]


@given(st.integers(0, 14), st.integers(0, 14))
def test_a_part_is_a_slice(first, last):
    references = references_of(SIZES)
    part = references.part(slice(first, last))
    assert len(part) == max(0, last - first)
    assert part.n_models == len(SIZES)
    np.testing.assert_array_equal(part.eulers, references.eulers[first:last])
    np.testing.assert_array_equal(part.model, references.model[first:last])


@given(st.integers(0, 13), st.integers(1, 14))
def test_blocks_of_a_part_cover_it_map_by_map(first, length):
    references = references_of(SIZES)
    part = references.part(slice(first, first + length))
    stop = 0
    for model in range(len(SIZES)):
        block = part.block(model)
        assert block.start == stop
        stop = block.stop
        assert np.all(part.model[block] == model)
        assert block.stop - block.start == np.count_nonzero(part.model == model)
    assert stop == len(part)


@pytest.mark.parametrize("model", [0, 1, 3])
def test_a_map_without_references_in_a_part(model):
    part = references_of(SIZES).part(slice(5, 12))  # the third map's
    block = part.block(model)
    assert block.stop == block.start
    assert part.rotations[block].shape == (0, 3, 3)
    assert part.block(2) == slice(0, 7)
