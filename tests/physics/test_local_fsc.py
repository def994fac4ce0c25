"""Local FSC: fine where maps agree, coarse where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.physics.fsc import local_resolution

BOX, APIX = 32, 3.0


def test_maps_agree_on_one_side_only():
    rng = np.random.default_rng(2)
    common, other = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    second = common.copy()
    second[:, :, BOX // 2 :] = other[:, :, BOX // 2 :]
    found = local_resolution(common, second, apix=APIX, threshold=0.5, last_shell=14)
    finest = BOX * APIX / 14
    assert np.median(found[:, :, 4:11]) == pytest.approx(finest)
    assert np.median(found[:, :, 21:28]) > 3 * finest


def test_the_same_map_agrees_to_the_end():
    volume = np.random.default_rng(0).standard_normal((BOX,) * 3).astype(np.float32)
    found = local_resolution(volume, 2 * volume, apix=APIX, threshold=0.5, last_shell=16)
    np.testing.assert_allclose(found, 2 * APIX)


def test_a_shell_out_of_the_box_is_refused():
    volume = np.zeros((BOX,) * 3, np.float32)
    with pytest.raises(ConfigError, match="last shell 17"):
        local_resolution(volume, volume, apix=APIX, threshold=0.5, last_shell=17)
