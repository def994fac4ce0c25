"""Every file of the run directory, against the others and against what they must hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import mapsort
from mapsort.errors import FormatError
from mapsort.geometry.euler import eman_to_matrix, relion_to_matrix
from mapsort.geometry.pose import match_to_pose
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import header_list
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.star import read_particles
from mapsort.jobs.describe import describe
from mapsort.options.multi import MultiOptions
from mapsort.physics.fsc import resolution_at
from mapsort.rundir.text import read_convergence, read_fsc
from mapsort.runfiles.maps import MOST_LISTED
from mapsort.stages.map_register import in_register
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.search.match import REFINED

ITERATIONS = [1, 2, 3]
BOX, APIX, N = 40, 3.2, 320
MODELS = [1, 2]
EULERS = mapsort.orientations("eman:delta=12", "c1")
REFERENCE_ROTATIONS = np.concatenate([eman_to_matrix(EULERS)] * 2)
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]


@pytest.fixture(scope="module")
def path(finished):
    return finished.path


@pytest.fixture(scope="module")
def thinned(small, tmp_path_factory):
    """A run in which particles enter two classes and many are kept out of the averages."""
    return mapsort.refine_multi(
        small.particles,
        small.seeds,
        path=tmp_path_factory.mktemp("thinned") / "multi_00",
        iter=1,
        orientgen="eman:delta=30",
        randomseed=1,
        sep=2,
        classkeep=0.5,
        parallel="thread:1",
    ).path


def stack(path: Path) -> np.ndarray:
    with HdfReader(path) as reader:
        return reader.images()


def headers(path: Path) -> list[dict]:
    with HdfReader(path) as reader:
        return [reader.header(index) for index in range(reader.n_images)]


def table(path: Path, iteration: int):
    return read_particles(path / f"particles_{iteration:02d}.star")[1]


def volume(path: Path, name: str) -> np.ndarray:
    return mapsort.Volume.open(path / name).data


def test_every_file_is_there_and_nothing_temporary(path):
    expected = {"0_refine_parms.json", "convergence.json", "run.log"}
    expected |= {f"threed_00_{z:02d}.mrc" for z in MODELS}
    for i in ITERATIONS:
        expected |= {
            f"{stem}_{i:02d}.hdf"
            for stem in ("projections", "simmx", "classify", "classes", "cls_result")
        }
        expected |= {f"particles_{i:02d}.star", f"fsc_mutual_{i:02d}.txt"}
        for z in MODELS:
            maps = ("threed", "threed_filt", "threed_mask")
            expected |= {f"{stem}_{i:02d}_{z:02d}.mrc" for stem in maps}
            expected.add(f"fsc_{i:02d}_{z:02d}.txt")
    there = {entry.name for entry in path.iterdir()}
    assert expected <= there
    assert not [name for name in there if name.startswith(".") or "tmp" in name]


@pytest.mark.parametrize("i", ITERATIONS)
def test_projections_stand_in_the_order_of_the_maps(path, i):
    found = headers(path / f"projections_{i:02d}.hdf")
    assert [h["model_id"] for h in found] == [1] * len(EULERS) + [2] * len(EULERS)
    matrices = np.stack([h["xform.projection"].matrix for h in found])
    np.testing.assert_allclose(matrices[:, :, :3], REFERENCE_ROTATIONS, atol=1e-6)
    assert not matrices[:, :, 3].any()
    assert {h["ptcl_repr"] for h in found} == {0}
    assert {round(h["apix_x"], 5) for h in found} == {APIX}


@pytest.mark.parametrize("i", ITERATIONS)
def test_projections_are_those_of_the_maps_before(path, i):
    images = stack(path / f"projections_{i:02d}.hdf")
    stem = "threed_00" if i == 1 else f"threed_filt_{i - 1:02d}"
    for z in MODELS:
        mine = slice((z - 1) * len(EULERS), z * len(EULERS))
        expected = mapsort.project(volume(path, f"{stem}_{z:02d}.mrc"), REFERENCE_ROTATIONS[mine])
        np.testing.assert_allclose(images[mine], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("i", ITERATIONS)
def test_the_class_is_the_minimum_of_the_similarity_row(path, i):
    entry = json.loads((path / "convergence.json").read_text())["iterations"][i - 1]
    similarity = stack(path / f"simmx_{i:02d}.hdf")
    classification = stack(path / f"classify_{i:02d}.hdf")
    assert similarity.shape == (6, N, 2 * len(EULERS))
    # one column while particles go to their best match, several once probabilities count
    columns = 2 * REFINED if entry["soft_since"] else 1
    assert classification.shape == (7, N, columns)
    best, rows = similarity[0].argmin(axis=1), np.arange(N)
    np.testing.assert_array_equal(best, classification[0, :, 0])
    np.testing.assert_array_equal(similarity[1:, rows, best], classification[2:, :, 0])
    np.testing.assert_allclose(classification[1].sum(axis=1), 1.0, atol=1e-5)
    assert np.isin(similarity[4], [0, 1]).all()
    assert (similarity[5] == 1).all()


def class_members(path: Path):
    """Return (used, excluded) particles of every class, from the headers of the averages."""
    found = headers(path / "classes_01.hdf")
    return (
        [header_list(h, "class_ptcl_idxs") for h in found],
        [header_list(h, "exc_class_ptcl_idxs") for h in found],
    )


def members_by_result(path: Path, n_classes: int):
    result = stack(path / "cls_result_01.hdf")
    number, used = result[0].astype(int), result[1] == 1
    assert np.isin(result[1], [0, 1]).all()
    rows = [np.unique(np.nonzero((number == c) & used)[0]).tolist() for c in range(n_classes)]
    out = [np.unique(np.nonzero((number == c) & ~used)[0]).tolist() for c in range(n_classes)]
    return rows, out


@pytest.mark.parametrize("which", ["path", "thinned"])
def test_classes_and_result_matrix_name_the_same_members(request, which):
    path = request.getfixturevalue(which)
    used, excluded = class_members(path)
    assert (used, excluded) == members_by_result(path, len(used))
    counts = [h["ptcl_repr"] for h in headers(path / "classes_01.hdf")]
    assert counts == [len(members) for members in used]


def test_each_particle_is_in_one_class_or_in_sep_classes(path, thinned):
    for run, n, sep in ((path, N, 1), (thinned, 120, 2)):
        used, excluded = class_members(run)
        everyone = np.sort(np.concatenate([*used, *excluded]).astype(int))
        np.testing.assert_array_equal(everyone, np.repeat(np.arange(n), sep))
        classification = stack(run / "classify_01.hdf")
        assert classification.shape == (7, n, sep)
        np.testing.assert_allclose(classification[1].sum(axis=1), 1.0)
        # The result differs from the classification in nothing but the flag.
        result = stack(run / "cls_result_01.hdf")
        np.testing.assert_array_equal(np.delete(result, 1, 0), np.delete(classification, 1, 0))
    assert any(class_members(thinned)[1])
    first, second = stack(thinned / "classify_01.hdf")[0].T
    assert (first != second).all()


def test_classkeep_keeps_the_fraction_it_is_given(thinned):
    used, excluded = class_members(thinned)
    for kept, out in zip(used, excluded, strict=True):
        assert len(kept) == np.ceil(0.5 * (len(kept) + len(out)))


def test_empty_classes_are_zero(path):
    images, found = stack(path / "classes_01.hdf"), headers(path / "classes_01.hdf")
    empty = np.array([h["ptcl_repr"] == 0 for h in found])
    assert empty.any()
    assert not empty.all()
    assert not images[empty].any()
    assert all(image.any() for image in images[~empty])


@pytest.mark.parametrize("i", ITERATIONS)
def test_averages_name_their_projections(path, i):
    found = headers(path / f"classes_{i:02d}.hdf")
    projections = headers(path / f"projections_{i:02d}.hdf")
    assert len(found) == len(projections)
    for index, (mine, of_projection) in enumerate(zip(found, projections, strict=True)):
        assert mine["projection_image"] == f"projections_{i:02d}.hdf"
        assert mine["projection_image_idx"] == index
        assert mine["model_id"] == of_projection["model_id"]
        assert mine["xform.projection"] == of_projection["xform.projection"]


def test_averages_look_like_their_projections(path):
    images, found = stack(path / "classes_03.hdf"), headers(path / "classes_03.hdf")
    projections = stack(path / "projections_03.hdf")
    full = [k for k, h in enumerate(found) if h["ptcl_repr"] >= 3]
    mine = [np.corrcoef(images[k].ravel(), projections[k].ravel())[0, 1] for k in full]
    other = [np.corrcoef(images[k].ravel(), projections[k - 7].ravel())[0, 1] for k in full]
    assert np.median(mine) > 0.7
    assert np.median(mine) > np.median(other) + 0.05


@pytest.mark.parametrize("i", ITERATIONS)
def test_the_table_says_what_the_classification_says(path, i):
    classification = stack(path / f"classify_{i:02d}.hdf")[:, :, 0].astype(float)
    number, _, dx, dy, alpha, flip, _ = classification
    rotations, origins = match_to_pose(REFERENCE_ROTATIONS[number.astype(int)], alpha, dx, dy, flip)
    rows = table(path, i)
    np.testing.assert_array_equal(rows["rlnClassNumber"], number // len(EULERS) + 1)
    np.testing.assert_allclose(relion_to_matrix(rows[ANGLES].to_numpy()), rotations, atol=1e-5)
    np.testing.assert_allclose(rows[ORIGINS].to_numpy(), origins * APIX, atol=1e-3)
    score = stack(path / f"simmx_{i:02d}.hdf")[0].min(axis=1)
    np.testing.assert_allclose(rows["rlnLogLikeliContribution"], -score, atol=1e-3)
    probability = rows["rlnMaxValueProbDistribution"]
    assert probability.between(0.5 - 1e-6, 1).all()  # of two maps, the better one


def test_the_input_columns_survive(path, problem):
    before, after = read_particles(problem.particles)[1], table(path, 3)
    untouched = [name for name in before if name != "rlnImageName"]
    assert "labNotebookPage" in untouched
    for name in untouched:
        np.testing.assert_array_equal(before[name], after[name])
    numbers = [names.str.partition("@")[0] for names in (before.rlnImageName, after.rlnImageName)]
    np.testing.assert_array_equal(*numbers)


def test_the_table_opens_as_particles(path, problem):
    again = mapsort.Particles.open(path / "particles_03.star")
    again.validate()
    before = mapsort.Particles.open(problem.particles)
    assert (len(again), again.box, again.apix) == (N, BOX, APIX)
    some = [0, 17, N - 1]
    np.testing.assert_array_equal(again.images(some), before.images(some))
    np.testing.assert_array_equal(again.ctf.defocus_u_ang, before.ctf.defocus_u_ang)


def test_image_names_resolve_from_the_working_directory(run_tiny, tiny, tmp_path, monkeypatch):
    here = tmp_path / "project"
    (here / "extract").mkdir(parents=True)
    (here / "extract" / "particles.mrcs").symlink_to(tiny.stack)
    star = here / "extract" / "particles.star"
    star.write_text(tiny.particles.read_text())
    monkeypatch.chdir(here)
    run = run_tiny(Path("extract/particles.star"), path=Path("multi_00"))
    names = run.assignments["rlnImageName"]
    assert set(names.str.partition("@")[2]) == {"extract/particles.mrcs"}
    mapsort.Particles.open("multi_00/particles_01.star").validate()


def test_convergence_agrees_with_the_tables(path, finished):
    entries = read_convergence(path / "convergence.json")
    assert entries == finished.convergence
    assert [entry["iteration"] for entry in entries] == ITERATIONS
    for i, entry in zip(ITERATIONS, entries, strict=True):
        rows = table(path, i)
        counts = rows["rlnClassNumber"].value_counts()
        assert entry["occupancy"] == [counts[z] for z in MODELS]
        assert entry["empty_maps"] == []
        assert entry["mean_log_likelihood"] == pytest.approx(
            rows["rlnLogLikeliContribution"].mean(), abs=1e-3
        )
        stages = {"project", "match", "classify", "average", "reconstruct", "write"}
        assert set(entry["seconds"]) == stages
        assert all(seconds >= 0 for seconds in entry["seconds"].values())
        assert entry["peak_memory_mib"] > 50
        for figures in entry["maps"]:
            curve = figures.pop("half_fsc")
            assert curve[0] == 1.0
            assert len(curve) == 21
            for threshold, name in (
                (0.5, "resolution_fsc_05_ang"),
                (0.143, "resolution_fsc_0143_ang"),
            ):
                read = resolution_at(curve, threshold, APIX, box=40)
                assert figures[name] == pytest.approx(read, rel=2e-3)
            for resolution in figures.values():
                assert 2 * APIX <= resolution < 40


def test_convergence_counts_the_changes(path):
    entries = read_convergence(path / "convergence.json")
    changes = ("fraction_changed_map", "mean_angle_change_deg", "mean_shift_change_px")
    assert [entries[0][name] for name in changes] == [None] * 3
    for before, after in pairwise(ITERATIONS):
        old, new = table(path, before), table(path, after)
        stayed = (old["rlnClassNumber"] == new["rlnClassNumber"]).to_numpy()
        was, now = (relion_to_matrix(rows.loc[stayed, ANGLES].to_numpy()) for rows in (old, new))
        cosine = (np.einsum("nij,nij->n", was, now) - 1) / 2
        moved = (new[ORIGINS].to_numpy() - old[ORIGINS].to_numpy())[stayed] / APIX
        expected = (
            np.mean(~stayed),
            np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).mean(),
            np.linalg.norm(moved, axis=1).mean(),
        )
        found = [entries[after - 1][name] for name in changes]
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("i", ITERATIONS)
def test_fsc_files_are_those_of_the_maps(path, i):
    expected_frequency = np.arange(BOX // 2 + 1) / (BOX * APIX)
    stem = "threed_00" if i == 1 else f"threed_filt_{i - 1:02d}"
    for z in MODELS:
        frequency, curve = read_fsc(path / f"fsc_{i:02d}_{z:02d}.txt")
        assert curve.ndim == 1
        np.testing.assert_allclose(frequency, expected_frequency, rtol=1e-5)
        before = volume(path, f"{stem}_{z:02d}.mrc")
        after = volume(path, f"threed_filt_{i:02d}_{z:02d}.mrc")
        np.testing.assert_allclose(curve, mapsort.fsc(before, after), atol=1e-5)
    frequency, curves = read_fsc(path / f"fsc_mutual_{i:02d}.txt")
    np.testing.assert_allclose(frequency, expected_frequency, rtol=1e-5)
    first, second = (volume(path, f"threed_{i:02d}_{z:02d}.mrc") for z in MODELS)
    c1 = mapsort.symmetry("c1")
    registered = in_register(second, first, (c1, c1), apix=APIX)
    mutual = mapsort.fsc(first, registered.applied(second))
    # in register they agree at least as well as they lie
    assert mutual.sum() >= mapsort.fsc(first, second).sum() - 0.01
    np.testing.assert_allclose(curves, np.stack([mutual, mutual], axis=1), atol=1e-5)


def test_the_parameters_file_holds_every_option_and_input(path, problem):
    record = json.loads((path / "0_refine_parms.json").read_text())
    names = {item.name for item in dataclasses.fields(MultiOptions)}
    assert names == set(record["options"])
    # As resolved: nothing is left to "auto" that the program chose.
    options = record["options"]
    assert options["path"] == str(path)
    assert (options["sym"], options["apix"], options["maxshift"]) == (["c1", "c1"], APIX, BOX / 8)
    grid = InsertionGrid.for_box(BOX)
    assert (options["pad"], options["parallel"]) == (grid.padded, "thread:1")
    assert record["seed"] == 1
    assert record["program"] == f"mapsort {mapsort.__version__}"
    files = {Path(item["path"]): item for item in record["inputs"]}
    assert set(files) == {problem.particles, problem.stack, *problem.seeds}
    for name, item in files.items():
        assert item["size_bytes"] == name.stat().st_size
        assert item["sha256"] == hashlib.sha256(name.read_bytes()).hexdigest()


def test_the_log_has_one_line_for_each_stage_with_its_time(path):
    lines = (path / "run.log").read_text().splitlines()
    for i in ITERATIONS:
        for name in ("project", "match", "classify", "average", "reconstruct", "write"):
            pattern = rf"INFO {name} iteration={i}\b.* done \d+\.\d\d s$"
            assert len([line for line in lines if re.search(pattern, line)]) == 1
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) ", line) for line in lines)


def test_maps_are_valid_mrc_files_of_the_right_pixel_size(path, capsys):
    maps = sorted(path.glob("threed_*.mrc"))
    assert len(maps) == 2 + 3 * 2 * 3
    for name in maps:
        assert mrcfile.validate(name), capsys.readouterr().out
        with mrcfile.open(name) as file:
            assert file.data.shape == (BOX,) * 3
            assert file.is_volume()
            assert file.voxel_size.x == pytest.approx(APIX, rel=1e-6)
            assert file.voxel_size.y == file.voxel_size.z == file.voxel_size.x


def test_masks_are_soft_and_hold_the_maps(path):
    for z in MODELS:
        mask = volume(path, f"threed_mask_03_{z:02d}.mrc")
        assert mask.min() == 0
        assert mask.max() <= 1
        assert 0.05 < mask.mean() < 0.6
        assert ((mask > 0.01) & (mask < 0.99)).any()
        assert not volume(path, f"threed_03_{z:02d}.mrc")[mask == 0].any()


def test_info_knows_every_file_of_a_run(path):
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix)
    kinds = {name.suffix: describe(name)[0].text for name in files}
    assert kinds == {
        ".mrc": "map, MRC",
        ".hdf": "EMAN2 HDF5",
        ".star": "STAR",
        ".txt": "text",
        ".json": "text",
        ".log": "text",
    }


def test_classes_too_large_for_a_header_say_so(run_tiny, monkeypatch):
    """An attribute of HDF5 ends at 64 KiB; a run of many particles must not end there."""
    listed = run_tiny()
    monkeypatch.setattr("mapsort.runfiles.maps.MOST_LISTED", 3)
    omitted = run_tiny()
    for name in ("class_ptcl_idxs", "exc_class_ptcl_idxs"):
        with (
            HdfReader(listed.path / "classes_01.hdf") as a,
            HdfReader(omitted.path / "classes_01.hdf") as b,
        ):
            pairs = [(a.header(i), b.header(i)) for i in range(a.n_images)]
        lengths = [len(header_list(whole, name)) if name in whole else 0 for whole, _ in pairs]
        assert max(lengths) > 3 or name != "class_ptcl_idxs"
        for length, (whole, cut) in zip(lengths, pairs, strict=True):
            assert cut.get(f"{name}_omitted", 0) == (length if length > 3 else 0)
            assert (name in cut) == (0 < length <= 3)
            assert cut["ptcl_repr"] == whole["ptcl_repr"]


def test_the_largest_list_fits(tmp_path):
    with HdfWriter(tmp_path / "a.hdf") as writer:
        writer.append(np.zeros((4, 4)), {"class_ptcl_idxs": list(range(MOST_LISTED))})
    with HdfReader(tmp_path / "a.hdf") as reader:
        assert len(header_list(reader.header(0), "class_ptcl_idxs")) == MOST_LISTED


def test_info_tells_how_the_run_stands(path, finished):
    facts = {fact.name: fact for fact in describe(path)}
    assert facts["state"].text == "ended: 3 iterations asked for"
    assert facts["state"].value == "finished"
    assert facts["iterations"].value == 3
    last = finished.convergence[-1]
    for z in MODELS:
        value = facts[f"map {z}"].value
        assert value["particles"] == last["occupancy"][z - 1]
        assert value["resolution"] == last["maps"][z - 1]["resolution_fsc_0143_ang"]
        assert facts[f"map {z}"].text.startswith(
            f"{value['particles']} particles ({value['particles'] / N:.1%}), "
        )
    assert facts["particle table"].value == str(path / "particles_03.star")


def test_info_of_a_directory_that_is_no_run_or_a_damaged_one(path, tmp_path):
    with pytest.raises(FormatError, match="not a mapsort run directory"):
        describe(tmp_path)
    shutil.copy(path / "0_refine_parms.json", tmp_path)
    assert {fact.name: fact.value for fact in describe(tmp_path)}["iterations"] == 0
    (tmp_path / "progress.json").write_text('{"state": 1')
    with pytest.raises(FormatError, match=r"progress\.json: not a JSON file"):
        describe(tmp_path)
