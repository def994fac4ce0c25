"""Symmetry expansion: copies are equivalent views, stay in one half, and teach nothing of noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import mapsort
from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError
from mapsort.io.mrc import write_stack
from mapsort.io.optics import one_group
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.expand import expand
from mapsort.jobs.reconstruct import reconstruct_map
from mapsort.model.particles import Particles
from mapsort.options.fields import typed_options
from mapsort.options.focus import ExpandOptions
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.physics.map_symmetry import symmetrize
from mapsort.physics.masks import lowpassed
from mapsort.physics.phantom import phantom_map
from mapsort.refinement.table_poses import pose_columns, table_poses

BOX, APIX = 24, 6.0


def written(path, images, rotations, **columns):
    """Write a stack and its table, every particle 2 A and -3 A off the centre."""
    n = len(images)
    write_stack(path / "images.mrcs", np.asarray(images, dtype=np.float32), apix=APIX)
    origins = np.tile([2.0, -3.0], (n, 1)) / APIX
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{k + 1:06d}@{path / 'images.mrcs'}" for k in range(n)],
            **pose_columns(rotations, origins, APIX),
            "rlnOpticsGroup": 1,
            **columns,
        }
    )
    write_particles(path / "particles.star", one_group(APIX, images.shape[-1], name="a"), table)
    return path / "particles.star"


def turns(n, seed=1):
    return Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix()


def noise(n, seed=1):
    return np.random.default_rng(seed).standard_normal((n, BOX, BOX)).astype(np.float32)


def expanded(source, sym, name="expanded.star", **options):
    target = source.with_name(name)
    expand(typed_options(ExpandOptions, {"files": (source, target), "sym": sym, **options}))
    return target


def poses(path):
    return table_poses(path, read_particles(path)[1], APIX, purpose="a test")


@pytest.mark.parametrize("sym", ["c4", "d3", "tet", "oct", "icos"])
def test_a_symmetric_map_looks_the_same_from_every_copy(tmp_path, sym):
    volume = symmetrize(phantom_map(0, BOX, APIX), mapsort.symmetry(sym))
    volume = lowpassed(volume, 0.15)
    source = written(tmp_path, noise(3), turns(3))
    target = expanded(source, sym)
    (before, _), (after, origins) = poses(source), poses(target)
    order = mapsort.symmetry(sym).order
    assert len(after) == 3 * order
    np.testing.assert_allclose(after[::order], before, atol=1e-6)
    np.testing.assert_allclose(origins * APIX, np.tile([2.0, -3.0], (3 * order, 1)), atol=1e-5)
    table = read_particles(target)[1]
    assert table["mapsortParticle"].tolist() == np.repeat([1, 2, 3], order).tolist()
    assert table["mapsortCopy"].tolist() == 3 * list(range(1, order + 1))
    images = mapsort.project(volume, after).reshape(3, order, -1)
    for own in images:
        assert np.corrcoef(own)[0].min() > 0.98
    # all copies are other views
    assert len(np.unique(np.round(after.reshape(-1, 9), 4), axis=0)) == 3 * order


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sym=st.sampled_from(["c3", "d2", "tet"]),
    n=st.integers(2, 9),
    seed=st.integers(0, 99),
    way=st.sampled_from(["none", "given", "lost"]),
)
def test_halves_never_share_an_image(tmp_path_factory, sym, n, seed, way):
    """However rows are ordered or left out, with half-sets given, made, or lost on the way."""
    path, rng = tmp_path_factory.mktemp("halves"), np.random.default_rng(seed)
    subset = {"rlnRandomSubset": np.arange(n) // ((n + 1) // 2) + 1} if way == "given" else {}
    target = expanded(written(path, noise(n), turns(n), **subset), sym)
    optics, table = read_particles(target)
    rows = rng.permutation(len(table))[: rng.integers(n, len(table) + 1)]
    table = table.iloc[rows].reset_index(drop=True)
    if way == "lost":
        table = table.drop(columns="rlnRandomSubset")
    write_particles(target, optics, table)
    particles = Particles.open(target)
    half = particles.half_sets().half
    of_image = pd.Series(half).groupby(table["mapsortParticle"].to_numpy())
    assert (of_image.nunique() == 1).all()
    np.testing.assert_array_equal(
        pd.factorize(table["mapsortParticle"])[0], particles.image_numbers()
    )
    if way == "given":
        expected = subset["rlnRandomSubset"][table["mapsortParticle"] - 1]
        np.testing.assert_array_equal(half + 1, expected)


def resolution(source, sym):
    request = {"inputs": source, "output": source.with_suffix(".mrc"), "halves": True, "sym": sym}
    return reconstruct_map(typed_options(ReconstructOptions, request)).resolution_ang


@pytest.mark.parametrize("sym", ["c1", "d3"])
def test_noise_is_not_better_resolved_when_it_is_expanded(tmp_path, sym):
    """Two shells at most lie between the two."""
    source = written(tmp_path, noise(90), turns(90))
    once, copies = resolution(source, sym), resolution(expanded(source, "d3"), sym)
    assert 1 / copies < 1 / once + 2 / (BOX * APIX)
    assert copies > 2.5 * APIX


def test_noise_whose_copies_were_images_of_their_own_would_be_resolved(tmp_path):
    """What the test above would see: the same copies under other names, dealt out in turn."""
    target = expanded(written(tmp_path, noise(90), turns(90)), "d3")
    optics, table = read_particles(target)
    write_stack(tmp_path / "own.mrcs", Particles.open(target).images(slice(None)), apix=APIX)
    names = [f"{k + 1:06d}@{tmp_path / 'own.mrcs'}" for k in range(len(table))]
    own = table.drop(columns=["rlnRandomSubset"]).assign(rlnImageName=names)
    write_particles(tmp_path / "own.star", optics, own)
    assert resolution(tmp_path / "own.star", "d3") < 2.5 * APIX


def test_a_split_makes_one_of_the_copies_again(small, tmp_path):
    target = tmp_path / "expanded.star"
    expand(typed_options(ExpandOptions, {"files": (small.truth, target), "sym": "c3"}))
    run = mapsort.refine_multi(
        target,
        small.seeds,
        path=tmp_path / "multi_00",
        skipalign=True,
        iter=1,
        randomseed=1,
        parallel="thread:1",
        no_report=True,
    )
    n = len(run.assignments) // 3
    whole = mapsort.split(run.path)
    assert whole.n_particles == 3 * n
    made = mapsort.split(run.path, unique=True)
    assert made.n_particles == n
    table = run.assignments
    rows = np.sort(np.concatenate([item.particles for item in made.sets]))
    assert sorted(table["mapsortParticle"].iloc[rows]) == list(range(1, n + 1))
    best = table.groupby("mapsortParticle")["rlnMaxValueProbDistribution"].max()
    kept = table.iloc[rows].set_index("mapsortParticle")["rlnMaxValueProbDistribution"]
    np.testing.assert_array_equal(kept.sort_index(), best.sort_index())


@pytest.mark.parametrize(
    ("sym", "message"),
    [
        ("c1", r"--sym=c1: expected a point group"),
        ("h5:1:20:7", r"--sym=h5:1:20:7: expected a point group"),
        ("x4", r"x4.*not known"),
    ],
)
def test_groups_that_expand_nothing_are_refused(tmp_path, sym, message):
    source = written(tmp_path, noise(2), turns(2))
    with pytest.raises(ConfigError, match=message):
        expanded(source, sym)


def test_what_cannot_be_expanded_is_refused(tmp_path, small):
    source = written(tmp_path, noise(2), turns(2))
    target = expanded(source, "c2")
    with pytest.raises(ConfigError, match=r"4 \(copies of 2 distinct images\).*expanded already"):
        expanded(target, "c2", "again.star")
    with pytest.raises(ConfigError, match="exists already"):
        expanded(source, "c2")
    with pytest.raises(ConfigError, match=r"cannot be written over"):
        expanded(source, "c2", "particles.star", overwrite=True)
    with pytest.raises(ConfigError, match=r"written as \.star"):
        expanded(source, "c2", "out.mrcs")
    with pytest.raises(FormatError, match="no column rlnAngleRot"):
        expand(
            typed_options(
                ExpandOptions, {"files": (small.particles, tmp_path / "x.star"), "sym": "c2"}
            )
        )


def test_the_command_tells_the_copies(tmp_path, capsys):
    source = written(tmp_path, noise(2), turns(2))
    assert main(["expand", str(source), str(tmp_path / "out.star"), "--sym", "d7"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out.star'}  2 particles, 28 copies\n"
