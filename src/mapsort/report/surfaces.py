"""Shaded surfaces of a map, seen from all sides around its z axis, as small pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from mapsort.array_types import Float32, Indices, UInt8

Grey = UInt8

#: Sides of the cube that is rendered, and of a picture [pixel].
_SIDE = 80
#: Where light comes from: x to the right, depth away from the viewer, z up.
_LIGHT = np.array([-0.45, -0.75, 0.5], dtype=np.float32)
_AMBIENT = 0.22


def surface_pictures(volume: Float32, levels: Sequence[float], *, n_views: int) -> UInt8:
    """Return pictures of a map's surfaces.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n), float32
        Densities (z, y, x).
    levels : sequence of float
        Densities of the surfaces.
    n_views : int
        Views at equal angles around z; z points up in all of them.

    Returns
    -------
    ndarray of shape (len(levels), n_views, side, side), uint8
        Brightness of the surface by Lambert's law, 0 where there is none.
    """
    cube = _cube(volume, min(levels))
    shown = np.zeros((len(levels), n_views, _SIDE, _SIDE), dtype=np.uint8)
    for view, seen in enumerate(_turned(cube, n_views)):
        for row, level in enumerate(levels):
            shown[row, view] = _shaded(seen, level)
    return shown


def _cube(volume: Float32, lowest: float) -> Float32:
    """Return the part of a map that a surface can reach when it turns, at the rendered size."""
    n = len(volume)
    grid = np.arange(n, dtype=np.float32) - n // 2
    inside = volume >= lowest
    across = np.hypot(grid[:, None], grid[None, :])[inside.any(axis=0)]
    up = np.abs(grid[inside.any(axis=(1, 2))])
    radius = float(max(across.max(initial=0.0), up.max(initial=0.0))) + 2.0
    points = np.linspace(-radius, radius, _SIDE, dtype=np.float32) + n // 2
    places = np.meshgrid(points, points, points, indexing="ij", sparse=True)
    # Outside the box there is no surface.
    return np.asarray(
        ndimage.map_coordinates(
            volume, np.broadcast_arrays(*places), order=1, cval=float(volume.min())
        ),
        dtype=np.float32,
    )


def _turned(cube: Float32, n_views: int) -> Iterator[Float32]:
    """Yield the cube as (z, depth, x) for each view, by bilinear interpolation in its planes."""
    centre = (_SIDE - 1) / 2
    grid = np.arange(_SIDE, dtype=np.float32) - centre
    depth, across = np.meshgrid(grid, grid, indexing="ij")
    for angle in 2 * np.pi * np.arange(n_views) / n_views:
        x = across * np.cos(angle) - depth * np.sin(angle) + centre
        y = across * np.sin(angle) + depth * np.cos(angle) + centre
        x, y = (np.clip(place, 0, _SIDE - 1.001) for place in (x, y))
        x0, y0 = x.astype(np.intp), y.astype(np.intp)
        right, far = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
        near_row = cube[:, y0, x0] * (1 - right) + cube[:, y0, x0 + 1] * right
        far_row = cube[:, y0 + 1, x0] * (1 - right) + cube[:, y0 + 1, x0 + 1] * right
        yield near_row * (1 - far) + far_row * far


def _shaded(seen: Float32, level: float) -> Grey:
    """Return a picture, z up: at each place the first voxel from the front that is inside."""
    inside = seen >= level
    first = inside.argmax(axis=1)
    hit = np.take_along_axis(inside, first[:, None, :], axis=1)[:, 0]
    z, x = np.nonzero(hit)
    y = first[z, x]
    # The gradient points into the density, the normal out of it.
    normal = -np.stack([_slope(seen, z, y, x, axis) for axis in (2, 1, 0)])
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    brightness = _AMBIENT + (1 - _AMBIENT) * np.maximum(light @ normal, 0.0)
    picture = np.zeros(hit.shape, dtype=np.uint8)
    picture[z, x] = np.rint(255 * brightness)
    return picture[::-1]


def _slope(seen: Float32, z: Indices, y: Indices, x: Indices, axis: int) -> Float32:
    """Return the density's slope along an axis, over two voxels to each side."""
    place = [z, y, x]
    ahead, behind = list(place), list(place)
    ahead[axis] = np.minimum(place[axis] + 2, _SIDE - 1)
    behind[axis] = np.maximum(place[axis] - 2, 0)
    return seen[tuple(ahead)] - seen[tuple(behind)]
