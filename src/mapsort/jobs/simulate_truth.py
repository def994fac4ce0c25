"""What is true of simulated particles: drawn from a seed, and written as RELION tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mapsort.array_types import Float64, Int64
from mapsort.options.simulate import SimulateOptions


@dataclass(frozen=True)
class Truth:
    """Class, pose, shift and defocus of every particle.

    Attributes
    ----------
    classes : ndarray of shape (n,), int
        From 0.
    angles_deg : ndarray of shape (n, 3)
        RELION rot, tilt, psi.
    shifts_px : ndarray of shape (n, 2)
        How far the particle lies off the centre along x and y.
    defocus_ang : ndarray of shape (n,)
        Underfocus.
    """

    classes: Int64
    angles_deg: Float64
    shifts_px: Float64
    defocus_ang: Float64


def draw_truth(options: SimulateOptions, n_classes: int) -> Truth:
    """Draw class, direction, shift and defocus of every particle from the options' seed."""
    rng = np.random.default_rng([options.seed, 0])
    weights = np.array(options.fractions or [1.0] * n_classes)
    n = options.n
    # Directions uniform on the sphere: cos(tilt) is uniform.
    angles = np.stack(
        [
            rng.uniform(-180, 180, n),
            np.rad2deg(np.arccos(rng.uniform(-1, 1, n))),
            rng.uniform(-180, 180, n),
        ],
        axis=1,
    )
    return Truth(
        classes=rng.choice(n_classes, n, p=weights / weights.sum()),
        angles_deg=angles,
        shifts_px=rng.uniform(-options.shift, options.shift, (n, 2)),
        defocus_ang=rng.uniform(options.defocus[0], options.defocus[1], n),
    )


def particle_table(options: SimulateOptions, truth: Truth, stack_name: str) -> pd.DataFrame:
    """Return what an experiment would know: image names, and the CTF unless it is left out."""
    n = options.n
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{index + 1:06d}@{stack_name}" for index in range(n)],
            "rlnMicrographName": [f"mic{index // 100:04d}.mrc" for index in range(n)],
            "rlnOpticsGroup": np.ones(n, int),
        }
    )
    if options.no_ctf:
        return table
    return table.assign(
        rlnDefocusU=truth.defocus_ang, rlnDefocusV=truth.defocus_ang, rlnDefocusAngle=np.zeros(n)
    )


def with_truth(table: pd.DataFrame, truth: Truth, apix: float) -> pd.DataFrame:
    """Add pose, origin (the shift that centres a particle, so minus its own) and class from 1."""
    rot, tilt, psi = truth.angles_deg.T
    return table.assign(
        rlnAngleRot=rot,
        rlnAngleTilt=tilt,
        rlnAnglePsi=psi,
        rlnOriginXAngst=-truth.shifts_px[:, 0] * apix,
        rlnOriginYAngst=-truth.shifts_px[:, 1] * apix,
        rlnClassNumber=truth.classes + 1,
    )
