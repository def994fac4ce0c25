"""What a reconstructor's name stands for: settings of the one least-squares solver."""

from __future__ import annotations

from dataclasses import dataclass

#: Steps of conjugate gradients are never more than this.
MAX_STEPS = 20


@dataclass(frozen=True)
class ReconstructionMethod:
    """How a map is made from spread slices."""

    #: Steps of conjugate gradients at most; well covered data need 4 to 12. They start from
    #: filtered back-projection.
    max_steps: int = MAX_STEPS
    #: Signal-to-noise ratio of a slice of weight 1: 1/snr is added to the density everywhere.
    snr: float | None = None
    #: Whether the map is Wiener-filtered by the spectral signal-to-noise ratio of its halves.
    ssnr: bool = False

    @property
    def wiener(self) -> float:
        """What is added to the density, in units of the slices' weights."""
        return 0.0 if self.snr is None else 1.0 / self.snr
