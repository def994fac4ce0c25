"""EMAN2's CTF: its text form in headers and its JSON form in lists, from and to parameters.

The text form is ``E<defocus> <dfdiff> <dfang> <bfactor> <ampcont> <voltage> <cs> <apix> <dsbg>
<n>,b0,b1... <m>,s0,s1...``: micrometre, degrees, square Angstrom, percent, kV, mm, Angstrom,
1/Angstrom, and the radial background and signal-to-noise curves with spacing ``dsbg``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from mapsort.physics.ctf import ContrastTransfer

#: Numbers in the order of the text form, and what the JSON form calls them.
_NUMBERS = {
    "defocus_um": "defocus",
    "dfdiff_um": "dfdiff",
    "dfang_deg": "dfang",
    "bfactor_ang2": "bfactor",
    "ampcont_percent": "ampcont",
    "voltage_kv": "voltage",
    "cs_mm": "cs",
    "apix": "apix",
    "dsbg": "dsbg",
}
_JSON_CLASS = "EMAN2Ctf"
_UM_IN_ANG = 1e4


@dataclass(frozen=True, kw_only=True)
class EmanCtf:
    """EMAN2's CTF parameters of one image."""

    #: defocus_um, dfdiff_um and dfang_deg: mean defocus (underfocus positive), difference of the
    #: extremes, direction of the larger.
    defocus_um: float
    dfdiff_um: float = 0.0
    dfang_deg: float = 0.0
    #: B of ``exp(-B s^2 / 4)``.
    bfactor_ang2: float = 0.0
    #: Amplitude contrast; beyond +-100 it stands for a phase plate.
    ampcont_percent: float
    #: voltage_kv and cs_mm: microscope.
    voltage_kv: float
    cs_mm: float
    #: Pixel size [A/pixel].
    apix: float = 1.0
    #: Spacing of the curves [1/A].
    dsbg: float = 0.0
    #: background and snr: radial curves; empty when they were not determined.
    background: tuple[float, ...] = ()
    snr: tuple[float, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> EmanCtf:
        """Read the text form.

        Raises
        ------
        ValueError
            It is not an EMAN2 CTF (``O...`` is EMAN1's), or a number is not usable.
        """
        if not text.startswith("E"):
            raise ValueError(f"{text[:20]!r} is not an EMAN2 CTF, which begins with E")
        words = text[1:].split()
        if len(words) < len(_NUMBERS):
            raise ValueError(f"{text[:40]!r} has {len(words)} values, a CTF at least 9")
        numbers = [_finite(word) for word in words[: len(_NUMBERS)]]
        curves = [_curve(word) for word in words[len(_NUMBERS) :][:2]]
        background, snr = (*curves, (), ())[:2]
        return cls(
            **dict(zip(_NUMBERS, numbers, strict=True)), background=background, snr=snr
        )._checked()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EmanCtf:
        """Read the JSON form of lists and sidecar files; missing numbers are 0.

        Raises
        ------
        ValueError
            Defocus, amplitude contrast, voltage or Cs is missing, or a value is not a number.
        """
        missing = [k for k in ("defocus", "ampcont", "voltage", "cs") if k not in value]
        if missing:
            raise ValueError(f"the CTF has no {missing[0]}")
        numbers: dict[str, Any] = {
            name: _finite(value[key]) for name, key in _NUMBERS.items() if key in value
        }
        curves: dict[str, Any] = {
            key: tuple(_finite(item) for item in value[key])
            for key in ("background", "snr")
            if isinstance(value.get(key), list)
        }
        return cls(**numbers, **curves)._checked()

    def text(self) -> str:
        """Return the text form, with as many digits as reading the same numbers back takes."""
        head = " ".join(_short(getattr(self, name)) for name in _NUMBERS)
        curves = (",".join([str(len(c)), *map(_short, c)]) for c in (self.background, self.snr))
        return f"E{head} " + " ".join(curves)

    def json(self) -> dict[str, Any]:
        """Return the JSON form."""
        numbers = {key: getattr(self, name) for name, key in _NUMBERS.items()}
        curves = {"background": list(self.background), "snr": list(self.snr)}
        return {"__class__": _JSON_CLASS, **numbers, **curves}

    def parameters(self, phase_shift_deg: float | None = None) -> dict[str, float]:
        """Return the parameters under RELION's labels, in the units of `ctf_values`.

        EMAN2 keeps only the sum of phase shift and amplitude contrast: the share of the phase plate
        is ``phase_shift_deg``, where it is known.
        """
        ctf = ContrastTransfer.from_eman(**self._eman_arguments())
        shift, amplitude = float(ctf.phase_shift_deg[0]), float(ctf.amplitude_contrast[0])
        if phase_shift_deg is not None:
            rest = math.radians(shift - phase_shift_deg) + math.asin(amplitude)
            if abs(rest) <= math.pi / 2:
                shift, amplitude = phase_shift_deg, math.sin(rest)
        return {
            "rlnDefocusU": float(ctf.defocus_u_ang[0]),
            "rlnDefocusV": float(ctf.defocus_v_ang[0]),
            "rlnDefocusAngle": self.dfang_deg,
            "rlnPhaseShift": shift,
            "rlnVoltage": self.voltage_kv,
            "rlnSphericalAberration": self.cs_mm,
            "rlnAmplitudeContrast": amplitude,
            "rlnCtfBfactor": self.bfactor_ang2,
        }

    @classmethod
    def from_parameters(cls, values: Mapping[str, float], apix: float) -> EmanCtf:
        """Return EMAN2's parameters of RELION's, which are under the same labels as `parameters`.

        Raises
        ------
        ValueError
            The total phase shift has no form in EMAN2 (beyond half a turn).
        """
        u, v = values["rlnDefocusU"], values["rlnDefocusV"]
        return cls(
            defocus_um=(u + v) / 2 / _UM_IN_ANG,
            dfdiff_um=(u - v) / _UM_IN_ANG,
            dfang_deg=values["rlnDefocusAngle"],
            bfactor_ang2=values["rlnCtfBfactor"],
            ampcont_percent=_ampcont(values["rlnAmplitudeContrast"], values["rlnPhaseShift"]),
            voltage_kv=values["rlnVoltage"],
            cs_mm=values["rlnSphericalAberration"],
            apix=apix,
        )

    def with_curves_of(self, other: EmanCtf) -> EmanCtf:
        """Return these parameters with background and SNR curves of another image's CTF."""
        return replace(self, dsbg=other.dsbg, background=other.background, snr=other.snr)

    def _checked(self) -> EmanCtf:
        ContrastTransfer.from_eman(**self._eman_arguments())  # raises what it cannot use
        return self

    def _eman_arguments(self) -> dict[str, float]:
        wanted = {item.name for item in fields(self)} - {"apix", "dsbg", "background", "snr"}
        return {name: getattr(self, name) for name in sorted(wanted)}


def _ampcont(amplitude: float, phase_shift_deg: float) -> float:
    """Percent of amplitude contrast that stands for amplitude contrast and phase shift together.

    EMAN2 takes values beyond +-100 for phases beyond a quarter turn: +-100 (2 - sin |phase|).
    """
    if phase_shift_deg == 0:
        return amplitude * 100.0
    phase = math.radians(phase_shift_deg) + math.asin(amplitude)
    phase = math.remainder(phase, 2 * math.pi)
    if abs(phase) <= math.pi / 2:
        return 100.0 * math.sin(phase)
    return math.copysign(100.0 * (2.0 - math.sin(abs(phase))), phase)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a usable number")
    return number


def _curve(word: str) -> tuple[float, ...]:
    count, *values = word.split(",")
    values = [value for value in values if value]
    if int(count) != len(values):
        raise ValueError(f"a curve of {count} values has {len(values)}")
    return tuple(_finite(value) for value in values)


def _short(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
