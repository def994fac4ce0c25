"""Symmetry relaxation: the copy that a marked unit lies at is found, for every kind of group."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.geometry.nearest_views import one_of_mates
from mapsort.geometry.symmetry import cosets, symmetry
from mapsort.io.mrc import read_map, write_map
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.finished_run import open_finished
from mapsort.jobs.multi import plan_text
from mapsort.jobs.simulate import simulate
from mapsort.model.poses import Poses
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.map_symmetry import symmetrize
from mapsort.physics.masks import lowpassed
from mapsort.physics.phantom import phantom_map
from mapsort.refinement.table_poses import pose_columns, table_poses

BOX, APIX = 32, 4.0
QUICK = {"orientgen": "eman:delta=20", "randomseed": 1, "parallel": "thread:1", "no_report": True}


def ball(place, radius):
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    apart = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
    return np.exp(-apart / (2 * radius**2))


def assembly(sym, marked=()):
    """A symmetric object, and a ball on each of the units that are marked."""
    volume = symmetrize(phantom_map(0, BOX, APIX), symmetry(sym))
    volume /= volume.max()
    for number in marked:
        volume += ball(symmetry(sym).matrices[number] @ [8.0, 1.5, 7.0], 2.0)
    return volume.astype(np.float32)


def particles(path, volumes, **options):
    """Simulate particles; return their table with true poses and the maps, low-passed."""
    maps = []
    for number, volume in enumerate(volumes):
        maps.append(path / f"true{number}.mrc")
        write_map(maps[-1], volume, APIX)
        write_map(path / f"start{number}.mrc", lowpassed(volume, APIX / 20.0), APIX)
    made = simulate(
        typed_options(
            SimulateOptions,
            {"maps": tuple(maps), "out": path / "sim", "n": 40, "snr": 0.5, "shift": 1.0} | options,
        )
    )
    return made.truth, [path / f"start{number}.mrc" for number in range(len(maps))]


def poses(source):
    return table_poses(source, read_particles(source)[1], APIX, purpose="a test")[0]


def mixed_up(truth, sym, seed=3):
    """Write the table with each pose at a random copy."""
    optics, table = read_particles(truth)
    rotations, origins = table_poses(truth, table, APIX, purpose="a test")
    operations = symmetry(sym).matrices
    drawn = operations[np.random.default_rng(seed).integers(0, len(operations), len(table))]
    for name, values in pose_columns(rotations @ drawn, origins, APIX).items():
        table[name] = values
    write_particles(truth.with_name("mixed.star"), optics, table)
    return truth.with_name("mixed.star")


def copies_found(found, truth, sym, part="c1"):
    """Return at which of the copies each particle lies, 0 the right one, where it is at any."""
    rotations = poses(truth)
    angles = []
    for operation in cosets(symmetry(sym), symmetry(part)):
        turned = rotations @ operation
        mates = np.stack([turned @ mate for mate in symmetry(part).matrices])
        trace = np.einsum("mnij,nij->mn", mates, found).max(axis=0)
        angles.append(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    placed = np.min(angles, axis=0) < np.deg2rad(25)
    assert placed.mean() > 0.8
    return np.argmin(angles, axis=0)[placed]


@pytest.mark.parametrize("sym", ["c4", "d3", "tet", "oct", "icos"])
def test_the_copy_with_the_marked_unit_is_found(tmp_path, sym):
    truth, starts = particles(tmp_path, [assembly(sym, marked=(1,))], seed=2)
    source = mixed_up(truth, sym)
    assert (copies_found(poses(source), truth, sym) == 0).mean() < 0.5
    run = mapsort.refine_multi(
        source, starts, path=tmp_path / "run", relax=sym, skipalign=True, iter=1, **QUICK
    )
    found = table_poses(source, run.assignments, APIX, purpose="a test")[0]
    assert (copies_found(found, truth, sym) == 0).mean() >= 0.95
    assert run.assignments["mapsortCopyProbability"].between(1 / symmetry(sym).order, 1).all()
    assert f"symmetry relaxed: {sym} searched in full" in (run.path / "run.log").read_text()


@pytest.mark.parametrize("mode", ["classes", "particles"])
def test_poses_are_searched_at_the_copies_that_the_part_leaves(tmp_path, mode):
    """One ring of two is marked: d3 relaxed to c3, from no poses at all."""
    truth, starts = particles(tmp_path, [assembly("d3", marked=(0, 1, 2))])
    run = mapsort.refine_multi(
        truth.with_name("particles.star"),
        starts,
        path=tmp_path / "run",
        sym="c3",
        relax="d3",
        inputmode=mode,
        iter=1,
        **QUICK,
    )
    found = table_poses(truth, run.assignments, APIX, purpose="a test")[0]
    assert (copies_found(found, truth, "d3", "c3") == 0).mean() >= 0.95
    volume = run.maps[0].data
    change = {
        name: np.linalg.norm(symmetrize(volume, symmetry(name)) - volume) / np.linalg.norm(volume)
        for name in ("c3", "d3")
    }
    assert change["c3"] < 0.1 < 0.2 < change["d3"]


def test_refine_relaxes_too(tmp_path):
    truth, starts = particles(tmp_path, [assembly("d2", marked=(0,))])
    run = mapsort.refine(
        truth.with_name("particles.star"),
        starts[0],
        path=tmp_path / "run",
        relax="d2",
        iter=1,
        startres=20.0,
        **QUICK,
    )
    found = table_poses(truth, run.assignments, APIX, purpose="a test")[0]
    assert (copies_found(found, truth, "d2") == 0).mean() >= 0.95


def test_a_symmetric_and_a_relaxed_map_share_the_particles(tmp_path):
    """Of two maps one has all of the symmetry, the other a marked ring."""
    both = [assembly("d3"), assembly("d3", marked=(0, 1, 2))]
    truth, starts = particles(tmp_path, both, n=80)
    run = mapsort.refine_multi(
        mixed_up(truth, "d3"),
        starts,
        path=tmp_path / "run",
        sym="d3,c3",
        relax="d3",
        skipalign=True,
        iter=2,
        **QUICK,
    )
    classes = read_particles(truth)[1]["rlnClassNumber"].to_numpy()
    assert (run.assignments["rlnClassNumber"] == classes).mean() >= 0.99
    found = table_poses(truth, run.assignments, APIX, purpose="a test")[0]
    assert (copies_found(found, truth, "d3", "c3")[classes == 2] == 0).mean() >= 0.95


@pytest.mark.parametrize(
    ("group", "part", "count"),
    [("d7", "c1", 14), ("d7", "c7", 2), ("oct", "c4", 6), ("icos", "c5", 12), ("tet", "tet", 1)],
)
def test_cosets_make_the_group_of_the_part_each_once(group, part, count):
    chosen, whole = cosets(symmetry(group), symmetry(part)), symmetry(group).matrices
    assert len(chosen) == count
    np.testing.assert_array_equal(chosen[0], np.eye(3))
    made = (chosen[:, None] @ symmetry(part).matrices).reshape(-1, 3, 3)
    apart = np.abs(made[:, None] - whole).max(axis=(2, 3)) < 1e-9
    assert (apart.sum(axis=0) == 1).all()
    assert (apart.sum(axis=1) == 1).all()


@pytest.mark.parametrize(("group", "part"), [("c4", "c3"), ("d7", "d2"), ("tet", "oct")])
def test_what_is_no_part_of_a_group_is_refused(group, part):
    with pytest.raises(ConfigError, match=f"symmetry {part} is no part of {group}"):
        cosets(symmetry(group), symmetry(part))


@pytest.mark.parametrize(("group", "part"), [("d7", "c7"), ("oct", "c4"), ("icos", "c5")])
def test_views_of_a_part_cover_it_once(group, part):
    every = mapsort.euler.eman_to_matrix(mapsort.orientations("eman:delta=9:breaksym=1", group))
    views = every[:, 2]
    kept = views[one_of_mates(views, symmetry(part))]
    assert len(kept) < 1.3 * len(views) / symmetry(part).order
    mates = np.concatenate([kept @ operation for operation in symmetry(part).matrices])
    cosine = np.abs(views @ mates.T).max(axis=1)
    assert cosine.min() > 1 - 1e-9


def test_each_map_has_its_own_copies():
    rotation = np.eye(3)[None, None].repeat(2, axis=1)
    given = Poses(
        np.array([[0, 1]], np.int32), rotation, np.ones((1, 2, 2)), np.zeros((1, 2), np.float32)
    )
    copies = (np.eye(3)[None], symmetry("c3").matrices)
    made = given.at_copies(copies)
    assert made.model.tolist() == [[0, -1, -1, 1, 1, 1]]
    np.testing.assert_array_equal(made.rotation[0, 3:], copies[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relax": "c4", "breaksym": True, "sym": "c4"}, "give one of them"),
        ({"relax": "c4", "sym": "c4"}, "--relax=c4: --sym is the same"),
        ({"relax": "h5:1:20:7"}, "--relax=h5:1:20:7: takes point groups, no helices"),
        ({"relax": "c4", "simcmp": "frc"}, "--simcmp=frc: --relax takes loglik, ccc, sqeuclidean"),
        ({"relax": "c4,c2"}, "--relax=c4,c2: expected one value, or one for each of the 1 maps"),
    ],
)
def test_wrong_requests_are_refused(tmp_path, options, message):
    request = {"input": tmp_path / "p.star", "models": (tmp_path / "a.mrc",)} | options
    with pytest.raises(ConfigError, match=message):
        typed_options(MultiOptions, request).validated()


@pytest.mark.parametrize(
    "options", [{"relax": "c4"}, {"breaksym": True, "sym": "c4"}], ids=["relax", "breaksym"]
)
def test_a_run_tells_what_was_relaxed(tmp_path, options):
    """What follows a run, and goes on with it, searches the same copies."""
    truth, starts = particles(tmp_path, [assembly("c4", marked=(1,))], n=20)
    request = {"skipalign": True, "iter": 1} | QUICK | options
    run = mapsort.refine_multi(truth, starts, path=tmp_path / "run", **request)
    asked = open_finished(run.path).request()
    assert (asked.searched, asked.imposed) == (("c4",), ("c1",))
    more = mapsort.refine_multi(truth, starts, resume=run.path, iter=2)
    assert len(more.convergence) == 2


def test_equal_copies_are_equally_probable_and_warned_of(tmp_path):
    """The null: nothing tells the copies of a symmetric map apart."""
    truth, starts = particles(tmp_path, [assembly("c4")])
    request = {"relax": "c4", "skipalign": True, "iter": 1} | QUICK
    run = mapsort.refine_multi(truth, starts, path=tmp_path / "run", **request)
    assert run.assignments["mapsortCopyProbability"].mean() < 0.4
    told = f"--relax=c4: {starts[0]} agrees with its symmetry copies to "
    assert told in (run.path / "run.log").read_text()
    (tmp_path / "marked").mkdir()
    truth, starts = particles(tmp_path / "marked", [assembly("c4", marked=(1,))])
    asked = typed_options(MultiOptions, {"input": truth, "models": starts, "relax": "c4"})
    assert "agrees with its symmetry copies to" not in plan_text(asked.validated())


@pytest.mark.slow
def test_groel_with_one_marked_subunit(tmp_path, shared_dir):
    """Of 14 copies the marked one (57 kDa, a subunit's mass) is found at SNR 0.1."""
    density, _ = read_map(shared_dir / "data" / "maps" / "groel_1mnf_D7_64_4.0A.mrc")
    z, y, x = np.mgrid[:64, :64, :64] - 32
    radius = np.sqrt((x + 7) ** 2 + (y - 18.5) ** 2 + (z + 8.5) ** 2)
    ball_of_it = (radius < 6.4).astype(np.float32)
    mark = ball_of_it * density.sum() / 14 / ball_of_it.sum()
    truth, starts = particles(tmp_path, [density + mark], n=300, snr=0.1)
    run = mapsort.refine_multi(
        mixed_up(truth, "d7"),
        starts,
        path=tmp_path / "run",
        relax="d7",
        skipalign=True,
        iter=2,
        **QUICK,
    )
    found = table_poses(truth, run.assignments, APIX, purpose="a test")[0]
    assert (copies_found(found, truth, "d7") == 0).mean() >= 0.95
