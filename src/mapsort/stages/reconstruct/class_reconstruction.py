"""From class averages to a map's normal equations, averages that do not fit left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Array, Bool, Float32, Float64, Indices, Integer, Real
from mapsort.geometry.symmetry import Symmetry
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.physics.half_maps import filtered_mean
from mapsort.stages.fourier_grid import corner_indices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.reconstruct.slice_agreement import (
    SliceAgreement,
    kept_slices,
    relative_quality,
    slice_agreement,
)
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies

#: A class's scale is trusted within this factor of its map's mean scale.
LARGEST_SCALE = 2.0
#: Classes that are worked on together where their sums lie in files.
CLASSES_AT_ONCE = 4096


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class AverageSelection:
    """How class averages are chosen for a map."""

    #: Share of the averages kept, or, with ``sigma``, standard deviations below the mean quality.
    keep: float
    sigma: bool
    #: 1: all are taken as they are. 2: one pass of selection. From 3 on, each further pass also
    #: brings every average to the scale of the others, and selects anew.
    passes: int


@dataclass(frozen=True)
class MapSlices:
    """The class averages of one map and where they lie."""

    #: Of this map's references only.
    averages: ClassAverages
    #: (n, 3, 3).
    rotations: Float64
    symmetry: Symmetry
    #: Of the averages' box, or of a coarser one of the same extent: what is beyond its band is left
    #: out.
    grid: InsertionGrid
    #: Pixel size of the averages [A]; it counts for helices only.
    apix: float

    @property
    def max_radius(self) -> float:
        """Highest frequency of the slices, in Fourier pixels."""
        return float(self.grid.box // 2)

    def half_equations(
        self, *, n_threads: int = 1, inserted: Callable[[], None] = _nothing
    ) -> list[NormalEquations]:
        """Return the normal equations of the even and of the odd particles.

        ``inserted`` is called when some of the averages are done with.
        """
        parts = []
        # memory that is taken once: the system clears what it gives
        sums = SliceSums.empty(self.grid, self.max_radius)
        for half in range(N_HALVES):
            sums.window.fill(0.0)
            density = self.averages.density[half]
            for first in range(0, len(self.rotations), CLASSES_AT_ONCE):
                held = np.flatnonzero(self.averages.count[first : first + CLASSES_AT_ONCE])
                # particles of a half add to the line of ky = 0, whatever else they add to
                some = first + held[density[first + held, 0].any(axis=1)]
                insert_copies(
                    sums,
                    self.averages.numerator[half, some],
                    density[some],
                    self.rotations[some],
                    self.symmetry,
                    apix=self.apix,
                    n_threads=n_threads,
                )
                inserted()
            parts.append(NormalEquations.of(sums, n_threads=n_threads))
        return parts

    def scaled(self, factor: Real) -> MapSlices:
        """Return slices whose signal is ``factor`` (n,) times the map's; 0 leaves one out.

        The least-squares sums of an average known to be a times too bright are a N and a^2 D.
        """
        share = factor.astype(np.float32)[:, None, None]
        averages = ClassAverages(
            self.averages.numerator * share,
            self.averages.density * share**2,
            np.where(factor > 0, self.averages.count, 0),
        )
        return replace(self, averages=averages)

    def without(self, numbers: Indices) -> MapSlices:
        """Return the slices without those of these numbers."""
        if not len(numbers):
            return self
        factor = np.ones(len(self.averages.count))
        factor[numbers] = 0.0
        return self.scaled(factor)

    def selected(
        self, selection: AverageSelection, mask: Float32, *, n_threads: int = 1
    ) -> tuple[MapSlices, Indices]:
        """Return the slices that fit the others, and the numbers of those left out.

        Each pass solves for the map of what is kept so far, Wiener-filtered by the FSC of its
        halves under the mask, and compares every average, those left out before too, with the map
        of the others.
        """
        count = self.averages.count
        factor = np.ones(len(count))
        kept = count > 0
        for number in range(1, selection.passes):
            if not kept.any():
                break
            found = self.scaled(factor)._agreement(kept, mask, n_threads)
            if number > 1:
                factor = _refined_scale(factor, found.scale, count * kept)
            quality = relative_quality(found.absqual, count)
            kept = kept_slices(quality, count, keep=selection.keep, keep_sigma=selection.sigma)
        return self.scaled(factor * kept), np.flatnonzero((count > 0) & ~kept)

    def within(self, radius: float) -> MapSlices:
        """Return the slices for a map that holds nothing beyond this radius [Fourier pixels]."""
        return replace(self, grid=self.grid.within(radius))

    def _in_band(self, planes: npt.NDArray[np.generic]) -> Array:
        """Return half planes (n, box, box//2+1) as the grid's box has them."""
        row = corner_indices(self.grid.box, self.averages.box)
        return planes[:, np.fft.ifftshift(row), : self.grid.box // 2 + 1]

    def _agreement(self, kept: Bool, mask: Float32, n_threads: int) -> SliceAgreement:
        """Compare all slices with the map of those that are kept."""
        parts = self.scaled(kept.astype(float)).half_equations(n_threads=n_threads)
        even, odd = (solve(part, n_threads=n_threads) for part in parts)
        start, ratio = filtered_mean(even, odd, mask)
        whole = parts[0] + parts[1]
        volume = solve(whole, noise_to_signal=ratio, start=start, n_threads=n_threads)
        return slice_agreement(
            whole,
            volume,
            self._in_band(self.averages.numerator.sum(axis=0)),
            self._in_band(self.averages.density.sum(axis=0)),
            self.rotations,
            contained=kept,
            noise_to_signal=ratio,
            n_threads=n_threads,
        )


def _refined_scale(factor: Float64, scale: Float64, weight: Integer) -> Float64:
    """Return the slices' scales after one more comparison; their weighted mean stays 1."""
    bounds = (1.0 / LARGEST_SCALE, LARGEST_SCALE)
    refined = np.clip(factor * scale, *bounds)
    return np.asarray(np.clip(refined / np.average(refined, weights=weight), *bounds))
