"""What EMDB asks of a map: files that belong together, FSC in RELION's elements."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.errors import ConfigError
from mapsort.io.star import read_particles, write_particles
from mapsort.model.volume import Volume
from mapsort.rundir.text import read_fsc

FILES = {"primary_map.mrc", "half_map_1.mrc", "half_map_2.mrc", "mask_1.mrc", "fsc.xml"}


@pytest.fixture(scope="module")
def refined(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("deposit") / "refine_00"
    return mapsort.refine(tiny.particles, tiny.seeds[0], path=path, iter=1, randomseed=1).path


def coordinates(path):
    """Return what relion_postprocess writes: x and y of each coordinate."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "fsc"
    assert root.attrib["xaxis"] == "Resolution (A-1)"
    assert root.attrib["yaxis"] == "Correlation Coefficient"
    assert set(root.attrib) == {"title", "xaxis", "yaxis"}
    assert {child.tag for child in root} == {"coordinate"}
    assert {tuple(part.tag for part in child) for child in root} == {("x", "y")}
    values = [[float(part.text) for part in child] for child in root]
    return np.array(values).T, root.attrib["title"]


def test_the_fsc_of_a_run_for_emdb_is_that_of_its_text(refined):
    frequency, curves = read_fsc(refined / "fsc_eo_01_01.txt")
    (x, y), title = coordinates(refined / "fsc_01_01.xml")
    np.testing.assert_array_equal(x, frequency[1:])
    np.testing.assert_array_equal(y, curves[1:, 0])
    assert title.endswith("of map 1, corrected for the mask")


def test_a_refined_map(refined, capsys):
    assert main(["deposit", str(refined)]) == 0
    path = refined / "deposit"
    assert {file.name for file in path.iterdir()} == FILES | {"summary.json"}
    maps = {name: Volume.open(path / name) for name in FILES if name.endswith(".mrc")}
    assert {(volume.box, volume.apix) for volume in maps.values()} == {(16, 8.0)}
    outside = maps["mask_1.mrc"].data == 0
    for number, name in enumerate(("even", "odd"), start=1):
        half = maps[f"half_map_{number}.mrc"].data
        assert half[outside].std() > 0.01 * half.std()  # not masked
        np.testing.assert_array_equal(half, Volume.open(refined / f"threed_{name}_01_01.mrc").data)
    assert (path / "fsc.xml").read_bytes() == (refined / "fsc_01_01.xml").read_bytes()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["point_group"] == "C1"
    assert summary["particles_used"] == 40
    assert summary["independent_half_sets"] is True
    assert summary["voxel_size_ang"] == 8.0
    assert set(summary["files"]["half_maps"]) <= FILES
    assert summary["ctf_correction"] == "PHASE FLIPPING AND AMPLITUDE CORRECTION"
    density = maps["primary_map.mrc"].data
    assert 0 < (density > summary["recommended_contour_level"]).mean() < 0.5
    told = capsys.readouterr().out
    assert told.startswith(f"{path}  map 1: {summary['resolution_ang']:.2f} A")
    assert "share" not in told


def test_images_that_state_no_ctf_were_not_corrected_for_it(tiny, tmp_path):
    optics, table = read_particles(tiny.particles)
    without = tiny.particles.with_name("without_ctf.star")
    write_particles(without, optics, table.drop(columns=list(table.filter(like="Defocus"))))
    path = tmp_path / "refine_00"
    run = mapsort.refine(without, tiny.seeds[0], path=path, iter=1, randomseed=1).path
    (made,) = mapsort.commands.deposit(run)
    assert json.loads((made.path / "summary.json").read_text())["ctf_correction"] == "NONE"


def test_maps_of_a_run_of_several(run_tiny, tmp_path):
    run = run_tiny(iter=1, halves=True, randomseed=1)
    made = mapsort.commands.deposit(run.path, out=tmp_path / "emdb")
    assert [item.path.name for item in made] == ["map_01", "map_02"]
    assert all(item.independent for item in made)
    (one,) = mapsort.commands.deposit(run.path, map=2, out=tmp_path / "one")
    primary = Volume.open(one.path / "primary_map.mrc").data
    np.testing.assert_array_equal(primary, Volume.open(run.path / "threed_01_02.mrc").data)


def test_halves_that_share_references_are_told(run_tiny, capsys):
    run = run_tiny(iter=1, randomseed=1)
    with pytest.raises(ConfigError, match="has no half maps, which EMDB asks for"):
        mapsort.commands.deposit(run.path)
    assert not (run.path / "deposit").exists()
    mapsort.eotest(run.path)
    assert main(["deposit", str(run.path), "--map", "1"]) == 0
    assert "of halves that share references" in capsys.readouterr().out
    assert coordinates(run.path / "deposit" / "map_01" / "fsc.xml")[1].endswith("masked")
    with pytest.raises(ConfigError, match="--map=3: the run has maps 1 to 2"):
        mapsort.commands.deposit(run.path, map=3)
