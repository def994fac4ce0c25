"""Sum particles at poses of their own into a map's slices, and learn the noise on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mapsort.array_types import Float32, Float64, Real
from mapsort.geometry.symmetry import Symmetry
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.shells import friedel_weight, shell_index
from mapsort.stages.average.average import ShellStatistics
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.particle_slices import weighted_slices
from mapsort.stages.reconstruct.slice_buffer import BUFFER_BYTES
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies


@dataclass
class PoseSums:
    """Collects particles at continuous poses, chunk by chunk.

    The counterpart of `ClassAccumulator` for particles that go straight into the map.
    """

    grid: InsertionGrid
    symmetry: Symmetry
    #: Pixel size [A].
    apix: float
    #: The map that the poses were found with; its slices tell signal from noise.
    projector: FourierProjector
    sums: SliceSums = field(init=False)
    statistics: ShellStatistics = field(init=False)

    def __post_init__(self) -> None:
        box = self.grid.box
        self.sums = SliceSums.empty(self.grid, float(box // 2))
        self.statistics = ShellStatistics(*(np.zeros(box // 2 + 1) for _ in range(4)))

    def add(
        self,
        images: Float32,
        rotations: Float64,
        origins: Real,
        *,
        transfer: Float32 | None = None,
        n_threads: int = 1,
    ) -> None:
        """Add particles (n, box, box) at rotations (n, 3, 3) with origins (n, 2) [pixels].

        Parameters
        ----------
        images : ndarray of shape (n, box, box)
            Treated images, white density.
        rotations : ndarray of shape (n, 3, 3)
            Object to view.
        origins : ndarray of shape (n, 2)
            The shift that centres each particle [pixels].
        transfer : ndarray of shape (n, box, box//2+1), optional
            Contrast transfer functions.
        """
        box = self.grid.box
        # insertion passes over the whole window for each call: as many at a time as memory allows
        at_once = max(1, BUFFER_BYTES // (12 * box * (box // 2 + 1)))
        for first in range(0, len(images), at_once):
            part = slice(first, first + at_once)
            self._add(
                images[part],
                np.ascontiguousarray(rotations[part]),
                origins[part],
                None if transfer is None else transfer[part],
                n_threads,
            )

    def _add(
        self,
        images: Float32,
        rotations: Float64,
        origins: Real,
        transfer: Float32 | None,
        n_threads: int,
    ) -> None:
        # without CTF, so that the numerator's own power is that of the images
        slices, _ = weighted_slices(images, shifts=-origins, n_threads=n_threads)
        self._count("image", np.abs(slices) ** 2)
        density = np.ones(slices.shape, np.float32) if transfer is None else np.square(transfer)
        if transfer is not None:
            slices *= transfer
        expected = self.projector.cartesian(rotations, n_threads=n_threads)
        self._count("cross", (slices * expected.conj()).real)
        self._count("reference", density * np.abs(expected) ** 2)
        self.statistics.terms += len(images) * self._per_shell(np.ones(slices.shape[1:]))
        insert_copies(
            self.sums,
            slices,
            density,
            rotations,
            self.symmetry,
            apix=self.apix,
            n_threads=n_threads,
        )

    def _count(self, name: str, values: Real) -> None:
        total = values.sum(axis=0, dtype=np.float64)
        getattr(self.statistics, name)[:] += self._per_shell(total)

    def _per_shell(self, plane: Real) -> Float64:
        """Sum a half plane (box, box//2+1) with its mates over rounded shells."""
        box = self.grid.box
        shells = shell_index(box, ndim=2)
        inside = shells <= box // 2
        if box % 2 == 0:
            # as in the slices: the Nyquist row and column have no mates
            inside[box // 2] = False
            inside[:, box // 2] = False
        weight = np.broadcast_to(friedel_weight(box, ndim=2), shells.shape) * plane
        sums = np.bincount(shells[inside], weight[inside], box // 2 + 1)
        return np.asarray(sums, dtype=np.float64)

    def finish(self, *, n_threads: int = 1) -> NormalEquations:
        """Return the normal equations of the map; the sums are given up."""
        return NormalEquations.of(self.sums, n_threads=n_threads)
