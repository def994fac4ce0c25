"""Find classes among particles of known poses, without starting maps: the whole of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.array_types import Bool, Float32, Float64, Indices
from mapsort.engines.progress import Progress
from mapsort.errors import ConfigError
from mapsort.stages.classify.junk import JUNK_FROM
from mapsort.stages.components.class_count import ClassCounts, found_counts
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.component_worth import PrincipalAxes
from mapsort.stages.components.decomposition import (
    COARSE,
    FINE,
    ITERATIONS,
    Coordinates,
    Decomposition,
    Subspace,
)
from mapsort.stages.components.judged_classes import (
    MAP_ROUNDS,
    OWN_MAP_TURNS,
    Refined,
    refined_in_turns,
)
from mapsort.stages.components.latent_mixture import Mixture, fit_mixture
from mapsort.stages.components.observed import Observed
from mapsort.stages.components.polishing import POSE_ROUNDS, polished
from mapsort.stages.components.pose_errors import PoseErrors
from mapsort.stages.components.slice_grid import SliceGrid

#: With fewer folds none is spared to judge the components.
FOLDS_TO_SPARE_ONE = 4
#: Most components that are sought unless more are asked for: time grows with their square.
MOST_COMPONENTS = 10
#: Fewer particles than this a component say nothing of it.
PARTICLES_A_COMPONENT = 10


@dataclass(frozen=True)
class PrincipalComponents:
    """How the volume varies."""

    #: The mean map, low-passed to the band, (box, box, box).
    mean: Float32
    #: Principal components, the largest first, (q, box, box, box): what one standard deviation of
    #: the particles' coordinate adds to the mean.
    maps: Float32
    #: Coordinates of each particle, of standard deviation about 1, (n, q).
    latent_means: Float64
    #: Their uncertainty, (n, q, q).
    latent_covariances: Float64
    #: What 0, 1, .. components gain over the mean map, for particles that had no part in them
    #: [nat a particle], (q + 1,).
    held_out_gain: Float64
    #: Components that gain beyond chance.
    n_worth: int


@dataclass(frozen=True)
class FoundClasses:
    """Classes of n particles."""

    #: Probability of each class, (n, K); rows add up to 1 - junk.
    responsibilities: Float64
    #: Probability that an image holds no particle, (n,).
    junk: Float64
    #: Brightness of each particle relative to the maps, (n,).
    scale: Float64
    #: Object to view, corrected, (n, 3, 3).
    rotations: Float64
    #: By how much the shifts that centre the particles grew, x before y [pixels], (n, 2): to be
    #: added to the origins that the particles were prepared with.
    origins: Float64
    #: Low-passed to the band, (K, box, box, box).
    maps: Float32
    components: PrincipalComponents
    #: Of each iteration of the maps [nat a particle], each particle judged by maps made without it.
    log_likelihoods: tuple[float, ...]
    #: Last ring (Fourier pixel) in use.
    rings: int
    #: What numbers of classes in the space of the components gain over one, for particles that had
    #: no part in components and classes [nat a particle]: K - 1, K, K + 1 and some below, or all
    #: that were tried; empty with few folds.
    held_out: dict[int, float]
    #: The least number tried that explains those particles as well as K does, within chance.
    enough: int

    @property
    def labels(self) -> Indices:
        """The most probable class of each particle from 0, or K for junk, (n,)."""
        label = self.responsibilities.argmax(axis=1)
        label[self.junk > JUNK_FROM] = self.responsibilities.shape[1]
        return np.asarray(label)


def find_classes(
    observed: Observed,
    n_classes: int | None,
    settings: ComponentSettings,
    *,
    seed: int,
    progress: Progress,
) -> FoundClasses:
    """Find classes among particles whose poses are known to a few degrees.

    Parameters
    ----------
    observed : Observed
        With poses known to a few degrees.
    n_classes : int or None
        K, from 1; None for as many as particles tell that have no part in finding them.
    seed : int
        The result depends on it, and not on the number of threads.

    Raises
    ------
    ConfigError
        More classes than particles, or fewer than two folds.
    NumericalError
        The particles hold no signal that they agree on.
    """
    least = 1 if n_classes is None else n_classes
    if observed.folds.count < 2 or least > len(observed):
        raise ConfigError(
            f"{least} classes of {len(observed)} particles in {observed.folds.count} folds: "
            "expected no more classes than particles, and at least two folds"
        )
    # sums by several threads of BLAS would depend on their number
    with threadpool_limits(1, "blas"):
        return _Search(n_classes, settings, seed, progress).run(observed)


@dataclass(frozen=True)
class _Search:
    """What the steps share."""

    n_classes: int | None
    settings: ComponentSettings
    seed: int
    progress: Progress

    def run(self, observed: Observed) -> FoundClasses:
        """Polish, decompose, cluster, refine."""
        rng, junk = np.random.default_rng(self.seed), self.settings.junk
        first = self.settings.signal_grid(observed)
        self._start("poses", POSE_ROUNDS if self.settings.correct_poses else 1)
        polish = polished(
            observed, first, junk=junk, correct_poses=self.settings.correct_poses, told=self._told
        )
        # with poses corrected there is signal further out
        grid = self.settings.signal_grid(polish.observed)
        self.progress.finish(f"{grid.rings} rings, {1 - polish.brightness.real.mean():.1%} junk")
        self._start("components", ITERATIONS)
        search = Decomposition(
            self.settings.grid(grid.band, round(COARSE * grid.rings)),
            self.settings.grid(grid.band, round(FINE * grid.rings)),
            self._n_components(len(observed)),
            self._kept_out(observed),
            junk,
        )
        subspace = search.run(polish.observed, polish.brightness.counted, rng, self._told)
        counts = self._counts(subspace)
        n_classes = self.n_classes or counts.best
        mixture = fit_mixture(subspace.products, n_classes, rng, junk=junk)
        self.progress.finish(f"log likelihood {mixture.log_likelihood:.4g} nat a particle")
        corrected, refined = self._refined(grid, subspace.observed, mixture, polish.errors)
        return self._collected(grid, subspace, corrected, refined, counts)

    def _refined(
        self, grid: SliceGrid, observed: Observed, mixture: Mixture, errors: PoseErrors
    ) -> tuple[Observed, Refined]:
        """Refine the maps and correct the poses by each particle's own map, in turn."""
        # the map of the only class is the mean, by which they have been corrected
        several = mixture.templates.shape[0] > 1
        turns = OWN_MAP_TURNS if self.settings.correct_poses and several else 0
        self._start("classes", (turns + 1) * MAP_ROUNDS)
        observed, refined = refined_in_turns(
            observed,
            grid,
            mixture.found,
            errors,
            junk=self.settings.junk,
            turns=turns,
            told=self._told,
        )
        self.progress.finish(f"log likelihood {refined.log_likelihoods[-1]:.4g} nat a particle")
        return observed, refined

    def _collected(
        self,
        grid: SliceGrid,
        subspace: Subspace,
        observed: Observed,
        refined: Refined,
        counts: ClassCounts,
    ) -> FoundClasses:
        """Return what the caller gets."""
        found, tried = refined.found, bool(counts.log_likelihood)
        n_classes = found.responsibilities.shape[1]
        return FoundClasses(
            responsibilities=found.responsibilities,
            junk=found.junk,
            scale=found.own_scale,
            rotations=observed.rotations,
            origins=observed.origins,
            maps=grid.boxed(refined.maps.whole),
            components=_components(subspace, observed.folds.number == self._kept_out(observed)),
            log_likelihoods=refined.log_likelihoods,
            rings=grid.rings,
            held_out=counts.gain if tried else {},
            enough=counts.enough(n_classes) if tried else n_classes,
        )

    def _counts(self, subspace: Subspace) -> ClassCounts:
        """Return what one class more or less says of particles kept out, or all numbers do."""
        spared = self._kept_out(subspace.observed)
        if spared < 0:
            return ClassCounts({})
        kept_out = subspace.observed.folds.number == spared
        seed, junk = self.seed, self.settings.junk
        if self.n_classes is None:
            return found_counts(subspace.counted, kept_out, seed=seed, junk=junk)
        asked = self.n_classes
        near = {1, max(1, asked // 4), max(1, asked // 2), max(1, asked - 1), asked, asked + 1}
        return ClassCounts.tried(subspace.counted, kept_out, sorted(near), seed=seed, junk=junk)

    def _start(self, stage: str, total: int) -> None:
        self.progress.start(stage, total, iteration=0, n_iterations=0)

    def _told(self) -> None:
        self.progress.advance(1)

    def _kept_out(self, observed: Observed) -> int:
        """Return the fold that judges the components, or -1."""
        return 0 if observed.folds.count >= FOLDS_TO_SPARE_ONE else -1

    def _n_components(self, n: int) -> int:
        sought = MOST_COMPONENTS if self.n_classes is None else self.n_classes + 2
        wanted = self.settings.n_components or min(sought, MOST_COMPONENTS)
        return max(1, min(wanted, n // PARTICLES_A_COMPONENT))


def _components(subspace: Subspace, kept_out: Bool) -> PrincipalComponents:
    """Return the principal components, in the box."""
    products = subspace.counted
    axes = PrincipalAxes.of(products, kept_out)
    found = Coordinates.of(products.along(axes.basis))
    maps = subspace.grid.boxed(subspace.whole @ axes.basis.astype(np.float32))
    return PrincipalComponents(
        mean=maps[0],
        maps=maps[1:],
        latent_means=found.mean[:, 1:],
        latent_covariances=found.covariance[:, 1:, 1:],
        held_out_gain=axes.gain,
        n_worth=axes.count,
    )
