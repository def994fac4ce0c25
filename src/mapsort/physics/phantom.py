"""A built-in molecule in several conformations, as a sum of Gaussians.

Because its density and its projections' Fourier transforms are known in closed form, it serves as
test object, as demonstration, and as an oracle that shares no code with the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from mapsort.array_types import Bool, Complex64, Float32, Float64
from mapsort.errors import ConfigError

#: No density (beyond 3 standard deviations of a Gaussian) lies farther from the centre [A].
RADIUS_ANG = 44.5

#: Rotation of the moving domain from one conformation to the next [degrees].
STEP_DEG = 30.0

#: Conformations that differ from each other: after these the domain is back at its start.
MAX_STATES = 8

# A Gaussian narrower than this many pixels is not held by its samples: its transform at the
# sampling frequency, exp(-2 pi^2 sigma^2 (1 - s)^2), folds back onto s. At 1.25 pixels and
# s = 0.45 that is 9e-5 of the transform at the origin.
_MIN_SIGMA_PX = 1.25

_SEED = 20111204


@dataclass(frozen=True)
class _Domain:
    """An ellipsoid filled with Gaussians, turned about the z axis; lengths in Angstrom."""

    n: int
    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    turn_deg: float
    moves: bool = False


# Placed by hand to be asymmetric and chiral: no two domains are alike, no plane holds all centres.
_DOMAINS = (
    _Domain(90, (-3.0, -6.0, -10.0), (21.0, 15.0, 17.0), 25.0),
    _Domain(34, (17.0, 9.0, -16.0), (13.0, 8.0, 9.0), -40.0),
    _Domain(26, (-20.0, 12.0, 2.0), (8.0, 11.0, 12.0), 10.0),
    _Domain(60, (7.0, -4.0, 24.0), (15.0, 9.0, 9.5), 60.0, moves=True),
)

# The moving domain turns about an axis through the centre, which keeps it inside the radius.
_AXIS = np.array([0.94, 0.28, 0.195])


@dataclass(frozen=True)
class _Gaussians:
    """Centres (n, 3) x,y,z and standard deviations (n,) in pixels; heights (n,)."""

    centres_px: Float64
    sigmas_px: Float64
    heights: Float64


def phantom_map(state: int, box: int, apix: float) -> Float32:
    """Return the phantom's density on a grid, (box, box, box) float32, the centre at ``box // 2``.

    Parameters
    ----------
    state : int
        Conformation, 0 to ``MAX_STATES - 1``; a domain is turned by ``30 * state`` degrees.
    box : int
        Size of the cube [pixels].
    apix : float
        Pixel size [A]. Gaussians narrower than 1.25 pixels are widened to that.

    Raises
    ------
    ConfigError
        When there is no such state or the phantom does not fit the box.
    """
    blobs = _gaussians(state, box, apix)
    grid = np.arange(box) - box // 2
    offset = grid[None, None, :] - blobs.centres_px.T[:, :, None]
    along_x, along_y, along_z = np.exp(-0.5 * (offset / blobs.sigmas_px[None, :, None]) ** 2)
    out = np.empty((box, box, box), np.float32)
    for z in range(box):
        weights = (blobs.heights * along_z[:, z])[:, None]
        out[z] = (weights * along_y).T @ along_x
    return out


def phantom_slice(state: int, box: int, apix: float, rotations: ArrayLike) -> Complex64:
    """Return the Fourier transforms of the phantom's projections, (n, box, box // 2 + 1) complex64.

    Half transforms with the origin at [0, 0] and phases about pixel ``box // 2``: equal to
    ``rfft2(ifftshift(image))`` of the image that sums the voxels along the view's z. Rotations (n,
    3, 3) are from object to view, acting on x, y, z; other arguments and errors as for
    `phantom_map`.

    Notes
    -----
    A Gaussian of height h and standard deviation s (pixels) at x projects to
    ``h (2 pi)^1.5 s^3 exp(-2 pi^2 s^2 f^2) exp(-2 pi i f . x)``, f in cycles per pixel. It splits
    into a factor of fx and one of fy, so that all pixels of a slice are one small matrix product.
    """
    matrices = np.asarray(rotations, np.float64).reshape(-1, 3, 3)
    blobs = _gaussians(state, box, apix)
    integral = blobs.heights * (2 * np.pi) ** 1.5 * blobs.sigmas_px**3
    fx, fy = np.fft.rfftfreq(box), np.fft.fftfreq(box)
    decay_x, decay_y = (
        np.exp(-2 * np.pi**2 * blobs.sigmas_px[:, None] ** 2 * f**2) for f in (fx, fy)
    )
    out = np.empty((len(matrices), box, len(fx)), np.complex64)
    # For products as small as these, threads cost more than they do.
    with threadpool_limits(1, "blas"):
        for index, matrix in enumerate(matrices):
            x, y = matrix[:2] @ blobs.centres_px.T
            along_x = integral[:, None] * decay_x * np.exp(-2j * np.pi * x[:, None] * fx)
            along_y = decay_y * np.exp(-2j * np.pi * y[:, None] * fy)
            out[index] = along_y.T @ along_x
    return out


def _gaussians(state: int, box: int, apix: float) -> _Gaussians:
    if not 0 <= state < MAX_STATES:
        raise ConfigError(f"phantom: state {state}: expected 0 to {MAX_STATES - 1}")
    if box * apix < RADIUS_ANG / 0.35:
        raise ConfigError(
            f"phantom: a box of {box} px at {apix:g} A/px is too small; it needs at least "
            f"{RADIUS_ANG / 0.35:.0f} A"
        )
    centres, sigmas, heights, moves = _recipe()
    turned = np.where(moves[:, None], centres @ _turn(state * STEP_DEG).T, centres)
    return _Gaussians(turned / apix, np.maximum(sigmas / apix, _MIN_SIGMA_PX), heights)


@lru_cache(maxsize=1)
def _recipe() -> tuple[Float64, Float64, Float64, Bool]:
    """Return centres (n, 3) [A], standard deviations (n,) [A], heights (n,), which move (n,)."""
    rng = np.random.default_rng(_SEED)
    centres = np.concatenate([_fill(domain, rng) for domain in _DOMAINS])
    moves = np.concatenate([np.full(domain.n, domain.moves) for domain in _DOMAINS])
    sigmas = 2.5 + 1.0 * rng.random(len(centres))
    heights = 0.6 + 0.8 * rng.random(len(centres))
    return centres, sigmas, heights, moves


def _fill(domain: _Domain, rng: np.random.Generator) -> Float64:
    """Return `domain.n` points uniformly inside a domain, by rejection from its bounding box."""
    angle = np.deg2rad(domain.turn_deg)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    points = 2 * rng.random((20 * domain.n, 3)) - 1
    inside = points[(points**2).sum(axis=1) <= 1][: domain.n]
    return np.asarray(inside * domain.semi_axes @ turn.T + domain.centre)


def _turn(angle_deg: float) -> Float64:
    """Return the rotation by an angle about the hinge axis (Rodrigues' formula)."""
    x, y, z = _AXIS / np.linalg.norm(_AXIS)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
