"""Classes that are there already, judged anew: each particle by maps made without it.

A refinement scores particles by maps that hold them, and a particle's own noise speaks for the
class it is in. From its classes and poses, maps are made and particles judged here as in the search
for classes (`found_classes`), with poses that are corrected by what they were off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.array_types import Float64
from mapsort.engines.chunks import Rows
from mapsort.engines.progress import Progress
from mapsort.stages.components.class_maps import FoldMaps, SpanFilter, class_sums
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.latent_mixture import Mixture, climbed, templates_of
from mapsort.stages.components.observed import Observed, Products
from mapsort.stages.components.polishing import POSE_ROUNDS, polished
from mapsort.stages.components.pose_errors import PoseErrors
from mapsort.stages.components.scale import Judgement
from mapsort.stages.components.slice_grid import SliceGrid

#: Rounds of the maps at most, before and after each correction of the poses.
MAP_ROUNDS = 6
#: Corrections of the poses by each particle's own map.
OWN_MAP_TURNS = 1
#: Fewer particles than this part that change class: the maps have settled.
_SETTLED = 1e-3


@dataclass(frozen=True)
class Refined:
    """Where the iteration of the maps ended."""

    #: Scales are relative to the maps.
    found: Judgement
    #: What the maps are sums of, and the weights, (K, q + 1).
    span: FoldMaps
    templates: Float64
    #: Of each iteration [nat a particle].
    log_likelihoods: tuple[float, ...]

    @property
    def maps(self) -> FoldMaps:
        """The maps of the K classes."""
        return self.span.combined(self.templates)


def judged_anew(
    observed: Observed,
    probability: Float64,
    settings: ComponentSettings,
    progress: Progress,
) -> Judgement:
    """Judge particles of known poses and classes by maps that are made without them.

    Parameters
    ----------
    probability : ndarray of shape (n, K), float64
        Of each class, to begin with.

    Raises
    ------
    NumericalError
        The particles hold no signal that they agree on.
    """
    progress.start("judge classes", POSE_ROUNDS + 2 * MAP_ROUNDS, iteration=0, n_iterations=0)
    band = observed.particles.band
    with threadpool_limits(1, "blas"):
        polish = polished(
            observed,
            settings.signal_grid(observed),
            # a class with less mass is dimmer than the mean map, and no junk: its own map tells
            junk=False,
            correct_poses=True,
            told=lambda: progress.advance(1),
        )
        _, refined = refined_in_turns(
            polish.observed,
            settings.grid(band, band.rings),
            _as_judged(probability),
            polish.errors,
            junk=settings.junk,
            turns=OWN_MAP_TURNS,
            told=lambda: progress.advance(1),
        )
    progress.finish(f"log likelihood {refined.log_likelihoods[-1]:.4g} nat a particle")
    return refined.found


def refined_in_turns(
    observed: Observed,
    grid: SliceGrid,
    found: Judgement,
    errors: PoseErrors,
    *,
    junk: bool,
    turns: int,
    told: Callable[[], None],
) -> tuple[Observed, Refined]:
    """Refine maps, and correct poses by each particle's own map, in turn.

    Parameters
    ----------
    found : Judgement
        What the particles are, to begin with.
    junk : bool
        Whether some images may hold no particle.
    turns : int
        Corrections of the poses.
    told : callable
        Called after each round.
    """
    likelihoods: tuple[float, ...] = ()
    n_classes = found.responsibilities.shape[1]
    for turn in range(turns + 1):
        refined = refined_maps(observed, grid, found, junk=junk, rounds=MAP_ROUNDS, told=told)
        found, likelihoods = refined.found, (*likelihoods, *refined.log_likelihoods)
        if turn < turns:
            which = np.where(found.labels < n_classes, found.labels, -1)
            errors, observed = errors.corrected(
                observed, grid, refined.maps, which, found.own_scale
            )
    return observed, replace(refined, log_likelihoods=likelihoods)


def refined_maps(
    observed: Observed,
    grid: SliceGrid,
    found: Judgement,
    *,
    junk: bool,
    rounds: int,
    told: Callable[[], None],
) -> Refined:
    """Make maps and judge particles in turn, from first assignments.

    Where the classes lie in the span of the maps is learnt of all particles: a few numbers each.

    Parameters
    ----------
    found : Judgement
        First assignments; scales as for the maps that are to be.
    junk : bool
        Whether some images may hold no particle.
    rounds : int
        At most; fewer where particles stay.
    told : callable
        Called after each round.
    """
    likelihoods = []
    for now in map_rounds(observed, grid, found, junk=junk, rounds=rounds):
        likelihoods.append(now.mixture.log_likelihood)
        told()
    return Refined(now.found, now.span, now.mixture.templates, tuple(likelihoods))


@dataclass(frozen=True)
class MapRound:
    """Maps, what all particles say of them, and the classes that those learnt from are in."""

    span: FoldMaps
    products: Products
    mixture: Mixture

    @property
    def found(self) -> Judgement:
        """Of the particles learnt from; scales are relative to the maps."""
        return self.mixture.found.gauged(self.mixture.scales.particle.mean)


def map_rounds(
    observed: Observed,
    grid: SliceGrid,
    found: Judgement,
    *,
    junk: bool,
    rounds: int = MAP_ROUNDS,
    learnt: Rows = slice(None),
    temperature: float = 1.0,
) -> Iterator[MapRound]:
    """Make maps and judge particles in turn, until these stay.

    Parameters
    ----------
    found : Judgement
        First assignments of the particles learnt from; scales as for the maps that are to be.
    learnt : slice or ndarray
        The particles that maps and classes are made of.
    temperature : float
        What their log likelihoods are divided by.
    """
    maker = SpanFilter(grid)
    for _ in range(rounds):
        span = maker.maps(class_sums(observed, grid, found.among(learnt, len(observed))))
        products = Products.of(observed, grid, span.maps)
        counted = products.rows(learnt).tempered(temperature)
        now = MapRound(span, products, climbed(counted, templates_of(counted, found), junk=junk))
        before, found = found, now.found
        yield now
        if np.mean(found.labels != before.labels) < _SETTLED:
            break


def _as_judged(probability: Float64) -> Judgement:
    """Return classes as a judgement: no junk, all particles equally bright."""
    ones = np.ones_like(probability)
    return Judgement(probability, 0 * ones, ones, ones, np.zeros(len(probability)))
