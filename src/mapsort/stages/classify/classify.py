"""Classify: put particles into the classes of their best references, over all maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapsort._membership import group_by_class
from mapsort.array_types import Bool, Float32, Int64, Integer
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership


def classify(
    matches: Matches, n_classes: int, *, sep: int = 1, allowed: Bool | None = None
) -> Membership:
    """Return the members of each class (reference) of all maps, all of them in use.

    Parameters
    ----------
    sep : int
        How many classes a particle enters: its ``sep`` best references, each with weight 1/sep.
    allowed : ndarray of shape (n,), bool, optional
        Particles that may enter a class; by default all.

    Raises
    ------
    ValueError
        If fewer than ``sep`` matches per particle are there.
    """
    n, top = matches.reference.shape
    if not 1 <= sep <= top:
        raise ValueError(f"sep: expected 1 to {top} (the matches kept), got {sep}")
    columns = matches.reference[:, :sep]
    if allowed is not None:
        columns = np.where(allowed[:, None], columns, -1)
    chosen = np.ascontiguousarray(columns).ravel()
    start, entry = group_by_class(chosen.astype(np.intc), n_classes)
    return _membership(start, entry, np.ones(len(entry), dtype=np.bool_), n, sep)


def given_membership(
    classes: Integer, used: Bool, n_classes: int, *, weight: Float32 | None = None
) -> Membership:
    """Return the members of classes that are known already: those of each particle, (n, sep).

    ``used`` says whether it goes into the average; ``weight``, by default equal, is the share of
    the particle in each class: where it is 0 the particle is no member.
    """
    chosen = classes if weight is None else np.where(weight > 0, classes, -1)
    start, entry = group_by_class(np.ascontiguousarray(chosen, np.intc).ravel(), n_classes)
    members = _membership(start, entry, used.ravel()[entry], *classes.shape)
    return members if weight is None else replace(members, weight=weight.ravel()[entry])


def _membership(start: Int64, entry: Int64, used: Bool, n: int, sep: int) -> Membership:
    entered: Int64 = np.bincount(entry // sep, minlength=n)
    particle = entry // sep
    return Membership(
        start=start,
        particle=particle,
        column=entry % sep,
        used=used,
        weight=(1.0 / entered[particle]).astype(np.float32),
    )
