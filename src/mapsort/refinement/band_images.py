"""The particles of a run as the search for classes sees them: few coefficients, centred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.engines.chunks import Rows, length
from mapsort.geometry.symmetry import Symmetry
from mapsort.refinement.run import Run
from mapsort.stages.components.band import CIRCLE, Band, BandParticles
from mapsort.stages.components.folds import N_FOLDS, Folds, deal_folds
from mapsort.stages.components.observed import Observed


@dataclass(frozen=True)
class _Coefficients:
    """Of some particles; see `BandParticles`."""

    spectra: Complex64
    transfer: Float32


@dataclass(frozen=True)
class _Preparation:
    """Prepares chunks of particles, in any process."""

    run: Run
    band: Band
    origins: Float64
    circle_px: float

    def __call__(self, where: Rows, raw: Float32) -> _Coefficients:
        """Return the coefficients of one chunk."""
        run, n = self.run, length(where)
        part = BandParticles.empty(n, self.band, run.inputs.apix, circle_px=self.circle_px)
        part.fill(
            slice(0, n),
            -raw if run.plan.treatment.invert else raw,
            self.origins[where],
            run.transfer_of(where),
            n_threads=run.plan.n_threads,
        )
        return _Coefficients(part.spectra, part.transfer)


def band_particles(run: Run, origins: Float64, *, circle_px: float | None = None) -> BandParticles:
    """Read all particles and return their low-frequency coefficients.

    Parameters
    ----------
    origins : ndarray of shape (n, 2), float64
        Shift that centres each particle [pixels].
    circle_px : float, optional
        Radius of the circle that images are cut by [pixels]; by default 0.39 of the box.
    """
    n, band = len(run.inputs.particles), run.plan.band
    assert band is not None, "classes are to be found"
    radius = CIRCLE * band.box if circle_px is None else circle_px
    allocate = run.execution.scratch.zeros
    particles = BandParticles.empty(n, band, run.inputs.apix, allocate, circle_px=radius)
    run.start("prepare particles", n, 0)
    for where, found in run.over_chunks(_Preparation(run, band, origins, radius), run.chunks()):
        particles.spectra[where] = found.spectra
        particles.transfer[where] = found.transfer
        run.execution.advance(length(where))
    run.execution.progress.finish(
        f"{n} particles, {len(band.ring)} coefficients up to ring {band.rings}"
    )
    return particles


def observed_at(run: Run, rotations: Float64, origins: Float64, group: Symmetry) -> Observed:
    """Read all particles and return them as seen at their poses, with a symmetry of all maps.

    Parameters
    ----------
    rotations, origins : ndarray of shape (n, 3, 3) and (n, 2), float64
        Object to view, and the shift that centres each particle [pixels].
    """
    return Observed.at_first(band_particles(run, origins), dealt_folds(run), rotations, group)


def dealt_folds(run: Run) -> Folds:
    """Deal the particles out to parts that are judged without themselves, within half-sets."""
    image, half = run.inputs.particles.image_numbers(), run.inputs.halves.half
    smallest = min(len(np.unique(image[half == own])) for own in (0, 1))
    return deal_folds(image, half, min(N_FOLDS, 2 * max(1, smallest)))
