"""Sums of the particles of each class, half-sets apart."""

from __future__ import annotations

from dataclasses import dataclass

from mapsort.array_types import Complex64, Float32, Int64


@dataclass(frozen=True)
class ClassAverages:
    """CTF-weighted sums of every class in the Fourier plane of its reference.

    Attributes
    ----------
    numerator : ndarray of shape (2, n_classes, box, box//2+1), complex64
        Sum of w C X over the members of each half-set.
    density : ndarray of shape (2, n_classes, box, box//2+1), float32
        Sum of w C^2.
    count : ndarray of shape (n_classes,), int64
        Number of particles averaged.
    """

    numerator: Complex64
    density: Float32
    count: Int64

    @property
    def box(self) -> int:
        """Edge of the averages in pixels."""
        return int(self.numerator.shape[2])
