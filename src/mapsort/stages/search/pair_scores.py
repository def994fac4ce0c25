"""Score aligned pairs of particle and reference by any comparator.

The search's kernels know a few comparators; every other one sees the images themselves: the
particle, and the reference as it would look in its place: turned, shifted, mirrored and under the
particle's CTF.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Float64
from mapsort.model.matches import Matches
from mapsort.modules.registry import BoundModule
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.image_moves import transform_image
from mapsort.physics.shells import shell_means


@dataclass(frozen=True)
class PairComparison:
    """A comparator and what it needs of the references."""

    #: Called with particle and reference in its place; smaller is better.
    comparator: BoundModule[..., float]
    #: Without CTF, (n_references, box, box).
    references: Float32
    #: Pixel size [A].
    apix: float
    #: Whether the particles' phases are flipped.
    flipped: bool = False
    #: Of a particle, without its CTF, in each shell, (box//2 + 1,): what ``snrweight`` weighs by
    #: where the user gives no curve.
    signal_to_noise: Float64 | None = None

    def values(
        self,
        particles: Float32,
        ctf: ContrastTransfer | None,
        matches: Matches,
        *,
        n_threads: int = 1,
    ) -> Float64:
        """Return the comparator's value of every match, (n, top); infinity where there is none."""
        with ThreadPoolExecutor(max_workers=n_threads) as pool:
            rows = pool.map(
                lambda row: self._row(particles, ctf, matches, row), range(len(particles))
            )
            return np.array(list(rows), dtype=np.float64).reshape(matches.reference.shape)

    def _row(
        self, particles: Float32, ctf: ContrastTransfer | None, matches: Matches, row: int
    ) -> list[float]:
        own = None if ctf is None else ctf[row]
        transfer = self._transfer(own)
        comparator = self._weighted(transfer)
        # this one multiplies by the CTF itself
        applied = None if comparator.module.name == "loglik" else transfer
        values = []
        for column, reference in enumerate(matches.reference[row]):
            if reference < 0:
                values.append(np.inf)
                continue
            laid = _back(matches.placing(row, column))
            placed = transform_image(self.references[reference], laid)
            if applied is not None:
                spectrum = scipy.fft.rfft2(scipy.fft.ifftshift(placed)) * applied
                placed = scipy.fft.fftshift(scipy.fft.irfft2(spectrum, s=placed.shape))
            values.append(comparator(particles[row], placed, apix=self.apix, ctf=own))
        return values

    def _weighted(self, transfer: Float32 | None) -> BoundModule[..., float]:
        """Return the comparator with this particle's signal-to-noise ratio, if it asks for one."""
        given = self.comparator.arguments
        ratio = self.signal_to_noise
        if ratio is None or not given.get("snrweight") or given.get("snr") is not None:
            return self.comparator
        box = self.references.shape[1]
        if transfer is not None:
            ratio = ratio * shell_means(transfer[None].astype(np.float64) ** 2, box)[0]
        frequency = np.arange(len(ratio)) / (box * self.apix)
        return self.comparator.with_arguments(snr=np.stack([frequency, ratio], axis=1))

    def _transfer(self, ctf: ContrastTransfer | None) -> Float32 | None:
        if ctf is None:
            return None
        transfer = ctf_images(ctf, self.references.shape[1], self.apix)[0]
        return np.asarray(np.abs(transfer) if self.flipped else transfer, dtype=np.float32)


def reranked(matches: Matches, values: Float64) -> Matches:
    """Return matches in the order of a comparator's values, smallest first.

    Scores stay log-likelihoods as far as that goes: of each particle they have the mean that they
    had, and over all particles the spread that they had among a particle's matches, so that what
    is made of scores (probabilities, the fate of nearly empty classes) has a scale.
    """
    valid = np.isfinite(values) & np.isfinite(matches.score)
    better = np.where(valid, -values, np.nan)
    score = np.where(valid, matches.score.astype(np.float64), np.nan)
    with_any = valid.any(axis=1)
    centre = np.zeros((len(values), 1))
    level = np.zeros((len(values), 1))
    centre[with_any, 0] = np.nanmean(better[with_any], axis=1)
    level[with_any, 0] = np.nanmean(score[with_any], axis=1)
    spread = float(np.nansum((better - centre) ** 2))
    wanted = float(np.nansum((score - level) ** 2))
    gain = np.sqrt(wanted / spread) if spread > 0 and wanted > 0 else 1.0
    new = np.where(valid, level + gain * (better - centre), -np.inf).astype(np.float32)
    return replace(matches, score=new).ordered()


def _back(matrix: Float64) -> Float64:
    """Return the inverse of a rigid transform (2, 3)."""
    turn, moved = matrix[:, :2], matrix[:, 2]
    return np.column_stack([turn.T, -turn.T @ moved])
