"""What an iteration learns of the particles: noise, scales, shifts, and which of them are junk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from mapsort.array_types import Bool, Float64, Indices, Real
from mapsort.engines.chunks import chunk_ranges, read_ahead
from mapsort.errors import NumericalError
from mapsort.model.matches import Matches
from mapsort.physics.scoring import Comparator
from mapsort.refinement.averaging import Averaged
from mapsort.refinement.comparison import comparison_settings
from mapsort.refinement.matching import Found
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.run import Run
from mapsort.refinement.state import Learnt, State
from mapsort.stages.average.particle_fit import shift_spread
from mapsort.stages.classify.junk import JUNK_FROM, junk_probability
from mapsort.stages.search.narrowing import lies_near, neighbours

#: A view, and as many as lie beside it.
BESIDE = 7
#: Misfit, in robust standard deviations, from which an image is nothing like its map.
UNLIKE_FROM = 4.5


@dataclass(frozen=True)
class Junk:
    """Which particles are junk."""

    #: Of each particle to be junk, (n,); None where that was not asked for, or is not known yet.
    probability: Float64 | None
    #: 0 for particles, 1 for noise, from 2 kinds of images that are nothing like a map, (n,).
    kind: Indices | None

    @property
    def chosen(self) -> Bool | None:
        """Whether each particle is junk, (n,)."""
        return None if self.kind is None else self.kind > 0


def find_junk(run: Run, state: State, matches: Matches, noise_scores: Real | None) -> Junk:
    """Tell junk from particles: noise by its scores, other junk by what was left of it last time.

    Parameters
    ----------
    state : State
        Of the last iteration, with the misfits to its maps.
    noise_scores : ndarray of shape (m,), or None
        Best scores of synthetic noise.

    Raises
    ------
    NumericalError
        Everything is junk.
    """
    if state.known is None:
        probability = junk_probability(matches.score[:, 0], noise_scores)
    else:
        apart = run.options.junk_sets > 0 or bool(state.known.junk.any())
        probability = state.known.junk.copy() if apart else None
    if probability is None:
        return Junk(None, None)
    kind = np.asarray(probability > JUNK_FROM, dtype=np.intp)
    unlike_by = state.learnt.misfit
    if run.options.junk_sets > 1 and unlike_by is not None:
        unlike = np.flatnonzero(unlike_by > UNLIKE_FROM)
        if len(unlike):
            kind[unlike] = 2 + _kinds(run, unlike, run.options.junk_sets - 1)
            probability[unlike] = 1.0
    if (kind > 0).all():
        raise NumericalError(
            f"all {len(kind)} particles are taken for junk, which leaves none to make maps of; is "
            "the contrast right (--invert), are the seeds of this molecule? To see the matches all "
            "the same, leave --junk out"
        )
    return Junk(probability, kind)


def _kinds(run: Run, rows: Indices, n_kinds: int) -> Indices:
    """Sort images into kinds by their spectra, the most frequent kind first, (n,)."""
    if n_kinds == 1 or len(rows) <= n_kinds:
        return np.zeros(len(rows), dtype=np.intp)
    chunks = [rows[where] for where in chunk_ranges(len(rows), run.plan.chunk)]
    treatment, threads = run.plan.treatment, run.plan.n_threads
    powers = [
        treatment.shell_powers(raw, n_threads=threads)
        for _, raw in read_ahead(run.inputs.particles.images, chunks)
    ]
    spectra = np.log(np.maximum(np.concatenate(powers), 1e-12))
    rng = np.random.default_rng([run.plan.seed, n_kinds])
    _, label = kmeans2(spectra, n_kinds, minit="++", rng=rng)
    order = np.argsort(-np.bincount(label, minlength=n_kinds), kind="stable")
    return np.asarray(np.argsort(order)[label], dtype=np.intp)


def learnt(
    run: Run, state: State, found: Found, junk: Junk, averaged: Averaged, scale: float
) -> Learnt:
    """Return what an iteration learnt for the next one.

    Parameters
    ----------
    state : State
        Before this iteration.
    scale : float
        Least-squares scale of the maps.
    """
    groups = None
    if len(averaged.of_groups) > 1:
        groups = np.stack(
            [
                noise_floor(part.residual_power(scale).astype(np.float32))
                for part in averaged.of_groups
            ]
        )
    iteration = state.iteration + 1
    settings = comparison_settings(run.options, iteration)
    bayes = settings.scoring.comparator is Comparator.LOGLIK
    matches = averaged.matches
    good = np.ones(len(matches), bool) if junk.chosen is None else ~junk.chosen
    spread = float("inf")
    if bayes and not run.options.skipalign and good.any():
        spread = shift_spread(matches.origin[good, 0])
    return Learnt(
        # The seeds' scale was fitted; only maps made of the particles tell of scales.
        scale_spread=averaged.fit.scale_spread() if bayes and iteration > 1 else None,
        shift_spread=spread,
        group_noise=groups,
        misfit=averaged.fit.misfit_deviations,
        still=_stood_still(run, state, found),
    )


def _stood_still(run: Run, state: State, found: Found) -> Bool | None:
    """Return which particles have the same map as before, and the same view or one beside it.

    Parameters
    ----------
    state : State
        Before this iteration.

    Returns
    -------
    ndarray of shape (n,), bool, or None
        None in the first iteration, and where searching everywhere costs little.
    """
    if state.matches is None or not found.dear:
        return None
    table = neighbours(run.plan.references, run.plan.symmetries, BESIDE)
    old, new = state.matches.reference[:, 0], found.matches.reference[:, 0]
    return lies_near(table, old, new)
