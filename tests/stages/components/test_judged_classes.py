"""Classes that are there already, judged by maps made without each particle."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.engines.progress import SilentProgress
from mapsort.stages.classify.junk import JUNK_FROM
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.judged_classes import judged_anew

ASKED = ComponentSettings(radius_px=11.0)


@pytest.mark.parametrize("junk", [0.0, 0.08])
def test_a_class_of_less_mass_is_no_junk(simulated, junk):
    """It is dimmer than the mean map; its own map tells how bright its particles are."""
    data = simulated(900, states=4, noise=1.2, junk=junk, missing=4, seed=7)
    given = np.where(data.state < 0, np.arange(900) % 4, data.state)
    # some are in the wrong class to begin with
    given[::12] = (given[::12] + 1) % 4
    found = judged_anew(data.observed, np.eye(4)[given], ASKED, SilentProgress())
    real, taken = data.state >= 0, found.junk > JUNK_FROM
    for state in range(4):
        # 93 % of the first where the mean map tells what is junk
        assert taken[data.state == state].mean() < 0.1
    assert taken[~real].sum() >= 0.5 * (~real).sum()
    assert np.mean(found.responsibilities.argmax(axis=1)[real] == data.state[real]) > 0.8
