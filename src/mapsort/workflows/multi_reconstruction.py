"""The reconstruction of one iteration: maps from class averages, filtered and masked alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.errors import NumericalError
from mapsort.model.class_averages import ClassAverages
from mapsort.modules.processors import processor_chain
from mapsort.modules.reconstructor import reconstructor
from mapsort.physics.masks import auto_mask3d, envelope_mask
from mapsort.physics.normalization import normalize_by_mass
from mapsort.stages.class_reconstruction import AverageSelection, MapSlices
from mapsort.stages.class_spectra import processed_averages
from mapsort.stages.fourier_grid import Float32
from mapsort.stages.postprocess import half_map_fsc, noise_to_signal, wiener_filtered
from mapsort.stages.reconstruct import NormalEquations, solve
from mapsort.workflows.map_finishing import MapFinishing
from mapsort.workflows.multi_state import Run, State

LOGGER = logging.getLogger(__name__)

#: Margin and soft edge of the automatic mask about the density, and its smoothing (of the box).
MASK_MARGIN, MASK_EDGE, MASK_SMOOTHING = 0.047, 0.08, 0.094
#: Residual at which the maps of an iteration are solved: further steps fit noise.
SOLVED_TO = 1e-3


@dataclass(frozen=True)
class Rebuilt:
    """The maps of an iteration; fields as those of `Outcome`, references as of `State`."""

    references: tuple[Float32, ...]
    maps: tuple[Float32, ...]
    masks: tuple[Float32, ...]
    half_fsc: tuple[npt.NDArray[np.float64], ...]
    rejected: npt.NDArray[np.intp]
    empty: tuple[int, ...]


def rebuild(run: Run, state: State, averages: ClassAverages, *, iteration: int) -> Rebuilt:
    """Rebuild every map from its class averages; filter all alike; mask."""
    n_models, threads = run.plan.n_models, run.plan.n_threads
    progress = run.progress
    run.start("reconstruct", n_models, iteration)
    whole: list[NormalEquations | None] = []
    halves: list[tuple[Float32, Float32]] = []
    rejected: list[npt.NDArray[np.intp]] = []
    for model in range(n_models):
        slices, left_out = _selected(run, map_slices(run, averages, model), model)
        rejected.append(left_out)
        parts = slices.half_equations(n_threads=threads)
        alive = all(np.any(part.circulant) for part in parts)
        whole.append(parts[0] + parts[1] if alive else None)
        halves.append(half_maps(run, parts) if alive else (state.references[model],) * 2)
        progress.advance(1)
    live = [m for m in range(n_models) if whole[m] is not None]
    if not live:
        raise NumericalError("no map received enough particles to be reconstructed")
    smooth = [0.5 * (even + odd) for even, odd in halves]
    sphere = run.sphere
    first = noise_to_signal([half_map_fsc(*halves[m], sphere) for m in live])
    masks = masks_of(
        run, [wiener_filtered(v, first) if m in live else v for m, v in enumerate(smooth)], sphere
    )
    curves = [half_map_fsc(*pair, mask) for pair, mask in zip(halves, masks, strict=True)]
    shared = noise_to_signal([curves[m] for m in live])
    alike, single, own = [], [], []
    for model in live:
        equations = whole[model]
        assert equations is not None, "live maps have equations"
        own.append(noise_to_signal([curves[model]]))
        start = wiener_filtered(smooth[model], shared)
        alike.append(solved(run, equations, noise_to_signal=shared, start=start))
        single.append(solved(run, equations, noise_to_signal=own[-1], start=alike[-1]))
    finishing = MapFinishing.of(run.options, averages, run.inputs.apix)
    alike = finishing.finished(alike, [shared] * len(live))
    single = finishing.finished(single, own)
    references, maps = list(state.references), list(state.references)
    for number, model in enumerate(live):
        references[model] = alike[number] * masks[model]
        maps[model] = single[number] * masks[model]
    _check_finite(maps)
    progress.finish(f"{len(live)} maps")
    empty = tuple(m for m in range(n_models) if m not in live)
    return Rebuilt(
        tuple(references), tuple(maps), tuple(masks), tuple(curves), np.concatenate(rejected), empty
    )


def half_maps(run: Run, parts: list[NormalEquations]) -> tuple[Float32, Float32]:
    """Solve the equations of the halves alone."""
    even, odd = (solved(run, part) for part in parts)
    return even, odd


def solved(
    run: Run,
    equations: NormalEquations,
    *,
    noise_to_signal: npt.NDArray[np.float64] | None = None,
    start: Float32 | None = None,
) -> Float32:
    """Solve as asked for with ``--recon``."""
    method = reconstructor(run.options.recon)
    return solve(
        equations,
        noise_to_signal=noise_to_signal,
        wiener=method.wiener,
        start=start,
        tolerance=SOLVED_TO,
        max_steps=method.max_steps,
        n_threads=run.plan.n_threads,
    )


def map_slices(run: Run, averages: ClassAverages, model: int) -> MapSlices:
    """Return one map's class averages and where they lie."""
    plan = run.plan
    block = plan.references.block(model)
    own = ClassAverages(
        averages.numerator[:, block], averages.density[:, block], averages.count[block]
    )
    return MapSlices(
        processed_averages(own, processor_chain(run.options.m3dpreprocess), run.inputs.apix),
        plan.references.rotations[block],
        plan.symmetries[model],
        plan.map_grid,
        run.inputs.apix,
    )


def _selected(run: Run, slices: MapSlices, model: int) -> tuple[MapSlices, npt.NDArray[np.intp]]:
    """Leave out averages that do not fit their map, if asked for (``--m3diter``)."""
    options = run.options
    if options.m3diter < 2:
        return slices, np.empty(0, dtype=np.intp)
    selection = AverageSelection(options.m3dkeep, options.m3dkeepsig, options.m3diter)
    chosen, rejected = slices.selected(selection, run.sphere, n_threads=run.plan.n_threads)
    rejected = rejected + run.plan.references.block(model).start
    if len(rejected):
        listed = ",".join(map(str, rejected))
        LOGGER.info("map %d: class averages left out: %s", model + 1, listed)
    return chosen, rejected


def masks_of(run: Run, volumes: list[Float32], sphere: Float32) -> list[Float32]:
    """Return the mask of each map.

    By default one for all, so that no map gains by a mask of its own: the union of soft
    envelopes about their densities. With ``--automask3d``, each map's own, as the original.
    """
    options, box = run.options, run.plan.grid.box
    if options.automask3d is not None:
        wanted = options.automask3d
        return [
            auto_mask3d(
                scaled_to_mass(run, volume, model),
                threshold=wanted.threshold,
                radius=wanted.radius,
                nshells=wanted.nshells,
                nshellsgauss=wanted.nshellsgauss,
                nmaxseed=wanted.nmaxseed,
            )
            * sphere
            for model, volume in enumerate(volumes)
        ]
    envelopes = [
        envelope_mask(
            volume * sphere,
            margin_px=MASK_MARGIN * box,
            edge_px=MASK_EDGE * box,
            smoothing_px=max(6.0, MASK_SMOOTHING * box),
        )
        for volume in volumes
    ]
    union = np.max(envelopes, axis=0) * sphere
    return [union] * len(volumes)


def scaled_to_mass(run: Run, volume: Float32, model: int) -> Float32:
    """Return the map scaled so that density 1 encloses its mass, if ``--mass`` is given."""
    if run.options.masses is None:
        return volume
    return normalize_by_mass(volume, run.inputs.apix, run.options.masses[model])


def _check_finite(maps: list[Float32]) -> None:
    for number, volume in enumerate(maps, start=1):
        if not np.isfinite(volume).all():
            raise NumericalError(f"map {number} holds NaN or infinite values after reconstruction")
