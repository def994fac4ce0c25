"""The levels of a search: which part of the references' coefficients is compared first.

The references' angular coefficients p_m(k) carry the signal that tells orientations apart; nearly
all of it lies in few of them (low orders m, and rings below the maps' resolution). A level of the
search compares the coefficients that carry a given share of that signal, as the maps of this
iteration and the noise have it: nothing here depends on fixed frequencies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mapsort import _core
from mapsort.array_types import Float32, Float64, Int32, Integer, Real
from mapsort.physics.scoring import Scoring
from mapsort.stages.search.first_look import UNKNOWN, Window
from mapsort.stages.search.settings import LOWEST_RING, SearchContext

#: Shares of the signal that tells references apart at the coarse, middle and fine levels.
COARSE_SHARE, MIDDLE_SHARE, FINE_SHARE = 0.90, 0.99, 0.998
#: Least number of coefficients at these levels: below it the search costs little anyway.
COARSE_SIZE, MIDDLE_SIZE, FINE_SIZE = 90, 200, 300
#: The same of a first look, and how many times its cost the coarse level must have to get one.
LOOK_SHARE, LOOK_SIZE, LOOK_WORTH = 0.60, 40, 4.5
#: Where references differ by this many nats, the coarse level needs no middle one after it.
ENOUGH_NATS = 120.0
#: Share of each map's references that go on to a middle level, and how many to a fine one; so many
#: where a first look came before and poses are not known, for they are less certain.
CARRIED_SHARE, CARRIED, LOOKED_CARRIED = 0.15, 16, 32
#: Share of the signal that may be lost between the nodes of a level's shift lattice, on average:
#: where there is plenty of it (`ENOUGH_NATS`), and where a small share is a fraction of a nat and
#: the many candidates carried on make up for it, as those of a first look do.
SHIFT_LOSS, WEAK_SHIFT_LOSS = 0.02, 0.035
#: Correlations are evaluated at this many angles per period of their highest order.
ROTATIONS_PER_PERIOD = 3.0
#: Makes a bank of references with rings up to this one, normalised as named.
BankMaker = Callable[[int, str], _core.ReferenceBank]


@dataclass(frozen=True)
class Level:
    """One level of the search: a part of the references' coefficients.

    ``carried`` and ``carried_share`` say how many references of each map go on from here: the
    larger of the number and the share of the map's references. ``look`` is a level of few
    coefficients that tells which references are worth comparing on this one; None: all are.
    ``window`` says which of those that were looked at are.
    """

    bank: _core.ReferenceBank
    ring_weight: Float32
    shift_step: float
    carried: int = CARRIED
    carried_share: float = 0.0
    look: Level | None = None
    window: Window = UNKNOWN

    @property
    def cost(self) -> float:
        """What comparing a reference costs: coefficients for each square pixel of shifts."""
        return self.bank.n_entries / self.shift_step**2

    def in_noise(self, ratio: Real) -> Level:
        """Return the level for particles whose noise has ``ratio`` (shells) times the power."""
        weight = self.ring_weight / ratio[1 : len(self.ring_weight) + 1]
        look = None if self.look is None else self.look.in_noise(ratio)
        return replace(self, ring_weight=np.ascontiguousarray(weight, np.float32), look=look)

    def n_carried(self, n_references: int, *, at_least: int) -> int:
        """Return how many of a map's references go on."""
        wanted = max(self.carried, at_least, int(np.ceil(self.carried_share * n_references)))
        return min(n_references, wanted)


def empty_bank(
    box: int, radius: int, support_radius: float, normalisation: str
) -> _core.ReferenceBank:
    """Return a bank for all that references of this support hold up to a ring."""
    orders = 2 * np.pi * radius * support_radius / box
    orders += 2 * np.cbrt(orders) + 3
    return _core.ReferenceBank(
        first_ring=1,
        n_rings=radius,
        n_angles=_sampling_angles(orders, radius),
        box=box,
        support_radius=support_radius,
        normalisation=normalisation,
    )


def _sampling_angles(orders: float, radius: int) -> int:
    """Return how many angles keep orders of the reference free of aliases from the particle.

    The particle's content reaches the edge of the box: order pi k on ring k.
    """
    return _core.good_fft_size(int(np.ceil(orders + max(orders, np.pi * radius))) + 2)


def distinction(bank: _core.ReferenceBank, noise_power: Real) -> Float64:
    """Return the expected log-likelihood by which each coefficient tells references apart.

    Returns
    -------
    ndarray of shape (orders, n_rings)
        [nat], for a mean squared CTF of 1/2: k pi |p_m(k)|^2 / noise power (twice that for m > 0,
        for the negative order), without the part of p_0 that all references share.
    """
    power, mean = bank.statistics()
    power[0] -= mean**2
    power[1:] *= 2.0
    rings = np.arange(1, power.shape[1] + 1)
    weight = 0.5 * 0.5 * 2.0 * np.pi * rings / noise_power[1 : len(rings) + 1]
    return np.asarray(np.maximum(power, 0.0) * weight)


def search_levels(
    bank_of: Callable[[str], _core.ReferenceBank],
    context: SearchContext,
    signal_power: Real,
    scoring: Scoring,
    means_of: BankMaker | None = None,
) -> tuple[Level, ...]:
    """Return the levels: parts of the bank with growing shares of the distinction, then all.

    The distinction is that of the terms as they are, also where they are normalised to be compared.
    With ``means_of`` like maps, the levels before the last two are parts of its bank.
    """
    bank = bank_of("none")
    gain = distinction(bank, context.noise_power)
    gain = gain * (context.ring_weight(signal_power, scoring, gain.shape[1]) > 0)
    normalisation = scoring.comparator.normalisation
    if normalisation != "none":
        bank = bank_of(normalisation)
    total = float(gain.sum())
    weak = total < ENOUGH_NATS
    loss = WEAK_SHIFT_LOSS if weak else SHIFT_LOSS

    def level(part: _core.ReferenceBank, ranges: Integer, loss: float) -> Level:
        weight = context.ring_weight(signal_power, scoring, part.n_rings)
        return Level(part, weight, _shift_step(gain, ranges, context.grid.box, loss))

    def part(whole: _core.ReferenceBank, share: float, size: int, loss: float) -> Level:
        ranges = ring_ranges(gain, share * total, size)
        return level(_part(whole, ranges, context.n_threads), ranges, loss)

    early = bank
    if means_of is not None:
        last_share, last_size = (MIDDLE_SHARE, MIDDLE_SIZE) if weak else (COARSE_SHARE, COARSE_SIZE)
        early = means_of(_rings_of(gain, last_share * total, last_size), normalisation)
    look = part(early, LOOK_SHARE, LOOK_SIZE, WEAK_SHIFT_LOSS)
    coarse = part(early, COARSE_SHARE, COARSE_SIZE, loss)
    if coarse.cost > LOOK_WORTH * look.cost:
        loss = WEAK_SHIFT_LOSS
        coarse = part(early, COARSE_SHARE, COARSE_SIZE, loss)
        coarse = replace(coarse, look=look, carried=LOOKED_CARRIED)
    finer = [part(bank, FINE_SHARE, FINE_SIZE, loss)]
    if weak:
        coarse = replace(coarse, carried_share=CARRIED_SHARE)
        finer.insert(0, part(early, MIDDLE_SHARE, MIDDLE_SIZE, loss))
    whole = np.column_stack([np.zeros(len(gain), int), np.full(len(gain), gain.shape[1])])
    return (coarse, *finer, level(bank, whole, loss))


def _part(bank: _core.ReferenceBank, ranges: Int32, n_threads: int) -> _core.ReferenceBank:
    """Return the bank with these rings of each order."""
    n_rings, orders = int(ranges[:, 1].max()), len(ranges) - 1
    rotations = max(ROTATIONS_PER_PERIOD * orders, 2 * orders + 1, 8)
    return bank.part(
        ranges,
        n_rings=n_rings,
        n_angles=_sampling_angles(orders + 1, n_rings),
        n_rotations=_core.good_fft_size(int(np.ceil(rotations))),
        n_threads=n_threads,
    )


def _rings_of(gain: Float64, wanted: float, at_least: int) -> int:
    """Return how many rings a bank needs that levels up to this share are parts of."""
    return int(ring_ranges(gain, wanted, at_least)[:, 1].max()) if gain.any() else gain.shape[1]


def ring_ranges(gain: Float64, wanted: float, at_least: int) -> Int32:
    """Return the rings [first, last) of each order that together hold ``wanted`` of the gain.

    The strongest coefficients, ``at_least`` so many, are taken until they suffice, then the gaps
    between them on each order are closed. Orders without any have empty ranges; trailing ones are
    left out.
    """
    strongest = np.sort(gain, axis=None)[::-1]
    count = max(int(np.searchsorted(np.cumsum(strongest), wanted)), at_least - 1)
    count = min(count, gain.size - 1)
    chosen = gain >= max(strongest[count], np.finfo(np.float64).tiny)
    if not chosen.any():
        chosen[:, :LOWEST_RING] = True
    ranges = np.zeros((len(gain), 2), dtype=np.int32)
    for order in np.flatnonzero(chosen.any(axis=1)):
        rings = np.flatnonzero(chosen[order])
        ranges[order] = rings[0], rings[-1] + 1
    last = int(np.flatnonzero(chosen.any(axis=1))[-1])
    return np.ascontiguousarray(ranges[: last + 1])


def _shift_step(gain: Float64, ranges: Integer, box: int, loss: float) -> float:
    """Return the lattice step [pixels] that loses the share ``loss`` of the gain on average.

    At a shift r off the true one the correlation on ring k falls to J0(2 pi k r / box), about
    1 - (pi k r / box)^2; over a cell of side d the mean r^2 is d^2 / 6.
    """
    total = weighted = 0.0
    for order, (first, last) in enumerate(ranges):
        rings = np.arange(first, last)
        total += float(gain[order, first:last].sum())
        weighted += float((gain[order, first:last] * (rings + 1.0) ** 2).sum())
    mean_square_ring = weighted / total if total > 0 else float(gain.shape[1]) ** 2
    return float(np.sqrt(6.0 * loss / mean_square_ring) * box / np.pi)
