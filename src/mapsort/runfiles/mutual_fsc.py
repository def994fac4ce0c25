"""How alike the maps of an iteration are: the FSC of each two, in register."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mapsort.physics.fsc import frequencies_per_ang, fsc_of_pairs
from mapsort.refinement.iteration import Outcome
from mapsort.refinement.run import Run
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import write_fsc
from mapsort.stages.map_register import TOGETHER, Register, in_common_frame

LOGGER = logging.getLogger(__name__)


def write_mutual_fsc(run: Run, directory: RunDirectory, outcome: Outcome, *, ended: bool) -> None:
    """Write fsc_mutual_YY.txt, with its cost in proportion to the number of maps.

    Parameters
    ----------
    ended : bool
        Whether it is the last iteration, after which the maps' hands are told of.
    """
    n_models, apix = run.plan.n_models, run.inputs.apix
    if n_models == 1:
        return
    iteration, maps = outcome.state.iteration, outcome.rebuilt.maps
    found = in_common_frame(maps, run.plan.symmetries, apix=apix)
    if ended:
        _tell_hands(found)
    curves = fsc_of_pairs(item.applied(each) for item, each in zip(found, maps, strict=True))
    pairs = list(combinations(range(n_models), 2))
    columns = np.stack([curves[pair] for pair in pairs])
    names = ", ".join(f"{a + 1}-{b + 1}" for a, b in pairs)
    write_fsc(
        directory.fsc_mutual(iteration),
        frequencies_per_ang(run.plan.grid.box, apix),
        np.concatenate([columns.mean(axis=0, keepdims=True), columns]).T,
        title=f"1/A, mean FSC between maps in register, then of maps {names}",
    )


def _tell_hands(found: Sequence[Register]) -> None:
    """Warn of maps that are sure to lie in another hand than the first, in one line."""
    mirrored = [
        f"map {number} (correlation {item.correlation:.2f})"
        for number, item in enumerate(found, start=1)
        if item.mirrored and item.correlation >= TOGETHER
    ]
    if mirrored:
        LOGGER.warning(
            "in the other hand than map 1: %s; particles do not tell the hand, so compare them "
            "after mapsort process --process=xform.mirror:axis=z",
            ", ".join(mirrored),
        )
