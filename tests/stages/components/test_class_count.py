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
        # 2.5 standard errors: a class that is not there would lose
        ({1: 0.0, 2: 0.28, 3: 0.3}, 2.24, 100.0, 2),
        ({1: 0.0, 2: 0.05, 3: 4.0}, 1.0, 100.0, 3),  # two at once
    ],
    ids=str,
)
def test_another_class_must_gain_beyond_chance_and_faults(gains, spread, signal, best):
    found = counts(gains, spread, signal)
    assert found.best == best
    assert found.gain == pytest.approx(gains)


@pytest.mark.parametrize(
    ("gains", "spread", "enough"),
    [
        ({1: 0.0, 3: 10.0, 4: 10.96, 5: 11.0}, 1.0, 4),
        # the search found more in twelve than in eleven, and in six as much
        ({1: 0.0, 3: 0.9, 6: 1.1, 11: 0.97, 12: 1.18, 13: 1.2}, 1.3, 6),
        ({1: 0.0, 4: 14.9, 8: 18.8, 15: 20.49, 16: 20.55, 17: 20.55}, 0.1, 16),
        ({1: 0.0, 2: 0.02}, 1.0, 1),
    ],
    ids=str,
)
def test_classes_that_are_there_gain_upon_every_smaller_number(gains, spread, enough):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(len(gains), 400))
    noise -= noise.mean(axis=1, keepdims=True)
    each = {
        count: gain + spread * row for (count, gain), row in zip(gains.items(), noise, strict=True)
    }
    asked = sorted(gains)[-2] if len(gains) > 2 else 2
    assert ClassCounts(each, 1.0).enough(asked) == enough
