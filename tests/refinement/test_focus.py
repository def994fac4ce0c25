"""``--mask``: only what lies inside the mask tells maps apart."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

import mapsort
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import symmetry
from mapsort.io.mrc import write_map
from mapsort.io.star import read_particles
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.focus import mask_warning, same_outside

BOX, APIX = 32, 4.0


@pytest.fixture(scope="module")
def region(small):
    """Where the two states differ, with a soft edge."""
    first, second = (mapsort.Volume.open(path).data for path in small.maps)
    differs = scipy.ndimage.gaussian_filter(np.abs(first - second), 1.5)
    core = scipy.ndimage.binary_dilation(differs > 0.15 * differs.max(), iterations=1)
    return scipy.ndimage.gaussian_filter(core.astype(np.float32), 1.0)


@pytest.fixture
def written(tmp_path):
    def write(mask, apix=APIX):
        path = tmp_path / "mask.mrc"
        write_map(path, mask.astype(np.float32), apix)
        return path

    return write


def accuracy(found, problem):
    truth = read_particles(problem.truth)[1]["rlnClassNumber"].to_numpy(int)
    return float(np.mean(found.assignments["rlnClassNumber"].to_numpy(int) == truth))


def test_the_region_decides_and_the_rest_does_not(run_small, small, region, written):
    """Poses are the true ones, so that nothing but the maps' difference counts."""
    plain = accuracy(run_small(small.truth, skipalign=True), small)
    inside = accuracy(run_small(small.truth, skipalign=True, mask=written(region)), small)
    rest = accuracy(run_small(small.truth, skipalign=True, mask=written(1 - region)), small)
    # 120 particles: one deviation of a share of 0.95 is 0.02. Of what tells the states apart the
    # region holds nearly all.
    assert plain > 0.93
    assert inside > plain - 0.06
    assert rest < plain - 0.15


def test_references_are_the_same_outside_the_mask(run_small, region, written):
    run = run_small(mask=written(region), iter=2)
    for name in ("threed_00", "threed_filt_01", "threed_filt_02"):
        first, second = (mapsort.Volume.open(run.path / f"{name}_{z:02d}.mrc").data for z in (1, 2))
        outside = region < 1e-3
        np.testing.assert_allclose(first[outside], second[outside], atol=1e-3 * first.max())
        assert np.abs(first - second).max() > 0.02 * first.max()
    # The maps themselves are whole.
    first, second = (mapsort.Volume.open(run.path / f"threed_02_{z:02d}.mrc").data for z in (1, 2))
    assert np.abs(first - second)[outside].max() > 0.02 * first.max()


def test_the_mean_outside_counts_particles():
    rng = np.random.default_rng(0)
    volumes = tuple(rng.standard_normal((6, 6, 6)).astype(np.float32) for _ in range(3))
    mask = np.zeros((6, 6, 6), np.float32)
    mask[2:4] = 1.0
    made = same_outside(volumes, mask, np.array([0.5, 0.5, 0.0]))
    for volume, found in zip(volumes, made, strict=True):
        np.testing.assert_allclose(found[2:4], volume[2:4], atol=1e-6)
        np.testing.assert_allclose(found[0], 0.5 * (volumes[0] + volumes[1])[0], atol=1e-6)
    assert same_outside(volumes, None) is volumes


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [
        (0.3, 0.0, "a mask goes from 0"),
        (7.0, 0.0, "a mask goes from 0"),
        (1.0, 0.9, "leaves nothing outside"),
        (1.0, -0.5, "a mask goes from 0"),
    ],
)
def test_what_is_no_mask_is_refused_before_work(
    run_small, region, written, inside, outside, words, tmp_path
):
    mask = np.where(region > 0.5, inside, outside)
    with pytest.raises(ConfigError, match=words) as caught:
        run_small(mask=written(mask))
    assert str(caught.value).startswith("--mask=")
    assert not list(tmp_path.glob("run_*"))


@pytest.mark.slow
def test_a_mask_of_another_pixel_size_is_brought_to_the_particles(run_small, region, written):
    fine = scipy.ndimage.zoom(region, 2, order=1)
    same = run_small(mask=written(region))
    other = run_small(mask=written(fine, APIX / 2))
    changed = same.assignments["rlnClassNumber"] != other.assignments["rlnClassNumber"]
    assert changed.mean() < 0.1


def test_a_mask_without_the_maps_symmetry_is_reported(region):
    options = typed_options(MultiOptions, {"input": "p", "models": "a", "mask": "m.mrc"})
    assert mask_warning(options, region, symmetry("c1"), APIX) is None
    off_centre = np.zeros((BOX,) * 3, np.float32)
    off_centre[14:20, 14:20, 20:27] = 1.0
    assert "does not have the symmetry c2" in mask_warning(
        options, off_centre, symmetry("c2"), APIX
    )
