"""Which coefficients a level of the search compares, and how fine its lattice of shifts is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import j0

from mapsort.errors import ConfigError
from mapsort.physics.phantom import phantom_map
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.project import project_images
from mapsort.stages.search import search_levels as levels
from mapsort.stages.search.search_levels import (
    Level,
    distinction,
    empty_bank,
    ring_ranges,
    search_levels,
)
from mapsort.stages.search.settings import SearchContext


@pytest.mark.parametrize(
    ("carried", "share", "n_references", "at_least", "expected"),
    [
        (16, 0.0, 100, 4, 16),
        (16, 0.15, 100, 4, 16),
        (16, 0.15, 200, 4, 30),
        (16, 0.15, 201, 4, 31),
        (16, 0.0, 100, 20, 20),
        (16, 0.15, 10, 4, 10),
        (16, 0.15, 10, 30, 10),
    ],
)
def test_the_larger_of_number_and_share_goes_on(carried, share, n_references, at_least, expected):
    level = Level(None, np.ones(3, np.float32), 1.0, carried, share)
    assert level.n_carried(n_references, at_least=at_least) == expected


def context_of(max_radius):
    """160 A on ring 1, in white noise."""
    return SearchContext(FourierGrid.for_box(32), 5.0, np.ones(40), 4.0, max_radius)


def spectrum(*rings, n=40):
    """Signal over noise of 40 shells with all of it on some rings, as much on each."""
    power = np.zeros(n)
    power[list(rings)] = 1.0 / np.array(rings)  # ring k has 2 pi k terms
    return power


@pytest.mark.parametrize(
    ("power", "band", "max_radius", "expected"),
    [
        (spectrum(10), {}, None, 10),
        (spectrum(5, 20), {}, None, 20),
        (spectrum(5, 20), {}, 12, 12),
        (spectrum(3), {}, None, 6),  # coarser images have no orientation
        (spectrum(39), {}, None, 38),  # below Nyquist
        (spectrum(20), {"highest_ang": 10.0}, None, 16),  # 160 A on ring 1
        (spectrum(20), {"highest_ang": 9.9}, None, 16),
        (spectrum(20), {"highest_ang": 2.0}, None, 20),
        (spectrum(20), {"lowest_ang": 8.0}, None, 20),
        (spectrum(20), {"lowest_ang": 1000.0, "highest_ang": 80.0}, None, 2),
    ],
)
def test_the_highest_ring_holds_the_signal_and_is_asked_for(power, band, max_radius, expected):
    scoring = Scoring(float("inf"), Comparator.CCC, **band)
    assert context_of(max_radius).highest_ring(power, scoring) == expected


@pytest.mark.parametrize(
    ("band", "max_radius"),
    [
        ({"lowest_ang": 7.9}, None),  # ring 21 and beyond
        ({"highest_ang": 81.0}, None),  # ring 1 only
        ({}, 1),
        ({"lowest_ang": 20.0, "highest_ang": 25.0}, None),
    ],
)
def test_without_a_ring_nothing_can_be_compared(band, max_radius):
    scoring = Scoring(float("inf"), Comparator.CCC, **band)
    with pytest.raises(ConfigError, match="minres, maxres: no Fourier ring lies between"):
        context_of(max_radius).highest_ring(spectrum(20), scoring)


def test_nearly_all_of_the_signal_is_in_the_band():
    """A hundred-thousandth may lie beyond."""
    for share, expected in ((2e-5, 30), (5e-6, 12)):
        power = spectrum(12) + share * spectrum(30)
        found = context_of(None).highest_ring(power, Scoring(float("inf"), Comparator.CCC))
        assert found == expected


@pytest.mark.parametrize(("radius", "support"), [(10, 12.0), (10, 16.0), (24, 20.0), (3, 4.0)])
def test_a_bank_has_angles_for_all_orders_of_support_and_box(radius, support):
    """Order 2 pi k R / box, and some more for the tail of the Bessel function, meets order pi k."""
    bank = empty_bank(48, radius, support, "none")
    order = 2 * np.pi * radius * support / 48
    assert bank.n_rings == radius
    needed = order + max(order, np.pi * radius)
    assert bank.n_angles >= needed
    # the tail takes few, and a fast size of the transform lies near
    assert bank.n_angles <= 1.2 * (needed + 4 * np.cbrt(order) + 8) + 4


class Statistics:
    """What a bank says of its references: mean |p_m|^2 and the mean of p_0."""

    def __init__(self, power, mean):
        self.power, self.mean = power, mean

    def statistics(self):
        return self.power.copy(), self.mean


def test_the_distinction_is_the_expected_log_likelihood():
    """k pi |p_m|^2 / noise, twice for m > 0, a half for the CTF; what all share tells nothing."""
    power = np.array([[5.0, 8.0, 1.0], [1.0, 2.0, 0.5]])
    mean = np.array([1.0, 2.0, 3.0])
    noise = np.array([9.0, 2.0, 4.0, 8.0, 1.0])  # shell 0 and beyond the rings count for nothing
    found = distinction(Statistics(power, mean), noise)
    ring = np.arange(1, 4)
    half_plane = 0.5 * 2 * np.pi * ring / noise[1:4]
    expected = 0.5 * half_plane * np.array([[4.0, 4.0, 0.0], [2.0, 4.0, 1.0]])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rings_of_each_order_hold_the_share_wanted():
    gain = np.array(
        [
            [0.0, 8.0, 1.0, 9.0, 0.0],
            [0.0, 0.0, 7.0, 0.0, 0.5],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 2.0, 0.0, 0.0, 0.25],
            [0.0, 0.0, 0.0, 0.125, 0.0],
        ]
    )
    # the strongest are 9, 8, 7, 2, 1: gaps between them are closed, weak orders left out
    for wanted, at_least, expected in (
        (9.0, 1, [[3, 4]]),
        (9.1, 1, [[1, 4]]),
        (17.1, 1, [[1, 4], [2, 3]]),
        (24.1, 1, [[1, 4], [2, 3], [0, 0], [1, 2]]),
        (1.0, 3, [[1, 4], [2, 3]]),
        (1.0, 4, [[1, 4], [2, 3], [0, 0], [1, 2]]),
        (27.3, 1, [[1, 4], [2, 5], [0, 0], [1, 2]]),
        (27.7, 1, [[1, 4], [2, 5], [0, 0], [1, 5]]),
        (99.0, 1, [[1, 4], [2, 5], [0, 0], [1, 5], [3, 4]]),
        (1.0, 99, [[1, 4], [2, 5], [0, 0], [1, 5], [3, 4]]),
    ):
        found = ring_ranges(gain, wanted, at_least)
        assert found.tolist() == expected, (wanted, at_least)
        assert found.dtype == np.int32
    nothing = ring_ranges(np.zeros((2, 9)), 0.0, 1)
    assert nothing.tolist() == [[0, 6], [0, 6]]


@pytest.mark.parametrize("ring", [2, 5, 9])
@pytest.mark.parametrize("loss", [0.02, 0.035])
def test_a_lattice_of_shifts_loses_the_share_allowed(ring, loss):
    """One ring: its correlation at a shift is J0; over a cell of the lattice it is 1 - loss."""
    gain = np.zeros((3, 10))
    gain[1, ring - 1] = 2.0
    step = levels._shift_step(gain, np.array([[0, 0], [0, 10], [0, 0]]), 64, loss)
    line = (np.arange(200) + 0.5) / 200 * step / 2
    distance = np.hypot(*np.meshgrid(line, line))
    mean = j0(2 * np.pi * ring * distance / 64).mean()
    assert 1 - mean == pytest.approx(loss, rel=0.03)


def test_lattices_follow_the_gain_of_their_own_rings():
    gain = np.zeros((2, 12))
    gain[0, 2], gain[1, 5], gain[1, 11] = 3.0, 1.0, 50.0
    one = levels._shift_step(gain, np.array([[2, 3], [5, 6]]), 48, 0.02)
    # mean square ring of 3 parts on ring 3 and 1 on ring 6
    assert one == pytest.approx(np.sqrt(0.12 / ((3 * 9 + 36) / 4)) * 48 / np.pi)
    # nothing to be lost: as if all of it were on the highest ring
    nothing = levels._shift_step(np.zeros((2, 12)), np.array([[0, 12], [0, 12]]), 48, 0.02)
    assert nothing == pytest.approx(np.sqrt(0.12 / 144) * 48 / np.pi)


@pytest.mark.parametrize("certain", [True, False])
def test_levels_of_a_search(certain):
    """With plenty of signal two levels and the whole; else one more, and many go on."""
    box = 32
    views = project_images(phantom_map(0, box, 4.0), Rotation.random(12, rng=1).as_matrix())
    grid = FourierGrid.for_box(box)
    banks = {}

    def bank_of(how):
        if how not in banks:
            banks[how] = empty_bank(box, 10, box / 2, how)
            spectra = grid.image_spectra(views)
            banks[how].add_images(spectra, scale=grid.scale, oversampling=grid.scale)
        return banks[how]

    white = np.full(box // 2 + 1, 1.0)
    nats = distinction(bank_of("none"), white).sum() / (1200.0 if certain else 60.0)
    noise = nats * white
    context = SearchContext(grid, 4.0, noise, max_shift=4.0)
    ccc, ringwise = (Scoring(float("inf"), kind) for kind in (Comparator.CCC, Comparator.FRC))
    found = search_levels(bank_of, context, white, ccc)
    gain = distinction(bank_of("none"), noise)
    wanted = [(0.90, 90), (0.998, 300)]
    if not certain:
        wanted.insert(1, (0.99, 200))
    assert gain.sum() == pytest.approx(1200 if certain else 60)
    assert len(found) == len(wanted) + 1
    loss = 0.02 if certain else 0.035
    ring = np.arange(1, 11.0)
    for level, (share, size) in zip(found, wanted, strict=False):
        ranges = ring_ranges(gain, share * gain.sum(), size)
        inside = np.zeros(gain.shape, bool)
        for order, (first, last) in enumerate(ranges):
            inside[order, first:last] = True
        assert inside.sum() >= min(size, np.count_nonzero(gain))
        assert gain[inside].sum() >= share * gain.sum() * (1 - 1e-9)
        assert level.bank.n_rings == len(level.ring_weight) == ranges[:, 1].max()
        # three angles a period of the highest order, and none of it an alias of another
        highest = len(ranges) - 1
        assert level.bank.n_rotations >= max(3 * highest, 2 * highest + 1, 8)
        assert level.bank.n_rotations <= 1.25 * max(3 * highest, 8) + 2
        assert level.bank.n_angles >= highest + 1 + max(highest + 1, np.pi * level.bank.n_rings)
        square = (gain * inside * ring**2).sum() / gain[inside].sum()
        assert level.shift_step == pytest.approx(np.sqrt(6 * loss / square) * box / np.pi)
        assert level.carried == 16
    assert found[0].carried_share == (0.0 if certain else 0.15)
    assert [level.carried_share for level in found[1:]] == [0.0] * len(wanted)
    square = (gain * ring**2).sum() / gain.sum()
    assert found[-1].shift_step == pytest.approx(np.sqrt(6 * loss / square) * box / np.pi)
    assert found[-1].bank is bank_of("none")
    normalised = search_levels(bank_of, context, white, ringwise)
    assert normalised[-1].bank is bank_of("rings")
    assert [level.shift_step for level in normalised] == [level.shift_step for level in found]


def test_rings_that_are_not_compared_tell_nothing():
    """Those outside the range asked for weigh nothing, and are in no level."""
    box = 32
    views = project_images(phantom_map(0, box, 4.0), Rotation.random(8, rng=2).as_matrix())
    grid = FourierGrid.for_box(box)
    bank = empty_bank(box, 10, box / 2, "none")
    bank.add_images(grid.image_spectra(views), scale=grid.scale, oversampling=grid.scale)
    white = np.full(box // 2 + 1, 1e3)
    band = Scoring(float("inf"), Comparator.CCC, highest_ang=128 / 4.5)
    context = SearchContext(grid, 4.0, white, max_shift=4.0)
    for level in search_levels(lambda _: bank, context, white, band)[:-1]:
        assert level.bank.n_rings <= 6  # rings 1 to 4, or what is always there
