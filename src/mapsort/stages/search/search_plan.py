"""Plan a search: project the maps, choose the levels of the search and what decides in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.model.references import References
from mapsort.modules.projector import Projection, RealSpaceProjection
from mapsort.physics.filters import radial_power
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import Float32, FourierGrid
from mapsort.stages.prepare import shell_means
from mapsort.stages.project import project_images
from mapsort.stages.search.pose_ways import PoseWays, ranking, same_terms
from mapsort.stages.search.search_levels import (
    Level,
    SearchSetting,
    empty_bank,
    highest_ring,
    search_levels,
)

#: Masked projections go through real space in blocks of this many.
_IMAGES_AT_ONCE = 256

#: Makes a bank of the references with rings up to this one, normalised as named.
_BankMaker = Callable[[int, str], _core.ReferenceBank]


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
        Coarse to fine; the last is the full band of the search.
    scoring : Scoring
        What references are ranked by in the end.
    ranking : Scoring
        What they are ranked by during the search.
    ways : PoseWays
    polishing, deciding : Level
        Full bands in which poses are refined and scored.
    shift_spread : float
        Width of the normal prior on shifts along each axis [pixels]; infinite for none.
    """

    references: References
    grid: FourierGrid
    apix: float
    max_shift: float
    levels: tuple[Level, ...]
    scoring: Scoring
    ranking: Scoring
    ways: PoseWays
    polishing: Level
    deciding: Level
    shift_spread: float = float("inf")

    def in_noise(self, ratio: npt.NDArray[np.floating]) -> MatchPlan:
        """Return the plan for particles whose noise has ``ratio`` times the power, by shell.

        The same plan where refinement or ranking are not by one comparator that weighs the noise.
        """
        alone = self.ways.search is None and self.ways.polish_by is None
        if not alone or not self.scoring.comparator.whitens:
            return self
        levels = tuple(
            replace(level, ring_weight=_in_noise(level.ring_weight, ratio)) for level in self.levels
        )
        return replace(self, levels=levels, polishing=levels[-1], deciding=levels[-1])

    @property
    def full(self) -> Level:
        """The full band of the search."""
        return self.levels[-1]

    @property
    def exhaustive(self) -> bool:
        """Whether every reference is searched in the full band."""
        return self.ways.aligner.exhaustive

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
    ways: PoseWays | None = None,
    max_radius: int | None = None,
    mask: Float32 | None = None,
    matched_to: npt.NDArray[np.floating] | None = None,
    method: Projection | None = None,
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
    ways : PoseWays, optional
        Where search, refinement and score are not all by ``scoring``.
    max_radius : int, optional
        Highest ring compared, whatever the maps hold.
    mask : ndarray of shape (box, box), optional
        Multiplies every projection, and so restricts the comparison to where it is not zero.
    matched_to : ndarray of shape (box//2 + 1,), optional
        Mean |X|^2 in each shell that every projection is filtered to have.
    method : Projection, optional
        Projector of the maps. Default: slices in Fourier space.
    shift_spread : float
        Width of the normal prior on shifts along each axis [pixels].
    n_threads : int

    Raises
    ------
    ConfigError
        If no ring is left to compare.
    """
    power = np.mean([radial_power(scipy.fft.rfftn(v))[: len(noise_power)] for v in volumes], axis=0)
    images_needed = mask is not None or matched_to is not None

    def bank_of(radius: int, normalisation: str) -> _core.ReferenceBank:
        support = support_radius if mask is None else grid.box / 2
        bank = empty_bank(grid.box, radius, support, normalisation)
        for model, volume in enumerate(volumes):
            rotations = references.rotations[references.block(model)]
            if not len(rotations):
                continue
            if not images_needed and not isinstance(method, RealSpaceProjection):
                projector = FourierProjector.plan(
                    volume,
                    interpolation=None if method is None else method.interpolation(grid.box),
                    max_radius=float(radius),
                    n_threads=n_threads,
                )
                bank.add(projector.for_kernels, rotations=rotations, n_threads=n_threads)
            else:
                for first in range(0, len(rotations), _IMAGES_AT_ONCE):
                    images = project_images(
                        volume,
                        rotations[first : first + _IMAGES_AT_ONCE],
                        method=method,
                        n_threads=n_threads,
                    )
                    _add_images(bank, images, mask, matched_to, grid, n_threads)
        return bank

    setting = _Comparison(power, noise_power, grid, apix, max_shift, max_radius, n_threads)
    plan = _planned(references, bank_of, setting, scoring, ways or PoseWays())
    return replace(plan, shift_spread=shift_spread)


@dataclass(frozen=True)
class _Comparison:
    """What every level of a plan shares."""

    signal_power: npt.NDArray[np.floating]
    noise_power: npt.NDArray[np.floating]
    grid: FourierGrid
    apix: float
    max_shift: float
    max_radius: int | None
    n_threads: int

    def setting(self, scoring: Scoring) -> SearchSetting:
        return SearchSetting(
            scoring,
            self.signal_power,
            self.noise_power,
            self.grid.box,
            self.apix,
            self.n_threads,
        )

    def radius(self, scoring: Scoring) -> int:
        power = self.signal_power / self.noise_power
        return highest_ring(power, scoring, self.grid.box * self.apix, self.max_radius)

    def full_band(self, bank_of: _BankMaker, scoring: Scoring) -> Level:
        """Return a level with everything this scoring compares, for poses that are known."""
        bank = bank_of(self.radius(scoring), scoring.comparator.normalisation)
        return Level(bank, self.setting(scoring).ring_weight(bank.n_rings), 1.0)


def _planned(
    references: References,
    bank_of: _BankMaker,
    comparison: _Comparison,
    scoring: Scoring,
    ways: PoseWays,
) -> MatchPlan:
    """Make the levels of the search and, where they differ, those of refinement and decision."""
    search = ways.search or scoring
    radius = comparison.radius(search)
    levels = search_levels(lambda how: bank_of(radius, how), comparison.setting(search))
    known = [(search, levels[-1])]
    for wanted in (ways.polish_by or search, scoring):
        if not any(same_terms(wanted, have) for have, _ in known):
            known.append((wanted, comparison.full_band(bank_of, wanted)))

    def level_of(wanted: Scoring) -> Level:
        return next(level for have, level in known if same_terms(wanted, have))

    return MatchPlan(
        references,
        comparison.grid,
        comparison.apix,
        comparison.max_shift if ways.aligner.freedom.translate else 0.0,
        levels,
        scoring,
        ranking(search, scoring),
        ways,
        polishing=level_of(ways.polish_by or search),
        deciding=level_of(scoring),
    )


def _add_images(
    bank: _core.ReferenceBank,
    images: Float32,
    mask: Float32 | None,
    matched_to: npt.NDArray[np.floating] | None,
    grid: FourierGrid,
    n_threads: int,
) -> None:
    """Add reference images, filtered to a spectrum and times a mask if given."""
    if matched_to is not None:
        images = spectrally_matched(images, matched_to, n_threads=n_threads)
    if mask is not None:
        images = images * mask
    spectra = grid.image_spectra(images, n_threads=n_threads)
    bank.add_images(spectra, scale=grid.scale, oversampling=grid.scale, n_threads=n_threads)


def spectrally_matched(
    images: Float32, power: npt.NDArray[np.floating], *, n_threads: int = 1
) -> Float32:
    """Return images each filtered to have this mean |X|^2 in each shell; zeros stay zero.

    Parameters
    ----------
    images : ndarray of shape (n, box, box)
    power : ndarray of shape (box//2 + 1,)

    Notes
    -----
    EMAN2's filter.matchto with one target for all, and its ``prefilt``: what is exactly zero, the
    outside of a mask, is zero again afterwards.
    """
    box = images.shape[1]
    spectra = scipy.fft.rfft2(images, workers=n_threads)
    own = shell_means(np.abs(spectra) ** 2, box)
    factor = np.sqrt(np.divide(power, own, out=np.zeros_like(own), where=own > 0))
    k = np.minimum(np.arange(box), box - np.arange(box))
    radius = np.hypot(k[:, None], np.arange(box // 2 + 1)[None, :])
    shells = np.arange(box // 2 + 1)
    for spectrum, curve in zip(spectra, factor, strict=True):
        spectrum *= np.interp(radius, shells, curve)
    filtered = scipy.fft.irfft2(spectra, s=(box, box), workers=n_threads)
    return np.asarray(filtered * (images != 0), dtype=np.float32)


def plan_image_match(
    images: Float32,
    *,
    grid: FourierGrid,
    apix: float,
    max_shift: float,
    scoring: Scoring,
    ways: PoseWays | None = None,
    noise_power: npt.NDArray[np.floating] | None = None,
    max_radius: int | None = None,
    matched_to: npt.NDArray[np.floating] | None = None,
    references: References | None = None,
    n_threads: int,
) -> MatchPlan:
    """Plan the search for reference images (n, box, box).

    Parameters as for `plan_match`. Without ``references`` every image counts as a view of one map;
    without ``noise_power`` the noise is white, of unit variance.
    """
    noise = np.full(grid.box // 2 + 1, float(grid.box) ** 2) if noise_power is None else noise_power
    power = shell_means(np.abs(scipy.fft.rfft2(images)) ** 2, grid.box).mean(axis=0)

    def bank_of(radius: int, normalisation: str) -> _core.ReferenceBank:
        bank = empty_bank(grid.box, radius, grid.box / 2, normalisation)
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[first : first + _IMAGES_AT_ONCE]
            _add_images(bank, part, None, matched_to, grid, n_threads)
        return bank

    views = references or References.of_models([np.zeros((len(images), 3))])
    comparison = _Comparison(power, noise, grid, apix, max_shift, max_radius, n_threads)
    return _planned(views, bank_of, comparison, scoring, ways or PoseWays())
