"""What can be chosen where particles are judged by maps that are made without them."""

from __future__ import annotations

from dataclasses import dataclass

from mapsort.array_types import Float32
from mapsort.stages.components.band import Band
from mapsort.stages.components.band_choice import FEWEST_RINGS, signal_band, signal_by_ring
from mapsort.stages.components.observed import Observed
from mapsort.stages.components.slice_grid import SliceGrid

#: Radius [boxes] of the sphere that holds the particle, unless it is known.
SPHERE = 0.36


@dataclass(frozen=True)
class ComponentSettings:
    """What can be chosen; the defaults suit particles of all sizes."""

    #: Components sought; 0 for two more than there are classes.
    n_components: int = 0
    #: Last ring in use; 0 to choose it by where the particles' signal ends.
    rings: int = 0
    #: Radius of the sphere that holds the particle [pixels]; None for 0.36 of the box.
    radius_px: float | None = None
    #: Whether some images may hold no particle.
    junk: bool = True
    #: Whether the given poses may be off by a few degrees and pixels.
    correct_poses: bool = True
    n_threads: int = 1
    #: Mask, 0 to 1, of where particles may differ, (box, box, box); None for everywhere.
    region: Float32 | None = None

    def grid(self, band: Band, rings: int) -> SliceGrid:
        """Return the grid of maps up to a ring."""
        radius = SPHERE * band.box if self.radius_px is None else self.radius_px
        return SliceGrid(band, max(rings, FEWEST_RINGS), radius, self.n_threads, self.region)

    def signal_grid(self, observed: Observed) -> SliceGrid:
        """Return the grid up to the last ring in use: that asked for, or where the signal ends."""
        band = observed.particles.band
        if self.rings:
            return self.grid(band, min(self.rings, band.rings))
        widest = self.grid(band, band.rings)
        return self.grid(band, signal_band(signal_by_ring(observed, widest)))
