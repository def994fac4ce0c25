"""Views by the maps of the classes, where those by the one map are of no use.

A consensus follows one of the states. Particles of a state that looks otherwise lie anywhere in it;
the map of their class is made at those views, and iterations that look near them leave it wrong.
Searched everywhere, with classes free, maps and views improve each other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Bool, Float64, Indices, Integer
from mapsort.engines.progress import warn
from mapsort.jobs.consensus import Consensus, part_of
from mapsort.options.types import VIEWS_ITERATIONS, VIEWS_SAMPLE, Assignment
from mapsort.refinement.classification import ends_soft
from mapsort.refinement.comparison import comparison_settings
from mapsort.refinement.iteration import iterate
from mapsort.refinement.matching import match_all
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.log import stage
from mapsort.stages.classify.junk import JUNK_FROM
from mapsort.stages.search.narrowing import lies_near, neighbours

LOGGER = logging.getLogger(__name__)

#: Name of its checkpoints' directory.
VIEWS = "views"
#: Share of a class that lies elsewhere by chance; so many standard deviations more are believed.
BY_CHANCE, DEVIATIONS = 0.1, 2.0
#: Share of a class that still moves when views have settled.
SETTLED = 0.03


@dataclass(frozen=True)
class Moved:
    """How many particles of each class lie elsewhere than before, (n_models,)."""

    particles: Indices
    elsewhere: Indices

    @property
    def share(self) -> Float64:
        """Share of each class; 0 for a class without particles."""
        return np.asarray(self.elsewhere / np.maximum(self.particles, 1))

    @property
    def beyond_chance(self) -> bool:
        """Whether views of a class are not those of its particles."""
        chance = BY_CHANCE * self.particles
        return bool((self.elsewhere > chance + DEVIATIONS * np.sqrt(chance)).any())

    @property
    def words(self) -> str:
        """The shares."""
        return _in_words(self.share)


@dataclass(frozen=True)
class Settling:
    """Where the search for views stands."""

    state: State
    #: Share of each class that lay elsewhere: of the sample, and after each iteration that has one
    #: before it, (n, n_models).
    elsewhere: Float64

    @property
    def goes_on(self) -> bool:
        """Whether another iteration is needed."""
        moved = float(self.elsewhere[-1].max())
        return moved > SETTLED and self.state.iteration < VIEWS_ITERATIONS


@dataclass(frozen=True)
class Views:
    """Whether particles lie where the one map has them, and where else."""

    #: As in `Settling`; None where poses were given, or there is one class.
    elsewhere: Float64 | None = None
    #: Poses by the classes' own maps; None where those by the one map hold.
    anew: Consensus | None = None

    @property
    def doubt(self) -> str | None:
        """What to tell where the search ended before views had settled."""
        if self.anew is None or self.elsewhere is None or self.elsewhere[-1].max() <= SETTLED:
            return None
        return (
            f"views have not settled in {len(self.elsewhere)} iterations: "
            f"{_in_words(self.elsewhere[-1])} of the classes still moved elsewhere; particles of "
            "wrong views may be in a wrong class"
        )


def _in_words(shares: Float64) -> str:
    return "/".join(f"{share:.1%}" for share in shares)


def settled_views(run: Run, state: State) -> Views:
    """Compare poses by the one map with those by the classes' own; search until these settle.

    Parameters
    ----------
    run : Run
        With as many maps as classes.
    state : State
        That the classes make, with the poses by the one map.
    """
    if run.inputs.poses is not None or run.plan.n_models == 1:
        return Views()
    # particles of unsure views count at several of them: views of a wrong map are left sooner
    assign = Assignment.SOFT if ends_soft(run.options) else run.options.assign
    part = part_of(run, VIEWS, replace(run.options, assign=assign), run.inputs)
    kept = part.execution.checkpoints
    with stage("compare views"):
        moved = kept.kept(0, "moved", Moved, lambda: _moved_in_sample(part, state))
    sample = moved.share[None]
    if not _told(run, moved):
        return Views(sample)
    now = kept.latest("state", Settling) or Settling(_free(state), sample)
    while now.goes_on:
        now = _moved_on(part, now)
        kept.save(now.state.iteration, "state", now)
        kept.drop_before(now.state.iteration)
    end = now.state
    assert end.matches is not None, "there was an iteration"
    rotations, origins = end.matches.poses(part.plan.references)
    anew = Consensus(rotations, origins, end.noise_power, end.learnt.shift_spread)
    return Views(now.elsewhere, anew)


def _free(state: State) -> State:
    """Return the state of maps only: particles may be in any class, anywhere."""
    return replace(state, matches=None, known=None)


def _moved_in_sample(run: Run, state: State) -> Moved:
    """Search some particles everywhere; compare where they lie in the maps of their classes."""
    known, before = state.known, state.matches
    assert known is not None
    assert before is not None
    n = len(run.inputs.particles)
    drawn = np.random.default_rng([run.plan.seed, n]).permutation(n)[:VIEWS_SAMPLE]
    chosen = np.sort(drawn[known.junk[drawn] <= JUNK_FROM])
    some = replace(run.only(chosen), spectra_seen=run.spectra_seen)
    settings = comparison_settings(run.options, 1)
    found = match_all(some, _free(state), settings, iteration=0, n=len(chosen)).matches
    references, label = run.plan.references, known.label[chosen]
    after = before.reference[chosen, 0].copy()
    for model in range(references.n_models):
        own = label == model
        after[own] = found.best_of_model(references, model).reference[own, 0]
    return _moved(run, before.reference[chosen, 0], after)


def _moved_on(run: Run, now: Settling) -> Settling:
    """Carry out an iteration, and see how many particles lie elsewhere after it."""
    state = now.state
    outcome = iterate(run, state)
    end = outcome.state
    assert end.matches is not None
    if state.matches is None:
        return replace(now, state=end)
    junk = outcome.junk.chosen
    real: Bool = np.ones(len(end.matches), bool) if junk is None else ~junk
    moved = _moved(run, state.matches.reference[real, 0], end.matches.reference[real, 0])
    text = f"views, iteration {end.iteration}: {moved.words} of the classes moved elsewhere"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)
    return Settling(end, np.vstack([now.elsewhere, moved.share]))


def _moved(run: Run, before: Integer, after: Integer) -> Moved:
    """Compare the references that particles lay on with those that they lie on now."""
    references = run.plan.references
    table = neighbours(references, run.plan.symmetries)
    model, count = references.model[after], references.n_models
    away = model[~lies_near(table, before, after)]
    return Moved(np.bincount(model, minlength=count), np.bincount(away, minlength=count))


def _told(run: Run, moved: Moved) -> bool:
    """Tell how much of each class lies elsewhere in its own map; return whether it matters."""
    where = "of the classes lie elsewhere in their own maps than in --model"
    if not moved.beyond_chance:
        LOGGER.info("%s %s", moved.words, where)
        return False
    text = f"{moved.words} {where}: all are searched everywhere, and classes found anew"
    LOGGER.warning("%s", text)
    warn(run.execution.progress, text)
    return True
