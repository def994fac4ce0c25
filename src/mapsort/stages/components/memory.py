"""How much memory the search for classes takes: a function of what is asked, not of threads."""

from __future__ import annotations

from mapsort.stages.components.band import Band
from mapsort.stages.components.band_choice import FEWEST_RINGS
from mapsort.stages.components.decomposition import FINE
from mapsort.stages.components.folds import CHUNK
from mapsort.stages.components.slice_grid import SliceGrid

#: Arrays of one fold's size that live at a time while maps are made from sums.
_AT_ONCE = 4


def particle_bytes(n: int, band: Band) -> int:
    """Return the bytes of n prepared particles, which may lie in a scratch file."""
    return 12 * n * len(band.ring)


def search_bytes(
    n: int, band: Band, rings: int, *, n_classes: int, n_components: int, n_folds: int
) -> int:
    """Return about how many bytes are taken at the most, beside the prepared particles.

    Parameters
    ----------
    n : int
        Particles.
    rings : int
        Last ring in use; `band.rings` if it is not known yet.
    """
    columns = n_components + 1
    squares = columns * (columns + 1) // 2
    fine = max(FEWEST_RINGS, round(FINE * rings))
    most = max(
        _maps_bytes(band, band.rings, n_folds, 1, 1),
        _maps_bytes(band, fine, n_folds, columns, squares),
        _maps_bytes(band, rings, n_folds, n_classes, n_classes),
    )
    chunk = 3 * CHUNK * band.n_points(rings) * 8 * max(columns, n_classes)
    per_particle = 8 * (4 * columns**2 + 8 * n_classes + 40)
    return most + chunk + n * per_particle


def _maps_bytes(band: Band, rings: int, n_folds: int, columns: int, squares: int) -> int:
    """Return the bytes of maps (columns) of each fold, and of the sums they are made from."""
    voxels = SliceGrid(band, rings, 1.0).voxels
    sums = 8 * columns + 4 * squares
    # of maps two sets live at a time: those made last, and those being made
    return voxels * (n_folds * (sums + 16 * columns) + _AT_ONCE * (sums + 8 * columns))
