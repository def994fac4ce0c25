"""What a run keeps, what one iteration hands to the next, and what it leaves to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import Rows, chunk_ranges, length, read_ahead
from mapsort.engines.dask_engine import DaskEngine
from mapsort.engines.progress import Progress, SilentProgress
from mapsort.engines.threads import available_threads
from mapsort.io.optics import GROUP
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.modules.projector import Projection, projector
from mapsort.options.multi import MultiOptions
from mapsort.physics.ctf import ctf_images
from mapsort.physics.half_maps import HalfMapFsc
from mapsort.physics.masks import soft_sphere
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.known_classes import KnownClasses
from mapsort.refinement.plan import MultiPlan
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.scratch import Scratch
from mapsort.stages.average.particle_fit import ParticleFit
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.similarity import Similarity
from mapsort.stages.search.two_stage import FirstStage

R = TypeVar("R")


@dataclass(frozen=True)
class ParticleSpectra:
    """Mean |X|^2 in each shell of the treated images, (box//2 + 1,).

    Attributes
    ----------
    averaged, compared : ndarray
        Of ``--input``, and of ``--usefilt`` if that is given.
    """

    averaged: Float32
    compared: Float32

    @property
    def filter(self) -> npt.NDArray[np.float64] | None:
        """What the compared images are filtered by; None where they are those averaged."""
        if np.array_equal(self.compared, self.averaged):
            return None
        ratio = self.compared.astype(np.float64) / np.maximum(self.averaged, 1e-30)
        response = np.sqrt(ratio)
        return np.asarray(np.maximum(response, 1e-3 * response.max()))


@dataclass(frozen=True)
class Run:
    """What stays the same through a run.

    Attributes
    ----------
    options : MultiOptions
    inputs : MultiInputs
    plan : MultiPlan
    progress : Progress
    checkpoints : Checkpoints
        Keeps the results of finished stages for a run that is stopped; by default nothing.
    scratch : Scratch
        Room for what grows with the number of particles or projections; by default memory.
    engine : DaskEngine or None
        Where chunks of particles are worked on; None for the threads of this process.
    """

    options: MultiOptions
    inputs: MultiInputs
    plan: MultiPlan
    progress: Progress
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    scratch: Scratch = field(default_factory=Scratch)
    engine: DaskEngine | None = None
    spectra_seen: ParticleSpectra | None = None
    #: Which of several starts (``--starts``), from 0.
    trial: int = 0
    #: With half-sets: the half (from 0) that this is the run of, and how many there are.
    part: int = 0
    n_parts: int = 1

    @property
    def seen(self) -> ParticleSpectra:
        """Mean power spectra of the particles, known once all have been read."""
        assert self.spectra_seen is not None, "particles are scanned before any iteration"
        return self.spectra_seen

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Run], tuple[dict[str, Any]]]:
        """Travel as what work on particles needs: no display, no files but the stacks."""
        kept = {item.name: getattr(self, item.name) for item in fields(self)}
        del kept["progress"], kept["checkpoints"], kept["engine"], kept["scratch"]
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
        work: Callable[[Rows, Float32], R],
        chunks: list[Rows],
        *,
        particles: Particles | None = None,
    ) -> Iterator[tuple[Rows, R]]:
        """Yield (rows, work(rows, raw images)) for chunks of particles, in order.

        Parameters
        ----------
        work : callable
            Depends on its arguments and on what it carries only; with an engine it is sent to
            every worker once, and there reads and works on chunks.
        chunks : list of slice or ndarray
        particles : Particles, optional
            Those that are compared in place of ``--input``.
        """
        source = self.inputs.particles if particles is None else particles
        if self.engine is None:
            for where, raw in read_ahead(source.images, chunks):
                yield where, work(where, raw)
            return
        read = source.images_only().images
        results = self.engine.in_order(_read_and_work, (read, work), chunks)
        yield from zip(chunks, results, strict=True)

    @property
    def comparison_filter(self) -> npt.NDArray[np.float64] | None:
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
    def optics_group(self) -> npt.NDArray[np.intp]:
        """Number of each particle's optics group, from 0, (n,)."""
        _, number = np.unique(self.inputs.column(GROUP), return_inverse=True)
        return self.scratch.placed(np.asarray(number, dtype=np.intp))

    def split_seed(self, trial: int) -> int:
        """Seed of a random split of the particles; each start (from 0) has its own."""
        if trial == 0:
            return self.plan.seed
        return int(np.random.SeedSequence([self.plan.seed, trial]).generate_state(1)[0])

    @property
    def part_name(self) -> str:
        """What tells the results of a half-set from those of the other."""
        return "" if self.n_parts == 1 else f"-half{self.part}"

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

    def spectra_of(self, raw: Float32) -> Complex64:
        """Transform raw images for the kernels."""
        return self.plan.treatment.spectra(raw, n_threads=self.plan.n_threads)

    def start(self, stage_name: str, total: int, iteration: int) -> None:
        """Begin a stage of `total` units on the progress display."""
        n_iterations = self.options.n_iterations
        self.progress.start(stage_name, total, iteration=iteration, n_iterations=n_iterations)

    def advance(self, n_particles: int) -> None:
        """Tell that some particles are done with; let the memory go that looking at them took."""
        self.progress.advance(n_particles)
        self.scratch.release()

    def of_part(self, part: int, n_parts: int) -> Run:
        """Return the run of one part of the particles: all, or a half-set."""
        return self if n_parts == 1 else replace(self, part=part, n_parts=n_parts)

    @property
    def numbers(self) -> npt.NDArray[np.intp]:
        """Numbers of the particles of this part, in order."""
        if self.n_parts == 1:
            return np.arange(len(self.inputs.particles))
        return np.flatnonzero(self.inputs.halves.half == self.part)

    def chunks_after(self, n_done: int, n: int | None = None) -> list[Rows]:
        """Ranges that are left to do; what an interrupted run had done counts as progress."""
        every = self.chunks(n)
        if n_done:
            self.progress.advance(sum(length(where) for where in every[:n_done]))
        return every[n_done:]

    def chunks(self, n: int | None = None) -> list[Rows]:
        """Rows of this part's particles, of the first n or all, that are worked on together."""
        n_particles = len(self.inputs.particles) if n is None else n
        if self.n_parts == 1:
            return list(chunk_ranges(n_particles, self.plan.chunk))
        own = self.numbers
        own = own[: np.searchsorted(own, n_particles)]
        return [own[part] for part in chunk_ranges(len(own), self.plan.chunk)]


@dataclass(frozen=True)
class Learnt:
    """What an iteration learnt of the particles, for the next one.

    Attributes
    ----------
    scale_spread : float or None
        Standard deviation of the particles' scales; None before it is known.
    shift_spread : float
        Width of the prior on shifts along each axis [pixels]; infinite before it is known.
    group_noise : ndarray of shape (n_groups, box//2 + 1), or None
        Noise spectrum of each optics group; None where there is one group.
    misfit : ndarray of shape (n,), or None
        By how many robust deviations what is left of a particle, when its map is taken from it, is
        less like noise than what is left of others.
    """

    scale_spread: float | None = None
    shift_spread: float = float("inf")
    group_noise: npt.NDArray[np.float64] | None = None
    misfit: npt.NDArray[np.float64] | None = None


def _read_and_work(shared: tuple[Callable[[Rows], Float32], Callable[..., R]], where: Rows) -> R:
    """Do one chunk on a worker."""
    read, work = shared
    return work(where, read(where))


def _run_elsewhere(kept: dict[str, Any]) -> Run:
    """Return a run as a worker needs it, with the worker's own number of threads."""
    run = Run(**kept, progress=SilentProgress())
    return replace(run, plan=replace(run.plan, n_threads=available_threads()))


@dataclass(frozen=True)
class State:
    """What one iteration hands to the next.

    Attributes
    ----------
    iteration : int
        0 for the prepared seeds.
    references : tuple of ndarray (box, box, box)
        Filtered, masked maps that the next iteration projects.
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of a particle's noise in each shell.
    matches : Matches or None
        Of the iteration that made this state.
    shares : ndarray of shape (n_models,) or None
        Fraction of the particles that each map held in it.
    halves : tuple of two tuples of ndarray, or None
        With ``--halves``, the references of the two half-sets; ``references``
        are then their means, for show.
    trial : int
        Which of several starts it comes from, from 0.
    soft_since : int
        First iteration that shared particles by their probabilities, 0 if there was none yet.
    known : KnownClasses or None
        Classes that particles stay in, where they were found before the iterations.
    """

    iteration: int
    references: tuple[Float32, ...]
    noise_power: npt.NDArray[np.float64]
    matches: Matches | None
    shares: npt.NDArray[np.float64] | None = None
    halves: tuple[tuple[Float32, ...], tuple[Float32, ...]] | None = None
    learnt: Learnt = field(default_factory=Learnt)
    trial: int = 0
    soft_since: int = 0
    known: KnownClasses | None = None

    def maps_only(self) -> State:
        """Return it without the matches of every particle: little to send elsewhere."""
        learnt = replace(self.learnt, misfit=None)
        return replace(self, matches=None, halves=None, known=None, learnt=learnt)

    def noise_ratios(self) -> list[npt.NDArray[np.float64]]:
        """Return the noise of each optics group over that of all particles, by shell."""
        if self.learnt.group_noise is None:
            return [np.ones_like(self.noise_power)]
        return [power / self.noise_power for power in self.learnt.group_noise]

    def of_part(self, part: int) -> State:
        """Return the state of one half-set: with its own references."""
        return self if self.halves is None else replace(self, references=self.halves[part])

    @property
    def reference_sets(self) -> tuple[tuple[Float32, ...], ...]:
        """The sets of maps that half-sets are matched with; one without ``--halves``."""
        return (self.references,) if self.halves is None else self.halves


@dataclass(frozen=True)
class HalfMaps:
    """Unfiltered maps of the two half-sets of one map, and their FSC."""

    even: Float32
    odd: Float32
    curves: HalfMapFsc


@dataclass(frozen=True)
class Outcome:
    """Everything an iteration found; the run directory's files are made from it.

    Attributes
    ----------
    state : State
        Input of the next iteration.
    maps : tuple of ndarray
        Each map filtered by its own FSC, masked, on the particles' scale.
    half_fsc : tuple of ndarray (box//2 + 1,)
        FSC of each map's halves under its mask, corrected for the mask with ``--halves``.
    fit : ParticleFit or None
        How each particle fits its best match.
    junk_kind : ndarray of shape (n,) or None
        Class of junk (from 1; 1 is noise) of each particle, 0 for none, where that was asked for.
    poses : Poses or None
        Of each match, where they are not those of the projections.
    halves : tuple of HalfMaps or None
        With ``--halves``: the half maps of each map and their FSC.
    slices : ndarray of shape (n_references, box, box//2+1), complex64
        Projections the iteration compared with.
    averages : ClassAverages
    particle_noise_to_signal : ndarray of shape (box//2 + 1,)
        For showing class averages: noise over signal power of one particle.
    scale : float
        Least-squares scale of the compared maps in the particles.
    highest_ring : int
        Highest frequency compared, in Fourier pixels.
    seconds : dict
        Time of each stage.
    rejected : ndarray of shape (n_rejected,)
        Numbers of class averages that were left out of their maps.
    empty : tuple of int
        Numbers (from 0) of maps that got no particles and were kept as they were.
    reseeded : tuple of int
        Numbers of maps that were dying and took over particles the others explained worst.
    junk : ndarray of shape (n,) or None
        Probability of each particle to be noise, where that was asked for.
    first_stage : FirstStage or None
        Of a search in two stages.
    classified : Matches
        With the poses that particles were classified at; ``matches`` has those that they were
        averaged at, which differ where members were aligned anew.
    """

    state: State
    maps: tuple[Float32, ...]
    masks: tuple[Float32, ...]
    half_fsc: tuple[npt.NDArray[np.float64], ...]
    slices: Complex64
    similarity: Similarity | None
    matches: Matches
    membership: Membership
    averages: ClassAverages
    particle_noise_to_signal: npt.NDArray[np.float64]
    scale: float
    highest_ring: int
    seconds: dict[str, float]
    rejected: npt.NDArray[np.intp]
    empty: tuple[int, ...]
    reseeded: tuple[int, ...]
    junk: npt.NDArray[np.float64] | None
    classified: Matches
    fit: ParticleFit | None = None
    junk_kind: npt.NDArray[np.intp] | None = None
    poses: Poses | None = None
    halves: tuple[HalfMaps, ...] | None = None
    first_stage: FirstStage | None = None
