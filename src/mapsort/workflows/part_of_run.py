"""A run of some of its particles: halves that are to know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

from mapsort.workflows.multi_inputs import scan_images
from mapsort.workflows.multi_state import ParticleSpectra, Run


def part_of(run: Run, chosen: slice) -> Run:
    """Return the run of some of its particles, of which nothing has been read yet."""
    inputs = run.inputs
    return replace(
        run,
        inputs=replace(
            inputs,
            particles=inputs.particles.subset(chosen),
            filtered=None if inputs.filtered is None else inputs.filtered.subset(chosen),
            ctf=None if inputs.ctf is None else inputs.ctf[chosen],
        ),
        spectra_seen=None,
    )


def scanned(run: Run) -> Run:
    """Read every image of a run once; return it with the mean spectra of its own particles."""
    plan, inputs = run.plan, run.inputs
    averaged, *filtered = (
        scan_images(particles, plan.treatment, plan.chunk, run.progress, plan.n_threads)
        for particles in (inputs.particles, inputs.filtered)
        if particles is not None
    )
    compared = filtered[0] if filtered else averaged
    return replace(run, spectra_seen=ParticleSpectra(averaged, compared))
