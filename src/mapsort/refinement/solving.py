"""The solution of maps and half maps from their normal equations."""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.modules.reconstructor import reconstructor
from mapsort.physics.half_maps import noise_to_signal
from mapsort.physics.reconstruction import MAX_STEPS
from mapsort.physics.resample import fourier_resample
from mapsort.refinement.run import Run
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve

#: Residual at which the maps of an iteration are solved, and the first look at them: further steps
#: fit noise. Maps of two states (128 px, SNR 0.05) agree with the true ones as well with 1e-3. A
#: look without a step is too noisy for masks: they came out 1.5 times as large.
SOLVED_TO, LOOKED_TO = 3e-3, 1e-2
#: Steps that half maps are solved with: the first ones are for the lowest frequencies; without
#: knowledge of the noise, later ones fit it. For their FSC alone none is needed: with none, one
#: or two the maps made agree with the true ones as well (area .509; two states, 128 px).
HALF_STEPS, FSC_STEPS = 4, 0


def first_look(
    run: Run,
    equations: list[list[NormalEquations]],
    halves: list[tuple[Float32, Float32]],
    curves: list[Float64],
) -> list[Float32]:
    """Return maps as their halves' FSC in the sphere (``curves``) filters them: enough for masks.

    Maps without particles are the mean of their halves.
    """
    live = [m for m, parts in enumerate(equations) if parts]
    ratio = noise_to_signal([curves[m] for m in live])
    volumes = [np.asarray(0.5 * (even + odd), np.float32) for even, odd in halves]
    for m in live:
        whole = reduce(operator.add, equations[m])
        volumes[m] = solved(run, whole, noise_to_signal=ratio, tolerance=LOOKED_TO)
    return volumes


def half_maps(
    run: Run, parts: list[NormalEquations], *, to_keep: bool | None = None
) -> tuple[Float32, Float32]:
    """Solve the equations of the halves alone.

    Parameters
    ----------
    to_keep : bool, optional
        Whether they are maps to look at, not only to compare; by default with ``--halves``.
    """
    steps = HALF_STEPS if (run.options.halves if to_keep is None else to_keep) else FSC_STEPS
    even, odd = (solved(run, part, max_steps=steps) for part in parts)
    return even, odd


def solved(
    run: Run,
    equations: NormalEquations,
    *,
    noise_to_signal: Float64 | None = None,
    start: Float32 | None = None,
    max_steps: int = MAX_STEPS,
    tolerance: float = SOLVED_TO,
) -> Float32:
    """Solve as asked for with ``--recon``; equations of a coarser box give a map of their band."""
    method, small = reconstructor(run.options.recon), equations.box
    volume = solve(
        equations,
        noise_to_signal=None if noise_to_signal is None else noise_to_signal[: small // 2 + 1],
        wiener=method.wiener,
        start=None if start is None else of_box(start, small),
        tolerance=tolerance,
        max_steps=min(max_steps, method.max_steps),
        n_threads=run.plan.n_threads,
    )
    return of_box(volume, run.plan.grid.box)


def of_box(volume: Float32, box: int) -> Float32:
    """Return the same Fourier terms as a map of another box, of the same extent."""
    if len(volume) == box:
        return volume
    return fourier_resample(volume, box=box, ndim=3) * np.float32((len(volume) / box) ** 3)
