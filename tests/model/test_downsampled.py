"""Particles whose images are brought to a smaller box as they are read."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import BadImagesError, ConfigError
from mapsort.io.mrc import write_stack
from mapsort.io.star import write_particles
from mapsort.model import stored_images
from mapsort.model.particles import Particles
from mapsort.physics.resample import match_images

APIX = 1.5


def stored(directory, images, apix=APIX):
    """Write images as particles of one stack."""
    write_stack(directory / "p.mrcs", images, apix)
    optics = {"rlnOpticsGroup": [1], "rlnVoltage": [300.0], "rlnImagePixelSize": [APIX]}
    optics |= {"rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]}
    names = [f"{number + 1:06d}@p.mrcs" for number in range(len(images))]
    table = pd.DataFrame({"rlnImageName": names, "rlnOpticsGroup": 1})
    write_particles(directory / "p.star", pd.DataFrame(optics), table)
    return Particles.open(directory / "p.star", datadir=directory)


def wave(box, periods):
    """Return images of waves that many periods long along x, about the centre box//2."""
    x = (np.arange(box) - box // 2) / box
    lines = np.cos(2 * np.pi * np.asarray(periods)[:, None] * x)
    return np.repeat(lines[:, None], box, axis=1).astype(np.float32)


@pytest.mark.parametrize(("large", "small"), [(24, 16), (24, 17), (25, 16), (27, 19)])
def test_waves_that_the_smaller_box_holds_are_kept_and_others_are_not(tmp_path, large, small):
    coarse, fine = (1, 3, 7), (9, 11)
    images = wave(large, (*coarse, *fine)) + 2.0
    read = stored(tmp_path, images).downsampled(small)
    assert (read.box, read.stored_box) == (small, large)
    assert read.apix == pytest.approx(APIX * large / small)
    assert read.stored_apix == pytest.approx(APIX)
    found = read.images(slice(None))
    # single precision
    assert np.allclose(found[:3], wave(small, coarse) + 2.0, atol=2e-5)
    if small < 2 * min(fine):
        assert np.allclose(found[3:], 2.0, atol=2e-5)


def test_what_is_read_does_not_depend_on_what_is_read_with_it(tmp_path, monkeypatch):
    images = np.random.default_rng(0).normal(size=(9, 24, 24)).astype(np.float32)
    read = stored(tmp_path, images).downsampled(16)
    every = read.images(slice(None))
    assert np.array_equal(every, match_images(images, 1.0, box=16, target_apix=1.5))
    assert np.array_equal(read.images([7, 2]), every[[7, 2]])
    assert np.array_equal(pickle.loads(pickle.dumps(read.images_only())).images([3]), every[[3]])
    assert np.array_equal(read.subset([4, 1]).images(slice(None)), every[[4, 1]])
    monkeypatch.setattr(stored_images, "_LARGER_PIXELS", 2 * 24**2)
    assert np.array_equal(read.images(slice(None)), every)


def test_the_same_box_is_no_change_and_a_larger_one_is_refused(tmp_path):
    particles = stored(tmp_path, wave(24, (1, 2)))
    assert particles.downsampled(None) is particles
    assert particles.downsampled(24) is particles
    again = particles.downsampled(16)
    assert again.downsampled(16) is again
    with pytest.raises(ConfigError, match=r"--downsample=32: .* have 24 pixels only"):
        particles.downsampled(32)


def test_images_are_checked_as_the_stack_has_them(tmp_path):
    images = wave(24, (1, 2, 3))
    images[1] = 5.0
    read = stored(tmp_path, images).downsampled(16)
    assert read.validate() == ()
    with pytest.raises(BadImagesError, match=r"image 2 .* is constant"):
        read.images(slice(None))
    assert list(read.bad_images([0, 1, 2])) == [1]


def test_pixel_sizes_of_headers_are_held_against_that_of_the_images(tmp_path):
    read = stored(tmp_path, wave(24, (1, 2)), apix=2.0).downsampled(16)
    (note,) = read.validate()
    assert "the header states 2 A/pixel" in note
    assert "1.5 is used" in note
