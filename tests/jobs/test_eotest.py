"""The even/odd test: the same halves as the run's own, from its files alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import header_list
from mapsort.model.volume import Volume
from mapsort.rundir.result_record import read_results
from mapsort.rundir.text import read_fsc


@pytest.fixture(scope="module")
def tested(small, tmp_path_factory):
    """A run of two iterations and its test."""
    path = tmp_path_factory.mktemp("eotest") / "multi_00"
    run = mapsort.refine_multi(
        small.particles,
        small.seeds,
        path=path,
        iter=2,
        orientgen="eman:delta=20",
        sym="c1,c2",
        classkeep=0.8,
        parallel="thread:1",
    )
    return run, mapsort.eotest(run)


def test_curves_are_those_that_the_run_found_itself(tested):
    """The run compared the halves that it averaged; the test makes them anew from its files."""
    run, made = tested
    assert [item.number for item in made.maps] == [1, 2]
    for item, own in zip(made.maps, run.convergence[-1]["maps"], strict=True):
        # The record has four decimals.
        np.testing.assert_allclose(item.masked, own["half_fsc"], atol=5.1e-5)
        # Resolutions have three decimals, and curves differ by float32 rounding.
        found = (item.resolution_0143_ang, item.resolution_05_ang)
        expected = (own["resolution_fsc_0143_ang"], own["resolution_fsc_05_ang"])
        assert found == pytest.approx(expected, abs=2e-3)


def test_particles_weigh_what_they_weighed_in_the_run(small, tmp_path):
    """In a soft run a particle is in several classes, in each by its probability."""
    run = mapsort.refine_multi(
        small.particles,
        small.seeds,
        path=tmp_path / "soft",
        iter=2,
        assign="soft",
        orientgen="eman:delta=20",
        parallel="thread:1",
    )
    made = mapsort.eotest(run)
    for item, own in zip(made.maps, run.convergence[-1]["maps"], strict=True):
        np.testing.assert_allclose(item.masked, own["half_fsc"], atol=5.1e-5)
        assert item.n_even + item.n_odd == run.convergence[-1]["particles_used"][item.number - 1]


def test_any_iteration_can_be_tested(tested):
    run, _ = tested
    made = mapsort.eotest(run.path, iter=1)
    for item, own in zip(made.maps, run.convergence[0]["maps"], strict=True):
        np.testing.assert_allclose(item.masked, own["half_fsc"], atol=5.1e-5)
    mapsort.eotest(run.path)


def test_written_maps_have_the_curve_that_is_written(tested):
    _, made = tested
    for item in made.maps:
        assert item.even.name == f"threed_even_02_{item.number:02d}.mrc"
        assert item.odd.name == f"threed_odd_02_{item.number:02d}.mrc"
        even, odd = Volume.open(item.even), Volume.open(item.odd)
        frequency, curves = read_fsc(item.curve_file)
        assert item.curve_file.name == f"fsc_eo_02_{item.number:02d}.txt"
        np.testing.assert_allclose(frequency, np.arange(17) / (32 * 4.0), rtol=1e-5)
        np.testing.assert_allclose(frequency, made.frequency_per_ang, rtol=1e-5)
        # Six digits in the file.
        np.testing.assert_allclose(curves[:, 1], mapsort.fsc(even.data, odd.data), atol=2e-6)
        np.testing.assert_allclose(curves[:, 0], item.masked, atol=2e-6)
        mask = Volume.open(made.path / f"threed_mask_02_{item.number:02d}.mrc").data
        masked = mapsort.fsc(even.data * mask, odd.data * mask)
        np.testing.assert_allclose(curves[:, 0], masked, atol=2e-6)


def test_halves_are_the_averaged_particles_by_parity(tested):
    _, made = tested
    for item in made.maps:
        with HdfReader(made.path / "classes_02.hdf") as reader:
            headers = [reader.header(i) for i in range(reader.n_images)]
        used = [
            index
            for header in headers
            if header["model_id"] == item.number
            for index in header_list(header, "class_ptcl_idxs")
        ]
        assert item.n_even == sum(index % 2 == 0 for index in used) > 0
        assert item.n_odd == sum(index % 2 == 1 for index in used) > 0


def test_particles_in_several_classes_count_once(small, tmp_path):
    run = mapsort.refine_multi(
        small.particles,
        small.seeds,
        path=tmp_path / "multi_00",
        iter=1,
        sep=3,
        classkeep=1.0,
        orientgen="eman:delta=24",
        parallel="thread:1",
    )
    made = mapsort.eotest(run)
    with HdfReader(run.path / "classify_01.hdf") as reader:
        classes = reader.image(0).astype(int)
    with HdfReader(run.path / "projections_01.hdf") as reader:
        model = np.array([reader.header(i)["model_id"] for i in range(reader.n_images)])
    for item in made.maps:
        present = np.any(model[classes] == item.number, axis=1)
        assert (item.n_even, item.n_odd) == (present[::2].sum(), present[1::2].sum())


def test_a_run_of_one_map(small, tmp_path):
    run = mapsort.refine_multi(
        small.particles,
        small.seeds[:1],
        path=tmp_path / "refine_00",
        iter=1,
        orientgen="eman:delta=24",
        classkeep=1.0,
        parallel="thread:1",
    )
    (item,) = mapsort.eotest(run).maps
    assert (item.n_even, item.n_odd) == (60, 60)
    np.testing.assert_allclose(item.masked, run.convergence[0]["maps"][0]["half_fsc"], atol=5.1e-5)


def test_local_resolution_of_every_map(copy):
    mapsort.eotest(copy, local=True)
    for number in (1, 2):
        local = Volume.open(copy / f"locres_02_{number:02d}.mrc")
        even = Volume.open(copy / f"threed_even_02_{number:02d}.mrc")
        assert (local.data.shape, local.apix) == (even.data.shape, even.apix)
        # From twice the pixel size, which is all that there is, to the box.
        assert 2 * even.apix * 0.999 <= local.data.min() < local.data.max() <= 32 * even.apix


def test_the_report_gets_its_section(tested):
    run, made = tested
    (record,) = read_results(run.path)
    assert record.title == "Even/odd test"
    assert [row[0] for row in record.tables[0].rows] == [1, 2]
    np.testing.assert_allclose(record.curves[0].curves[0], made.maps[0].masked)


@pytest.fixture
def copy(tested, tmp_path):
    shutil.copytree(tested[0].path, tmp_path / "multi_00")
    return tmp_path / "multi_00"


def test_a_run_with_other_projections_is_refused(copy):
    parms = copy / "0_refine_parms.json"
    content = json.loads(parms.read_text())
    content["options"]["orientgen"] = "eman:delta=18"
    parms.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"projections_02.hdf: its projections are not those"):
        mapsort.eotest(copy)
    content["options"]["orientgen"] = "eman:delta=20"
    content["options"]["sym"] = ["c2", "c1"]
    parms.write_text(json.dumps(content))
    with pytest.raises(FormatError, match="its projections are not those"):
        mapsort.eotest(copy)


def test_missing_parts_are_named(copy):
    with pytest.raises(ConfigError, match=r"--iter=3: .* iterations 1 to 2"):
        mapsort.eotest(copy, iter=3)
    (copy / "cls_result_02.hdf").unlink()
    with pytest.raises(FormatError, match=r"cls_result_02.hdf: no such file"):
        mapsort.eotest(copy)


def test_a_map_without_particles_is_named_and_left_out(copy):
    from mapsort.io.hdf_writer import HdfWriter

    path = copy / "cls_result_02.hdf"
    with HdfReader(path) as reader:
        images = [reader.image(i) for i in range(reader.n_images)]
    with HdfReader(copy / "projections_02.hdf") as reader:
        model = np.array([reader.header(i)["model_id"] for i in range(reader.n_images)])
    images[1][model[images[0].astype(int)] == 2] = 0
    with HdfWriter(path) as writer:
        for image in images:
            writer.append(image)
    made = mapsort.eotest(copy)
    assert [item.number for item in made.maps] == [1]
    assert made.without_halves == (2,)
