"""Noise of the coefficients: a part that every image has, and one under the CTF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Float64, Indices

#: Values of CTF^2 that powers are collected by.
BINS = 32
#: Refits with new weights; more change nothing.
_REFITS = 4
#: Least part of a ring's power that is noise without CTF.
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class NoiseModel:
    """Variance a(ring) + b(ring) C^2: shot noise, and what the microscope images (ice)."""

    #: plain and imaged, (rings + 1,): a and b.
    plain: Float64
    imaged: Float64

    def deviation(self, ring: Indices, transfer: Float32) -> Float32:
        """Return the standard deviation, (k, m), at rings (m,) for transfers (k, m)."""
        plain, imaged = (curve.astype(np.float32)[ring] for curve in (self.plain, self.imaged))
        return np.asarray(np.sqrt(plain + imaged * np.square(transfer)))

    def replaced(self, other: NoiseModel) -> NoiseModel:
        """Return the same with the other's values for the rings that it has."""
        rings = len(other.plain)
        return NoiseModel(
            np.concatenate([other.plain, self.plain[rings:]]),
            np.concatenate([other.imaged, self.imaged[rings:]]),
        )


class PowerSums:
    """Powers that a model leaves, by ring and by CTF^2: all that the noise's fit needs.

    Parameters
    ----------
    ring : ndarray of shape (m,)
        Rings of the coefficients.
    """

    def __init__(self, ring: Indices) -> None:
        self._ring = ring
        self._count, self._square, self._power = np.zeros((3, int(ring[-1]) + 1, BINS))

    def add(self, power: Float32, transfer: Float32) -> None:
        """Count powers (k, m) of coefficients of these transfers (k, m)."""
        square = np.square(transfer)
        bins = np.minimum((square * BINS).astype(np.intp), BINS - 1)
        place = (self._ring * BINS + bins).ravel()
        for total, values in (
            (self._count, None),
            (self._square, square),
            (self._power, power),
        ):
            weights = None if values is None else values.ravel()
            total += np.bincount(place, weights, total.size).reshape(total.shape)

    def fit(self) -> NoiseModel:
        """Return the noise that explains them; a power's deviation is as large as itself."""
        curves = np.zeros((2, len(self._count)))
        for ring in np.unique(self._ring):
            curves[:, ring] = self._fit_ring(ring)
        return NoiseModel(*curves)

    def _fit_ring(self, ring: int) -> tuple[float, float]:
        there = self._count[ring] > 0
        count, power = self._count[ring][there], self._power[ring][there]
        square = self._square[ring][there] / count
        mean = max(float(power.sum() / count.sum()), 1e-30)
        plain, imaged = mean, 0.0
        for _ in range(_REFITS):
            weight = 1 / (plain + imaged * square) ** 2
            one, first, second = (float((weight * count * square**k).sum()) for k in (0, 1, 2))
            powers = [float((weight * power * square**k).sum()) for k in (0, 1)]
            spread = one * second - first**2
            # all of one CTF^2 (no CTF): the two parts cannot be told apart
            known = spread > 1e-6 * one * second
            imaged = max(0.0, (one * powers[1] - first * powers[0]) / spread) if known else 0.0
            plain = max((powers[0] - imaged * first) / one, _LEAST_SHARE * mean)
        return plain, imaged
