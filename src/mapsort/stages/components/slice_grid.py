"""Maps on a Fourier grid twice as fine as the box's, sliced and filled by linear interpolation.

Several maps are columns of one array (voxels, q): a point of a slice is located once for all. Half
of the space is stored, x >= 0; the rest are Friedel mates. Twice the box's fineness makes linear
interpolation good to some percent within the sphere that holds the particle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft
import scipy.ndimage

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64, Indices, Real
from mapsort.stages.components.band import Band
from mapsort.stages.components.cube_transforms import CubeTransforms

#: Grid points per Fourier pixel of the box.
FINENESS = 2


def _odd_fast_length(least: int) -> int:
    """Return the next odd size that transforms well: no prime factor above 17.

    Larger factors than 7 cost a little time in the transforms; the next size without them may have
    twice the voxels.
    """
    size = least | 1
    while True:
        rest = size
        for prime in (3, 5, 7, 11, 13, 17):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


@dataclass(frozen=True)
class SliceGrid:
    """The grid for the points of a band up to a ring."""

    band: Band
    #: Last ring in use.
    rings: int
    #: Radius of the sphere that holds the particle [pixels of the box].
    radius_px: float
    n_threads: int = 1
    #: Mask, 0 to 1, of where maps may differ, (box, box, box); None for everywhere.
    region: Float32 | None = None

    @cached_property
    def side(self) -> int:
        """Edge of the grid; odd."""
        # a point of radius rings + 1/2 touches the next grid point
        return _odd_fast_length(2 * (FINENESS * self.rings + FINENESS) + 1)

    @property
    def half(self) -> int:
        """Index of the origin along z and y, and the last along x."""
        return self.side // 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a map's stored half: z and y from -half, x from 0."""
        return self.side, self.side, self.half + 1

    @property
    def voxels(self) -> int:
        """Stored voxels of a map."""
        return self.side * self.side * (self.half + 1)

    @property
    def n_points(self) -> int:
        """Points of a slice."""
        return self.band.n_points(self.rings)

    def slices(self, volumes: Complex64, rotations: Float64) -> Complex64:
        """Return central slices of several maps.

        Parameters
        ----------
        volumes : ndarray of shape (voxels, q), complex64
        rotations : ndarray of shape (k, 3, 3)
            Object to view.

        Returns
        -------
        ndarray of shape (k, m, q), complex64
        """
        plan = self._plan(rotations)
        return plan.read(np.ascontiguousarray(volumes), n_threads=self.n_threads)

    def insert(
        self,
        data: Complex64,
        data_weights: Float32,
        density: Float32,
        density_weights: Float32,
        rotations: Float64,
    ) -> tuple[Complex64, Float32]:
        """Sum weighted slices into several maps: the adjoint of `slices`.

        Parameters
        ----------
        data : ndarray of shape (k, m), complex64
        data_weights : ndarray of shape (k, a), float32
            Column j gets ``data * data_weights[:, j]``.
        density : ndarray of shape (k, m), float32
        density_weights : ndarray of shape (k, b), float32
        rotations : ndarray of shape (k, 3, 3)

        Returns
        -------
        numerator : ndarray of shape (voxels, a), complex64
        denominator : ndarray of shape (voxels, b), float32
        """
        sums = self.no_sums(data_weights.shape[1], density_weights.shape[1])
        self.add(sums, data, data_weights, density, density_weights, rotations)
        self.add_mates(sums)
        return sums

    def no_sums(self, a: int, b: int) -> tuple[Complex64, Float32]:
        """Return sums of nothing, as `insert` gives them."""
        above = np.zeros((self.voxels, a), np.complex64)
        return above, np.zeros((self.voxels, b), np.float32)

    def add(
        self,
        sums: tuple[Complex64, Float32],
        data: Complex64,
        data_weights: Float32,
        density: Float32,
        density_weights: Float32,
        rotations: Float64,
    ) -> None:
        """Add slices to sums, as `insert` takes them; what mates add is not yet among them."""
        self._plan(rotations).insert(
            data=data,
            data_weights=data_weights,
            density=density,
            density_weights=density_weights,
            numerator=sums[0],
            denominator=sums[1],
            n_threads=self.n_threads,
        )

    def add_mates(self, sums: tuple[Complex64, Float32]) -> None:
        """Add to the plane x = 0 what its points' mates on the other side touch."""
        for values in sums:
            plane = values.reshape(*self.shape, -1)[:, :, 0]
            plane += np.conj(plane[::-1, ::-1])

    def _plan(self, rotations: Float64) -> _core.LinearSlices:
        points = FINENESS * self.band.frequencies[: self.n_points]
        plan = _core.LinearSlices(points, self.side)
        plan.set_views(rotations)
        return plan

    @cached_property
    def shell(self) -> Indices:
        """Rounded radius of each voxel in Fourier pixels of the box, (voxels,)."""
        line = (np.arange(self.side) - self.half) ** 2
        square = line[:, None, None] + line[:, None] + line[self.half :]
        return np.asarray(np.rint(np.sqrt(square) / FINENESS), dtype=np.intp).ravel()

    @cached_property
    def kept(self) -> Indices:
        """Voxels up to the last ring, rising, (m,); sums are kept of these only."""
        return np.flatnonzero(self.shell <= self.rings)

    @cached_property
    def shell_kept(self) -> Indices:
        """Shells of the voxels that are kept, (m,)."""
        return self.shell[self.kept]

    def spread(self, values: Complex64) -> Complex64:
        """Return maps (voxels, q) of values (m, q) of the voxels that are kept, 0 elsewhere."""
        whole = np.zeros((self.voxels, values.shape[1]), values.dtype)
        whole[self.kept] = values
        return whole

    @cached_property
    def _multiplicity(self) -> Float64:
        """How many of the whole space's voxels each that is kept stands for."""
        return np.where(self.kept % (self.half + 1) == 0, 1.0, 2.0)

    def shell_means(self, values: Real) -> Float64:
        """Return means over shells, (rings + 1, q), of values (m, q) of voxels that are kept."""
        shells, multiplicity = self.shell_kept, self._multiplicity
        count = np.bincount(shells, multiplicity, self.rings + 1)
        columns = (
            np.bincount(shells, multiplicity * values[:, j], self.rings + 1)
            for j in range(values.shape[1])
        )
        return np.stack(list(columns), axis=1) / count[:, None]

    @cached_property
    def inside(self) -> Float32:
        """1 for voxels up to the last ring, else 0; (voxels, 1)."""
        return (self.shell <= self.rings).astype(np.float32)[:, None]

    @property
    def _window_edge(self) -> float:
        """Width of the window's soft edge [pixels of the box]."""
        return max(0.08 * self.band.box, 1.0)

    @cached_property
    def window(self) -> Float32:
        """Soft sphere about the particle, (side, side, side), the origin at index 0."""
        share = (self.radius_px - self.distance) / self._window_edge + 0.5
        return np.clip(share, 0.0, 1.0).astype(np.float32)

    @cached_property
    def _cube(self) -> Indices:
        """Index along each axis of the points of the cube about the window, from lowest to highest.

        A box is half as wide as the grid, so that the window leaves a twelfth of it: transforms of
        maps within it need not compute the rest.
        """
        reach = int((self.radius_px + 0.5 * self._window_edge) / self.pixel)
        return np.asarray(np.arange(-min(reach, self.half), min(reach, self.half) + 1) % self.side)

    @cached_property
    def cube_window(self) -> Float32:
        """The window in its cube, (c, c, c), the centre in the middle."""
        return self.window[np.ix_(self._cube, self._cube, self._cube)]

    @property
    def distance(self) -> Float64:
        """Of the grid's points in real space from the centre [pixels of the box]."""
        square = (self._line * self.pixel) ** 2
        return np.asarray(np.sqrt(square[:, None, None] + square[:, None] + square))

    @property
    def _line(self) -> Float64:
        """Positions of the grid's points in real space, from index 0 on."""
        return np.asarray(scipy.fft.ifftshift(np.arange(self.side) - self.half), np.float64)

    @property
    def pixel(self) -> float:
        """Distance of the grid's points in real space [pixels of the box]."""
        return FINENESS * self.band.box / self.side

    def real(self, volumes: Complex64) -> Float32:
        """Return maps (side, side, side, q), the origin at index 0."""
        stored = scipy.fft.ifftshift(volumes.reshape(*self.shape, -1), axes=(0, 1))
        maps = scipy.fft.irfftn(
            stored, s=(self.side,) * 3, axes=(0, 1, 2), workers=self.n_threads, overwrite_x=True
        )
        return np.asarray(maps, dtype=np.float32)

    def fourier(self, maps: Float32) -> Complex64:
        """Return the transforms (voxels, q) of maps (side, side, side, q) as `real` gives them."""
        stored = scipy.fft.rfftn(maps, axes=(0, 1, 2), workers=self.n_threads)
        whole = scipy.fft.fftshift(stored, axes=(0, 1))
        return np.ascontiguousarray(whole, dtype=np.complex64).reshape(self.voxels, -1)

    @cached_property
    def _transforms(self) -> CubeTransforms:
        # points of slices lie within the last ring; their neighbours less than two points beyond
        radius = FINENESS * self.rings + FINENESS // 2 + 2
        return CubeTransforms(self.side, len(self._cube) // 2, radius, self.n_threads)

    def in_cube(self, volumes: Complex64) -> Float32:
        """Return maps (c, c, c, q) in the window's cube of transforms (voxels, q)."""
        return self._transforms.to_cube(volumes.reshape(*self.shape, -1))

    def of_cube(self, maps: Float32) -> Complex64:
        """Return transforms (voxels, q) of maps (c, c, c, q) that are zero outside the cube."""
        return self._transforms.of_cube(maps).reshape(self.voxels, -1)

    def masked(self, volumes: Complex64, weight: Float32 | None = None) -> Complex64:
        """Return transforms (voxels, q) of maps times the window, and a weight in its cube."""
        window = self.cube_window if weight is None else self.cube_window * weight
        return self.of_cube(self.in_cube(volumes) * window[..., None])

    def placed(self, volumes: Complex64) -> Float32:
        """Return maps (c, c, c, q) of transforms (voxels, q), within the window and the region."""
        where = self.cube_window
        if self.region is not None:
            where = where * self._region[np.ix_(self._cube, self._cube, self._cube)]
        return self.in_cube(volumes) * where[..., None]

    def focused(self, volumes: Complex64, common: int = 0) -> Complex64:
        """Return transforms (voxels, q) of maps that end where the region does, if there is one.

        Parameters
        ----------
        common : int
            The first so many maps stay whole: they are what all particles have in common.
        """
        if self.region is None:
            return volumes
        maps = self.real(volumes)
        maps[..., common:] *= self._region[..., None]
        return self.fourier(maps)

    @cached_property
    def _region(self) -> Float32:
        """The region at the grid's points, (side, side, side), the origin at index 0."""
        assert self.region is not None, "asked for where there is one"
        # a coarse grid must not miss a small region between its points
        smooth = scipy.ndimage.gaussian_filter(self.region, 0.5 * max(self.pixel - 1.0, 0.0))
        line = self._line * self.pixel + self.band.box // 2
        places = np.stack(np.meshgrid(line, line, line, indexing="ij"))
        return np.asarray(scipy.ndimage.map_coordinates(smooth, places, order=1), np.float32)

    def moments(self, volume: Complex64) -> Complex64:
        """Return transforms of a map and of its first moments along x, y and z, (voxels, 4).

        The map, (voxels, 1), is zero outside the window. The derivatives per Fourier pixel of the
        box are i times the last three, which as they are have Friedel mates.
        """
        density = self.in_cube(volume)[..., 0]
        line = (-2 * np.pi * FINENESS / self.side) * self._line[self._cube]
        line = line.astype(np.float32)
        slopes = [density * line, density * line[:, None], density * line[:, None, None]]
        return np.concatenate([volume, self.of_cube(np.stack(slopes, axis=-1))], axis=1)

    def boxed(self, volumes: Complex64) -> Float32:
        """Return maps in the box, (q, box, box, box), low-passed to the last ring.

        Quotients of insertion are the transform averaged over neighbours, as slices are read: that
        multiplies the map by the triangle's transform, which is divided out.
        """
        box, half = self.band.box, self.half
        reach = min(self.rings, (box - 1) // 2)
        steps = np.arange(-reach, reach + 1)
        triangle = np.sinc(self._line / self.side).astype(np.float32) ** 2
        seen = triangle[:, None, None, None] * triangle[:, None, None] * triangle[:, None]
        stored = (self.fourier(self.real(volumes) / seen) * self.inside).reshape(*self.shape, -1)
        at = half + FINENESS * steps
        part = stored[np.ix_(at, at, FINENESS * np.arange(reach + 1))]
        target = np.zeros((box, box, box // 2 + 1, volumes.shape[1]), np.complex64)
        target[np.ix_(steps % box, steps % box, np.arange(reach + 1))] = part
        maps = scipy.fft.irfftn(target, s=(box,) * 3, axes=(0, 1, 2), workers=self.n_threads)
        centred = scipy.fft.fftshift(maps, axes=(0, 1, 2))
        return np.ascontiguousarray(np.moveaxis(centred, -1, 0), dtype=np.float32)
