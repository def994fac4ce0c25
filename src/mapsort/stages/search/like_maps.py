"""Maps that are alike share views: the first levels of a search compare particles with their mean.

What like maps have in common tells where a particle lies; what they differ by tells which of them
it is, and is compared at the poses that are left. So the first levels cost as much for several like
maps as for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Int32
from mapsort.model.references import References
from mapsort.stages.project import signal_power
from mapsort.stages.search.candidates import Candidates, Started
from mapsort.stages.search.settings import SearchContext

#: Maps are alike if the power of their half difference over the noise is at most this share of that
#: of their mean. Poses half a step apart on the grid of views differ by more.
ALIKE = 0.1


@dataclass(frozen=True)
class SharedViews:
    """Views of the means of like maps, and the references that each of them stands for."""

    #: Of the means; maps that are like no other keep their own.
    references: References
    #: References with this view, map by map, -1 for none, (n_views, most).
    members: Int32
    #: The view that each reference has, (n_references,).
    view: Int32

    @classmethod
    def of(cls, groups: Sequence[Sequence[int]], references: References) -> SharedViews:
        """Return the views of groups of maps whose references have the same views."""
        blocks = [[references.block(model) for model in group] for group in groups]
        shared = References.of_models([references.eulers[group[0]] for group in blocks])
        members = np.full((len(shared), max(map(len, groups))), -1, dtype=np.int32)
        view = np.zeros(len(references), dtype=np.int32)
        for number, group in enumerate(blocks):
            own = shared.block(number)
            for column, block in enumerate(group):
                members[own, column] = np.arange(block.start, block.stop)
                view[block] = np.arange(own.start, own.stop)
        return cls(shared, members, view)

    def started(self, reference: Int32, origin: Float32) -> Started:
        """Return candidates by their views, (n, k), each once: where the first of them has it."""
        view = np.where(reference >= 0, self.view[reference], -1).astype(np.int32)
        for column in range(1, view.shape[1]):
            again = (view[:, :column] == view[:, column, None]).any(axis=1)
            view[again, column] = -1
        return Started(view, origin)

    def on_every_map(self, candidates: Candidates) -> Candidates:
        """Return every map's references in place of views, (n, k * most), in the same order."""
        most = self.members.shape[1]
        reference = np.where(
            candidates.reference[..., None] >= 0, self.members[candidates.reference], -1
        )
        repeated = {
            name: np.repeat(values, most, axis=1) for name, values in vars(candidates).items()
        }
        repeated["reference"] = np.ascontiguousarray(reference.reshape(len(reference), -1))
        return Candidates(**repeated)


def like_maps(
    volumes: Sequence[Float32], references: References, context: SearchContext, radius: int
) -> list[list[int]]:
    """Return groups of maps, each with the same views as the first one and like it, up to a ring.

    Every map is in the group of the first map that it is like, or makes one of its own.
    """
    groups: list[list[int]] = []
    for model, volume in enumerate(volumes):
        eulers = references.eulers[references.block(model)]
        for group in groups:
            first = volumes[group[0]]
            same = np.array_equal(eulers, references.eulers[references.block(group[0])])
            if same and len(eulers) and _unlikeness(first, volume, context, radius) <= ALIKE:
                group.append(model)
                break
        else:
            groups.append([model])
    return groups


def _unlikeness(one: Float32, other: Float32, context: SearchContext, radius: int) -> float:
    """Return the power of half the difference of two maps over that of their mean, in the noise."""
    ring = np.arange(radius + 1)
    weight = ring / context.noise_power[: radius + 1]
    difference, total = (
        float((signal_power([volume])[: radius + 1] * weight).sum())
        for volume in (one - other, one + other)
    )
    return difference / total if total > 0.0 else np.inf
