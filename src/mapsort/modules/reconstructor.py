"""Reconstructors: how slices become a map.

Names are the original's. All solve the same least-squares problem with the same gridding kernel,
whose error is near 1e-5 of the map's amplitude: an interpolation mode is
accepted by name, and what it gives is at least as good as that mode gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall, did_you_mean
from mapsort.modules.parameter import Parameter
from mapsort.modules.registry import ModuleKind, Registry
from mapsort.physics.reconstruction import ReconstructionMethod

#: Every reconstructor of this version; each makes a `ReconstructionMethod`.
RECONSTRUCTORS: Registry[..., ReconstructionMethod] = Registry(
    ModuleKind.RECONSTRUCTOR, not_yet=("fourier_iter", "real_median")
)

#: Interpolation modes of the original's ``fourier``.
MODES = (
    "nearest_neighbor",
    "trilinear",
    "gauss_2",
    "gauss_3",
    "gauss_5",
    "gauss_5_slow",
    "gauss_var",
    "hypergeom_5",
    "gypergeom_5",
    "gridding_5",
    "gridding_7",
    "kaiser_bessel",
    "kaiser_bessel_derived",
)

_Mode = Annotated[str, "interpolation mode of the original; all give the same"]
_SNR = Parameter("snr", float, None, "signal-to-noise ratio of a slice; 1/snr damps the map")


def _check(arguments: Mapping[str, Any]) -> None:
    """Refuse modes that the original does not have, and ratios that are not positive."""
    mode, snr = arguments.get("mode", MODES[0]), arguments.get("snr")
    if mode not in MODES:
        hint = did_you_mean(str(mode), MODES) or f"; known: {', '.join(MODES)}"
        raise ConfigError(f"reconstructor: unknown mode {mode!r}{hint}")
    if snr is not None and not snr > 0:
        raise ConfigError(f"reconstructor: snr={snr:g}: expected a number above 0")


def reconstructor(spec: ModuleCall | str) -> ReconstructionMethod:
    """Return the method that a specification, for example ``"fourier:mode=gauss_2"``, names.

    Examples
    --------
    >>> reconstructor("back_projection").max_steps
    3
    """
    return RECONSTRUCTORS.bind(spec)()


@RECONSTRUCTORS.register("fourier", help="least squares, CTF and weights included", check=_check)
def _fourier(
    *,
    mode: _Mode = "gauss_2",  # noqa: ARG001
) -> ReconstructionMethod:
    return ReconstructionMethod()


@RECONSTRUCTORS.register(
    "wiener_fourier",
    help="least squares, Wiener-filtered by the signal-to-noise ratio that the halves show",
    check=_check,
)
def _wiener_fourier(
    *,
    mode: _Mode = "gauss_2",  # noqa: ARG001
) -> ReconstructionMethod:
    return ReconstructionMethod(ssnr=True)


@RECONSTRUCTORS.register(
    "back_projection",
    help="filtered back-projection, bettered by three steps of least squares: faster",
)
def _back_projection() -> ReconstructionMethod:
    return ReconstructionMethod(max_steps=3)


def _declare_direct_inversion(name: str, help: str) -> None:
    """Declare one of the nn4 family, which here differ by name only."""

    @RECONSTRUCTORS.register(name, help=help, parameters=(_SNR,), check=_check)
    def make(*, snr: float | None) -> ReconstructionMethod:
        return ReconstructionMethod(snr=snr)


_declare_direct_inversion("nn4", "least squares; 1/snr is added to the density of slices")
_declare_direct_inversion("nn4_rect", "as nn4")
_declare_direct_inversion("nn4_ctf", "as nn4; the CTF is corrected wherever it is known")


@RECONSTRUCTORS.register(
    "nnSSNR", help="as wiener_fourier: the spectral signal-to-noise ratio is measured from halves"
)
def _nn_ssnr() -> ReconstructionMethod:
    return ReconstructionMethod(ssnr=True)
