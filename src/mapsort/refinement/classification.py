"""The classification of one iteration: who enters which classes, and with what weight.

Best matches separate maps quickly, also from seeds that differ by noise only, where posterior
probabilities move apart by a little in each iteration. But a best match hides how sure it is, and
that spoils maps at low signal. So, where it is left to the program, particles go to their best
match until few of them change class, and by their probabilities from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Bool, Float64
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References
from mapsort.options.multi import MultiOptions
from mapsort.options.types import Assignment
from mapsort.physics.scoring import Comparator
from mapsort.refinement.comparison import AUTO, comparison_settings
from mapsort.refinement.known_classes import KnownClasses
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.average.weighting import takes_weights
from mapsort.stages.classify.assignment import (
    annealed,
    classify,
    map_posterior,
    nearly_empty,
    posterior,
    reseeded,
    shuffled,
    soft_membership,
    starting_temperature,
)

#: Fraction of the particles that may change class in an iteration that counts as settled.
SETTLED = 0.02
#: Settled particles start from probabilities that are at most so much broader than they are: maps
#: are good by then, but surer of their own particles than of others.
SETTLED_TEMPERATURE = 4.0
#: Iterations after which nobody waits for that any longer.
PATIENCE = 15


def why_hard(options: MultiOptions) -> str | None:
    """Return why ``--assign auto`` means best matches throughout, or None if it does not."""
    comparison = comparison_settings(options, iteration=1)
    if comparison.scoring.comparator is not Comparator.LOGLIK or comparison.pairs is not None:
        return f"--simcmp {options.simcmp} is no likelihood to make probabilities of"
    if options.prefilt or options.usefilt is not None:
        return "filtered particles have no likelihood to make probabilities of"
    if options.sep > 1:
        return f"--sep {options.sep} asks for the best references of each particle"
    if not takes_weights(options.classaverager):
        return f"--classaverager {options.classaverager} knows no weights"
    if options.classiter > 0 or options.classalign != AUTO:
        return "members are aligned with their class anew"
    return None


def ends_soft(options: MultiOptions) -> bool:
    """Return whether a run is to end with particles shared by their probabilities."""
    if options.assign is Assignment.AUTO:
        return why_hard(options) is None
    return options.assign is Assignment.SOFT


def first_soft_iteration(
    options: MultiOptions,
    references: References,
    before: Matches | None,
    matches: Matches,
    *,
    iteration: int,
    since: int,
    junk: Bool | None = None,
) -> int:
    """Return the iteration from which probabilities count, or 0 if they do not yet.

    Parameters
    ----------
    before, matches : Matches
        Of the last iteration, if there was one, and of this.
    iteration : int
        The present one, from 1.
    since : int
        What this function returned in the last iteration; 0 in the first.
    junk : ndarray of shape (n,), bool, or None
        Particles that have no map to change from.
    """
    if options.assign is Assignment.SOFT:
        return 1
    if not ends_soft(options):
        return 0
    if since > 0 or before is None:
        return since
    changed = references.model[before.reference[:, 0]] != references.model[matches.reference[:, 0]]
    if junk is not None:
        changed = changed[~junk]
    settled = len(changed) == 0 or float(np.mean(changed)) <= SETTLED
    return iteration if settled or iteration > PATIENCE else 0


@dataclass(frozen=True)
class Classification:
    """Who belongs where."""

    #: As found, but for particles that a nearly empty class was re-seeded with.
    matches: Matches
    #: Members of each class with their weights.
    membership: Membership
    #: Fraction of the particles (junk apart) that each map holds, (n_models,).
    shares: Float64
    #: Classes, from 0, that were nearly empty.
    reseeded: list[int]
    #: Of a soft assignment.
    temperature: float | None
    #: First iteration with soft assignment, 0 if there was none yet.
    soft_since: int


def classification(run: Run, state: State, matches: Matches, junk: Bool | None) -> Classification:
    """Classify the particles as the options say.

    Parameters
    ----------
    state : State
        What the last iteration left.
    junk : ndarray of shape (n,), bool, or None
        Particles that enter no class.
    """
    options, references = run.options, run.plan.references
    if state.known is not None:
        return _as_known(options, state.known, matches, references, junk)
    iteration = state.iteration + 1
    soft_since = first_soft_iteration(
        options,
        references,
        state.matches,
        matches,
        iteration=iteration,
        since=state.soft_since,
        junk=junk,
    )
    empty: list[int] = []
    random = iteration == 1 and options.splits_at_random
    if random:
        rng = np.random.default_rng(run.split_seed(state.trial))
        images = run.inputs.particles.image_numbers()
        matches = shuffled(matches, references, rng, images)
    elif references.n_models > 1 and iteration < options.n_iterations:
        empty = nearly_empty(matches, references)
        matches = reseeded(matches, references, empty) if empty else matches
    good = np.ones(len(matches), bool) if junk is None else ~junk
    n_classes = len(references)
    if soft_since == 0 or empty or random:
        hard = classify(matches, n_classes, sep=options.sep, allowed=good)
        membership = _kept(options, matches, hard)
        count = np.bincount(
            references.model[matches.reference[good, 0]], minlength=references.n_models
        )
        return Classification(matches, membership, _fractions(count), empty, None, soft_since)
    start = starting_temperature(matches, references)
    if options.assign is Assignment.AUTO:
        temperature = annealed(min(start, SETTLED_TEMPERATURE), iteration - soft_since + 1, over=2)
    else:
        temperature = annealed(start, iteration)
    probability = posterior(matches, references, shares=state.shares, temperature=temperature)
    probability *= good[:, None]
    membership = _kept(options, matches, soft_membership(matches, probability, n_classes))
    totals = map_posterior(probability, matches, references).sum(axis=0)
    return Classification(matches, membership, _fractions(totals), empty, temperature, soft_since)


def _kept(options: MultiOptions, matches: Matches, members: Membership) -> Membership:
    """Return members of which the best of each class are in use (``--classkeep``)."""
    quality = matches.quality[members.particle, members.column]
    return members.keeping(quality, keep=options.classkeep, keep_sigma=options.classkeepsig)


def _as_known(
    options: MultiOptions,
    known: KnownClasses,
    matches: Matches,
    references: References,
    junk: Bool | None,
) -> Classification:
    """Classify as was found before; matches have the best of each particle's class first."""
    good = np.ones(len(matches), bool) if junk is None else ~junk
    soft = ends_soft(options)
    if soft:
        probability = known.shared(matches, references) * good[:, None]
        membership = soft_membership(matches, probability, len(references))
        totals = map_posterior(probability, matches, references).sum(axis=0)
    else:
        membership = classify(matches, len(references), allowed=good)
        totals = np.bincount(known.label[good], minlength=references.n_models)
    membership = _kept(options, matches, membership)
    return Classification(matches, membership, _fractions(totals), [], None, int(soft))


def _fractions(totals: npt.NDArray[np.number]) -> Float64:
    return np.asarray(totals / max(float(totals.sum()), 1e-12), dtype=np.float64)
