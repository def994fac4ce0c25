"""Masks made from maps: which voxels are in, how far the edge reaches, what is told."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.io.mrc import read_map, write_map
from mapsort.jobs.mask import make_mask
from mapsort.options.fields import typed_options
from mapsort.options.focus import MaskOptions
from mapsort.physics.masks import heavy_pieces, soft_edged

BOX, APIX = 32, 3.0


def balls(*places):
    """Return balls of density 1 (centre x, y, z and radius, in pixels from the middle)."""
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    inside = np.zeros((BOX,) * 3, dtype=bool)
    for px, py, pz, radius in places:
        inside |= (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2 <= radius**2
    return inside


def made(path, volume, **options):
    source, target = path / "map.mrc", path / "mask.mrc"
    write_map(source, volume.astype(np.float32), APIX)
    found = make_mask(
        typed_options(MaskOptions, {"maps": source, "output": target, "overwrite": True} | options)
    )
    return found, read_map(target)[0]


def test_the_edge_is_a_raised_cosine_of_the_distance():
    """Against the distance to every voxel of the region, by hand."""
    region = balls((-4, 0, 2, 3), (5, -3, 0, 2))
    mask = soft_edged(region, margin_px=1.5, edge_px=4.0)
    voxels = np.argwhere(region)
    for place in np.random.default_rng(1).integers(0, BOX, (300, 3)):
        distance = np.sqrt(((voxels - place) ** 2).sum(axis=1).min())
        share = min(max((distance - 1.5) / 4.0, 0.0), 1.0)
        expected = (1 + np.cos(np.pi * share)) / 2
        assert mask[tuple(place)] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(NumericalError, match="no voxel"):
        soft_edged(np.zeros_like(region), margin_px=1, edge_px=1)


@pytest.mark.parametrize(("part", "kept"), [(0.0, 3), (0.1, 2), (1.0, 1)])
def test_pieces_count_by_their_weight(part, kept):
    region = balls((-6, 0, 0, 5), (6, 0, 0, 3), (0, 12, 0, 1))
    found, n_kept, n_pieces = heavy_pieces(region, np.ones((BOX,) * 3, np.float32), part=part)
    assert (n_kept, n_pieces) == (kept, 3)
    expected = [balls((-6, 0, 0, 5)), balls((6, 0, 0, 3)), balls((0, 12, 0, 1))][:kept]
    np.testing.assert_array_equal(found, np.any(expected, axis=0))


def test_the_mask_is_one_on_the_region_and_zero_beyond_the_edge(tmp_path):
    region = balls((0, 0, 0, 6))
    found, mask = made(tmp_path, 0.2 * region, threshold=0.1, lowpass=0, extend=2, edge=3)
    assert (mask[balls((0, 0, 0, 7.3))] == 1).all()
    assert (mask[~balls((0, 0, 0, 11.2))] == 0).all()
    assert found.mass_kda == pytest.approx(region.sum() * APIX**3 * 0.81e-3)
    _, other = made(tmp_path, 0.2 * region, threshold=0.1, lowpass=0, extend=2, edge=3, invert=True)
    np.testing.assert_allclose(other, 1 - mask, atol=1e-6)


def test_by_itself_it_finds_the_particle_in_noise(tmp_path):
    region = balls((0, 0, 0, 8))
    noise = np.random.default_rng(2).standard_normal((BOX,) * 3)
    found, mask = made(tmp_path, 3.0 * region + noise, extend=0, edge=0)
    assert found.n_kept == 1
    assert (mask > 0.5)[region].mean() > 0.97
    assert (mask > 0.5).sum() < 1.5 * region.sum()


def test_what_gives_no_mask_is_refused(tmp_path):
    region = balls((0, 0, 0, 6)).astype(np.float32)
    with pytest.raises(ConfigError, match=r"no density above 2; the highest is 1: give a lower"):
        made(tmp_path, region, threshold=2.0, lowpass=0)
    with pytest.raises(ConfigError, match=r"after the low-pass to 15 A"):
        made(tmp_path, region, threshold=2.0)
    made(tmp_path, region)
    with pytest.raises(ConfigError, match="exists already"):
        made(tmp_path, region, overwrite=False)
    with pytest.raises(FormatError, match="constant"):
        made(tmp_path, np.ones_like(region))
    with pytest.raises(ConfigError, match=r"--piece=2.0: expected a number from 0 to 1"):
        made(tmp_path, region, piece=2.0)


def test_the_command_tells_what_it_found(tmp_path, capsys):
    source, target = tmp_path / "map.mrc", tmp_path / "mask.mrc"
    write_map(source, balls((-6, 0, 0, 4), (9, 0, 0, 1)).astype(np.float32), APIX)
    words = ["mask", str(source), "-o", str(target), "--threshold", "0.5", "--lowpass", "0"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{target}  ")
    assert "density above 0.5, 1 of 2 pieces, 6 kDa" in said
