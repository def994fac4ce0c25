"""Which particles make up each class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mapsort._membership import keep_best
from mapsort.array_types import Bool, Float32, Int64, Real


@dataclass(frozen=True)
class Membership:
    """Members of every class in compressed rows."""

    #: Members of class c are entries start[c] to start[c + 1], (n_classes + 1,).
    start: Int64
    #: (n_members,).
    particle: Int64
    #: Which of the particle's matches put it here, (n_members,).
    column: Int64
    #: False where the member is kept out of the average, (n_members,).
    used: Bool
    #: Share of the particle, (n_members,); the shares of one particle add up to 1.
    weight: Float32

    @property
    def n_classes(self) -> int:
        """Number of classes, empty ones included."""
        return len(self.start) - 1

    @cached_property
    def class_of_member(self) -> Int64:
        """Class of each entry, (n_members,)."""
        return np.repeat(np.arange(self.n_classes), np.diff(self.start))

    @cached_property
    def _by_particle(self) -> Int64:
        """Entries in the order of their particles."""
        return np.argsort(self.particle, kind="stable")

    def used_entries(self, particles: slice) -> Int64:
        """Return the entries, in ascending order, of a range of particles that are averaged."""
        bounds = [particles.start, particles.stop]
        first, last = np.searchsorted(self.particle, bounds, sorter=self._by_particle)
        entries = np.sort(self._by_particle[first:last])
        return np.asarray(entries[self.used[entries]])

    def of_particles(self, particles: slice) -> Membership:
        """Return the members among a range of particles."""
        bounds = [particles.start, particles.stop]
        first, last = np.searchsorted(self.particle, bounds, sorter=self._by_particle)
        entries = np.sort(self._by_particle[first:last])
        start = np.searchsorted(self.class_of_member[entries], np.arange(self.n_classes + 1))
        return Membership(
            start.astype(np.int64),
            self.particle[entries],
            self.column[entries],
            self.used[entries],
            self.weight[entries],
        )

    def members(self, class_number: int) -> Int64:
        """Return the particles whose weight goes into a class's average."""
        entries = slice(self.start[class_number], self.start[class_number + 1])
        return self.particle[entries][self.used[entries]]

    def keeping(self, quality: Real, *, keep: float, keep_sigma: bool) -> Membership:
        """Return it with the best members of each class in use, by quality (n_members,).

        ``keep`` is the fraction of each class's members to use, ceil(n keep), at least one; with
        ``keep_sigma``, members worse than the mean by ``keep`` standard deviations are left out.
        """
        places = np.arange(len(self.particle), dtype=np.int64)
        values = np.ascontiguousarray(quality, dtype=np.float32)
        return replace(self, used=keep_best(self.start, places, values, keep, keep_sigma))

    def n_used(self, classes: slice) -> int:
        """Return how many particles enter the averages of a range of classes with any weight."""
        entries = slice(int(self.start[classes.start]), int(self.start[classes.stop]))
        entering = self.used[entries] & (self.weight[entries] > 0)
        return len(np.unique(self.particle[entries][entering]))

    def excluded(self, class_number: int) -> Int64:
        """Return the members of a class that are kept out of its average."""
        entries = slice(self.start[class_number], self.start[class_number + 1])
        return self.particle[entries][~self.used[entries]]
