"""The class averages of one iteration: members aligned anew and chosen, then averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mapsort.array_types import Bool, Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import Rows
from mapsort.engines.made_anew import MadeAnew
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.refinement.class_sums import accumulated, average_all
from mapsort.refinement.comparison import (
    AUTO,
    UNKNOWN_SCALE,
    compared_noise,
    comparison_settings,
    member_settings,
    pair_comparison,
    reference_power,
    search_context,
)
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.wording import counted
from mapsort.stages.average.average import (
    ShellStatistics,
    particle_noise_to_signal,
    wiener_images,
)
from mapsort.stages.average.particle_fit import ParticleFit
from mapsort.stages.average.realign import alignment_references, composed, realigned
from mapsort.stages.fourier_grid import centred_images
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.match import scored
from mapsort.stages.search.pair_scores import PairComparison
from mapsort.stages.search.search_plan import MatchPlan, plan_image_match
from mapsort.stages.search.settings import SearchSettings, white_noise


@dataclass(frozen=True)
class Averaged:
    """The class averages of an iteration."""

    #: As measured, see `filtered_averages`.
    averages: ClassAverages
    #: Of each optics group, CTF-weighted, whatever the averager.
    of_groups: list[ShellStatistics]
    #: How each particle fits its best match.
    fit: ParticleFit
    #: With the poses that members were averaged at.
    matches: Matches
    #: With the members that were.
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
    slices : ndarray of shape (n_classes, box, box//2+1), or (2, n_classes, box, box//2+1)
        The projections, of each half-set its own.
    """
    options = run.options
    settings = member_settings(options)
    noise = np.stack(state.noise_ratios()) * state.noise_power

    def shared() -> Complex64:
        return slices if slices.ndim == 3 else np.asarray(slices.mean(axis=0), np.complex64)

    def projections() -> Float32:
        return centred_images(shared(), run.plan.grid.box, n_threads=run.plan.n_threads)

    def averages_now() -> Float32:
        averages, _ = average_all(run, slices, matches, membership, iteration=iteration)
        ratio = particle_noise_to_signal(shared(), state.noise_power)
        return _images(run, averages, ratio)

    def aligned(images: Float32, turn: int) -> tuple[Matches, Membership]:
        work = _MemberWork(run, state, settings, images, realigned)
        return work.done(matches, membership, stage=f"align{turn}", iteration=iteration)

    if _aligns_with_projections(run):
        matches, membership = aligned(projections(), 0)
    elif options.classcmp != AUTO:
        work = _MemberWork(run, state, settings, projections())
        matches, membership = work.done(matches, membership, stage="judge", iteration=iteration)
    for turn in range(options.classiter):
        matches, membership = aligned(averages_now(), turn + 1)
    if options.classiter:
        matches = _laid_back(run, settings, averages_now(), projections(), matches, membership)
    averages, sums = accumulated(run, slices, matches, membership, iteration=iteration, noise=noise)
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
    settings = replace(comparison_settings(run.options, 1), pairs=None)
    work = _MemberWork(run, state, settings, images, scored)
    return work.done(matches, membership, stage="choose", iteration=0)[1]


def _aligns_with_projections(run: Run) -> bool:
    """Whether members are aligned anew before the first average: something asks how."""
    options = run.options
    by = (options.classalign, options.classaligncmp, options.classraligncmp)
    return any(value != AUTO for value in by) or options.classralign != "refine"


def _images(run: Run, averages: ClassAverages, noise_to_signal: Float64) -> Float32:
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


@dataclass(frozen=True)
class _Members:
    """Value of each member (the smaller, the better), and where it lies."""

    value: Float64
    placed: Matches


class _MemberWork:
    """Looks at the members of classes beside their class's image; the same here and on workers.

    Parameters
    ----------
    images : ndarray of shape (n_classes, box, box)
        Classes whose image is zero are left out.
    look : callable, optional
        `realigned`, or `scored`; by default members are compared as they lie.
    """

    def __init__(
        self,
        run: Run,
        state: State,
        settings: SearchSettings,
        images: Float32,
        look: Callable[..., Matches] | None = None,
    ) -> None:
        which = (run, state.maps_only(), settings, images)
        self._run, self._look, self._seen = run, look, _seen(images)
        self._plan = MadeAnew(partial(_class_plan, *which))
        self._comparison = MadeAnew(partial(_comparison, *which))

    def done(
        self, matches: Matches, membership: Membership, *, stage: str, iteration: int
    ) -> tuple[Matches, Membership]:
        """Return the matches with members where they lie now, and those chosen among them."""
        run = self._run
        entries = np.flatnonzero(self._seen[membership.class_of_member])
        order = entries[np.argsort(membership.particle[entries], kind="stable")]
        particle, column = membership.particle[order], membership.column[order]

        def members(where: slice) -> tuple[Indices, Matches]:
            own = slice(*np.searchsorted(particle, [where.start, where.stop]))
            # with the class as reference: matches name it, too, but for reseeded maps
            classes = membership.class_of_member[order[own]].astype(np.int32)[:, None]
            placed = matches.taken(particle[own], column[own])
            return particle[own] - where.start, replace(placed, reference=classes)

        run.start("align members", len(matches), iteration)
        found = run.gathered(
            _Members, self._rows, iteration=iteration, stage=f"average-{stage}", along=members
        )
        run.execution.progress.finish(counted(len(order), "member"))
        values = np.full(len(membership.particle), np.inf)
        values[order] = found.value
        if self._look is realigned:
            matches = matches.copied()
            matches.place(particle, column, found.placed)
        # a member without a value is the worst; keep_best takes finite numbers
        finite = np.where(np.isfinite(values), values, np.float32(1e30))
        options = run.options
        keep, in_sigmas = options.classkeep, options.classkeepsig
        return matches, membership.keeping(-finite, keep=keep, keep_sigma=in_sigmas)

    def _rows(self, where: Rows, raw: Float32, row: Indices, placed: Matches) -> _Members:
        """Look at the members among one chunk of particles."""
        run, threads = self._run, self._run.plan.n_threads
        if not len(row):
            return _Members(np.empty(0), placed)
        if self._look is not None:
            spectra, ctf = run.spectra_of(raw)[row], run.ctf_of(where)[row]
            placed = self._look(self._plan.value, spectra, ctf, placed, n_threads=threads)
        comparison = self._comparison.value
        if comparison is None:
            return _Members(-placed.quality[:, 0].astype(np.float64), placed)
        own = None if run.inputs.ctf is None else run.inputs.ctf[where][row]
        images = run.plan.treatment.images(raw[row])
        values = comparison.values(images, own, placed, n_threads=threads)[:, 0]
        return _Members(np.asarray(values, np.float64), placed)


def _seen(images: Float32) -> Bool:
    """Return which classes have an image to align with."""
    return np.asarray(images.any(axis=(1, 2)))


def _comparison(
    run: Run, state: State, settings: SearchSettings, images: Float32
) -> PairComparison | None:
    if settings.pairs is None:
        return None
    return pair_comparison(run, state, settings.pairs, images)


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
