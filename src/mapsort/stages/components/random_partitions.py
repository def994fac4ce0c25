"""A partition of particles against random ones of equal size (Lauzirika et al., Acta D81, 535).

Any partition gives templates that differ. So those of random partitions are made by the same step,
and all are put to particles that had no part in any: their mean likelihood is the statistic.
"""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Bool, Indices
from mapsort.stages.components.latent_mixture import Mixture, templates_of
from mapsort.stages.components.observed import Products
from mapsort.stages.components.scale import Judgement

#: Random partitions; the least p-value is one over one more.
DRAWS = 99


def partition_p_value(
    products: Products, spared: Bool, classes: Indices, one: Mixture, rng: np.random.Generator
) -> float:
    """Return how probable it is that a random partition explains spared particles as well.

    Parameters
    ----------
    products : Products
        Of n particles with components in which those spared had no part.
    spared : ndarray of shape (n,), bool
        Particles that judge.
    classes : ndarray of shape (n,), intp
        The partition, from 0.
    one : Mixture
        A single class, fitted to the particles that are not spared.
    rng : Generator
        Draws the random partitions.

    Returns
    -------
    float
        Exact for classes that have nothing to do with the images: one more than the number of
        random partitions that do as well, over one more than there are.
    """
    learnt, judges = products.rows(~spared), products.rows(spared)
    judges = judges.rows(one.judge(judges).particles)
    count, own = int(classes.max()) + 1, classes[~spared]
    scale, square = (np.repeat(each, count, axis=1) for each in (one.found.scale, one.found.square))

    def explained(partition: Indices) -> float:
        real = np.eye(count)[partition] * one.found.responsibilities
        found = Judgement(real, np.zeros_like(real), scale, square, np.zeros(len(real)))
        made = Mixture(templates_of(learnt, found), found.shares, one.scales, found)
        return float(made.judge(judges).log_likelihood.mean())

    value = explained(own)
    as_well = sum(explained(rng.permutation(own)) >= value for _ in range(DRAWS))
    return (1 + as_well) / (1 + DRAWS)
