"""Particles of molecules that are sums of Gaussian blobs: their slices are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.stages.components.band import Band, BandParticles
from mapsort.stages.components.folds import deal_folds
from mapsort.stages.components.observed import Observed
from mapsort.stages.components.slice_grid import SliceGrid

BOX, RINGS, APIX = 32, 8, 6.0
#: Blobs of the part that all states have, and of the part that tells them apart [pixels].
COMMON = np.array([[0, 0, 0], [4, 1, -2], [-3, 3, 2], [1, -5, 1], [-2, -1, -5]], float)
APART = np.array([[[6, -3, 4]], [[-6, 3, -4]], [[3, 6, -5]], [[-4, -6, 4]]], float)


def transforms(blobs, rotations, frequencies, *, width=1.6, box=BOX):
    """Transforms (n, m) of the blobs' projections at frequencies (m, 2) in Fourier pixels."""
    seen = np.einsum("nij,gj->ngi", rotations[:, :2], blobs)
    phase = np.einsum("mi,ngi->nmg", frequencies, seen) * (-2j * np.pi / box)
    envelope = np.exp(-2 * (np.pi * width / box) ** 2 * (frequencies**2).sum(axis=1))
    return np.exp(phase).sum(axis=2) * envelope


@dataclass
class Simulated:
    particles: BandParticles
    rotations: np.ndarray
    state: np.ndarray  # -1: junk
    true_rotations: np.ndarray

    @property
    def folds(self):
        n = len(self.state)
        return deal_folds(np.arange(n), np.arange(n) % 2)

    @property
    def observed(self):
        return self.observed_with("c1")

    def observed_with(self, group):
        return Observed.at_first(self.particles, self.folds, self.rotations, symmetry(group))

    @property
    def grid(self):
        return SliceGrid(self.particles.band, RINGS, 11.0)

    def agreement(self, labels):
        """Share of real particles whose label is right, for the best of naming two classes."""
        real = self.state >= 0
        same = np.mean(labels[real] == self.state[real])
        other = np.mean(labels[real] == 1 - self.state[real])
        return max(same, other)


def simulated(
    n, *, states=2, noise=1.0, junk=0.0, ctf=True, seed=0, turn_deg=0.0, shift_px=0.0, missing=0
):
    """Particles in turn of each state, poses off by errors of these standard deviations.

    The first state lacks ``missing`` of the common blobs.
    """
    rng = np.random.default_rng(seed)
    band = Band(BOX, RINGS)
    particles = BandParticles.empty(n, band, APIX)
    rotations = Rotation.random(n, random_state=seed).as_matrix()
    state = rng.permutation(n) % states
    scale = rng.normal(1.0, 0.1, n)
    state[rng.random(n) < junk] = -1
    frequencies = band.frequencies.astype(float)
    if ctf:
        defocus = rng.uniform(0.03, 0.06, n)
        radius = (frequencies**2).sum(axis=1)
        particles.transfer[:] = np.sin(defocus[:, None] * radius + 0.1)
    for own in range(-1, states):
        rows = np.flatnonzero(state == own)
        common = COMMON[missing:] if own == 0 else COMMON
        blobs = np.concatenate([common, APART[own]]) if own >= 0 else COMMON[:0]
        particles.spectra[rows] = transforms(blobs, rotations[rows], frequencies)
    particles.spectra[:] *= particles.transfer * scale[:, None]
    if shift_px:
        error = rng.normal(0, shift_px, (n, 2))
        particles.spectra[:] *= np.exp(-2j * np.pi / BOX * (error @ frequencies.T))
    shape = particles.spectra.shape
    white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    particles.spectra[:] += noise * np.sqrt(0.5) * white
    errors = Rotation.from_rotvec(np.deg2rad(turn_deg) * rng.standard_normal((n, 3)))
    return Simulated(particles, errors.as_matrix() @ rotations, state, rotations)


@pytest.fixture(name="simulated", scope="session")
def _simulated():
    return simulated


@pytest.fixture(scope="session")
def two_states():
    return simulated(600, noise=0.8)
