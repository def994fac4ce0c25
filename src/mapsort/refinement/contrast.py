"""Whether particles are dark where the maps are white: a sample of them is tried both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Float32, Float64, Indices
from mapsort.geometry.symmetry import symmetry
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.modules.search_aligner import SearchAligner
from mapsort.physics.scoring import Scoring
from mapsort.refinement.comparison import UNKNOWN_SCALE
from mapsort.refinement.execution import Execution
from mapsort.refinement.matching import match_all
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.search.settings import SearchSettings

#: Particles that are tried, evenly spread over the set.
SAMPLE = 256
#: Views and Fourier shells compared: a molecule's shape tells its contrast.
_VIEWS, _SHELLS = "eman:delta=20:inc_mirror=0:perturb=0", 8
#: Deviations from which a contrast is clearly the better one; see `Contrast.deviations`.
_CLEAR = 5.0
#: Particles lie about the centre: a map is brought there unless they are against it by so many.
_AGAINST = 2.5


@dataclass(frozen=True)
class _Best:
    """The best match of each particle of a sample: score, map, squared shift [px^2], each (n,)."""

    score: Float64
    model: Indices
    square_shift: Float64


@dataclass(frozen=True)
class Contrast:
    """Best scores of a sample of particles, as they are taken and inverted."""

    #: Whether they are taken inverted (``--invert``).
    inverted: bool
    #: Each (n,).
    taken: Float64
    opposite: Float64

    @property
    def deviations(self) -> float:
        """By how many standard deviations the opposite contrast is the better one.

        If the maps tell nothing of the contrast, each particle prefers either by the same law, so
        that sum(d) / sqrt(sum(d^2)) of the differences d exceeds t with a probability of at most
        exp(-t^2 / 2), whatever that law is (Efron, J. Am. Stat. Assoc. 64 (1969) 1278).
        """
        gain = self.opposite - self.taken
        return float(gain.sum() / max(float(np.sqrt(np.sum(gain**2))), 1e-12))

    @property
    def note(self) -> str:
        """What is to be told if the opposite contrast is clearly better; else empty."""
        if self.deviations < _CLEAR:
            return ""
        found = self._best(inverted=not self.inverted)
        if self.inverted:
            return f"the particles look white already: {found}; leave out --invert"
        return f"the particles look dark: {found}; add --invert"

    @property
    def finding(self) -> str:
        """What the trial tells, in one sentence."""
        if abs(self.deviations) < _CLEAR:
            return (
                f"{len(self.taken)} particles tried do not fit the maps clearly better either way"
            )
        return self._best(inverted=self.inverted is (self.deviations < 0))

    def _best(self, *, inverted: bool) -> str:
        first, other = self.taken, self.opposite
        if inverted is not self.inverted:
            first, other = other, first
        how = "inverted" if inverted else "as they are"
        return f"{np.sum(first > other)} of {len(first)} tried fit the maps better {how}"


def tried_contrast(run: Run) -> Contrast:
    """Match a sample of the particles with the starting maps, as they are taken and inverted.

    Parameters
    ----------
    run : Run
        Whose particles have been read.
    """
    sample, inverted = _sample(run), run.plan.treatment.invert
    plan = sample.plan

    def scores(*, invert: bool) -> Float64:
        treatment = replace(plan.treatment, invert=invert)
        taken = replace(sample, plan=replace(plan, treatment=treatment))
        return _best(taken, run.inputs.seeds).score

    return Contrast(inverted, scores(invert=inverted), scores(invert=not inverted))


def tried_moves(run: Run) -> tuple[tuple[Float32, ...], tuple[str, ...]]:
    """Bring each starting map that lies off the centre there, unless particles are against it.

    A map of another program lies off because nobody centred it; but one ring of a double one lies
    off the centre of both on purpose, if the particles of one ring do so, too. Their scores tell
    where a map lies beyond the shifts searched; where it is within them, how far particles of this
    map must be shifted does: a map that lacks a part lies off the centre of all.

    Returns
    -------
    seeds : tuple of ndarray (box, box, box)
    notes : tuple of str
        What was done with each map that lies off.
    """
    if not any(run.inputs.moves):
        return run.inputs.seeds, ()
    seeds, notes = list(run.inputs.seeds), []
    sample = _sample(run)
    for model, steps in enumerate(run.inputs.moves):
        if steps is None:
            continue
        moved = [*seeds]
        moved[model] = np.roll(seeds[model], steps, axis=(0, 1, 2))
        where = _best(sample, tuple(seeds)), _best(sample, tuple(moved))
        stays, reason = _stays(*where, model)
        seeds = seeds if stays else moved
        words = "it stays off the centre" if stays else "it is moved to the centre"
        notes.append(f"{run.options.models[model]}: {words}; {reason}")
    return tuple(seeds), tuple(notes)


def _stays(off: _Best, centred: _Best, model: int) -> tuple[bool, str]:
    """Say whether a map stays off the centre, and what tells so."""
    gain = Contrast(False, off.score, centred.score)
    own = (off.model == model) & (centred.model == model)
    nearer = Contrast(False, -off.square_shift[own], -centred.square_shift[own])
    if gain.deviations < _AGAINST and nearer.deviations <= -_AGAINST:
        shifts = (np.sqrt(np.mean(best.square_shift[own])) for best in (off, centred))
        first, other = (f"{shift:.1f}" for shift in shifts)
        return True, f"its particles lie {first} px off their centres so, and {other} px otherwise"
    stays = gain.deviations <= -_AGAINST
    better = gain.taken > gain.opposite if stays else gain.opposite > gain.taken
    return stays, f"{np.sum(better)} of {len(better)} particles tried fit the maps better so"


def _sample(run: Run) -> Run:
    """Return the run of some particles with few views and shells, which keeps nothing."""
    n = len(run.inputs.particles)
    chosen = np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).round().astype(np.intp))
    groups = [symmetry(name) for name in run.options.symmetries]
    limit = run.plan.max_radius
    plan = replace(
        run.plan,
        references=References.of_models([orientations(_VIEWS, group) for group in groups]),
        max_radius=_SHELLS if limit is None else min(_SHELLS, limit),
        refined=1,
    )
    return replace(
        run.only(chosen),
        plan=plan,
        spectra_seen=run.seen,
        execution=Execution(scratch=run.execution.scratch),
    )


def _best(sample: Run, seeds: tuple[Float32, ...]) -> _Best:
    """Return the best match of each particle with any map in any of the views."""
    bounded = tuple(np.asarray(seed * sample.sphere, np.float32) for seed in seeds)
    state = State(0, bounded, noise_floor(sample.seen.averaged), None)
    # two searches are compared: neither may take shortcuts that the other does not
    everything = SearchAligner(exhaustive=True)
    settings = SearchSettings(Scoring(UNKNOWN_SCALE), polish=None, aligner=everything)
    # with a number: the scores of all pairs are not kept
    n = len(sample.inputs.particles)
    found = match_all(sample, state, settings, iteration=0, n=n).matches
    return _Best(
        found.score[:, 0].astype(np.float64),
        np.asarray(sample.plan.references.model[found.reference[:, 0]], np.intp),
        np.sum(found.origin[:, 0].astype(np.float64) ** 2, axis=1),
    )
