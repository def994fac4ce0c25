"""Plan the search: which part of the references is compared first, and how finely shifts are tried.

The references' angular coefficients p_m(k) carry the signal that tells orientations apart; nearly
all of it lies in few of them (low orders m, and rings below the maps' resolution). A level of the
search compares the coefficients that carry a given share of that signal, as the maps of this
iteration and the noise have it: nothing here depends on fixed frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.errors import ConfigError
from mapsort.model.references import References
from mapsort.modules.projector import Projection, RealSpaceProjection
from mapsort.physics.filters import radial_power
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import Complex64, Float32, FourierGrid
from mapsort.stages.prepare import shell_means
from mapsort.stages.project import project_images

#: Share of the expected signal in the full band, which decides.
FULL_BAND = 0.99999
#: Shares of the signal that tells references apart at the coarse, middle and fine levels.
COARSE_SHARE, MIDDLE_SHARE, FINE_SHARE = 0.90, 0.99, 0.998
#: Least number of coefficients at these levels: below it the search costs little anyway.
COARSE_SIZE, MIDDLE_SIZE, FINE_SIZE = 90, 200, 300
#: Where references differ by this many nats, the coarse level needs no middle one after it.
ENOUGH_NATS = 120.0
#: Share of each map's references that go on to a middle level, and how many to a fine one.
CARRIED_SHARE, CARRIED = 0.15, 16
#: Share of the signal that may be lost between the nodes of a level's shift lattice, on average:
#: where there is plenty of it (`ENOUGH_NATS`), and where a small share is a fraction of a nat and
#: the many candidates carried on make up for it.
SHIFT_LOSS, WEAK_SHIFT_LOSS = 0.02, 0.035
#: Correlations are evaluated at this many angles per period of their highest order.
ROTATIONS_PER_PERIOD = 3.0
#: Rings below this are always in the band: coarser images have no orientation.
LOWEST_RING = 6
#: Masked projections go through real space in blocks of this many.
_IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class Level:
    """One level of the search: a part of the references' coefficients.

    ``carried`` and ``carried_share`` say how many references of each map go on from here: the
    larger of the number and the share of the map's references.
    """

    bank: _core.ReferenceBank
    ring_weight: Float32
    shift_step: float
    carried: int = CARRIED
    carried_share: float = 0.0

    def n_carried(self, n_references: int, *, at_least: int) -> int:
        """Return how many of a map's references go on."""
        wanted = max(self.carried, at_least, int(np.ceil(self.carried_share * n_references)))
        return min(n_references, wanted)


@dataclass(frozen=True)
class MatchPlan:
    """What is common to all particles of an iteration.

    Attributes
    ----------
    references : References
    grid : FourierGrid
    apix : float
        Pixel size [A].
    max_shift : float
        Largest shift searched [pixels].
    levels : tuple of Level
        Coarse to fine; the last is the full band, in which matches are refined and scored.
    scoring : Scoring
    exhaustive : bool
        Whether every reference is searched in the full band.
    shift_spread : float
        Width of the normal prior on shifts along each axis [pixels]; infinite for none.
    """

    references: References
    grid: FourierGrid
    apix: float
    max_shift: float
    levels: tuple[Level, ...]
    scoring: Scoring
    exhaustive: bool = False
    shift_spread: float = float("inf")

    def in_noise(self, ratio: npt.NDArray[np.floating]) -> MatchPlan:
        """Return the plan for particles whose noise has ``ratio`` times the power, by shell."""
        if not self.scoring.comparator.whitens:
            return self
        levels = tuple(
            replace(level, ring_weight=_in_noise(level.ring_weight, ratio)) for level in self.levels
        )
        return replace(self, levels=levels)

    @property
    def full(self) -> Level:
        """The level that decides."""
        return self.levels[-1]

    @property
    def highest_ring(self) -> int:
        """Highest frequency compared, in Fourier pixels."""
        return self.full.bank.n_rings

    def origins(self, step: float) -> Float32:
        """Shifts [pixels] on a square lattice of this step that covers the disc of max_shift."""
        reach = int(np.ceil(self.max_shift / step))
        line = np.arange(-reach, reach + 1) * step
        y, x = np.meshgrid(line, line, indexing="ij")
        # nodes up to half a step beyond the limit cover it
        inside = np.hypot(x, y) <= self.max_shift + 0.5 * step
        return np.ascontiguousarray(np.stack([x[inside], y[inside]], -1), dtype=np.float32)


def _in_noise(ring_weight: Float32, ratio: npt.NDArray[np.floating]) -> Float32:
    """Return the weights of rings 1, 2, ... in noise of ``ratio`` (shells) times the power."""
    return np.ascontiguousarray(ring_weight / ratio[1 : len(ring_weight) + 1], dtype=np.float32)


def plan_match(
    volumes: Sequence[Float32],
    references: References,
    noise_power: npt.NDArray[np.floating],
    *,
    grid: FourierGrid,
    apix: float,
    max_shift: float,
    support_radius: float,
    scoring: Scoring,
    max_radius: int | None = None,
    mask: Float32 | None = None,
    method: Projection | None = None,
    exhaustive: bool = False,
    shift_spread: float = float("inf"),
    n_threads: int,
) -> MatchPlan:
    """Project all maps and choose the levels of the search.

    Parameters
    ----------
    volumes : sequence of ndarray (box, box, box)
        Maps, white density, zero outside ``support_radius``.
    references : References
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of the noise's transform in each shell of a particle image.
    grid : FourierGrid
    apix : float
        Pixel size [A].
    max_shift : float
        Largest shift searched [pixels].
    support_radius : float
        Radius [pixels] that holds the maps.
    scoring : Scoring
    max_radius : int, optional
        Highest ring compared, whatever the maps hold.
    mask : ndarray of shape (box, box), optional
        Multiplies every projection, and so restricts the comparison to where it is not zero.
    method : Projection, optional
        Projector of the maps. Default: slices in Fourier space.
    exhaustive : bool
        Search every reference in the full band, without any shortcut.
    shift_spread : float
        Width of the normal prior on shifts along each axis [pixels].
    n_threads : int

    Raises
    ------
    ConfigError
        If no ring is left to compare.
    """
    power = np.mean([radial_power(scipy.fft.rfftn(v))[: len(noise_power)] for v in volumes], axis=0)
    radius = highest_ring(power / noise_power, scoring, grid.box * apix, max_radius)

    def bank_of(normalisation: str) -> _core.ReferenceBank:
        support = support_radius if mask is None else grid.box / 2
        bank = _empty_bank(grid.box, radius, support, normalisation)
        for model, volume in enumerate(volumes):
            rotations = references.rotations[references.block(model)]
            if not len(rotations):
                continue
            if mask is None and not isinstance(method, RealSpaceProjection):
                projector = FourierProjector.plan(
                    volume,
                    interpolation=None if method is None else method.interpolation(grid.box),
                    max_radius=float(radius),
                    n_threads=n_threads,
                )
                bank.add(
                    projector.window,
                    scale=projector.scale,
                    oversampling=projector.scale,
                    width=projector.interpolation.width,
                    rotations=rotations,
                    n_threads=n_threads,
                )
            else:
                _add_images(bank, volume, rotations, method, mask, grid, n_threads)
        return bank

    setting = _Setting(scoring, power, noise_power, grid.box, apix, n_threads)
    levels = _levels(bank_of, setting)
    return MatchPlan(references, grid, apix, max_shift, levels, scoring, exhaustive, shift_spread)


def _add_images(
    bank: _core.ReferenceBank,
    volume: Float32,
    rotations: npt.NDArray[np.float64],
    method: Projection | None,
    mask: Float32 | None,
    grid: FourierGrid,
    n_threads: int,
) -> None:
    """Add the projections of a map, times a mask if given, in blocks that bound the memory."""
    for first in range(0, len(rotations), _IMAGES_AT_ONCE):
        images = project_images(
            volume,
            rotations[first : first + _IMAGES_AT_ONCE],
            method=method,
            n_threads=n_threads,
        )
        if mask is not None:
            images *= mask
        spectra = grid.image_spectra(images, n_threads=n_threads)
        bank.add_images(spectra, scale=grid.scale, oversampling=grid.scale, n_threads=n_threads)


def plan_image_match(
    images: Float32,
    *,
    grid: FourierGrid,
    apix: float,
    max_shift: float,
    scoring: Scoring,
    n_threads: int,
) -> MatchPlan:
    """Plan the search for reference images (n, box, box) in white noise of unit variance.

    Every reference counts as a view of one map; parameters as for `plan_match`.
    """
    noise = np.full(grid.box // 2 + 1, float(grid.box) ** 2)
    power = shell_means(np.abs(scipy.fft.rfft2(images)) ** 2, grid.box).mean(axis=0)
    radius = highest_ring(power, scoring, grid.box * apix, None)
    spectra: Complex64 = grid.image_spectra(images, n_threads=n_threads)

    def bank_of(normalisation: str) -> _core.ReferenceBank:
        bank = _empty_bank(grid.box, radius, grid.box / 2, normalisation)
        bank.add_images(spectra, scale=grid.scale, oversampling=grid.scale, n_threads=n_threads)
        return bank

    references = References.of_models([np.zeros((len(images), 3))])
    levels = _levels(bank_of, _Setting(scoring, power, noise, grid.box, apix, n_threads))
    return MatchPlan(references, grid, apix, max_shift, levels, scoring)


@dataclass(frozen=True)
class _Setting:
    """What the levels of a search depend on besides the references."""

    scoring: Scoring
    signal_power: npt.NDArray[np.floating]
    noise_power: npt.NDArray[np.floating]
    box: int
    apix: float
    n_threads: int

    def ring_weight(self, n_rings: int) -> Float32:
        return self.scoring.ring_weight(
            self.signal_power, self.noise_power, n_rings, self.box * self.apix
        )


def highest_ring(
    power: npt.NDArray[np.floating],
    scoring: Scoring,
    ang_per_ring: float,
    max_radius: int | None,
) -> int:
    """Return the highest ring compared, by the maps' content and by what is asked for."""
    radius = min(_band_limit(power), max_radius or len(power))
    if scoring.highest_ang is not None:
        radius = min(radius, int(ang_per_ring / scoring.highest_ang))
    lowest = 1 if scoring.lowest_ang is None else int(np.ceil(ang_per_ring / scoring.lowest_ang))
    if radius < max(lowest, 2):
        raise ConfigError(
            f"minres, maxres: no Fourier ring lies between {scoring.lowest_ang} and "
            f"{scoring.highest_ang} A where the maps have signal; give a wider range"
        )
    return radius


def _band_limit(power: npt.NDArray[np.floating]) -> int:
    """Return the smallest ring below which nearly all of the signal lies, below Nyquist.

    ``power`` is the mean power of a projection on each ring, over that of the noise; ring k has
    2 pi k Fourier pixels.
    """
    cumulative = np.cumsum(np.arange(len(power)) * power)
    ring = int(np.searchsorted(cumulative, FULL_BAND * cumulative[-1]))
    return int(np.clip(ring, LOWEST_RING, len(power) - 2))


def _empty_bank(
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


def distinction(
    bank: _core.ReferenceBank, noise_power: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
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


def _levels(bank_of: Callable[[str], _core.ReferenceBank], setting: _Setting) -> tuple[Level, ...]:
    """Return the levels: parts of the bank with growing shares of the distinction, then all.

    The distinction is that of the terms as they are, also where they are normalised to be compared.
    """
    bank = bank_of("none")
    gain = distinction(bank, setting.noise_power)
    gain = gain * (setting.ring_weight(gain.shape[1]) > 0)
    if setting.scoring.comparator.normalisation != "none":
        bank = bank_of(setting.scoring.comparator.normalisation)
    total = float(gain.sum())
    needed = [(COARSE_SHARE, COARSE_SIZE), (FINE_SHARE, FINE_SIZE)]
    if total < ENOUGH_NATS:
        needed.insert(1, (MIDDLE_SHARE, MIDDLE_SIZE))
    loss = WEAK_SHIFT_LOSS if total < ENOUGH_NATS else SHIFT_LOSS
    parts = [
        _part(bank, gain, ring_ranges(gain, share * total, size), setting, loss)
        for share, size in needed
    ]
    if total < ENOUGH_NATS:
        parts[0] = replace(parts[0], carried_share=CARRIED_SHARE)
    whole = np.column_stack([np.zeros(len(gain), int), np.full(len(gain), gain.shape[1])])
    step = _shift_step(gain, whole, setting.box, loss)
    return (*parts, Level(bank, setting.ring_weight(bank.n_rings), step))


def _part(
    bank: _core.ReferenceBank,
    gain: npt.NDArray[np.float64],
    ranges: npt.NDArray[np.int32],
    setting: _Setting,
    shift_loss: float,
) -> Level:
    """Return a level with these rings of each order."""
    n_rings, orders = int(ranges[:, 1].max()), len(ranges) - 1
    rotations = max(ROTATIONS_PER_PERIOD * orders, 2 * orders + 1, 8)
    part = bank.part(
        ranges,
        n_rings=n_rings,
        n_angles=_sampling_angles(orders + 1, n_rings),
        n_rotations=_core.good_fft_size(int(np.ceil(rotations))),
        n_threads=setting.n_threads,
    )
    return Level(
        part, setting.ring_weight(n_rings), _shift_step(gain, ranges, setting.box, shift_loss)
    )


def ring_ranges(
    gain: npt.NDArray[np.float64], wanted: float, at_least: int
) -> npt.NDArray[np.int32]:
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


def _shift_step(
    gain: npt.NDArray[np.float64], ranges: npt.NDArray[np.integer], box: int, loss: float
) -> float:
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
