"""The reconstruction of one iteration: maps from class averages, filtered and masked alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64, Indices, Real
from mapsort.errors import NumericalError
from mapsort.model.class_averages import ClassAverages
from mapsort.modules.processors import processor_chain
from mapsort.physics.half_maps import (
    first_of_noise,
    half_map_fsc,
    noise_to_signal,
    wiener_filtered,
)
from mapsort.physics.masks import soft_sphere
from mapsort.refinement.finishing import MapFinishing
from mapsort.refinement.focus import same_outside
from mapsort.refinement.half_maps import HalfMaps, compared_halves, joined
from mapsort.refinement.insertion import PosedMembers, particle_equations
from mapsort.refinement.map_masks import masks_of
from mapsort.refinement.run import Run
from mapsort.refinement.solving import first_look, half_maps, solved
from mapsort.refinement.state import State
from mapsort.rundir.wording import counted
from mapsort.stages.average.class_spectra import matched_to_projections, processed_averages
from mapsort.stages.reconstruct.class_reconstruction import AverageSelection, MapSlices
from mapsort.stages.reconstruct.normal_equations import NormalEquations

LOGGER = logging.getLogger(__name__)

#: The band solved for first: so many shells more than particles were compared to, and not so few
#: that nothing is saved.
BAND_MARGIN, LEAST_BAND = 3.0, 24.0
#: The shell where halves cease to agree lies within the band by so many shells; if they agree to
#: its end, a band so many times as wide is solved for.
BAND_ROOM, BAND_GROWTH = 4.0, 2.0


@dataclass(frozen=True)
class Rebuilt:
    """The maps of an iteration."""

    #: Filtered, masked, each (box, box, box): what the next iteration projects, as of `State`.
    references: tuple[Float32, ...]
    #: Each map filtered by its own FSC, masked, on the particles' scale.
    maps: tuple[Float32, ...]
    masks: tuple[Float32, ...]
    #: FSC of each map's halves under its mask, corrected for it where half-sets are kept apart,
    #: each (box//2 + 1,).
    half_fsc: tuple[Float64, ...]
    #: Numbers of class averages that were left out of their maps, (n_rejected,).
    rejected: Indices
    #: Numbers (from 0) of maps that got no particles and were kept as they were.
    empty: tuple[int, ...]
    #: Where half-sets are kept apart: the half maps of each map and their FSC.
    halves: tuple[HalfMaps, ...] | None = None
    #: With them: the references of each half.
    half_references: tuple[tuple[Float32, ...], tuple[Float32, ...]] | None = None
    #: Maps with their amplitudes restored, where that was done.
    sharpened: tuple[Float32, ...] | None = None


def rebuild(
    run: Run,
    state: State,
    averages: ClassAverages,
    members: PosedMembers | None,
    shares: Real,
    *,
    slices: Complex64,
    iteration: int,
    compared: int,
) -> Rebuilt:
    """Rebuild every map from its class averages, or from ``members``; filter all alike; mask.

    Maps hold nothing beyond the band in which their halves agree: only that is solved for.
    ``slices`` are the projections, whose spectra averages get with ``--classrefsf``, and
    ``compared`` is the highest ring that particles were compared to.
    """
    n_models, progress = run.plan.n_models, run.execution.progress
    run.start("reconstruct", n_models, iteration)
    sphere = run.sphere
    # half maps that are kept, and particles that are read anew, are worth the full band
    whole = run.options.halves or members is not None
    band = run.plan.grid.box / 2 if whole else max(compared + BAND_MARGIN, LEAST_BAND)
    # seeds end before the particles' signal does: the first band would be too narrow
    band = min(band * BAND_GROWTH if iteration == 1 else band, run.plan.grid.box / 2)
    inserted = filtered_averages(run, averages, slices)

    def sums(band: float) -> list[_Summed]:
        which = (averages, inserted, members)
        return [_summed(run, state, *which, model, band, sphere) for model in range(n_models)]

    summed = sums(band)
    while band < (needed := _band_needed(summed, len(sphere))):
        band = needed
        summed.clear()
        summed = sums(band)
    equations, halves = [item.equations for item in summed], [item.halves for item in summed]
    rejected = [item.rejected for item in summed]
    live = [m for m in range(n_models) if equations[m]]
    if not live:
        raise NumericalError("no map received enough particles to be reconstructed")
    curves = [item.agreement for item in summed]
    looked_at = first_look(run, [item.measured for item in summed], halves, curves)
    masks = masks_of(run, looked_at, sphere)
    rejected_all = np.concatenate([np.empty(0, dtype=np.intp), *rejected])
    empty = tuple(m for m in range(n_models) if m not in live)
    finishing = MapFinishing.of(run.options, averages, run.inputs.apix)
    if run.options.halves:
        rebuilt = _half_sets(run, state, equations, halves, masks, finishing, iteration=iteration)
    else:
        rebuilt = _alike(run, state, equations, halves, masks, finishing)
    rebuilt = replace(rebuilt, rejected=rejected_all, empty=empty)
    _check_finite(rebuilt.maps)
    progress.advance(n_models)
    progress.finish(counted(len(live), "map"))
    return _focused(run, rebuilt, shares)


def filtered_averages(run: Run, averages: ClassAverages, slices: Complex64) -> ClassAverages:
    """Return averages as they are shown and as maps are made of them: ``--classrefsf`` filters.

    Parameters
    ----------
    averages : ClassAverages
        As measured. Only these tell signal from noise: where projections end, averages that have
        their spectra hold nothing but what leaks from elsewhere, alike in both halves.
    slices : ndarray of shape (n_classes, box, box//2+1)
        The projections.
    """
    if not run.options.classrefsf:
        return averages
    maps = [run.plan.references.block(model) for model in range(run.plan.n_models)]
    return matched_to_projections(averages, slices, maps=maps)


@dataclass(frozen=True)
class _Summed:
    """One map's equations (both halves' where they are needed apart), half maps, averages left out.

    ``measured`` are those of the averages as measured, where the map is made of others. No
    equations: too few particles.
    """

    equations: list[NormalEquations]
    measured: list[NormalEquations]
    halves: tuple[Float32, Float32]
    rejected: Indices
    #: FSC of the half maps in the sphere, (box//2 + 1,).
    agreement: Float64


def _summed(
    run: Run,
    state: State,
    averages: ClassAverages,
    inserted: ClassAverages,
    members: PosedMembers | None,
    model: int,
    band: float,
    sphere: Float32,
) -> _Summed:
    """Sum up what one map is made of, and estimate its halves.

    The halves tell signal from noise, so they are always made of the averages as measured; the map
    is made of those ``inserted``.
    """
    rejected = np.empty(0, dtype=np.intp)
    measured: list[NormalEquations] | None = None
    if members is None:
        slices, rejected = _selected(run, map_slices(run, averages, model).within(band), model)
        parts = _half_equations(run, slices)
        if inserted is not averages:
            left_out = rejected - run.plan.references.block(model).start
            slices = map_slices(run, inserted, model).within(band).without(left_out)
            measured, parts = parts, _half_equations(run, slices)
    else:
        parts = particle_equations(run, members, model)
    run.execution.progress.advance(0)
    if not all(np.any(part.circulant) for part in parts):
        halves = _last_halves(state, model)
        return _Summed([], [], halves, rejected, np.zeros(len(sphere) // 2 + 1))

    def kept(both: list[NormalEquations]) -> list[NormalEquations]:
        return both if run.options.halves else [both[0] + both[1]]

    equations = kept(parts)
    own = equations if measured is None else kept(measured)
    halves = half_maps(run, measured or parts)
    return _Summed(equations, own, halves, rejected, half_map_fsc(*halves, sphere))


def _half_equations(run: Run, slices: MapSlices) -> list[NormalEquations]:
    release = run.execution.scratch.release
    return slices.half_equations(n_threads=run.plan.n_threads, inserted=release)


def _band_needed(summed: list[_Summed], whole: int) -> float:
    """Return the band [Fourier pixels] that the maps need, by where their halves cease to agree."""
    live = [item for item in summed if item.equations]
    if not live:
        return 0.0
    end = max(first_of_noise(item.agreement) for item in live)
    box = min(item.equations[0].box for item in live)
    if box == whole:
        return 0.0
    # beyond the band there is what the sphere smears
    return end + BAND_ROOM if end < box // 2 else BAND_GROWTH * (box // 2)


def _focused(run: Run, rebuilt: Rebuilt, shares: Real) -> Rebuilt:
    """Make references equal outside the mask of a focused classification (``--mask``)."""
    focus, halves = run.inputs.focus, rebuilt.half_references
    if halves is not None:
        halves = (same_outside(halves[0], focus, shares), same_outside(halves[1], focus, shares))
    references = same_outside(rebuilt.references, focus, shares)
    return replace(rebuilt, references=references, half_references=halves)


def _last_halves(state: State, model: int) -> tuple[Float32, Float32]:
    """Return what stands for the halves of a map without particles."""
    even, odd = state.halves if state.halves is not None else (state.references,) * 2
    return even[model], odd[model]


def _alike(
    run: Run,
    state: State,
    equations: list[list[NormalEquations]],
    halves: list[tuple[Float32, Float32]],
    masks: list[Float32],
    finishing: MapFinishing,
) -> Rebuilt:
    """Rebuild the references, filtered alike, and the maps, each filtered by its own FSC."""
    live = [m for m, parts in enumerate(equations) if parts]
    curves = [half_map_fsc(*pair, mask) for pair, mask in zip(halves, masks, strict=True)]
    for model in live:
        # nothing beyond the band but what the mask leaks
        curves[model][equations[model][0].box // 2 + 1 :] = 0.0
    shared = noise_to_signal([curves[m] for m in live])
    own = [noise_to_signal([curves[m]]) for m in live]
    # each from the beginning: from the solution with another filter, steps are more
    alike = [solved(run, equations[m][0], noise_to_signal=shared) for m in live]
    single = alike  # one map alone has no other filter
    if len(live) > 1:
        single = [
            solved(run, equations[m][0], noise_to_signal=ratio)
            for m, ratio in zip(live, own, strict=True)
        ]
    alike = finishing.finished(alike, [shared] * len(live))
    single = finishing.finished(single, own)
    references, maps = list(state.references), list(state.references)
    for number, model in enumerate(live):
        references[model] = alike[number] * masks[model]
        maps[model] = single[number] * masks[model]
    return Rebuilt(
        tuple(references), tuple(maps), tuple(masks), tuple(curves), np.empty(0, np.intp), ()
    )


def _half_sets(
    run: Run,
    state: State,
    equations: list[list[NormalEquations]],
    halves: list[tuple[Float32, Float32]],
    masks: list[Float32],
    finishing: MapFinishing,
    *,
    iteration: int,
) -> Rebuilt:
    """Rebuild the references of each half from its own particles; see `multi_halves`."""
    compared = [
        compared_halves(run, *pair, mask, iteration=iteration, model=model)
        for model, (pair, mask) in enumerate(zip(halves, masks, strict=True))
    ]
    live = [m for m, parts in enumerate(equations) if parts]
    # Half the particles: half the signal-to-noise ratio.
    shared = 2 * noise_to_signal([compared[m].curves.corrected for m in live])
    filtered, single, own = [], [], []
    for model in live:
        parts, pair = equations[model], halves[model]
        filtered += [
            solved(run, part, noise_to_signal=shared, start=wiener_filtered(half, shared))
            for part, half in zip(parts, pair, strict=True)
        ]
        own.append(noise_to_signal([compared[model].curves.corrected]))
        start = wiener_filtered(np.asarray(0.5 * (pair[0] + pair[1]), np.float32), own[-1])
        single.append(solved(run, parts[0] + parts[1], noise_to_signal=own[-1], start=start))
    filtered = finishing.finished(filtered, [shared] * len(filtered))
    single = finishing.finished(single, own)
    pairs = [_last_halves(state, model) for model in range(len(equations))]
    maps = list(state.references)
    for number, model in enumerate(live):
        mask = masks[model]
        pairs[model] = joined(run, filtered[2 * number], filtered[2 * number + 1], mask)
        maps[model] = single[number] * mask
    even, odd = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    return Rebuilt(
        tuple(np.asarray(0.5 * (a + b), np.float32) for a, b in pairs),
        tuple(maps),
        tuple(masks),
        tuple(item.curves.corrected for item in compared),
        np.empty(0, np.intp),
        (),
        halves=tuple(compared),
        half_references=(even, odd),
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


def _selected(run: Run, slices: MapSlices, model: int) -> tuple[MapSlices, Indices]:
    """Leave out averages that do not fit their map, if asked for (``--m3diter``)."""
    options = run.options
    if options.m3diter < 2:
        return slices, np.empty(0, dtype=np.intp)
    selection = AverageSelection(options.m3dkeep, options.m3dkeepsig, options.m3diter)
    part = slices.grid.box / run.plan.grid.box
    sphere = soft_sphere(
        slices.grid.box, part * run.plan.sphere_radius, part * run.plan.sphere_edge
    )
    chosen, rejected = slices.selected(selection, sphere, n_threads=run.plan.n_threads)
    rejected = rejected + run.plan.references.block(model).start
    if len(rejected):
        listed = ",".join(map(str, rejected))
        LOGGER.info("map %d: class averages left out: %s", model + 1, listed)
    return chosen, rejected


def _check_finite(maps: tuple[Float32, ...]) -> None:
    for number, volume in enumerate(maps, start=1):
        if not np.isfinite(volume).all():
            raise NumericalError(f"map {number} holds NaN or infinite values after reconstruction")
