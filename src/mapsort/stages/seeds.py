"""Several starting maps from one: noise, random phases, or a segment of density left out."""

from __future__ import annotations

import numpy as np
import scipy.fft
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter

from mapsort.array_types import Float32, Float64
from mapsort.physics.filters import apply_radial_curve, radial_power, randomise_phases

#: Noise added to each seed, relative to the map's standard deviation.
NOISE_SHARE = 0.1
#: Resolution [A] from which on phases are made random.
RANDOM_BEYOND_ANG = 50.0
#: Density that belongs to the molecule when it is cut into segments, relative to the maximum.
SEGMENT_FROM = 0.15


def noisy(volume: Float32, count: int, rng: np.random.Generator) -> list[Float32]:
    """Return so many copies of a map with noise of the map's own spectrum added."""
    spectrum = np.sqrt(radial_power(scipy.fft.rfftn(volume)))
    seeds = []
    for _ in range(count):
        white = rng.standard_normal(volume.shape).astype(np.float32)
        noise = apply_radial_curve(white, spectrum)
        noise *= NOISE_SHARE * float(volume.std()) / float(noise.std())
        seeds.append(np.asarray(volume + noise, np.float32))
    return seeds


def random_phases(
    volume: Float32, count: int, apix: float, rng: np.random.Generator
) -> list[Float32]:
    """Return so many copies of a map whose phases beyond 50 A are random: those of real noise."""
    cutoff = apix / RANDOM_BEYOND_ANG
    return [randomise_phases(volume, cutoff=cutoff, rng=rng) for _ in range(count)]


def without_segments(volume: Float32, count: int, rng: np.random.Generator) -> list[Float32]:
    """Return copies of a map, each without one of `count` segments of its density.

    Segments are k-means clusters of the voxels, weighted by drawing them in proportion to their
    density; their edges are soft.
    """
    inside = volume > SEGMENT_FROM * float(volume.max())
    where = np.argwhere(inside).astype(np.float64)
    weight = volume[inside].astype(np.float64)
    n_drawn = min(len(where), 20_000)
    drawn = where[rng.choice(len(where), n_drawn, p=weight / weight.sum())]
    centres, _ = kmeans2(drawn, count, minit="++", rng=rng)
    nearest = np.argmin(np.linalg.norm(where[:, None, :] - centres[None, :, :], axis=2), axis=1)
    return [_without(volume, where[nearest == part]) for part in range(count)]


def _without(volume: Float32, voxels: Float64) -> Float32:
    """Return the map multiplied by one minus a smoothed mask of these voxels."""
    mask = np.zeros(volume.shape, dtype=np.float32)
    mask[tuple(voxels.astype(np.intp).T)] = 1.0
    return np.asarray(volume * (1 - gaussian_filter(mask, 1.0)), np.float32)
