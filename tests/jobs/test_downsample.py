"""``--downsample``: a run in a smaller box than its particles' images have."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError, Interrupted
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.compare import compare_maps
from mapsort.jobs.convert import convert
from mapsort.jobs.eotest import eotest
from mapsort.jobs.followup import followup
from mapsort.jobs.multi import plan_text, refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.model.particles import Particles
from mapsort.options.compare import CompareOptions
from mapsort.options.convert import ConvertOptions
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.refinement.inputs import open_inputs
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.verdict_record import NOT_SUPPORTED, SUPPORTED, UNDECIDED

#: Of the images, and of the run.
LARGE, SMALL, APIX = 48, 32, 8 / 3
COLUMNS = ["rlnClassNumber", "rlnAngleRot", "rlnAngleTilt", "rlnOriginXAngst", "rlnOriginYAngst"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    out = tmp_path_factory.mktemp("large")
    kind = {"box": LARGE, "apix": APIX, "snr": 0.4, "shift": 2.0, "seed": 3, "seedres": 24.0}
    return simulate(SimulateOptions(phantom=2, out=out, n=120, **kind))


@pytest.fixture(scope="module")
def runs(large, tmp_path_factory, runs_on):
    return runs_on(large, tmp_path_factory.mktemp("runs"), iter=2, orientgen="eman:delta=30")


@pytest.fixture(scope="module")
def smaller(runs):
    return runs(downsample=SMALL, maxshift=5.0)


def test_a_run_is_that_on_images_of_a_smaller_box(large, runs, smaller, tmp_path):
    star = tmp_path / "small.star"
    convert(ConvertOptions(files=(large.particles, star), apix=APIX * LARGE / SMALL))
    other = runs(particles=star, maxshift=5.0)
    ours, theirs = (run.assignments[COLUMNS].to_numpy() for run in (smaller, other))
    # the pixel sizes that both compute differ in their last digits
    assert np.allclose(ours, theirs, atol=1e-3)
    for one, same in zip(smaller.maps, other.maps, strict=True):
        assert one.box == SMALL
        assert one.apix == pytest.approx(4.0, rel=1e-6)
        assert np.allclose(one.data, same.data, atol=1e-4 * np.abs(same.data).max())


def test_its_table_is_of_the_images_as_they_are(large, smaller):
    optics, table = read_particles(smaller.particles)
    assert optics["rlnImageSize"].tolist() == [LARGE]
    assert optics["rlnImagePixelSize"].tolist() == pytest.approx([APIX])
    truth = read_particles(large.truth)[1]
    # origins are in Angstrom: those of the images, whatever the run's pixels are
    for axis in ("rlnOriginXAngst", "rlnOriginYAngst"):
        assert np.median(np.abs(table[axis] - truth[axis])) < APIX
    assert Particles.open(smaller.particles).box == LARGE


def test_the_record_tells_the_images_pixel_size_and_the_box(smaller):
    options = read_manifest(smaller.path / "0_refine_parms.json").options
    assert options["downsample"] == SMALL
    assert options["apix"] == pytest.approx(APIX, rel=1e-6)


def test_a_stopped_run_goes_on_to_the_same_result(large, runs, smaller, stop_at, tmp_path):
    asked = {"path": tmp_path / "stopped", "downsample": SMALL, "maxshift": 5.0}
    with pytest.raises(Interrupted):
        runs(**asked, progress=stop_at("average", 2))
    again = refine_multi(large.particles, large.seeds, resume=asked["path"], quiet=True)
    assert again.assignments[COLUMNS].equals(smaller.assignments[COLUMNS])
    for one, same in zip(again.maps, smaller.maps, strict=True):
        assert np.array_equal(one.data, same.data)


def test_what_follows_takes_the_box_of_the_maps(smaller):
    made = eotest(smaller.path)
    assert all(len(item.masked) == SMALL // 2 + 1 for item in made.maps)
    (found,) = compare_maps(CompareOptions(run=(smaller.path,)))
    # no finer than two pixels of the maps
    assert found.resolution_ang >= 8.0


def test_sets_are_refined_with_the_images_as_they_are(smaller):
    made = followup(smaller, refineiter=1, parallel="thread:1")
    assert sorted(made.refined) == [1, 2]
    for refined in made.refined.values():
        assert refined.map.box == LARGE
        assert refined.map.apix == pytest.approx(APIX, rel=1e-6)
    assert made.crossval.verdict in (SUPPORTED, NOT_SUPPORTED, UNDECIDED)


def test_masks_and_other_images_are_brought_to_the_box(large, tmp_path):
    y, x = np.indices((LARGE, LARGE)) - LARGE // 2
    write_stack(tmp_path / "mask.mrc", (np.hypot(x, y) < 20).astype(np.float32)[None], APIX)
    asked = {"input": str(large.particles), "models": ",".join(map(str, large.seeds))}
    asked |= {"simmask": str(tmp_path / "mask.mrc"), "usefilt": str(large.particles)}
    asked |= {"downsample": str(SMALL), "path": str(tmp_path / "run")}
    inputs = open_inputs(typed_options(MultiOptions, asked).validated())
    assert inputs.simmask.shape == (SMALL, SMALL)
    # the same disc: its area in pixels falls by the square of their ratio
    assert inputs.simmask.sum() == pytest.approx(np.pi * 20**2 * (SMALL / LARGE) ** 2, rel=0.02)
    assert np.array_equal(inputs.compared.images([0, 5]), inputs.particles.images([0, 5]))


def test_given_origins_are_in_pixels_of_the_images_as_they_are(large, tmp_path):
    optics, truth = read_particles(large.truth)
    old = truth.rename(columns={f"rlnOrigin{axis}Angst": f"rlnOrigin{axis}" for axis in "XY"})
    old[["rlnOriginX", "rlnOriginY"]] /= APIX
    found = []
    for name, table in (("new", truth), ("old", old)):
        path = large.particles.with_name(f"{name}.star")
        write_particles(path, optics, table)
        asked = {"input": str(path), "models": ",".join(map(str, large.seeds)), "skipalign": True}
        asked |= {"downsample": str(SMALL), "path": str(tmp_path / name)}
        found.append(open_inputs(typed_options(MultiOptions, asked).validated()).poses[1])
    expected = truth[["rlnOriginXAngst", "rlnOriginYAngst"]] / (APIX * LARGE / SMALL)
    for origins in found:
        assert np.allclose(origins, expected, atol=1e-5)


def test_images_smaller_than_asked_for_are_refused(large):
    with pytest.raises(ConfigError, match=rf"--downsample=64: .* have {LARGE} pixels only"):
        refine_multi(large.particles, large.seeds, downsample=64, quiet=True)
    with pytest.raises(ConfigError, match="--downsample=8: expected a whole number from 16"):
        refine_multi(large.particles, large.seeds, downsample=8, quiet=True)


def test_check_names_a_box_that_is_enough(tmp_path):
    out = tmp_path / "fine"
    kind = {"box": 98, "apix": 1.3, "snr": 0.4, "seed": 3}
    fine = simulate(SimulateOptions(phantom=1, out=out, n=20, **kind))
    asked = {"input": str(fine.particles), "models": str(fine.seeds[0]), "path": str(out / "run")}

    def told(**more: str) -> str:
        return plan_text(typed_options(MultiOptions, asked | more).validated())

    assert "cheaper: --downsample 50 keeps all that is coarser than 5.1 A" in told()
    # 4 A need pixels of 1.6 A
    assert "cheaper" not in told(targetres="4")
    assert "cheaper" not in told(downsample="50")
