"""How evenly a map's projection directions cover the sphere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Float64, Int64, Real

#: Cells in which directions are collected before smoothing, and the grid that is drawn [degrees].
_CELL_DEG, _GRID_DEG = 3, 4
#: Width (standard deviation) of the smoothing kernel [degrees]: about one angular step.
SMOOTHING_DEG = 6.0


def _unit_vectors(longitude_deg: npt.ArrayLike, latitude_deg: npt.ArrayLike) -> Float64:
    lon, lat = np.deg2rad(longitude_deg), np.deg2rad(latitude_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _cell_counts(directions: Float64) -> Int64:
    """Return how many directions lie in each cell, latitude by latitude from the south pole."""
    rows, columns = 180 // _CELL_DEG, 360 // _CELL_DEG
    longitude = np.mod(np.rad2deg(np.arctan2(directions[:, 1], directions[:, 0])) + 180.0, 360.0)
    latitude = np.rad2deg(np.arcsin(np.clip(directions[:, 2], -1, 1))) + 90.0
    row = np.minimum(latitude / _CELL_DEG, rows - 1).astype(np.int64)
    column = np.minimum(longitude / _CELL_DEG, columns - 1).astype(np.int64)
    return np.bincount(row * columns + column, minlength=rows * columns)


def direction_density(rot_deg: Real, tilt_deg: Real, symmetry: Real | None = None) -> Float64:
    """Return the density of directions, 1 where it is that of an even distribution.

    Parameters
    ----------
    rot_deg, tilt_deg : ndarray of shape (n,)
        RELION's first two angles: the direction's longitude, and its angle from the z axis.
    symmetry : ndarray of shape (order, 3, 3), optional
        The map's symmetry: orientation R is the same as R S, so that each particle counts in all
        equivalent directions.

    Returns
    -------
    ndarray of shape (45, 90)
        On a grid of 4 degrees, latitude (90 - tilt) from -90 and longitude from -180 upward;
        smoothed with a von Mises-Fisher kernel of 6 degrees, so that a grid of projections does
        not show as a grid of dots.
    """
    seen = _unit_vectors(rot_deg, 90.0 - np.asarray(tilt_deg))
    operators = np.eye(3)[None] if symmetry is None else symmetry
    counts = np.sum([_cell_counts(seen @ operator) for operator in operators], axis=0)
    cells, columns = np.flatnonzero(counts), 360 // _CELL_DEG
    points = _unit_vectors(
        (cells % columns + 0.5) * _CELL_DEG - 180.0, (cells // columns + 0.5) * _CELL_DEG - 90.0
    )
    lon = np.arange(-180, 180, _GRID_DEG) + _GRID_DEG / 2
    lat = np.arange(-90, 90, _GRID_DEG) + _GRID_DEG / 2
    grid = _unit_vectors(*(part.ravel() for part in np.meshgrid(lon, lat)))
    kappa = 1.0 / np.deg2rad(SMOOTHING_DEG) ** 2
    kernel = np.exp(kappa * ((grid @ points.T) - 1.0))
    # The kernel's integral over the sphere is 2 pi (1 - exp(-2 kappa)) / kappa.
    integral = 2 * np.pi * (1 - np.exp(-2 * kappa)) / kappa
    density = kernel @ counts[cells] * (4 * np.pi / integral / counts.sum())
    return np.asarray(density.reshape(len(lat), len(lon)))


def empty_share(density: Float64) -> float:
    """Return the share of the sphere that has less than a tenth of the even density."""
    rows = density.shape[0]
    latitude = np.deg2rad((np.arange(rows) + 0.5) * 180 / rows - 90)
    area = np.broadcast_to(np.cos(latitude)[:, None], density.shape)
    return float(area[density < 0.1].sum() / area.sum())
