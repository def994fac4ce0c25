"""Which way of assignment an iteration takes, where that is left to the program.

Best matches separate maps quickly, also from seeds that differ by noise only, where posterior
probabilities move apart by a little in each iteration. But a best match hides how sure it is, and
that spoils maps at low signal. So particles go to their best match until few of them change class,
and by their probabilities from there.
"""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Bool
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.options.multi import MultiOptions
from mapsort.options.types import Assignment
from mapsort.physics.scoring import Comparator
from mapsort.refinement.search_settings import AUTO, comparison_settings
from mapsort.stages.average.weighting import takes_weights

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
