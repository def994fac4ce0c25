"""Plan a search: project the maps, choose the levels of the search and what decides in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.fft

from mapsort import _core
from mapsort.array_types import Float32, Float64, Real
from mapsort.model.references import References
from mapsort.modules.projector import Projection, RealSpaceProjection
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.scoring import Scoring
from mapsort.physics.shells import shell_means
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.project import project_images, signal_power
from mapsort.stages.search.first_look import KNOWN
from mapsort.stages.search.like_maps import SharedViews, like_maps
from mapsort.stages.search.search_levels import CARRIED, BankMaker, Level, empty_bank, search_levels
from mapsort.stages.search.settings import SearchContext, SearchSettings

#: Masked projections go through real space in blocks of this many.
_IMAGES_AT_ONCE = 256

#: Share of a map's references that go on from a first look at most.
LIKELY_SHARE = 0.5
#: The shift is the particle's, whatever it is compared with: all candidates are searched about the
#: shifts of so many of the best. In weak data one particle in 20 is lost without, one in 40 with
#: these or with all, none where last poses are candidates, too.
SHARED, KNOWN_SHARED = 16, 4


@dataclass(frozen=True)
class MatchPlan:
    """What is common to all particles of an iteration."""

    references: References
    context: SearchContext
    settings: SearchSettings
    #: Coarse to fine; the last is the full band of the search.
    levels: tuple[Level, ...]
    #: polishing and deciding: full bands in which poses are refined and scored.
    polishing: Level
    deciding: Level
    #: The best candidates about whose shifts all others of the particle are searched, too.
    shared: int = SHARED
    #: What is compared before the last two levels where maps are alike; None: every map's own.
    like: SharedViews | None = None

    def in_noise(self, ratio: Real) -> MatchPlan:
        """Return the plan for particles whose noise has ``ratio`` times the power, by shell.

        The same plan where refinement or ranking are not by one comparator that weighs the noise.
        """
        alone = self.settings.search is None and self.settings.polish_by is None
        if not alone or not self.settings.scoring.comparator.whitens:
            return self
        levels = tuple(level.in_noise(ratio) for level in self.levels)
        return replace(self, levels=levels, polishing=levels[-1], deciding=levels[-1])

    def where_poses_are_known(self) -> MatchPlan:
        """Return the plan for particles whose last poses are candidates anyhow."""
        first = replace(self.levels[0], carried=CARRIED, window=KNOWN)
        return replace(self, levels=(first, *self.levels[1:]), shared=KNOWN_SHARED)

    @property
    def max_shift(self) -> float:
        """Largest shift searched [pixels]."""
        return self.context.max_shift if self.settings.aligner.translate else 0.0

    @property
    def first(self) -> Level:
        """The level on which every reference is searched."""
        return self.full if self.exhaustive else self.levels[0].look or self.levels[0]

    @property
    def looks_first(self) -> bool:
        """Whether a first look at few coefficients comes before the first level."""
        return self.first is self.levels[0].look

    @property
    def first_references(self) -> References:
        """What is searched on the first level."""
        return self.references if self.like is None else self.like.references

    def shares_views(self, level: Level) -> bool:
        """Whether like maps share views on a level."""
        return self.like is not None and not any(level is own for own in self.levels[-2:])

    def n_likely(self, at_least: int) -> list[tuple[int, int]]:
        """Return how many references of each map go on from the first level, at least and most."""
        compared = self.first_references
        sizes = np.bincount(compared.model, minlength=compared.n_models)
        if self.exhaustive:
            return [(min(n, at_least),) * 2 for n in sizes.tolist()]
        coarse = self.levels[0]
        least = [coarse.n_carried(n, at_least=at_least) for n in sizes.tolist()]
        share = 0.0 if coarse.look is None else LIKELY_SHARE
        return [(k, max(k, int(share * n))) for k, n in zip(least, sizes.tolist(), strict=True)]

    @property
    def full(self) -> Level:
        """The full band of the search."""
        return self.levels[-1]

    @property
    def exhaustive(self) -> bool:
        """Whether every reference is searched in the full band."""
        return self.settings.aligner.exhaustive

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


def plan_match(
    volumes: Sequence[Float32],
    references: References,
    context: SearchContext,
    settings: SearchSettings,
    *,
    support_radius: float,
    mask: Float32 | None = None,
    matched_to: Real | None = None,
    method: Projection | None = None,
) -> MatchPlan:
    """Project all maps and choose the levels of the search.

    Parameters
    ----------
    volumes : sequence of ndarray (box, box, box)
        Maps, white density, zero outside ``support_radius``.
    support_radius : float
        Radius [pixels] that holds the maps.
    mask : ndarray of shape (box, box), optional
        Multiplies every projection, and so restricts the comparison to where it is not zero.
    matched_to : ndarray of shape (box//2 + 1,), optional
        Mean |X|^2 in each shell that every projection is filtered to have.
    method : Projection, optional
        Projector of the maps. Default: slices in Fourier space.

    Raises
    ------
    ConfigError
        If no ring is left to compare.
    """
    power = signal_power(volumes)
    images = _ImageMaker(context, mask, matched_to, method)
    support = support_radius if mask is None else context.grid.box / 2
    shared = _shared(volumes, references, power, context, settings)
    bank_of = partial(_bank, volumes, references, support, images)
    if shared is None:
        return _planned(references, bank_of, power, context, settings)
    like, groups = shared
    averages = [np.mean([volumes[m] for m in group], axis=0) for group in groups]
    means_of = partial(_bank, averages, like.references, support, images)
    return _planned(references, bank_of, power, context, settings, (like, means_of))


@dataclass(frozen=True)
class _ImageMaker:
    """How maps become references: ``mask``, ``matched_to`` and ``method`` of `plan_match`."""

    context: SearchContext
    mask: Float32 | None
    matched_to: Real | None
    method: Projection | None

    def add(self, bank: _core.ReferenceBank, volume: Float32, rotations: Float64) -> None:
        """Add the references of one map to a bank."""
        grid, n_threads, method = self.context.grid, self.context.n_threads, self.method
        changed = self.mask is not None or self.matched_to is not None
        if not changed and not isinstance(method, RealSpaceProjection):
            projector = FourierProjector.plan(
                volume,
                interpolation=None if method is None else method.interpolation(grid.box),
                max_radius=float(bank.n_rings),
                n_threads=n_threads,
            )
            bank.add(projector.for_kernels, rotations=rotations, n_threads=n_threads)
            return
        for first in range(0, len(rotations), _IMAGES_AT_ONCE):
            some = rotations[first : first + _IMAGES_AT_ONCE]
            images = project_images(volume, some, method=method, n_threads=n_threads)
            _add_images(bank, images, self.mask, self.matched_to, grid, n_threads)


def _bank(
    volumes: Sequence[Float32],
    references: References,
    support_radius: float,
    images: _ImageMaker,
    radius: int,
    normalisation: str,
) -> _core.ReferenceBank:
    """Return the references of all maps up to a ring."""
    bank = empty_bank(images.context.grid.box, radius, support_radius, normalisation)
    for model, volume in enumerate(volumes):
        rotations = references.rotations[references.block(model)]
        if len(rotations):
            images.add(bank, volume, rotations)
    return bank


def _shared(
    volumes: Sequence[Float32],
    references: References,
    power: Real,
    context: SearchContext,
    settings: SearchSettings,
) -> tuple[SharedViews, list[list[int]]] | None:
    """Return the views that like maps share, and which maps are alike; None where none are."""
    if settings.aligner.exhaustive or not settings.shares_views:
        return None
    radius = context.highest_ring(power, settings.search or settings.scoring)
    groups = like_maps(volumes, references, context, radius)
    return None if len(groups) == len(volumes) else (SharedViews.of(groups, references), groups)


def _planned(
    references: References,
    bank_of: BankMaker,
    power: Real,
    context: SearchContext,
    settings: SearchSettings,
    means: tuple[SharedViews, BankMaker] | tuple[None, None] = (None, None),
) -> MatchPlan:
    """Make the levels of the search and, where they differ, those of refinement and decision.

    With ``means`` of like maps the last two levels are of the maps themselves.
    """
    scoring, search = settings.scoring, settings.search or settings.scoring
    radius = context.highest_ring(power, search)
    like, means_of = means
    levels = search_levels(lambda how: bank_of(radius, how), context, power, search, means_of)
    full = {search.terms: levels[-1]}

    def level_of(wanted: Scoring) -> Level:
        """Return a level with everything this scoring compares, for poses that are known."""
        if wanted.terms not in full:
            bank = bank_of(context.highest_ring(power, wanted), wanted.comparator.normalisation)
            weight = context.ring_weight(power, wanted, bank.n_rings)
            full[wanted.terms] = Level(bank, weight, 1.0)
        return full[wanted.terms]

    polishing, deciding = level_of(settings.polish_by or search), level_of(scoring)
    return MatchPlan(references, context, settings, levels, polishing, deciding, like=like)


def _add_images(
    bank: _core.ReferenceBank,
    images: Float32,
    mask: Float32 | None,
    matched_to: Real | None,
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


def spectrally_matched(images: Float32, power: Real, *, n_threads: int = 1) -> Float32:
    """Return images (n, box, box), each filtered to have this mean |X|^2 in each shell.

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
    context: SearchContext,
    settings: SearchSettings,
    *,
    matched_to: Real | None = None,
    references: References | None = None,
) -> MatchPlan:
    """Plan the search for reference images (n, box, box).

    Parameters as for `plan_match`. Without ``references`` every image counts as a view of one map.
    """
    grid = context.grid
    power = shell_means(np.abs(scipy.fft.rfft2(images)) ** 2, grid.box).mean(axis=0)

    def bank_of(radius: int, normalisation: str) -> _core.ReferenceBank:
        bank = empty_bank(grid.box, radius, grid.box / 2, normalisation)
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[first : first + _IMAGES_AT_ONCE]
            _add_images(bank, part, None, matched_to, grid, context.n_threads)
        return bank

    views = references or References.of_models([np.zeros((len(images), 3))])
    return _planned(views, bank_of, power, context, settings)
