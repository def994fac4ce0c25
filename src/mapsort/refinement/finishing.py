"""What is done to maps between reconstruction and mask: ``--m3dsetsf``, ``--m3dpostprocess``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.errors import ConfigError, FormatError
from mapsort.model.class_averages import ClassAverages
from mapsort.modules.parameter import read_curve
from mapsort.modules.processors import apply_chain, processor_chain
from mapsort.modules.registry import BoundModule
from mapsort.physics.radial_matching import set_structure_factor
from mapsort.stages.average.class_spectra import cross_power

if TYPE_CHECKING:
    from mapsort.options.multi import MultiOptions


#: ``--m3dsetsf`` without a file.
MEASURED, NONE = "auto", "none"


@dataclass(frozen=True)
class MapFinishing:
    """What every map of an iteration goes through, all maps alike."""

    #: Structure factor, (m, 2): frequency [1/A] and intensity, on any scale.
    curve: Float64 | None
    chain: tuple[BoundModule[..., Float32], ...]
    #: Pixel size [A].
    apix: float

    @classmethod
    def of(cls, options: MultiOptions, averages: ClassAverages, apix: float) -> MapFinishing:
        """Return what the options ask for; the averages tell the structure factor if no file."""
        asked = options.m3dsetsf.strip()
        curve = None
        if asked == MEASURED:
            power = cross_power(averages)
            frequency = np.arange(len(power)) / (averages.box * apix)
            curve = np.stack([frequency, power], axis=1)
        elif asked != NONE:
            curve = structure_factor(Path(asked))
        return cls(curve, processor_chain(options.m3dpostprocess), apix)

    @property
    def does_nothing(self) -> bool:
        """Whether maps stay as they are."""
        return self.curve is None and not self.chain

    def finished(
        self, volumes: Sequence[Float32], noise_to_signal: Sequence[Float64]
    ) -> list[Float32]:
        """Return the maps finished, all multiplied by one number that restores their scale.

        Parameters
        ----------
        volumes : sequence of ndarray (box, box, box)
            Wiener-filtered maps.
        noise_to_signal : sequence of ndarray (box//2 + 1,)
            Of each: shells get the structure factor as far as they hold signal.
        """
        if self.does_nothing:
            return list(volumes)
        changed = [
            self._changed(volume, ratio)
            for volume, ratio in zip(volumes, noise_to_signal, strict=True)
        ]
        shared = sum(float(np.vdot(a, b)) for a, b in zip(volumes, changed, strict=True))
        power = sum(float(np.vdot(b, b)) for b in changed)
        if not (np.isfinite(power) and power > 0 and shared > 0):
            raise ConfigError(
                "--m3dsetsf, --m3dpostprocess: what they leave of the maps does not correlate with "
                "them any more"
            )
        return [np.asarray(volume * np.float32(shared / power)) for volume in changed]

    def _changed(self, volume: Float32, noise_to_signal: Float64) -> Float32:
        if self.curve is not None:
            volume = set_structure_factor(
                volume, self._with_merit(noise_to_signal, len(volume)), apix=self.apix
            )
        finished, _ = apply_chain(self.chain, volume, apix=self.apix)
        if finished.shape != volume.shape:
            names = ", ".join(bound.module.name for bound in self.chain)
            raise ConfigError(f"--m3dpostprocess: {names}: changes the size of the map")
        return finished

    def _with_merit(self, noise_to_signal: Float64, box: int) -> Float64:
        """Return the curve at the map's shells, times how much signal they hold."""
        assert self.curve is not None
        frequency = np.arange(len(noise_to_signal)) / (box * self.apix)
        intensity = np.interp(frequency, self.curve[:, 0], self.curve[:, 1])
        return np.stack([frequency, intensity / (1.0 + noise_to_signal) ** 2], axis=1)


def given_structure_factor(options: MultiOptions) -> Path | None:
    """Return the file of ``--m3dsetsf``, if there is one, after a look into it.

    Raises
    ------
    ConfigError
        As `structure_factor`.
    """
    asked = options.m3dsetsf.strip()
    if asked in (MEASURED, NONE):
        return None
    structure_factor(Path(asked))
    return Path(asked)


def structure_factor(path: Path) -> Float64:
    """Read a structure factor: two columns, frequency [1/A] and intensity.

    Raises
    ------
    ConfigError
        Naming the option, for a file that cannot be read or is no such curve.
    """
    try:
        curve = np.asarray(read_curve(str(path)), dtype=np.float64)
    except FormatError as error:
        raise ConfigError(f"--m3dsetsf={path}: {error}") from error
    rising = curve.ndim == 2 and curve.shape[1] >= 2 and len(curve) >= 2
    rising = rising and bool(np.all(np.diff(curve[:, 0]) > 0)) and bool(np.all(curve[:, 1] >= 0))
    if not rising:
        raise ConfigError(
            f"--m3dsetsf={path}: expected two columns, rising frequency in 1/A and intensity, none "
            "negative"
        )
    return curve[:, :2]
