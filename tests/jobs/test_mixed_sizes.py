"""Optics groups of different pixel sizes or boxes: one of them, or all brought to one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from mapsort.errors import ConfigError, FormatError
from mapsort.io.mrc import write_stack
from mapsort.io.star import write_particles
from mapsort.jobs.convert import convert
from mapsort.jobs.reconstruct_inputs import open_slices
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.physics.resample import match_images

RNG = np.random.default_rng(8)
LARGE = RNG.normal(size=(4, 32, 32)).astype(np.float32)
SMALL = RNG.normal(size=(3, 24, 24)).astype(np.float32)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mixed(path: str, apix: tuple[float, float], small: np.ndarray = SMALL) -> Path:
    """Seven particles of two groups by turns."""
    write_stack("large.mrcs", LARGE, apix[0])
    write_stack("small.mrcs", small, apix[1])
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1, 2],
            "rlnImagePixelSize": apix,
            "rlnImageSize": [32, small.shape[-1]],
            "rlnVoltage": [300, 200],
        }
    )
    table = pd.DataFrame(
        {
            "rlnImageName": [
                f"{k // 2 + 1:06d}@{'small' if k % 2 else 'large'}.mrcs" for k in range(7)
            ],
            "rlnOpticsGroup": [1 + k % 2 for k in range(7)],
            "rlnClassNumber": [1 + k % 2 for k in range(7)],
            **{f"rlnAngle{name}": np.arange(7.0) for name in ("Rot", "Tilt", "Psi")},
        }
    )
    write_particles(path, optics, table)
    return Path(path)


def converted(source: Path, target: str, **options: object) -> Particles:
    convert(ConvertOptions(files=(source, Path(target)), **options))
    return Particles.open(target)


@pytest.mark.parametrize(("group", "images", "apix"), [(1, LARGE, 4.0), (2, SMALL, 4.03)])
def test_one_group_is_selected(group: int, images: np.ndarray, apix: float) -> None:
    source = mixed("p.star", (4.0, 4.03))
    for target in ("g.star", "g.mrcs", "g.hdf"):
        particles = converted(source, target, where=f"rlnOpticsGroup=={group}")
        assert (len(particles), particles.apix) == (len(images), pytest.approx(apix))
        np.testing.assert_array_equal(particles.images(slice(None)), images)
    assert starfile.read("g.star", always_dict=True)["optics"]["rlnOpticsGroup"].tolist() == [group]


def test_pixel_sizes_are_brought_together() -> None:
    wide = RNG.normal(size=(3, 32, 32)).astype(np.float32)
    source = mixed("p.star", (4.0, 4.03), wide)
    particles = converted(source, "r.star", apix=4.03)
    assert (particles.box, particles.apix) == (32, 4.03)
    resampled = match_images(LARGE, 4.0, box=32, target_apix=4.03)
    images = particles.images(slice(None))
    np.testing.assert_allclose(images[0::2], resampled, atol=1e-6)
    np.testing.assert_array_equal(images[1::2], wide)
    assert set(particles.optics["rlnImagePixelSize"]) == {4.03}
    assert particles.optics["rlnVoltage"].tolist() == [300, 200]


def test_boxes_are_brought_together() -> None:
    source = mixed("p.star", (4.0, 4.0))
    particles = converted(source, "r.mrcs", box=24)
    images = particles.images(slice(None))
    np.testing.assert_array_equal(images[1::2], SMALL)
    np.testing.assert_allclose(images[0::2], LARGE[:, 4:28, 4:28], atol=1e-6)
    both = converted(mixed("q.star", (4.0, 5.0)), "s.hdf", apix=6.0, box=20)
    assert (both.box, both.apix, len(both)) == (20, 6.0, 7)


@pytest.mark.parametrize(
    ("apix", "given", "need"),
    [
        ((4.0, 4.0), {}, "--box"),
        ((4.0, 5.0), {}, "--apix and --box"),
        ((4.0, 5.0), {"box": 24}, "--apix"),
        ((4.0, 4.0), {"apix": 8.0}, "--box"),
    ],
)
def test_what_would_still_differ_is_told(
    apix: tuple[float, float], given: dict[str, float], need: str
) -> None:
    source = mixed("p.star", apix)
    with pytest.raises(ConfigError, match=rf"several sizes .*; give {need}, or take one group"):
        converted(source, "r.star", **given)
    assert not Path("r.star").exists()


def test_a_run_takes_one_size_and_says_how_to_get_it() -> None:
    with pytest.raises(FormatError, match=r"different pixel sizes .*convert --apix A --box PX"):
        Particles.open(mixed("p.star", (4.0, 4.03)))
    with pytest.raises(FormatError, match=r"32, 24 pixels.*convert --where rlnOpticsGroup==N"):
        Particles.open(mixed("p.star", (4.0, 4.0)))


def test_a_reconstruction_of_one_class_takes_the_size_of_that_class() -> None:
    source = mixed("p.star", (4.0, 4.03))
    slices = open_slices(ReconstructOptions(inputs=(source,), class_=2))
    assert (len(slices), slices.box, slices.apix) == (3, 24, 4.03)
