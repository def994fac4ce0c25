"""What a run refines, and how; the same through the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import repeat
from typing import Any, TypeVar

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import Rows, chunk_ranges, length, over_chunks
from mapsort.engines.resources import available_threads
from mapsort.io.optics import GROUP
from mapsort.model.particles import Particles
from mapsort.modules.projector import Projection, projector
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import RefineOptions
from mapsort.physics.ctf import ctf_images
from mapsort.physics.masks import soft_sphere
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.plan import MultiPlan
from mapsort.stages.prepare import ctf_coefficients

R = TypeVar("R")


@dataclass(frozen=True)
class ParticleSpectra:
    """Mean |X|^2 in each shell of the treated images, (box//2 + 1,).

    With independent half-sets those of each half by itself, (2, box//2 + 1).
    """

    #: averaged and compared: of ``--input``, and of ``--usefilt`` if that is given.
    averaged: Float32
    compared: Float32

    @property
    def filter(self) -> Float64 | None:
        """What the compared images are filtered by; None where they are those averaged."""
        if np.array_equal(self.compared, self.averaged):
            return None
        ratio = self.compared.astype(np.float64) / np.maximum(self.averaged, 1e-30)
        response = np.sqrt(ratio)
        return np.asarray(np.maximum(response, 1e-3 * response.max()))

    def of_part(self, part: int) -> ParticleSpectra:
        """Return those of one half-set."""
        return ParticleSpectra(self.averaged[part], self.compared[part])


@dataclass(frozen=True)
class IndependentHalves:
    """What a run needs to know whose half-sets share nothing but the FSC between them."""

    asked: RefineOptions
    #: Where the starting map ends: beyond, each half has random phases of its own.
    start_resolution_ang: float
    #: Frequency [1/A] and intensity that the final map is given, (m, 2).
    structure_factor: Float64 | None = None


@dataclass(frozen=True)
class Run:
    """What stays the same through a run."""

    options: MultiOptions
    inputs: MultiInputs
    plan: MultiPlan
    #: What it is carried out with; stays at home where the run is sent to a worker.
    execution: Execution = field(default_factory=Execution)
    #: Of a single-map refinement, whose half-sets are kept apart from the start.
    independent: IndependentHalves | None = None
    spectra_seen: ParticleSpectra | None = None
    #: What was asked for, where this run is only the first part of it.
    request: MultiOptions | None = None
    #: Which of several starts (``--starts``), from 0.
    trial: int = 0
    #: With half-sets: the half (from 0) that this is the run of, how many there are, and what
    #: tells its results from those of the other.
    part: int = 0
    n_parts: int = 1
    part_name: str = ""

    @property
    def asked(self) -> MultiOptions | RefineOptions:
        """The command's options, as they were given."""
        if self.independent is not None:
            return self.independent.asked
        return self.options if self.request is None else self.request

    @property
    def policy(self) -> IndependentHalves:
        """How independent half-sets are refined, where they are."""
        assert self.independent is not None, "only asked of a run of independent half-sets"
        return self.independent

    def only(self, chosen: Indices) -> Run:
        """Return the run of some of its particles, of which nothing has been read yet."""
        return replace(self, inputs=self.inputs.only(chosen), spectra_seen=None)

    @property
    def seen(self) -> ParticleSpectra:
        """Mean power spectra of the particles, known once all have been read."""
        assert self.spectra_seen is not None, "particles are scanned before any iteration"
        return self.spectra_seen

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Run], tuple[dict[str, Any]]]:
        """Travel as what work on particles needs: no files but the stacks."""
        kept = {item.name: getattr(self, item.name) for item in fields(self)}
        filtered = self.inputs.filtered
        inputs = replace(
            self.inputs,
            table=None,
            particles=self.inputs.particles.images_only(),
            filtered=None if filtered is None else filtered.images_only(),
        )
        return _run_elsewhere, (kept | {"inputs": inputs},)

    def over_chunks(
        self,
        work: Callable[..., R],
        chunks: Sequence[Rows],
        *,
        particles: Particles | None = None,
        along: Iterable[tuple[Any, ...]] = repeat(()),
        here: bool = False,
    ) -> Iterator[tuple[Rows, R]]:
        """Yield (rows, work(rows, raw images, ...)) for chunks of particles, in order.

        Parameters
        ----------
        work : callable
            Depends on its arguments and on what it carries only; with an engine it is sent to
            every worker once, and there reads and works on chunks.
        particles : Particles, optional
            Those that are compared in place of ``--input``.
        along : iterable of tuple, optional
            Further arguments for each chunk.
        here : bool
            Work in this process, whatever the engine: on what all chunks add to.
        """
        source = self.inputs.particles if particles is None else particles
        engine = None if here else self.execution.engine
        read = source.images if engine is None else source.images_only().images
        return over_chunks(read, work, chunks, engine=engine, along=along)

    def gathered(
        self,
        kind: type[R],
        work: Callable[..., R],
        *,
        iteration: int,
        stage: str,
        n: int | None = None,
        along: Callable[[slice], tuple[Any, ...]] | None = None,
    ) -> R:
        """Return what work finds of the compared particles of this part, chunk by chunk.

        What is finished when the run is stopped is not done again.

        Parameters
        ----------
        kind : type
            Dataclass that ``work`` returns; the first axis of its arrays counts particles.
        work : callable
            As of `over_chunks`.
        stage : str
            Name of the results among those of the iteration.
        n : int, optional
            How many of this part's particles, by default all.
        along : callable, optional
            Gives further arguments for a range of this part's particles.
        """
        chunks = self.chunks(n)
        ranges = chunk_ranges(sum(map(length, chunks)), self.plan.chunk)
        execution, source = self.execution, self.inputs.compared
        with execution.checkpoints.chunks(iteration, f"{stage}{self.part_name}", kind) as done:
            if len(done):
                execution.progress.advance(ranges[len(done) - 1].stop)
            left = chunks[len(done) :]
            more = repeat(()) if along is None else map(along, ranges[len(done) :])
            for where, found in self.over_chunks(work, left, particles=source, along=more):
                done.add(found)
                execution.advance(length(where))
        return done.joined()

    @property
    def comparison_filter(self) -> Float64 | None:
        """What compared images are filtered by, relative to those averaged (``--usefilt``)."""
        return None if self.inputs.filtered is None else self.seen.filter

    @property
    def projection(self) -> Projection:
        """How maps are projected: ``--projector``."""
        return projector(self.options.projector)

    @property
    def sphere(self) -> Float32:
        """Soft sphere that bounds every map."""
        return soft_sphere(self.plan.grid.box, self.plan.sphere_radius, self.plan.sphere_edge)

    @cached_property
    def optics_group(self) -> Indices:
        """Number of each particle's optics group, from 0, (n,)."""
        _, number = np.unique(self.inputs.column(GROUP), return_inverse=True)
        return self.execution.scratch.placed(np.asarray(number, dtype=np.intp))

    def split_seed(self, trial: int) -> int:
        """Seed of a random split of the particles; each start (from 0) has its own."""
        if trial == 0:
            return self.plan.seed
        return int(np.random.SeedSequence([self.plan.seed, trial]).generate_state(1)[0])

    def ctf_of(self, where: Rows) -> Float32:
        """CTF coefficients of some particles."""
        ctf = None if self.inputs.ctf is None else self.inputs.ctf[where]
        return ctf_coefficients(ctf, length(where), flipped=self.plan.flipped)

    def transfer_of(self, where: Rows) -> Float32 | None:
        """Contrast transfer of some particles in the Fourier plane, None where none applies."""
        if self.inputs.ctf is None:
            return None
        transfer = ctf_images(self.inputs.ctf[where], self.plan.grid.box, self.inputs.apix)
        return np.abs(transfer) if self.plan.flipped else transfer

    def spectra_of(self, raw: Float32, *, max_radius: float | None = None) -> Complex64:
        """Transform raw images for the kernels, up to ``max_radius`` Fourier pixels if given."""
        plan = self.plan
        return plan.treatment.spectra(raw, max_radius=max_radius, n_threads=plan.n_threads)

    def start(self, stage_name: str, total: int, iteration: int) -> None:
        """Begin a stage of `total` units on the progress display."""
        n_iterations = self.options.n_iterations
        self.execution.progress.start(
            stage_name, total, iteration=iteration, n_iterations=n_iterations
        )

    def of_part(self, part: int, n_parts: int) -> Run:
        """Return the run of one part of the particles: all, or a half-set."""
        if n_parts == 1:
            return self
        return replace(self, part=part, n_parts=n_parts, part_name=f"-half{part}")

    @property
    def numbers(self) -> Indices:
        """Numbers of the particles of this part, in order."""
        if self.n_parts == 1:
            return np.arange(len(self.inputs.particles))
        return np.flatnonzero(self.inputs.halves.half == self.part)

    def chunks(self, n: int | None = None) -> list[Rows]:
        """Rows of this part's particles, of its first n or all, that are worked on together."""
        if self.n_parts == 1:
            n_particles = len(self.inputs.particles) if n is None else n
            return list(chunk_ranges(n_particles, self.plan.chunk))
        own = self.numbers[:n]
        return [own[part] for part in chunk_ranges(len(own), self.plan.chunk)]


def _run_elsewhere(kept: dict[str, Any]) -> Run:
    """Return a run as a worker needs it, with the worker's own number of threads."""
    run = Run(**kept)
    return replace(run, plan=replace(run.plan, n_threads=available_threads()))
