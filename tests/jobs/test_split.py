"""Sets of particles: every particle in exactly one, with its own image, named by its own file."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import header_list
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles, write_particles
from mapsort.model.particles import Particles
from mapsort.options.after_run import parse_ranges
from mapsort.rundir.result_record import read_results

NEW = {"rlnImageName", "rlnImageOriginalName"}


@pytest.fixture(scope="module")
def done(run_once):
    """A run with two classes per particle and a low --classkeep."""
    return run_once(sep=2, classkeep=0.6, iter=2, orientgen="eman:delta=24")


@pytest.fixture(scope="module")
def run_once(small, tmp_path_factory):
    def run(**options):
        path = tmp_path_factory.mktemp("split") / "multi_07"
        return mapsort.refine_multi(
            small.particles, small.seeds, path=path, randomseed=1, parallel="thread:1", **options
        )

    return run


@pytest.fixture
def run(done, tmp_path):
    """A copy that a test may change."""
    copy = tmp_path / "multi_07"
    shutil.copytree(done.path, copy)
    return copy


def rows_of(made):
    return np.sort(np.concatenate([item.particles for item in made.sets]))


def test_a_set_per_map_holds_every_particle_once(done, run):
    made = mapsort.split(run)
    assert [item.name for item in made.sets] == ["m1", "m2"]
    assert rows_of(made).tolist() == list(range(made.n_particles)) == list(range(120))
    classes = done.assignments["rlnClassNumber"].to_numpy()
    for number, item in enumerate(made.sets, start=1):
        np.testing.assert_array_equal(item.particles, np.flatnonzero(classes == number))
        assert item.star.name == f"particles_mul07_it02_m{number}.star"


def test_a_sets_table_is_its_rows_of_the_runs_table(run):
    made = mapsort.split(run)
    whole = read_particles(run / "particles_02.star")[1]
    for item in made.sets:
        table = read_particles(item.star)[1]
        for name in set(whole.columns) - NEW:
            assert table[name].tolist() == whole[name].iloc[item.particles].tolist(), name


def test_images_are_those_of_the_original_files(run, small):
    original = Particles.open(small.particles)
    for item in mapsort.split(run).sets:
        chosen = Particles.open(item.star)
        assert [p.resolve() for p in chosen.files] == [p.resolve() for p in original.files]
        np.testing.assert_array_equal(chosen.images(slice(None)), original.images(item.particles))


def test_lists_have_records_of_the_length_they_announce(run, small):
    stack = MrcStack(Particles.open(small.particles).files[0])
    for item in mapsort.split(run).sets:
        content = item.lst.read_bytes()
        first, comment, size, *records = content.splitlines(keepends=True)
        assert first == b"#LSX\n"
        assert comment.startswith(b"#")
        assert {len(record) for record in records} == {int(size[1:])}
        fields = [record.decode().rstrip().split("\t") for record in records]
        found = np.array([int(index) for index, _ in fields])
        np.testing.assert_array_equal(found, item.particles)  # one stack, in its order
        assert {os.path.realpath(name) for _, name in fields} == {str(stack.path.resolve())}


def test_sets_found_from_another_directory(run, monkeypatch, tmp_path, small):
    monkeypatch.chdir(tmp_path)
    made = mapsort.split("multi_07")
    assert made.path.resolve() == run / "sets"
    images = Particles.open(made["m1"].star).images(slice(None))
    expected = Particles.open(small.particles).images(made["m1"].particles)
    np.testing.assert_array_equal(images, expected)


def test_a_new_stack_holds_the_sets_images_and_remembers_the_old_names(run, small):
    made = mapsort.split(run, stack=True)
    original = Particles.open(small.particles)
    whole = read_particles(run / "particles_02.star")[1]
    for item in made.sets:
        assert MrcStack(item.stack).n_images == len(item)
        chosen = Particles.open(item.star)
        assert [p.resolve() for p in chosen.files] == [item.stack.resolve()]
        np.testing.assert_array_equal(chosen.images(slice(None)), original.images(item.particles))
        names = chosen.table["rlnImageOriginalName"].tolist()
        kept = [name.partition("@") for name in names]
        true = [n.partition("@") for n in whole["rlnImageName"].iloc[item.particles]]
        assert [number for number, _, _ in kept] == [number for number, _, _ in true]


def test_rejected_particles_go_to_a_set_of_their_own(run):
    """Averages' headers name who was kept out; the run's best class decides."""
    made = mapsort.split(run, exclude_rejected=True)
    assert rows_of(made).tolist() == list(range(120))
    with HdfReader(run / "classify_02.hdf") as reader:
        best = reader.image(0)[:, 0].astype(int)
    with HdfReader(run / "classes_02.hdf") as reader:
        out = [
            set(header_list(reader.header(i), "exc_class_ptcl_idxs"))
            for i in range(reader.n_images)
        ]
    expected = [particle for particle in range(120) if particle in out[best[particle]]]
    assert expected
    assert made["rejected"].particles.tolist() == expected
    assert "rejected" in made.rule


def test_unsure_particles_go_to_a_set_of_their_own(run):
    probability = read_particles(run / "particles_02.star")[1]["rlnMaxValueProbDistribution"]
    limit = float(np.median(probability))
    made = mapsort.split(run, min_prob=limit)
    assert rows_of(made).tolist() == list(range(120))
    np.testing.assert_array_equal(
        made["unsure"].particles, np.flatnonzero(probability.to_numpy() < limit)
    )


def test_a_range_of_classes_and_all_others(run):
    with HdfReader(run / "classify_02.hdf") as reader:
        best = reader.image(0)[:, 0].astype(int)
    made = mapsort.split(run, by="0-9,20")
    inside = (best <= 9) | (best == 20)
    assert 0 < inside.sum() < 120
    np.testing.assert_array_equal(made["classes_0-9_20"].particles, np.flatnonzero(inside))
    np.testing.assert_array_equal(made["classes_other"].particles, np.flatnonzero(~inside))
    again = mapsort.split(run, by="class-range 0-9,20")
    assert [item.star for item in again.sets] == [item.star for item in made.sets]


def test_earlier_sets_of_the_same_names_are_replaced(run):
    mapsort.split(run, exclude_rejected=True, stack=True)
    made = mapsort.split(run)
    assert sorted(path.name for path in made.path.iterdir()) == sorted(
        path.name for item in made.sets for path in (item.star, item.lst)
    )


def test_a_map_without_particles_has_no_files(run):
    path = run / "particles_02.star"
    optics, table = read_particles(path)
    write_particles(path, optics, table.assign(rlnClassNumber=1))
    made = mapsort.split(run)
    assert [len(item) for item in made.sets] == [120, 0]
    assert made["m2"].star is None
    assert len(list(made.path.iterdir())) == 2


def test_several_classes_per_particle_are_reported(done, run):
    made = mapsort.split(replace(done, path=run))
    assert "assigned to the 3-D class it matches best" in made.rule
    (record,) = read_results(run)
    assert record.title == "Particle sets"
    assert made.rule in record.summary[0]
    assert [row[1] for row in record.tables[0].rows] == [len(item) for item in made.sets]


def test_another_iteration(run):
    made = mapsort.split(run, iter=1)
    classes = read_particles(run / "particles_01.star")[1]["rlnClassNumber"].astype(int)
    assert [len(item) for item in made.sets] == [int((classes == n).sum()) for n in (1, 2)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iter": 9}, "--iter=9: .* iterations 1 to 2"),
        ({"by": "maps"}, "--by=maps: expected map, or classes"),
        ({"by": "5-3"}, "--by=5-3: expected"),
        ({"by": "0-100000"}, "--by=0-100000: .*classes_02.hdf holds classes 0 to"),
        ({"min_prob": 1.5}, "--min-prob=1.5: expected a number from 0 to 1"),
        ({"byy": "map"}, "did you mean"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(run, options, words):
    with pytest.raises(ConfigError, match=words):
        mapsort.split(run, **options)
    assert not (run / "sets").exists()


def test_what_the_run_has_not_kept_is_named(run):
    (run / "cls_result_02.hdf").unlink()
    assert rows_of(mapsort.split(run)).tolist() == list(range(120))
    with pytest.raises(FormatError, match=r"cls_result_02.hdf: .* --exclude-rejected needs"):
        mapsort.split(run, exclude_rejected=True)
    with pytest.raises(FormatError, match=r"cls_result_02.hdf: .* --by=0-3 needs"):
        mapsort.split(run, by="0-3")


def test_a_directory_without_a_finished_iteration_is_refused(run, tmp_path):
    (run / "convergence.json").unlink()
    with pytest.raises(FormatError, match="no iteration of this run has ended"):
        mapsort.split(run)
    with pytest.raises(FormatError, match="no such run directory"):
        mapsort.split(tmp_path / "none")


@pytest.mark.parametrize(
    ("written", "ranges"),
    [("3", ((3, 3),)), ("3-17,40", ((3, 17), (40, 40))), (" 1 , 2-2", ((1, 1), (2, 2)))],
)
def test_ranges(written, ranges):
    assert parse_ranges(written) == ranges


@pytest.mark.parametrize("written", ["", "a", "1-", "-3", "4-2", "1,,2", "1.5"])
def test_bad_ranges(written):
    with pytest.raises(ValueError, match=r"not a range|ends before"):
        parse_ranges(written)
