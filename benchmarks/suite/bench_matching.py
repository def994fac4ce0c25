"""Particles against references, over rotation, mirror and shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mapsort


@pytest.mark.benchmark(group="matching")
@pytest.mark.parametrize("share", [1.0, 0.25], ids=["all references", "a quarter of them"])
def test_match(views: Any, benchmark: Any, share: float) -> None:
    """Every view against the others as references: the cost of a pair, and what comes beside."""
    rng = np.random.default_rng(2)
    images = views.images[: max(10, len(views.images) // 10)]
    noisy = images + rng.normal(0.0, 0.5 * images.std(), images.shape).astype(np.float32)
    references = views.images[: round(share * len(views.images))]
    found = benchmark(mapsort.match, noisy, references, maxshift=3.0)
    own = np.arange(min(len(noisy), len(references)))
    assert (found.reference[own, 0] == own).mean() > 0.8
