"""A run of some of its particles: halves that are to know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

from mapsort.workflows.multi_state import Run


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
