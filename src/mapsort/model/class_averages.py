"""Sums of the particles of each class, half-sets apart."""

from __future__ import annotations

from dataclasses import dataclass

from mapsort.array_types import Complex64, Float32, Int64


@dataclass(frozen=True)
class ClassAverages:
    """CTF-weighted sums of every class in the Fourier plane of its reference."""

    #: Sum of w C X over the members of each half-set, (2, n_classes, box, box//2+1).
    numerator: Complex64
    #: Sum of w C^2, (2, n_classes, box, box//2+1).
    density: Float32
    #: Number of particles averaged, (n_classes,).
    count: Int64

    @property
    def box(self) -> int:
        """Edge of the averages in pixels."""
        return int(self.numerator.shape[2])
