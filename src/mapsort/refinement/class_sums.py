"""Sums of the particles of each class: here, or piece by piece on Dask workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Array, Complex64, Float32, Float64
from mapsort.engines.chunks import Rows, chunk_ranges, length, over_chunks
from mapsort.errors import ConfigError
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.modules.processors import processor_chain
from mapsort.refinement.memory_plan import PIECE_BYTES, class_sum_bytes, spills_classes
from mapsort.refinement.run import Run
from mapsort.rundir.scratch import sparse_zeros
from mapsort.rundir.wording import counted
from mapsort.stages.average.average import ClassAccumulator, PieceSums, ShellStatistics
from mapsort.stages.average.particle_fit import ParticleFit
from mapsort.stages.average.weighting import MemberAverager, SumWeights, Weighting, weighting_of
from mapsort.stages.prepare import ParticleTreatment, ProcessedTreatment

#: Particles by which processed images are brought to the scale of the others.
_SCALE_SAMPLE = 128
#: Chunks of particles whose sums are made together before they are added to those of all.
_CHUNKS_IN_PIECE = 6


def average_all(
    run: Run, slices: Complex64, matches: Matches, membership: Membership, *, iteration: int
) -> tuple[ClassAverages, ShellStatistics]:
    """Average the classes as their members lie, chunk by chunk.

    The statistics of the noise are always those of the CTF-weighted sums, whatever the averager.
    """
    averages, sums = accumulated(run, slices, matches, membership, iteration=iteration)
    return averages, sums.statistics


def accumulated(
    run: Run,
    slices: Complex64,
    matches: Matches,
    membership: Membership,
    *,
    iteration: int,
    noise: Float64 | None = None,
) -> tuple[ClassAverages, ClassAccumulator]:
    """Average the classes and return the CTF-weighted sums, too.

    With the noise of each optics group, (n_groups, box//2 + 1), they tell how each particle fits.

    Particles are added in pieces of some chunks, each from zero, and the pieces in their order:
    the sums do not depend on where a piece was done. With so many classes that a piece would touch
    as much memory as its images there is one piece, which is done here.
    """
    work = PieceWork(run, slices, noise)
    whole = work.accumulator(slice(0, len(matches)))
    whole.fit = ParticleFit.empty(whole.n_particles, room=run.execution.scratch.zeros)
    run.start("average", len(matches), iteration)
    for piece in _sums_of_pieces(work, whole, matches, membership):
        whole.merge(piece)
        run.execution.scratch.release()
    averages = whole.finish()
    weighting = weighting_of(run.options.classaverager)
    if weighting is Weighting.SUM:
        averages = _other_sums(work, matches, membership).finish()
    elif weighting is Weighting.BY_MEMBER:
        averages = _by_member(run, work.treatment, matches, membership)
    n_occupied = int((averages.count > 0).sum())
    run.execution.progress.finish(f"{counted(n_occupied, 'class', 'classes')} with particles")
    return averages, whole


class PieceWork:
    """What pieces of the averaging need; the same here and on workers.

    Parameters
    ----------
    slices : ndarray of shape (n_classes, box, box//2+1), or (2, n_classes, box, box//2+1)
    noise : ndarray of shape (n_groups, box//2 + 1), or None
    """

    def __init__(self, run: Run, slices: Complex64, noise: Float64 | None) -> None:
        self.run = run
        self.slices = slices
        self.noise = noise
        self.group = None if noise is None else run.optics_group
        self.n_groups = 1 if self.group is None else int(self.group.max(initial=0)) + 1
        self.treatment = member_treatment(run)

    def accumulator(self, particles: slice) -> ClassAccumulator:
        """Return sums over none of a range of particles yet."""
        run = self.run
        return ClassAccumulator(
            run.plan.grid,
            run.inputs.apix,
            self.slices,
            run.inputs.halves.half[particles],
            noise_power=self.noise,
            group=None if self.group is None else self.group[particles],
            n_particles=0 if self.noise is None else length(particles),
            first_particle=particles.start,
            n_groups=self.n_groups,
            room=_room(run),
        )

    def add(
        self, sums: ClassAccumulator, particles: slice, matches: Matches, membership: Membership
    ) -> None:
        """Add consecutive particles to sums, chunk by chunk; matches and membership are theirs."""
        run, threads = self.run, self.run.plan.n_threads
        last, step = particles.stop, run.plan.chunk
        ranges = [
            slice(first, min(first + step, last)) for first in range(particles.start, last, step)
        ]

        def add(where: slice, raw: Float32) -> None:
            spectra, ctf = self.treatment.spectra(raw, n_threads=threads), run.ctf_of(where)
            sums.add(spectra, ctf, where.start, matches, membership, n_threads=threads)

        for where, _ in run.over_chunks(add, ranges, here=True):
            run.execution.advance(length(where))

    def piece(
        self, particles: slice, _images: None, matches: Matches, membership: Membership
    ) -> PieceSums:
        """Return the sums over a piece, whose images are read here."""
        sums = self.accumulator(particles)
        self.add(sums, particles, matches, membership)
        return sums.piece()


def _room(run: Run) -> Callable[[tuple[int, ...], npt.DTypeLike], Array]:
    """Return what makes room for the sums of all classes, of which few may have particles."""
    return run.execution.scratch.zeros if spills_classes(run.plan) else sparse_zeros


def _unread(_where: Rows) -> None:
    """Read nothing ahead."""


def _sums_of_pieces(
    work: PieceWork, whole: ClassAccumulator, matches: Matches, membership: Membership
) -> Iterator[PieceSums]:
    """Yield the sums of pieces in order; one piece alone goes straight into the whole."""
    run, n = work.run, len(matches)
    ranges = chunk_ranges(n, _CHUNKS_IN_PIECE * run.plan.chunk)
    if class_sum_bytes(run.plan) > PIECE_BYTES or len(ranges) == 1:
        work.add(whole, slice(0, n), matches, membership)
        return
    theirs = ((matches.part(where), membership.of_particles(where)) for where in ranges)
    for where, found in over_chunks(
        _unread, work.piece, ranges, engine=run.execution.engine, along=theirs
    ):
        if run.execution.engine is not None:
            run.execution.advance(length(where))
        yield found


def _other_sums(work: PieceWork, matches: Matches, membership: Membership) -> ClassAccumulator:
    """Return the sums that ``--classaverager`` makes of images and counts multiplied otherwise."""
    run, threads = work.run, work.run.plan.n_threads
    weights = SumWeights(run.options.classaverager.strip(), run.plan.flipped, run.inputs.apix)
    sums = ClassAccumulator(
        run.plan.grid, run.inputs.apix, work.slices, run.inputs.halves.half, room=_room(run)
    )

    def add(where: slice, raw: Float32) -> None:
        own = None if run.inputs.ctf is None else run.inputs.ctf[where]
        images = weights.images(work.treatment.images(raw), own)
        spectra = run.plan.grid.image_spectra(images, n_threads=threads)
        told = weights.ctf(own, len(raw))
        sums.add(spectra, told, where.start, matches, membership, n_threads=threads)

    for _ in run.over_chunks(add, run.chunks(len(matches)), here=True):
        run.execution.scratch.release()
    return sums


def member_treatment(run: Run) -> ParticleTreatment:
    """Return how particles are treated before they are averaged (``--classnormproc``)."""
    chain = processor_chain(run.options.classnormproc)
    plain = run.plan.treatment
    if not chain:
        return plain
    processed = ProcessedTreatment(
        plain.grid, plain.background_radius, plain.invert, chain, run.inputs.apix
    )
    n = len(run.inputs.particles)
    some = np.unique(np.linspace(0, n - 1, _SCALE_SAMPLE).astype(np.intp))
    raw = run.inputs.particles.images(some)
    one, other = plain.images(raw), processed.images(raw)
    power = float(np.mean(other.astype(np.float64) ** 2))
    if not (np.isfinite(power) and power > 0):
        raise ConfigError(
            f"--classnormproc={run.options.classnormproc}: leaves nothing of the images"
        )
    scale = float(np.sqrt(np.mean(one.astype(np.float64) ** 2) / power))
    return replace(processed, scale=scale)


def _by_member(
    run: Run, treatment: ParticleTreatment, matches: Matches, membership: Membership
) -> ClassAverages:
    averager = MemberAverager(
        run.options.classaverager,
        lambda numbers: treatment.images(run.inputs.particles.images(numbers)),
        run.inputs.ctf,
        run.plan.flipped,
        run.inputs.apix,
        run.inputs.halves.half,
    )
    return averager.averages(matches, membership, run.plan.grid.box)
