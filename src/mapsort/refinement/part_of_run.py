"""A run of some of its particles: halves that are to know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mapsort.model.half_sets import HalfSets, dealt_out
from mapsort.refinement.run import Run


def part_of(run: Run, chosen: npt.NDArray[np.intp]) -> Run:
    """Return the run of some of its particles, of which nothing has been read yet.

    Half-sets among them are made anew: what is left of those of all may be one only.
    """
    inputs = run.inputs
    particles = inputs.particles.subset(chosen)
    image = particles.image_numbers()
    poses = inputs.poses
    return replace(
        run,
        inputs=replace(
            inputs,
            particles=particles,
            halves=HalfSets(dealt_out(image), int(image.max(initial=-1)) + 1),
            filtered=None if inputs.filtered is None else inputs.filtered.subset(chosen),
            ctf=None if inputs.ctf is None else inputs.ctf[chosen],
            poses=None if poses is None else (poses[0][chosen], poses[1][chosen]),
        ),
        spectra_seen=None,
    )
