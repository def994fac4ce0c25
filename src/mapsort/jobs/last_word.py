"""The last word on classes of several given maps: particles are judged by maps made without them.

An iteration scores particles by maps that hold them, so that a particle's own noise speaks for the
class it is in, the more so the less the maps differ. Once a run has converged, its particles are
judged anew at their poses (`mapsort.stages.components.judged_classes`), and one more iteration
makes the maps and poses of the classes so found.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from mapsort.errors import NumericalError
from mapsort.refinement.band_images import observed_at
from mapsort.refinement.known_classes import KnownClasses
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.log import stage
from mapsort.rundir.wording import counted
from mapsort.stages.classify.junk import JUNK_FROM
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.judged_classes import judged_anew

LOGGER = logging.getLogger(__name__)
#: With fewer particles a map, the sixth that is left out of one is missed.
_LEAST_PARTICLES = 100
#: A smaller part of images that look like junk stays where it is, unless junk was asked for.
_WORTH_A_CLASS = 0.01


def judged_by_others(run: Run, state: State) -> State | None:
    """Return the state of a converged run with its classes judged anew; None where they stay.

    Parameters
    ----------
    state : State
        After its last iteration.
    """
    enough = len(run.inputs.particles) >= _LEAST_PARTICLES * run.plan.n_models
    if not (enough and run.options.judges_anew) or state.known is not None:
        return None
    assert state.matches is not None, "there was an iteration"
    references = run.plan.references
    poses = run.inputs.poses or state.matches.poses(references)
    label = references.model[state.matches.reference[:, 0]]
    settings = ComponentSettings(
        junk=run.options.junk != 0,
        n_threads=run.plan.n_threads,
        region=run.inputs.focus,
    )
    with stage("judge classes", iteration=state.iteration):
        try:
            found = judged_anew(
                observed_at(run, *poses, run.plan.symmetries[0]),
                np.eye(run.plan.n_models)[label],
                settings,
                run.execution.progress,
            )
        except NumericalError as error:
            LOGGER.warning("classes stay as they are: %s", error)
            return None
    known = KnownClasses(found.responsibilities, found.junk)
    changed = float(np.mean(known.label != label))
    text = f"each particle judged by maps made without it: {changed:.1%} changed class"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)
    return replace(state, known=_with_junk_apart(run, known))


def _with_junk_apart(run: Run, known: KnownClasses) -> KnownClasses:
    """Return the classes with junk that is put apart: that asked for, or enough of it."""
    if run.options.junk is not None:
        return known
    junk = int((known.junk > JUNK_FROM).sum())
    if junk < _WORTH_A_CLASS * len(known.junk):
        return replace(known, junk=np.zeros_like(known.junk))
    text = f"{counted(junk, 'image')} of {len(known.junk)} look like no particle and are put apart"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)
    return known
