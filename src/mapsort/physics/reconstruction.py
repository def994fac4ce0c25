"""What a reconstructor's name stands for: settings of the one least-squares solver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReconstructionMethod:
    """How a map is made from spread slices.

    Attributes
    ----------
    iterated : bool
        Least squares by conjugate gradients; else filtered back-projection, which is their start.
    snr : float or None
        Signal-to-noise ratio of a slice of weight 1: 1/snr is added to the density everywhere.
    ssnr : bool
        Whether the map is Wiener-filtered by the spectral signal-to-noise ratio of its halves.
    """

    iterated: bool = True
    snr: float | None = None
    ssnr: bool = False

    @property
    def wiener(self) -> float:
        """What is added to the density, in units of the slices' weights."""
        return 0.0 if self.snr is None else 1.0 / self.snr
