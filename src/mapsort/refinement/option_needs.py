"""What options add to the memory and the disk space that a run needs."""

from __future__ import annotations

from mapsort.geometry.nearest_views import VIEWS_AT_ONCE
from mapsort.modules.comparator import search_comparator
from mapsort.options.multi import MultiOptions
from mapsort.options.types import NARROW_FROM_SPEED, InputMode
from mapsort.refinement.plan import MultiPlan
from mapsort.stages.average.member_average import GROUP_BYTES
from mapsort.stages.average.weighting import Weighting, weighting_of
from mapsort.stages.components.folds import N_FOLDS
from mapsort.stages.components.found_classes import MOST_COMPONENTS
from mapsort.stages.components.memory import search_bytes
from mapsort.stages.search.narrowing import NEIGHBOURS
from mapsort.stages.search.two_stage import LEAST_REFERENCES, n_clusters

#: Bytes of a pair in a similarity matrix in memory, and images of one in a file.
_PAIR_BYTES, _MATRIX_IMAGES = 20, 6
#: Bytes of a pose beside a match: model, rotation, origin and score, and two copies in work.
_POSE_BYTES = 3 * 96


def option_memory(options: MultiOptions, plan: MultiPlan, n_particles: int) -> dict[str, int]:
    """Return the memory that options add, by purpose."""
    box, n_references = plan.grid.box, len(plan.references)
    image, plane = 4 * box * box, 12 * box * (box // 2 + 1)
    need = {}
    if options.speed >= NARROW_FROM_SPEED:
        mates = max(len(group.matrices) for group in plan.symmetries)
        need["neighbours"] = _neighbour_bytes(n_references, mates)
        need["neighbours"] += 2 * 12 * NEIGHBOURS * plan.n_models * min(plan.chunk, n_particles)
    if plan.band is not None:
        need["search for classes"] = search_bytes(
            n_particles,
            plan.band,
            plan.band.rings,
            n_classes=plan.n_models,
            n_components=min(plan.n_models + 2, MOST_COMPONENTS),
            n_folds=N_FOLDS,
        )
    by_pixels = search_comparator(options.simcmp)[1] is not None
    if by_pixels or options.prefilt or options.classiter or options.classcmp != "auto":
        need["reference images"] = 3 * n_references * image
    if options.twostage and n_references >= LEAST_REFERENCES:
        pairs = n_references**2 + n_clusters(n_references) * n_particles
        need["clusters"] = 2 * _PAIR_BYTES * pairs + 2 * n_references * image
    if options.skipalign or options.inputmode is InputMode.PARTICLES:
        need["poses"] = _POSE_BYTES * plan.refined * plan.n_models * n_particles
    weighting = weighting_of(options.classaverager)
    if weighting is Weighting.SUM:
        need["second averages"] = 2 * n_references * plane
    elif weighting is Weighting.BY_MEMBER:
        largest = min(3 * GROUP_BYTES, 12 * n_particles * box * box)
        need["second averages"] = 2 * n_references * plane + largest
    return need


def _neighbour_bytes(n_references: int, mates: int) -> int:
    """Return what the table of neighbours takes with the tree and one block of its answers."""
    tree = 2 * mates * n_references * 64
    answers = min(VIEWS_AT_ONCE, n_references) * 2 * NEIGHBOURS * 64
    return 4 * NEIGHBOURS * n_references + tree + answers


def option_disk(options: MultiOptions, plan: MultiPlan, n_particles: int) -> int:
    """Return the disk space that options add in each iteration [bytes]."""
    n_references = len(plan.references)
    if not options.twostage or n_references < LEAST_REFERENCES:
        return 0
    count = n_clusters(n_references)
    pairs = n_references**2 + count * n_particles
    return _MATRIX_IMAGES * 4 * pairs + count * (4 * plan.grid.box**2 + 4096)
