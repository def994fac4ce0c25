"""What a multi-map refinement will do with its inputs: the numbers behind the options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float64, Real
from mapsort.engines.chunks import chunk_length, chunk_ranges
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.nearest_views import one_of_mates
from mapsort.geometry.orientations import angular_step
from mapsort.geometry.symmetry import Symmetry, cosets, symmetry
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.options.multi import MultiOptions
from mapsort.physics.masks import SPHERE_EDGE, envelope_radius
from mapsort.refinement.given_maps import largest_shift
from mapsort.refinement.inputs import MultiInputs
from mapsort.stages.components.band import Band
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.prepare import ParticleTreatment
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.search.match import REFINED

#: Outside this radius (of the box) is background, from which images are normalised.
BACKGROUND_RADIUS = 0.45
#: The sphere about the seeds' density gets this margin (of the box).
SPHERE_MARGIN = 0.04
#: Frequencies up to this multiple of 1/targetres are compared.
TARGET_MARGIN = 1.25
#: Projections are compared in blocks of about this size, but not of fewer references than that.
BANK_BYTES, _LEAST_BLOCK = 2**30, 1024
#: Part of that, and of a chunk of particles, that ``--lowmem`` works on at a time.
LOWMEM_PART = 8


def bank_bytes(rings: float) -> int:
    """Return the size of one reference's angular coefficients up to a ring, all levels."""
    return 2 * 8 * int(rings) * int(np.pi * rings)


@dataclass(frozen=True)
class MultiPlan:
    """The resolved settings of a run."""

    #: For particles and projections; ``map_grid`` for reconstruction (``--pad``).
    grid: FourierGrid
    map_grid: InsertionGrid
    treatment: ParticleTreatment
    #: Orientations of all maps; the same in every iteration unless perturbed.
    references: References
    #: One per map, which it is reconstructed with; c1 with ``--breaksym``.
    symmetries: tuple[Symmetry, ...]
    #: The generator in use, ``auto`` resolved.
    orientgen: str
    #: Pixels.
    max_shift: float
    #: Highest ring compared, from ``--targetres``.
    max_radius: int | None
    #: sphere_radius and sphere_edge: soft sphere that holds all maps [pixels].
    sphere_radius: float
    sphere_edge: float
    #: Particles per chunk.
    chunk: int
    n_threads: int
    seed: int
    flipped: bool
    refined: int
    block_bytes: int
    halves: bool = False
    #: In which classes are found among the particles, or judged anew; None where neither is.
    band: Band | None = None
    #: Of each map the operations at whose copies poses are weighed (``--relax``, ``--breaksym``),
    #: the identity first, each (n, 3, 3); None where they are not.
    copies: tuple[Float64, ...] | None = None

    @property
    def n_models(self) -> int:
        """Number of maps."""
        return len(self.symmetries)

    @property
    def reference_blocks(self) -> list[slice]:
        """Ranges of references whose projections are in memory together, whatever their band."""
        return self.blocks_up_to(self.grid.box / 2)

    def blocks_up_to(self, rings: float) -> list[slice]:
        """Return ranges of references whose projections up to a ring are in memory together."""
        length = max(_LEAST_BLOCK, self.block_bytes // bank_bytes(rings))
        return chunk_ranges(len(self.references), length)

    @property
    def support_radius(self) -> float:
        """Radius [pixels] outside which maps are zero."""
        return self.sphere_radius + self.sphere_edge


def resolve(options: MultiOptions, inputs: MultiInputs) -> MultiPlan:
    """Return the settings that options and inputs lead to."""
    box, apix = inputs.particles.box, inputs.apix
    grid = FourierGrid.for_box(box)
    seed = options.randomseed
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    orientgen = options.orientgen
    if orientgen == "auto":
        step = angular_step(box, apix, target_resolution=options.targetres, speed=options.speed)
        orientgen = f"eman:delta={step:.4g}:inc_mirror=0:perturb=0"
    symmetries = tuple(symmetry(name) for name in options.imposed)
    searched = tuple(symmetry(name) for name in options.searched)
    copies = tuple(map(cosets, searched, symmetries))
    rng = np.random.default_rng(seed)
    references = References.of_models(
        [views(orientgen, *groups, rng=rng) for groups in zip(searched, symmetries, strict=True)]
    )
    if symmetries != searched:
        orientgen = f"{orientgen}:breaksym=1"
    max_radius = None
    if options.targetres is not None:
        max_radius = max(6, int(np.ceil(TARGET_MARGIN * box * apix / options.targetres)))
    sphere, edge = _sphere(options, inputs)
    return MultiPlan(
        grid=grid,
        map_grid=InsertionGrid.for_box(box, options.pad),
        treatment=ParticleTreatment(grid, BACKGROUND_RADIUS * box, options.invert),
        references=references,
        symmetries=symmetries,
        orientgen=orientgen,
        max_shift=largest_shift(options, box),
        max_radius=max_radius,
        sphere_radius=sphere,
        sphere_edge=edge,
        chunk=particles_at_once(options, grid, len(references)),
        n_threads=options.n_threads,
        seed=seed,
        flipped=inputs.flipped,
        refined=_refined(options.sep, references),
        block_bytes=BANK_BYTES // LOWMEM_PART if options.lowmem else BANK_BYTES,
        halves=options.halves,
        band=Band.widest(box, apix) if options.finds_classes or options.judges_anew else None,
        copies=copies if options.weighs_copies else None,
    )


def views(
    orientgen: str, searched: Symmetry, imposed: Symmetry, *, rng: np.random.Generator
) -> Float64:
    """Return the views of a map, EMAN az, alt, phi (n, 3) [degrees].

    Of a map whose symmetry is only a part of the one searched: those of the unit of this at every
    copy, so that none of the copies is nearer to a view of the grid.
    """
    if searched is imposed:
        return orientations(orientgen, searched, rng=rng)
    every = orientations(f"{orientgen}:breaksym=1", searched, rng=rng)
    if imposed.order == 1:
        return every
    return every[one_of_mates(eman_to_matrix(every)[:, 2], imposed)]


def particles_at_once(options: MultiOptions, grid: FourierGrid, n_references: int) -> int:
    """Return how many particles are worked on together."""
    padded_bytes = 8 * grid.padded * (grid.padded // 2 + 1) + 12 * grid.box * grid.box
    length = chunk_length(padded_bytes + 64 * n_references)
    return max(1, length // LOWMEM_PART) if options.lowmem else length


def _refined(sep: int, references: References) -> int:
    """Return how many matches with each map are kept, so that ``--sep`` can be served.

    A map of high symmetry has few references: the others must make up for it.

    Raises
    ------
    ConfigError
        If there are fewer references than ``--sep`` asks for.
    """
    if sep > len(references):
        raise ConfigError(
            f"--sep={sep}: at most {len(references)}, the number of projections of all maps "
            "(a smaller --orientgen delta makes more)"
        )
    sizes = np.bincount(references.model, minlength=references.n_models)
    refined = REFINED
    while np.minimum(sizes, refined).sum() < sep:
        refined += 1
    return refined


def _sphere(options: MultiOptions, inputs: MultiInputs) -> tuple[float, float]:
    """Radius and edge [pixels] of the sphere that holds every seed, with a margin."""
    box = inputs.particles.box
    edge = SPHERE_EDGE * box
    largest = 0.5 * box - 2.0
    radii = []
    for path, seed in zip(options.models, inputs.seeds, strict=True):
        try:
            radii.append(envelope_radius(seed))
        except NumericalError as error:
            raise FormatError(
                f"{path}: the map shows no density above its background inside the particles' box; "
                "density must be white (positive)"
            ) from error
    return min(max(radii) + SPHERE_MARGIN * box, largest), edge


def noise_floor(power: Real) -> Float64:
    """Return a noise spectrum that can be divided by: shells without power take their neighbours'.

    Images that were low-passed or padded have shells with (nearly) no power, which would get all
    the weight; nothing counts less than a thousandth of the median power.
    """
    return np.maximum(power.astype(np.float64), 1e-3 * float(np.median(power)))
