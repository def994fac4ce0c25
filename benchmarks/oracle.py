"""Oracle accuracy: how often a particle can be told to its map when everything but that is known.

For each particle the images of every true map at its true pose, shift and CTF are compared with it;
in white noise the likelihood ratio of two maps is exp((|x - y_2|^2 - |x - y_1|^2) / (2 sigma^2)),
so the nearest image decides, and how many particles of each map there are. No method that has to
find maps and poses can do much better.

    python benchmarks/oracle.py particles.star particles_truth.star --maps a.mrc,b.mrc [--every N]
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import numpy.typing as npt

import mapsort
from mapsort.physics.ctf import ctf_images
from mapsort.stages.classify.agreement import rand_index

#: Particles compared at a time.
CHUNK = 500


def squared_distances(
    particles: mapsort.Particles,
    poses: mapsort.Particles,
    volumes: list[mapsort.Volume],
) -> npt.NDArray[np.float64]:
    """Return |x_i - a y_ik|^2, (particles, maps), with one scale a for all: that of least squares.

    Parameters
    ----------
    particles : Particles
        The images.
    poses : Particles
        The same particles with their true angles, origins and CTF.
    volumes : list of Volume
        The true maps.
    """
    table = poses.table
    rotations = mapsort.euler.relion_to_matrix(
        table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float)
    )
    # the origin centres the particle: the projection is moved the other way
    shifts = -table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float) / poses.apix
    truth = table["rlnClassNumber"].to_numpy(int) - 1
    n, n_maps = len(particles), len(volumes)
    image, cross, model = np.zeros(n), np.zeros((n, n_maps)), np.zeros((n, n_maps))
    for first in range(0, n, CHUNK):
        part = slice(first, min(first + CHUNK, n))
        x = particles.images(part).astype(np.float64)
        transfer = 1.0
        if poses.ctf is not None:
            transfer = ctf_images(poses.ctf[part], x.shape[1], poses.apix)
        image[part] = np.sum(x**2, axis=(1, 2))
        for k, volume in enumerate(volumes):
            views = mapsort.project(volume, rotations[part], shifts=shifts[part])
            y = np.fft.irfft2(np.fft.rfft2(views) * transfer, s=x.shape[1:])
            cross[part, k] = np.sum(x * y, axis=(1, 2))
            model[part, k] = np.sum(y**2, axis=(1, 2))
    rows = np.arange(n)
    scale = cross[rows, truth].sum() / model[rows, truth].sum()
    return image[:, None] - 2 * scale * cross + scale**2 * model


def main() -> None:
    """Print the oracle accuracy as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("particles", help="particles.star")
    parser.add_argument("truth", help="the same particles with true angles, origins and classes")
    parser.add_argument("--maps", required=True, help="true maps, comma-separated, in class order")
    parser.add_argument("--every", type=int, default=1, help="look at each N-th particle only")
    options = parser.parse_args()
    some = slice(None, None, options.every)
    poses = mapsort.Particles.open(options.truth).subset(some)
    volumes = [mapsort.Volume.open(path) for path in options.maps.split(",")]
    particles = mapsort.Particles.open(options.particles).subset(some)
    distance = squared_distances(particles, poses, volumes)
    truth = poses.table["rlnClassNumber"].to_numpy(int) - 1
    variance = distance[np.arange(len(truth)), truth].mean() / particles.images(slice(0, 1)).size
    shares = np.bincount(truth, minlength=len(volumes)) / len(truth)
    best = (distance - 2 * variance * np.log(np.maximum(shares, 1e-9))).argmin(axis=1)
    right = best == truth
    found = {
        "particles": len(truth),
        "accuracy": float(right.mean()),
        "ari": rand_index(best, truth),
        "recall": {int(k) + 1: float(right[truth == k].mean()) for k in np.unique(truth)},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
