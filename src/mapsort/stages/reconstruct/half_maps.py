"""Maps of two half sets and of the whole, the whole filtered by what the halves agree on."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.physics.half_maps import filtered_mean
from mapsort.physics.masks import inscribed_sphere
from mapsort.physics.reconstruction import ReconstructionMethod
from mapsort.stages.reconstruct.normal_equations import NormalEquations, adjoint_volume
from mapsort.stages.reconstruct.reconstruct import estimate, solve
from mapsort.stages.reconstruct.slice_sums import SliceSums


def solve_whole(
    sums: list[SliceSums], method: ReconstructionMethod, *, n_threads: int = 1
) -> Float32:
    """Return the map (box, box, box) of all slices.

    ``sums``, of all or of two halves, are emptied, so that their memory can be used again. With
    ``ssnr`` two halves are needed; the map of all is Wiener-filtered by their FSC, which that of
    quick estimates of the half maps stands for.
    """
    ratio = None
    whole = sums.pop(0)
    half = adjoint_volume(whole, n_threads=n_threads) if sums and method.ssnr else None
    while sums:
        np.add(whole.window, sums.pop().window, out=whole.window)
    equations = NormalEquations.of(whole, n_threads=n_threads)
    del whole
    if half is not None:
        other = equations.right - half
        _, ratio = _filtered_mean(
            estimate(equations, half, n_threads=n_threads),
            estimate(equations, other, n_threads=n_threads),
        )
    return solve(
        equations,
        noise_to_signal=ratio,
        wiener=method.wiener,
        max_steps=method.max_steps,
        n_threads=n_threads,
    )


def _filtered_mean(even: Float32, odd: Float32) -> tuple[Float32, Float64]:
    # the corners hold no particle
    return filtered_mean(even, odd, inscribed_sphere(len(even)))


def solve_halves(
    parts: list[NormalEquations], method: ReconstructionMethod, *, n_threads: int = 1
) -> tuple[Float32, tuple[Float32, ...]]:
    """Return the map (box, box, box) of all slices, and those of two halves.

    ``parts`` are emptied, so that their memory can be used again. With ``ssnr`` the map of all is
    Wiener-filtered by the FSC of the halves; these are not.
    """

    def solved(equations: NormalEquations, **more: Any) -> Float32:
        return solve(
            equations,
            wiener=method.wiener,
            max_steps=method.max_steps,
            n_threads=n_threads,
            **more,
        )

    even, odd = (solved(part) for part in parts)
    start, ratio = np.asarray(0.5 * (even + odd), dtype=np.float32), None
    if method.ssnr:
        start, ratio = _filtered_mean(even, odd)
    whole = parts.pop() + parts.pop()
    return solved(whole, noise_to_signal=ratio, start=start), (even, odd)
