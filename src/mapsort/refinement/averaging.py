"""The class averages of one iteration: members aligned anew and chosen, then averaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import chunk_ranges, read_ahead
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.refinement.class_sums import accumulated, average_all
from mapsort.refinement.comparison import (
    compared_noise,
    pair_comparison,
    reference_power,
    search_context,
)
from mapsort.refinement.run import Run, State
from mapsort.refinement.search_settings import (
    AUTO,
    UNKNOWN_SCALE,
    comparison_settings,
    member_settings,
)
from mapsort.stages.average.average import ShellStatistics, wiener_images
from mapsort.stages.average.class_spectra import matched_to_projections
from mapsort.stages.average.particle_fit import ParticleFit
from mapsort.stages.average.realign import alignment_references, composed, realigned
from mapsort.stages.fourier_grid import Complex64, Float32, centred_images
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.match import scored
from mapsort.stages.search.pair_scores import PairComparison
from mapsort.stages.search.search_plan import MatchPlan, plan_image_match
from mapsort.stages.search.settings import SearchSettings, white_noise


@dataclass(frozen=True)
class Averaged:
    """The class averages of an iteration.

    Attributes
    ----------
    averages : ClassAverages
    of_groups : list of ShellStatistics
        Of each optics group, CTF-weighted, whatever the averager.
    fit : ParticleFit
        How each particle fits its best match.
    matches : Matches
        With the poses that members were averaged at.
    membership : Membership
        With the members that were.
    """

    averages: ClassAverages
    of_groups: list[ShellStatistics]
    fit: ParticleFit
    matches: Matches
    membership: Membership

    @property
    def statistics(self) -> ShellStatistics:
        """Sums over the shells of what was averaged."""
        return ShellStatistics.total(self.of_groups)


def average_classes(
    run: Run,
    state: State,
    slices: Complex64,
    matches: Matches,
    membership: Membership,
    noise_to_signal: npt.NDArray[np.float64],
    *,
    iteration: int,
) -> Averaged:
    """Average the classes as the options ask.

    By default members are averaged as they lie on their projection. ``--classalign`` and its kin
    align them anew with it, ``--classiter`` with their own average as often as asked for; each
    time ``--classkeep`` chooses among them anew. What was aligned with averages is laid back onto
    the projections, all members of a class alike.

    Parameters
    ----------
    run, state
    slices : ndarray of shape (n_classes, box, box//2+1), or (2, n_classes, box, box//2+1)
        The projections, of each half-set its own.
    matches : Matches
    membership : Membership
    noise_to_signal : ndarray of shape (box//2 + 1,)
        Of one particle, for the averages' Wiener filter.
    iteration : int
    """
    options = run.options
    settings = member_settings(options)
    box, threads = run.plan.grid.box, run.plan.n_threads
    shared = slices if slices.ndim == 3 else np.asarray(slices.mean(axis=0), np.complex64)
    projections = centred_images(shared, box, n_threads=threads)
    if _aligns_with_projections(run):
        matches, membership = _aligned_anew(run, state, settings, projections, matches, membership)
    elif options.classcmp != AUTO:
        values = _judged(run, state, settings, projections, matches, membership)
        membership = _chosen(run, membership, values)
    for _ in range(options.classiter):
        averages, _ = average_all(run, slices, matches, membership, iteration=iteration)
        images = _images(run, averages, noise_to_signal)
        matches, membership = _aligned_anew(run, state, settings, images, matches, membership)
    if options.classiter:
        averages, _ = average_all(run, slices, matches, membership, iteration=iteration)
        images = _images(run, averages, noise_to_signal)
        matches = _laid_back(run, settings, images, projections, matches, membership)
    noise = np.stack(state.noise_ratios()) * state.noise_power
    averages, sums = accumulated(run, slices, matches, membership, iteration=iteration, noise=noise)
    if options.classrefsf:
        averages = matched_to_projections(averages, shared)
    return Averaged(averages, sums.of_groups, sums.fit, matches, membership)


def chosen_by_quality(
    run: Run, state: State, images: Float32, matches: Matches, membership: Membership
) -> Membership:
    """Return the membership with the best of each class in use, by their fit as they lie.

    Parameters
    ----------
    images : ndarray of shape (n_classes, box, box)
        The projections that stand for the classes.
    """
    settings = comparison_settings(run.options, 1)
    plan = _class_plan(run, state, settings, images)
    quality = np.full(len(membership.particle), -np.inf)
    threads = run.plan.n_threads
    for where, raw, chunk, placed in _member_chunks(run, matches, membership, _seen(images)):
        row = membership.particle[chunk] - where.start
        found = scored(
            plan, run.spectra_of(raw)[row], run.ctf_of(where)[row], placed, n_threads=threads
        )
        quality[chunk] = found.quality[:, 0]
    return _chosen(run, membership, -quality)


def _aligns_with_projections(run: Run) -> bool:
    """Whether members are aligned anew before the first average: something asks how."""
    options = run.options
    by = (options.classalign, options.classaligncmp, options.classraligncmp)
    return any(value != AUTO for value in by) or options.classralign != "refine"


def _images(run: Run, averages: ClassAverages, noise_to_signal: npt.NDArray[np.float64]) -> Float32:
    """Return averages as members are aligned with them."""
    every = slice(0, len(averages.count))
    images = wiener_images(averages, noise_to_signal, every, n_threads=run.plan.n_threads)
    return alignment_references(images, automatic=run.options.classautomask)


def _class_plan(run: Run, state: State, settings: SearchSettings, images: Float32) -> MatchPlan:
    context = replace(
        search_context(run, compared_noise(run, state)),
        max_shift=settings.aligner.max_shift_px or run.plan.max_shift,
    )
    return plan_image_match(images, context, settings, matched_to=reference_power(run))


def _member_chunks(
    run: Run, matches: Matches, membership: Membership, seen: npt.NDArray[np.bool_]
) -> Iterator[tuple[slice, Float32, npt.NDArray[np.intp], Matches]]:
    """Yield chunks of particles, the members among them (of classes seen), and their poses."""
    entries = np.flatnonzero(seen[membership.class_of_member])
    order = entries[np.argsort(membership.particle[entries], kind="stable")]
    particle = membership.particle[order]
    ranges = chunk_ranges(len(matches), run.plan.chunk)
    for where, raw in read_ahead(run.inputs.compared.images, ranges):
        first, last = np.searchsorted(particle, [where.start, where.stop])
        chunk = order[first:last]
        if len(chunk):
            placed = matches.taken(membership.particle[chunk], membership.column[chunk])
            # with the class as reference: matches name it, too, but for reseeded maps
            own = membership.class_of_member[chunk].astype(np.int32)[:, None]
            yield where, raw, chunk, replace(placed, reference=own)


def _aligned_anew(
    run: Run,
    state: State,
    settings: SearchSettings,
    images: Float32,
    matches: Matches,
    membership: Membership,
) -> tuple[Matches, Membership]:
    """Align every member with its class's image; choose among them again."""
    plan = _class_plan(run, state, settings, images)
    comparison = _comparison(run, state, settings, images)
    values = np.full(len(membership.particle), np.inf)
    moved = matches.copied()
    threads = run.plan.n_threads
    for where, raw, chunk, placed in _member_chunks(run, matches, membership, _seen(images)):
        row = membership.particle[chunk] - where.start
        found = realigned(
            plan, run.spectra_of(raw)[row], run.ctf_of(where)[row], placed, n_threads=threads
        )
        moved.place(membership.particle[chunk], membership.column[chunk], found)
        if comparison is None:
            values[chunk] = -found.quality[:, 0]
        else:
            values[chunk] = _values(run, comparison, raw[row], where, row, found)
    return moved, _chosen(run, membership, values)


def _judged(
    run: Run,
    state: State,
    settings: SearchSettings,
    images: Float32,
    matches: Matches,
    membership: Membership,
) -> npt.NDArray[np.float64]:
    """Return the value of ``--classcmp`` of every member as it lies."""
    comparison = _comparison(run, state, settings, images)
    assert comparison is not None, "--classcmp is given"
    values = np.full(len(membership.particle), np.inf)
    for where, raw, chunk, placed in _member_chunks(run, matches, membership, _seen(images)):
        row = membership.particle[chunk] - where.start
        values[chunk] = _values(run, comparison, raw[row], where, row, placed)
    return values


def _seen(images: Float32) -> npt.NDArray[np.bool_]:
    """Return which classes have an image to align with."""
    return np.asarray(images.any(axis=(1, 2)))


def _comparison(
    run: Run, state: State, settings: SearchSettings, images: Float32
) -> PairComparison | None:
    if settings.pairs is None:
        return None
    return pair_comparison(run, state, settings.pairs, images)


def _values(
    run: Run,
    comparison: PairComparison,
    raw: Float32,
    where: slice,
    row: npt.NDArray[np.intp],
    placed: Matches,
) -> npt.NDArray[np.float64]:
    ctf = None if run.inputs.ctf is None else run.inputs.ctf[where][row]
    images = run.plan.treatment.images(raw)
    return comparison.values(images, ctf, placed, n_threads=run.plan.n_threads)[:, 0]


def _chosen(run: Run, membership: Membership, values: npt.NDArray[np.float64]) -> Membership:
    options = run.options
    # a member without a value is the worst; keep_best takes finite numbers
    finite = np.where(np.isfinite(values), values, np.float32(1e30))
    return membership.keeping(-finite, keep=options.classkeep, keep_sigma=options.classkeepsig)


def _laid_back(
    run: Run,
    settings: SearchSettings,
    averages: Float32,
    projections: Float32,
    matches: Matches,
    membership: Membership,
) -> Matches:
    """Lay the averages onto their projections, and so their members."""
    seen = np.flatnonzero(_seen(averages) & _seen(projections))
    if not len(seen):
        return matches
    threads, grid = run.plan.n_threads, run.plan.grid
    plan = plan_image_match(
        projections,
        replace(search_context(run, white_noise(grid.box)), max_radius=None),
        replace(
            settings,
            scoring=replace(settings.scoring, scale_spread=UNKNOWN_SCALE),
            search=None,
            polish_by=None,
        ),
    )
    start = np.zeros((len(seen), 1), dtype=np.float32)
    whole = np.zeros((len(seen), 1), dtype=np.int32)
    placed = Matches(seen.astype(np.int32)[:, None], start, start, start, start, start, whole)
    ctf = ctf_coefficients(None, len(seen))
    spectra = grid.image_spectra(averages[seen], n_threads=threads)
    found = realigned(plan, spectra, ctf, placed, n_threads=threads)
    of_class = np.full(membership.n_classes, -1)
    of_class[seen] = np.arange(len(seen))
    entries = np.flatnonzero(of_class[membership.class_of_member] >= 0)
    particle, column = membership.particle[entries], membership.column[entries]
    second = found.rows(of_class[membership.class_of_member[entries]])
    moved = matches.copied()
    moved.place(particle, column, composed(matches.taken(particle, column), second))
    return moved
