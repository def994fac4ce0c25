"""The number of classes that particles kept out tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.components.class_count import ClassCounts


def counts(gains: dict[int, float], spread: float, signal: float) -> ClassCounts:
    """Log likelihoods of 400 particles that gain so much over one class, and vary by a spread."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=400)
    noise = (noise - noise.mean()) / noise.std()
    each = {count: gain + count * spread * noise for count, gain in gains.items()}
    return ClassCounts(each, signal)


@pytest.mark.parametrize(
    ("gains", "spread", "signal", "best"),
    [
        ({1: 0.0, 2: 5.0, 3: 7.0, 4: 7.5, 5: 7.49}, 1.0, 100.0, 4),
        ({1: 0.0, 2: 0.28, 3: 0.3}, 1.0, 777.0, 1),  # of what the model leaves out
        ({1: 0.0, 2: 0.28, 3: 0.3}, 1.0, 100.0, 2),
        ({1: 0.0, 2: 0.28, 3: 0.3}, 4.0, 100.0, 1),  # within chance
        # 2.5 standard errors: one number of the many that are tried gains as much by chance
        ({1: 0.0, 2: 0.28, 3: 0.3}, 2.24, 100.0, 1),
        ({1: 0.0, 2: 0.05, 3: 4.0}, 1.0, 100.0, 3),  # two at once
    ],
    ids=str,
)
def test_another_class_must_gain_beyond_chance_and_faults(gains, spread, signal, best):
    found = counts(gains, spread, signal)
    assert found.best == best
    assert found.gain == pytest.approx(gains)
