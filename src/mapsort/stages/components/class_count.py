"""How many classes particles can be told apart into, by particles that had no part in them.

One class more always explains the particles better that it was learnt from. Those kept out it
explains better only if it is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Bool, Float64
from mapsort.stages.components.component_worth import SIGNIFICANCE, gains, mean_worth
from mapsort.stages.components.latent_mixture import held_out_likelihood
from mapsort.stages.components.observed import Products

#: Classes that may be found, and how many more are tried after one that gained.
MOST_CLASSES, TRIED_BEYOND = 24, 2


@dataclass(frozen=True)
class ClassCounts:
    """What numbers of classes say of particles that were kept out of finding them.

    Attributes
    ----------
    log_likelihood : dict of int to ndarray of shape (m,), float64
        Of each particle kept out [nat], by the number of classes.
    signal : float
        What the mean map is worth to a particle [nat].
    """

    log_likelihood: dict[int, Float64]
    signal: float = 0.0

    @classmethod
    def tried(
        cls, products: Products, kept_out: Bool, counts: Iterable[int], *, seed: int, junk: bool
    ) -> ClassCounts:
        """Find each of some numbers of classes.

        Parameters
        ----------
        products : Products
            With components in which those kept out had no part.
        kept_out : ndarray of shape (n,), bool
        junk : bool
            Whether some images may hold no particle.
        """
        return cls(
            {
                count: held_out_likelihood(
                    products, count, kept_out, np.random.default_rng((seed, 1)), junk=junk
                )
                for count in counts
            },
            mean_worth(products),
        )

    @property
    def gain(self) -> dict[int, float]:
        """What each number gains over one class [nat a particle]."""
        one = self.log_likelihood[1].mean()
        return {count: float(each.mean() - one) for count, each in self.log_likelihood.items()}

    @property
    def best(self) -> int:
        """The least number that no greater one gains upon beyond chance."""
        best = 1
        for count in sorted(self.log_likelihood):
            if self.gains(count, over=best):
                best = count
        return best

    def enough(self, count: int) -> int:
        """Return the least number tried that explains the particles as well, within chance.

        One number less is no touchstone: both are only as good as the search that found them, and
        of twelve classes of two states the twelfth may seem to gain. Classes that are there gain
        upon every smaller number.
        """
        every = replace(self, signal=0.0)  # also classes that say less than the model's faults
        smaller = (fewer for fewer in sorted(self.log_likelihood) if fewer < count)
        return next((n for n in smaller if not every.gains(count, over=n)), count)

    def gains(self, count: int, *, over: int) -> bool:
        """Whether a number of classes explains the particles better than a smaller one."""
        more = self.log_likelihood[count] - self.log_likelihood[over]
        return gains(more, self.signal, SIGNIFICANCE)


def found_counts(products: Products, kept_out: Bool, *, seed: int, junk: bool) -> ClassCounts:
    """Try numbers of classes from one on, until more have gained nothing twice."""
    found = ClassCounts({})
    for count in range(1, MOST_CLASSES + 1):
        more = ClassCounts.tried(products, kept_out, (count,), seed=seed, junk=junk)
        found = ClassCounts(found.log_likelihood | more.log_likelihood, more.signal)
        if count >= found.best + TRIED_BEYOND:
            break
    return found
