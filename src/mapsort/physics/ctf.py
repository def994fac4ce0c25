"""Contrast transfer function of the electron microscope, one set of parameters per particle."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import SupportsIndex

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from mapsort.array_types import Bool, Float32, Float64, Integer

_MM_IN_ANG = 1e7
_UM_IN_ANG = 1e4


def electron_wavelength(voltage_kv: ArrayLike) -> Float64:
    """Return the relativistic electron wavelength [A] of a voltage [kV].

    ``12.2643247 / sqrt(V + 0.978466e-6 V^2)``, V in volts (as RELION; EMAN2's rounded constant
    differs by 3.5e-5 relative).

    Examples
    --------
    >>> float(electron_wavelength(300.0).round(5))
    0.01969
    """
    volts = np.asarray(voltage_kv, dtype=np.float64) * 1e3
    return np.asarray(12.2643247 / np.sqrt(volts * (1.0 + volts * 0.978466e-6)))


@dataclass(frozen=True, eq=False, kw_only=True)
class ContrastTransfer:
    """Parameters of the contrast transfer function of n particles.

    Scalars and columns of length 1 are broadcast to the common length.  Density is white and
    defocus is positive for underfocus: the function is positive at low frequency.

    Attributes
    ----------
    defocus_u_ang, defocus_v_ang : ndarray of shape (n,), float64
        Defocus along the two main axes of astigmatism, Angstrom.
    defocus_angle_deg : ndarray of shape (n,), float64
        Direction of the u axis, from x towards y (increasing row index), degrees.
    phase_shift_deg : ndarray of shape (n,), float64
        Phase shift of a phase plate, degrees.
    voltage_kv : ndarray of shape (n,), float64
        Acceleration voltage, kV.
    cs_mm : ndarray of shape (n,), float64
        Spherical aberration, mm.
    amplitude_contrast : ndarray of shape (n,), float64
        Fraction of amplitude contrast, -1 to 1.
    bfactor_ang2 : ndarray of shape (n,), float64
        B of the envelope ``exp(-B s^2 / 4)``, square Angstrom.

    Raises
    ------
    ValueError
        If the lengths do not agree, a value is not finite, a voltage is not positive, or an
        amplitude contrast is outside [-1, 1].
    """

    defocus_u_ang: Float64
    defocus_v_ang: Float64
    defocus_angle_deg: Float64
    phase_shift_deg: Float64
    voltage_kv: Float64
    cs_mm: Float64
    amplitude_contrast: Float64
    bfactor_ang2: Float64

    def __post_init__(self) -> None:
        names = [f.name for f in fields(self)]
        columns = [np.atleast_1d(np.asarray(getattr(self, k), dtype=np.float64)) for k in names]
        n = next((len(c) for c in columns if len(c) != 1), 1)
        for name, column in zip(names, columns, strict=True):
            if column.ndim != 1 or len(column) not in (1, n):
                raise ValueError(f"{name}: expected shape ({n},) or a number, got {column.shape}")
            full = np.ascontiguousarray(np.broadcast_to(column, (n,)))
            _check_column(name, full)
            object.__setattr__(self, name, full)

    def __len__(self) -> int:
        return len(self.defocus_u_ang)

    def __getitem__(self, index: SupportsIndex | slice | Bool | Integer) -> ContrastTransfer:
        """Select particles; a single index gives an object of length 1."""
        chosen = {f.name: np.atleast_1d(getattr(self, f.name)[index]) for f in fields(self)}
        return ContrastTransfer(**chosen)

    @classmethod
    def from_eman(
        cls,
        *,
        defocus_um: ArrayLike,
        voltage_kv: ArrayLike,
        cs_mm: ArrayLike,
        ampcont_percent: ArrayLike,
        dfdiff_um: ArrayLike = 0.0,
        dfang_deg: ArrayLike = 0.0,
        bfactor_ang2: ArrayLike = 0.0,
    ) -> ContrastTransfer:
        """Translate EMAN2's parameters.

        Parameters
        ----------
        defocus_um : array_like
            Mean defocus, micrometre, positive for underfocus.
        voltage_kv, cs_mm : array_like
            Voltage (kV) and spherical aberration (mm).
        ampcont_percent : array_like
            Amplitude contrast in percent; beyond +-100 it encodes the total phase shift phi of a
            phase plate, ``ampcont = +-100 (2 - sin |phi|)``.
        dfdiff_um, dfang_deg : array_like
            Astigmatism: difference between the extreme defocus values (micrometre) and direction
            of the larger one (degrees).
        bfactor_ang2 : array_like
            B of ``exp(-B s^2 / 4)``, square Angstrom.

        Raises
        ------
        ValueError
            As for the constructor, or if the amplitude contrast is beyond +-300 percent.
        """
        mean = np.asarray(defocus_um, dtype=np.float64) * _UM_IN_ANG
        half = np.asarray(dfdiff_um, dtype=np.float64) * _UM_IN_ANG / 2.0
        amplitude, phase_deg = _eman_phase(np.asarray(ampcont_percent, dtype=np.float64) / 100.0)
        return cls(
            defocus_u_ang=np.asarray(mean + half),
            defocus_v_ang=np.asarray(mean - half),
            defocus_angle_deg=np.asarray(dfang_deg, dtype=np.float64),
            phase_shift_deg=phase_deg,
            voltage_kv=np.asarray(voltage_kv, dtype=np.float64),
            cs_mm=np.asarray(cs_mm, dtype=np.float64),
            amplitude_contrast=amplitude,
            bfactor_ang2=np.asarray(bfactor_ang2, dtype=np.float64),
        )

    def coefficients(self) -> Float32:
        """Return the coefficients that the kernels evaluate, (n, 6) float32.

        c0 to c5 of ``C(s, theta) = sin(c0 s^2 + c1 s^2 cos(2 (theta - c2)) + c3 s^4 + c4) exp(-c5
        s^2 / 4)``, s in 1/Angstrom, theta = atan2(ky, kx) in radians, y along rows. ``c0 = pi L (U
        + V) / 2``, ``c1 = pi L (U - V) / 2``, c2 = direction of U in radians, ``c3 = -pi Cs L^3 /
        2``, ``c4 = phase shift + asin(amplitude contrast)``, c5 = B, with the wavelength L; see
        Rohou & Grigorieff (2015), doi:10.1016/j.jsb.2015.08.008.
        """
        return self._exact_coefficients().astype(np.float32)

    def _exact_coefficients(self) -> Float64:
        wavelength = electron_wavelength(self.voltage_kv)
        columns = [
            np.pi * wavelength * (self.defocus_u_ang + self.defocus_v_ang) / 2.0,
            np.pi * wavelength * (self.defocus_u_ang - self.defocus_v_ang) / 2.0,
            np.deg2rad(self.defocus_angle_deg),
            -np.pi / 2.0 * self.cs_mm * _MM_IN_ANG * wavelength**3,
            np.deg2rad(self.phase_shift_deg) + np.arcsin(self.amplitude_contrast),
            self.bfactor_ang2,
        ]
        return np.stack(columns, axis=1)


def ctf_images(ctf: ContrastTransfer, box: int, apix: float) -> Float32:
    """Return contrast transfer functions on the half-complex grid, (n, box, box // 2 + 1) float32.

    To be multiplied with ``scipy.fft.rfft2`` of an image of pixels of `apix` [A]; zero frequency at
    [0, 0]. The phase reaches hundreds of radians, so it is computed in double precision from the
    unrounded coefficients; the function is exact to 3e-7.

    Raises
    ------
    ValueError
        If the box or the pixel size is not positive.
    """
    if box < 1 or apix <= 0:
        raise ValueError(f"box and apix must be positive, got {box} and {apix}")
    ky = scipy.fft.fftfreq(box, apix)[:, None]
    kx = scipy.fft.rfftfreq(box, apix)[None, :]
    s2 = kx**2 + ky**2
    cos_part, sin_part = kx**2 - ky**2, 2.0 * kx * ky  # s^2 cos(2 theta), s^2 sin(2 theta)
    s4 = s2**2
    images = np.empty((len(ctf), box, box // 2 + 1), dtype=np.float32)
    for image, (c0, c1, c2, c3, c4, c5) in zip(images, ctf._exact_coefficients(), strict=True):
        phase = c0 * s2 + c3 * s4 + c4
        if c1 != 0.0:
            phase += c1 * (np.cos(2.0 * c2) * cos_part + np.sin(2.0 * c2) * sin_part)
        # whole turns taken off in double precision: the sine of what is left needs only single
        phase -= 2.0 * np.pi * np.rint(phase * (0.5 / np.pi))
        np.sin(phase.astype(np.float32), out=image)
        if c5 != 0.0:
            image *= np.exp(-c5 / 4.0 * s2)
    return images


def _check_column(name: str, column: Float64) -> None:
    bad = ~np.isfinite(column)
    if name == "voltage_kv":
        bad |= column <= 0
    if name == "amplitude_contrast":
        bad |= np.abs(column) > 1
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name}: {column[i]} of particle {i} (from 0) is not possible")


def _eman_phase(ratio: Float64) -> tuple[Float64, Float64]:
    """Amplitude contrast (fraction) and phase shift (degrees) of EMAN2's ampcont / 100."""
    plate = np.abs(ratio) > 1.0
    turn = np.sign(ratio) * (np.pi - np.arcsin(np.clip(2.0 - np.abs(ratio), -1.0, 1.0)))
    if np.any(np.abs(ratio) > 3.0):
        raise ValueError("ampcont_percent: expected -300 to 300 percent")
    return np.where(plate, 0.0, ratio), np.rad2deg(np.where(plate, turn, 0.0))
