"""Oracles of the kernels: direct sums, written plainly, sharing no code with the package's kernels.

Conventions as in cpp/include/mapsort/alignment.hpp: offsets from pixel n//2, frequencies in Fourier
pixels of the box, transforms with exp(-2 pi i k.x / n).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import finufft
import numpy as np
import pytest
from scipy.spatial.transform import Rotation


def random_rotations(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


def plane_frequencies(box):
    """Return (kx, ky) of an rfft2 half plane, each (box, box//2+1), Nyquist counted as negative."""
    ky = np.fft.fftfreq(box, 1 / box)[:, None]
    kx = np.arange(box // 2 + 1)[None, :]
    return np.broadcast_arrays(kx.astype(float), ky)


def volume_at(volume, k):
    """Fourier transform of a volume (about n//2) at frequencies k (..., 3) x,y,z, by finufft."""
    omega = 2 * np.pi * np.asarray(k, float).reshape(-1, 3) / volume.shape[0]
    x, y, z = (np.ascontiguousarray(omega[:, i]) for i in range(3))
    values = finufft.nufft3d2(z, y, x, volume.astype(complex), isign=-1, eps=1e-9)
    return values.reshape(np.shape(k)[:-1])


def volume_slices(volume, rotations, kx, ky):
    """Central slices at in-plane frequencies: the volume's transform at R^T (kx, ky, 0)."""
    plane = np.stack([kx, ky, np.zeros_like(kx)], axis=-1)
    return np.stack([volume_at(volume, plane @ rotation) for rotation in rotations])


def image_at(image, kx, ky):
    """Fourier transform of an image (about n//2) at any frequencies, by the direct sum."""
    n = image.shape[0]
    x = np.arange(n) - n // 2
    kx, ky = np.broadcast_arrays(np.asarray(kx, float), np.asarray(ky, float))
    along_x = np.exp(-2j * np.pi / n * kx.reshape(-1, 1) * x)
    along_y = np.exp(-2j * np.pi / n * ky.reshape(-1, 1) * x)
    return np.einsum("py,yx,px->p", along_y, image, along_x, optimize=True).reshape(kx.shape)


def ctf_at(coefficients, kx, ky, box, apix):
    """C from its seven coefficients, with the angle of astigmatism written as an angle."""
    c0, c1, c2, c3, c4, c5, flipped = (float(c) for c in coefficients)
    s2 = (kx**2 + ky**2) / (box * apix) ** 2
    theta = np.arctan2(ky, kx)
    phase = c0 * s2 + c1 * s2 * np.cos(2 * (theta - c2)) + c3 * s2**2 + c4
    value = np.sin(phase) * np.exp(-c5 * s2 / 4)
    return np.abs(value) if flipped else value


def band_limited_noise(box, seed, *, ndim):
    """White noise within a soft-edged ball that fits the box."""
    noise = np.random.default_rng(seed).standard_normal((box,) * ndim)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * ndim)
    radius = np.sqrt(sum(a.astype(float) ** 2 for a in axes))
    return (noise / (1 + np.exp((radius - 0.32 * box) / 0.8))).astype(np.float32)


@dataclass
class AlignmentCase:
    """A few particles and references of a tiny box, and f of alignment.hpp by direct sums."""

    volume: np.ndarray
    rotations: np.ndarray
    images: np.ndarray
    ctf: np.ndarray
    ring_weight: np.ndarray
    n_angles: int
    apix: float
    _turned: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def box(self):
        return self.volume.shape[0]

    @property
    def n_rings(self):
        return len(self.ring_weight)

    def polar(self):
        """(kx, ky, w) of the half plane's polar points; w counts the mates and the ring's area."""
        k = np.arange(1, self.n_rings + 1)[:, None]
        angle = 2 * np.pi * np.arange(self.n_angles // 2)[None, :] / self.n_angles
        area = 2 * np.pi * k / (self.n_angles // 2) * self.ring_weight[:, None]
        return k * np.cos(angle), k * np.sin(angle), area * np.ones_like(angle)

    def cross(self, particle, reference, alpha, mirror, origin):
        """f(alpha, mirror, o): the reference's slice is read where the particle's k lands on it."""
        kx, ky, w = self.polar()
        cos, sin = np.cos(alpha), np.sin(alpha)
        qx, qy = cos * kx + sin * ky, -sin * kx + cos * ky
        if mirror:
            qx = -qx
        p = volume_slices(self.volume, self.rotations[reference][None], qx, qy)[0]
        x = image_at(self.images[particle], kx, ky)
        c = ctf_at(self.ctf[particle], kx, ky, self.box, self.apix)
        phase = np.exp(-2j * np.pi / self.box * (kx * origin[0] + ky * origin[1]))
        return float(np.sum(w * (np.conj(c * x * phase) * p).real))

    def all_cross(self, particle, reference, origins):
        """f at all origins, rotations of the grid and both mirrors: (origin, angle, mirror)."""
        kx, ky, w = self.polar()
        x = image_at(self.images[particle], kx, ky)
        c = ctf_at(self.ctf[particle], kx, ky, self.box, self.apix)
        phase = np.exp(
            -2j
            * np.pi
            / self.box
            * (np.multiply.outer(origins[:, 0], kx) + np.multiply.outer(origins[:, 1], ky))
        )
        weighted = np.conj(w * c * x * phase).reshape(len(origins), -1)
        p = self.turned(reference).reshape(self.n_angles, 2, -1)
        return np.einsum("sp,amp->sam", weighted, p, optimize=True).real

    def turned(self, reference):
        """The reference's slice at the polar points turned by every angle: (angle, mirror, ...)."""
        if reference not in self._turned:
            kx, ky, _ = self.polar()
            turn = 2 * np.pi * np.arange(self.n_angles)[:, None, None] / self.n_angles
            qx, qy = np.cos(turn) * kx + np.sin(turn) * ky, -np.sin(turn) * kx + np.cos(turn) * ky
            both = np.stack([qx, -qx], axis=1), np.stack([qy, qy], axis=1)
            self._turned[reference] = volume_slices(
                self.volume, self.rotations[reference][None], *both
            )[0]
        return self._turned[reference]

    def norm(self, particle, reference, *, ring_means):
        """sum w C^2 |P|^2; with ring_means, C^2 by its mean over each ring, as the kernel does."""
        kx, ky, w = self.polar()
        c2 = ctf_at(self.ctf[particle], kx, ky, self.box, self.apix) ** 2
        if ring_means:
            c2 = c2.mean(axis=1, keepdims=True)
        return float(np.sum(w * c2 * np.abs(self.turned(reference)[0, 0]) ** 2))


@pytest.fixture(scope="session")
def oracle():
    """The direct sums."""
    return SimpleNamespace(
        random_rotations=random_rotations,
        plane_frequencies=plane_frequencies,
        volume_slices=volume_slices,
        volume_at=volume_at,
        image_at=image_at,
        ctf_at=ctf_at,
        band_limited_noise=band_limited_noise,
        AlignmentCase=AlignmentCase,
    )
