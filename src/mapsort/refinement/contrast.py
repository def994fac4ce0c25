"""Whether particles are dark where the maps are white: a sample of them is tried both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.progress import SilentProgress
from mapsort.geometry.symmetry import symmetry
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.modules.search_aligner import search_aligner
from mapsort.physics.scoring import Scoring
from mapsort.refinement.matching import match_all
from mapsort.refinement.part_of_run import part_of
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.run import Run, State
from mapsort.refinement.search_settings import UNKNOWN_SCALE, SearchSettings
from mapsort.stages.search.pose_ways import PoseWays

#: Particles that are tried, evenly spread over the set.
SAMPLE = 256
#: Views and Fourier shells compared: a molecule's shape tells its contrast.
_VIEWS, _SHELLS = "eman:delta=20:inc_mirror=0:perturb=0", 8
#: Deviations from which a contrast is clearly the better one; see `Contrast.deviations`.
_CLEAR = 5.0


@dataclass(frozen=True)
class Contrast:
    """Best scores of a sample of particles, as they are taken and inverted.

    Attributes
    ----------
    inverted : bool
        Whether they are taken inverted (``--invert``).
    taken, opposite : ndarray of shape (n,)
    """

    inverted: bool
    taken: npt.NDArray[np.float64]
    opposite: npt.NDArray[np.float64]

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
    sample = replace(
        part_of(run, chosen),
        plan=plan,
        spectra_seen=run.seen,
        progress=SilentProgress(),
        engine=None,
    )
    seeds = tuple(np.asarray(seed * run.sphere, np.float32) for seed in run.inputs.seeds)
    state = State(0, seeds, noise_floor(run.seen.averaged), None)
    ways = PoseWays(search_aligner("rotate_translate_flip"), polish=None)
    settings = SearchSettings(Scoring(UNKNOWN_SCALE), ways)

    def scores(*, invert: bool) -> npt.NDArray[np.float64]:
        treatment = replace(plan.treatment, invert=invert)
        either = replace(sample, plan=replace(plan, treatment=treatment))
        # with a number: the scores of all pairs are not kept
        found = match_all(either, state, settings, iteration=0, n=len(chosen)).matches
        return found.score[:, 0].astype(np.float64)

    inverted = plan.treatment.invert
    return Contrast(inverted, scores(invert=inverted), scores(invert=not inverted))
