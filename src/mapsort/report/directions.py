"""How evenly a map's projection directions cover the sphere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: Cells in which directions are collected before smoothing, and the grid that is drawn [degrees].
_CELL_DEG, _GRID_DEG = 3, 4
#: Width (standard deviation) of the smoothing kernel [degrees]: about one angular step.
SMOOTHING_DEG = 6.0


def _unit_vectors(longitude_deg: Float64, latitude_deg: Float64) -> Float64:
    lon, lat = np.deg2rad(longitude_deg), np.deg2rad(latitude_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def direction_density(rot_deg: Float64, tilt_deg: Float64) -> Float64:
    """Return the density of directions, 1 where it is that of an even distribution.

    Parameters
    ----------
    rot_deg, tilt_deg : ndarray of shape (n,)
        RELION's first two angles: the direction's longitude, and its angle from the z axis.

    Returns
    -------
    ndarray of shape (45, 90)
        On a grid of 4 degrees, latitude (90 - tilt) from -90 and longitude from -180 upward;
        smoothed with a von Mises-Fisher kernel of 6 degrees, so that a grid of projections does
        not show as a grid of dots.
    """
    longitude = np.mod(rot_deg + 180.0, 360.0)
    latitude = np.clip(180.0 - tilt_deg, 0.0, 180.0)  # counted from the south pole
    columns = 360 // _CELL_DEG
    row = np.minimum(latitude // _CELL_DEG, 180 // _CELL_DEG - 1).astype(np.int64)
    column = np.minimum(longitude // _CELL_DEG, columns - 1).astype(np.int64)
    counts = np.bincount(row * columns + column)
    cells = np.flatnonzero(counts)
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
