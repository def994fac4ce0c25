"""Projectors: how a map becomes projections.

All have one geometry (SEMANTICS 1.3): the image at (x, y) is the map at R^T (x, y, z) summed over
z, moved by the shift; the centre is pixel n//2. They differ in how they read between the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias

import numpy as np

from mapsort import _core
from mapsort.array_types import Float32, Float64, Real
from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import ModuleKind, Registry
from mapsort.physics.fourier_projection import SMALLEST_TOLERANCE, Interpolation, interpolation_for


class RayKernel(Protocol):
    """A kernel that projects in real space."""

    def __call__(
        self, volume: Float32, *, rotations: Float64, shifts: Float64, radius: float, n_threads: int
    ) -> Float32:
        """Return images (n, box, box)."""


@dataclass(frozen=True)
class FourierProjection:
    """Slices of the map's transform."""

    #: Width of the kernel and padding for a box.
    interpolation: Callable[[int], Interpolation]


@dataclass(frozen=True)
class RealSpaceProjection:
    """Sums over the map itself."""

    kernel: RayKernel
    #: Distance from the centre [pixels], for a box, within which the map counts.
    radius: Callable[[int], float]

    def images(
        self, volume: Real, rotations: Real, *, shifts: Real | None = None, n_threads: int = 1
    ) -> Float32:
        """Return projections (n, box, box) at rotations (n, 3, 3), moved by shifts (n, 2)."""
        moved = np.zeros((len(rotations), 2)) if shifts is None else shifts
        return self.kernel(
            np.ascontiguousarray(volume, dtype=np.float32),
            rotations=np.ascontiguousarray(rotations, dtype=np.float64),
            shifts=np.ascontiguousarray(moved, dtype=np.float64),
            radius=self.radius(len(volume)),
            n_threads=n_threads,
        )


Projection: TypeAlias = FourierProjection | RealSpaceProjection

#: Every projector of this version; each makes a `Projection`.
PROJECTORS: Registry[..., Projection] = Registry(ModuleKind.PROJECTOR)

#: Tolerances that stand for the interpolation modes of ``gauss_fft``, from crude to fine.
_GAUSS_TOLERANCES = {1: 1e-2, 2: 1e-2, 3: 1e-3, 4: 1e-3, 5: 1e-4, 6: 1e-4, 7: 1e-4}
_Radius = Annotated[float | None, "only what is within it counts [pixels]; box/2 - 1"]


def projector(spec: ModuleCall | str) -> Projection:
    """Return the projection that a specification names.

    Parameters
    ----------
    spec : ModuleCall or str
        For example ``"standard"`` or ``"fourier:tolerance=1e-5"``.
    """
    return PROJECTORS.bind(spec)()


def _check_tolerance(arguments: Mapping[str, Any]) -> None:
    tolerance = arguments["tolerance"]
    if not SMALLEST_TOLERANCE <= tolerance <= 0.01:
        raise ConfigError(
            f"projector fourier: tolerance={tolerance:g}: takes {SMALLEST_TOLERANCE:g} to 0.01"
        )


def _check_gridding(arguments: Mapping[str, Any]) -> None:
    npad, width = arguments["npad"], arguments["kb_K"]
    if not 2 <= npad <= 4:
        raise ConfigError(f"projector fourier_gridding: npad={npad}: takes 2, 3 or 4")
    if not 4 <= width <= 8:
        raise ConfigError(f"projector fourier_gridding: kb_K={width}: takes 4 to 8")


def _check_mode(arguments: Mapping[str, Any]) -> None:
    if arguments["mode"] not in _GAUSS_TOLERANCES:
        raise ConfigError(f"projector gauss_fft: mode={arguments['mode']}: takes 1 to 7")


def _check_radius(arguments: Mapping[str, Any]) -> None:
    radius = arguments["radius"]
    if radius is not None and not radius > 0:
        raise ConfigError(f"projector: radius={radius:g}: takes a number above 0 [pixels]")


@PROJECTORS.register(
    "fourier", help="slices of the padded transform, to a stated error", check=_check_tolerance
)
def _fourier(
    *, tolerance: Annotated[float, "relative error of slices, 1e-6 to 0.01"] = 0.001
) -> Projection:
    return FourierProjection(lambda box: interpolation_for(tolerance, box))


@PROJECTORS.register(
    "fourier_gridding",
    help="slices of the padded transform by a Kaiser-Bessel kernel of chosen size",
    check=_check_gridding,
)
def _fourier_gridding(
    *,
    npad: Annotated[int, "padded size in boxes"] = 2,
    kb_K: Annotated[int, "width of the kernel [grid points], 4 to 8"] = 6,
) -> Projection:
    return FourierProjection(lambda box: Interpolation(kb_K, npad * box + npad * box % 2))


@PROJECTORS.register(
    "gauss_fft",
    help="slices of the transform; the mode chooses how exact (no Gaussian kernel, none of its "
    "artefacts)",
    check=_check_mode,
)
def _gauss_fft(
    *, mode: Annotated[int, "1, 2: error 0.01; 3, 4: 0.001; 5, 6, 7: 0.0001"] = 2
) -> Projection:
    return FourierProjection(lambda box: interpolation_for(_GAUSS_TOLERANCES[mode], box))


@PROJECTORS.register("standard", help="sums of trilinear samples along rays")
def _standard() -> Projection:
    return RealSpaceProjection(_core.project_rays, _everywhere)


@PROJECTORS.register("maxval", help="largest trilinear sample along each ray")
def _maxval() -> Projection:
    return RealSpaceProjection(_maximum, _everywhere)


def _maximum(volume: Float32, **arguments: Any) -> Float32:
    return _core.project_rays(volume, maximum=True, **arguments)


@PROJECTORS.register(
    "pawel", help="sums of trilinear samples along rays within a sphere", check=_check_radius
)
def _pawel(*, radius: _Radius = None) -> Projection:
    return RealSpaceProjection(_core.project_rays, _within(radius))


@PROJECTORS.register(
    "chao",
    help="voxels of a sphere shared between the four pixels where they land",
    check=_check_radius,
)
def _chao(*, radius: _Radius = None) -> Projection:
    return RealSpaceProjection(_core.project_voxels, _within(radius))


def _everywhere(box: int) -> float:
    return 2.0 * box  # beyond the cube's corners


def _within(radius: float | None) -> Callable[[int], float]:
    return lambda box: float(box // 2 - 1) if radius is None else radius
