"""``--skipalign`` and ``--inputmode particles``: poses that no projection has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.star import read_particles, write_particles
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.physics.fsc import resolution_at

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
BOX, APIX = 32, 4.0


@pytest.fixture(scope="module")
def truth(small):
    return read_particles(small.truth)[1]


def accuracy(found, truth):
    number = "rlnClassNumber"
    return float(np.mean(found.assignments[number].to_numpy() == truth[number].to_numpy()))


def test_true_poses_sort_better_and_stay_as_they_are(run_small, small, truth):
    searched, given = run_small(), run_small(small.truth, skipalign=True)
    assert accuracy(given, truth) >= accuracy(searched, truth)
    # 120 particles; the oracle with the true maps gets all but a few.
    assert accuracy(given, truth) > 0.93
    found = given.assignments
    np.testing.assert_allclose(found[ORIGINS], truth[ORIGINS].to_numpy(float), atol=1e-3)
    turned = relion_to_matrix(found[ANGLES].to_numpy(float))
    np.testing.assert_allclose(turned, relion_to_matrix(truth[ANGLES].to_numpy(float)), atol=1e-5)


def test_wrong_poses_are_used_as_they_are(run_small, small, truth, tmp_path):
    """With poses that have nothing to do with the particles nothing can be sorted."""
    optics, table = read_particles(small.truth)
    rng = np.random.default_rng(4)
    table[ANGLES] = np.rad2deg(np.arccos(rng.uniform(-1, 1, (len(table), 3))))
    write_particles(tmp_path / "wrong.star", optics, table)
    found = run_small(tmp_path / "wrong.star", skipalign=True, datadir=small.truth.parent)
    assert accuracy(found, truth) < 0.7


def test_poses_are_needed(run_small, small, tmp_path):
    optics, table = read_particles(small.truth)
    write_particles(tmp_path / "none.star", optics, table.drop(columns=["rlnAngleTilt"]))
    with pytest.raises(FormatError, match="rlnAngleTilt: --skipalign needs"):
        run_small(tmp_path / "none.star", skipalign=True, datadir=small.truth.parent)
    write_particles(tmp_path / "half.star", optics, table.drop(columns=["rlnOriginXAngst"]))
    with pytest.raises(FormatError, match="rlnOriginYAngst is there and rlnOriginXAngst is not"):
        run_small(tmp_path / "half.star", skipalign=True, datadir=small.truth.parent)
    assert not list(tmp_path.glob("run_*"))


def test_origins_in_pixels_sort_as_those_in_angstrom(run_small, small, truth, tmp_path):
    optics, table = read_particles(small.truth)
    for axis in "XY":
        table[f"rlnOrigin{axis}"] = table.pop(f"rlnOrigin{axis}Angst") / APIX
    write_particles(tmp_path / "px.star", optics, table)
    found = run_small(tmp_path / "px.star", skipalign=True, datadir=small.truth.parent).assignments
    assert "rlnOriginX" not in found
    np.testing.assert_allclose(found[ORIGINS], truth[ORIGINS].to_numpy(float), atol=1e-3)
    assert np.mean(found["rlnClassNumber"].to_numpy() == truth["rlnClassNumber"].to_numpy()) > 0.93


@pytest.mark.parametrize("mode", [{"skipalign": True}, {"inputmode": "particles"}])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"simmask": "m.mrc"}, "--simmask: masks projections"),
        ({"simcmp": "frc"}, "--simcmp=frc: .* takes loglik"),
        ({"sep": 3}, "--sep=3: expected at most 2"),
    ],
)
def test_what_cannot_go_together_is_refused(mode, more, words):
    request = {"input": "p.star", "models": "a,b", **mode, **more}
    with pytest.raises(ConfigError, match=words):
        typed_options(MultiOptions, request).validated()


def test_selection_of_averages_needs_averages():
    request = {"input": "p", "models": "a", "inputmode": "particles", "m3diter": 2}
    with pytest.raises(ConfigError, match="--m3diter=2"):
        typed_options(MultiOptions, request).validated()
    replace(typed_options(MultiOptions, request), m3diter=1).validated()


def errors_deg(found, truth):
    a = relion_to_matrix(found.assignments[ANGLES].to_numpy(float))
    b = relion_to_matrix(truth[ANGLES].to_numpy(float))
    return np.rad2deg(np.arccos(np.clip((np.einsum("nij,nij->n", a, b) - 1) / 2, -1, 1)))


def resolutions(found, problem):
    """FSC 0.5 of each map with the true one, Angstrom."""
    return np.array(
        [
            resolution_at(mapsort.fsc(v.data, mapsort.Volume.open(p).data), 0.5, APIX, box=BOX)
            for v, p in zip(found.maps, problem.maps, strict=True)
        ]
    )


def test_particles_at_refined_poses_make_better_maps(run_small, small, truth):
    classes = run_small(iter=2, orientgen="eman:delta=18")
    particles = run_small(iter=2, orientgen="eman:delta=18", inputmode="particles")
    # Projections are 18 degrees apart: their poses are off by 7 degrees in the median and more.
    assert np.median(errors_deg(particles, truth)) < 0.75 * np.median(errors_deg(classes, truth))
    assert resolutions(particles, small).mean() < resolutions(classes, small).mean()
    assert (particles.path / "classes_02.hdf").exists()


@pytest.mark.slow
def test_particles_at_true_poses_need_no_projections_to_make_a_map(run_small, small):
    """With given poses and particles inserted, the projections' step does not matter."""
    coarse, fine = (
        run_small(
            small.truth, skipalign=True, inputmode="particles", orientgen=f"eman:delta={step}"
        )
        for step in (45, 15)
    )
    same = coarse.assignments["rlnClassNumber"] == fine.assignments["rlnClassNumber"]
    # The classes' keep and the scale are those of the step; the poses are not.
    assert same.mean() > 0.97
    np.testing.assert_allclose(resolutions(coarse, small), resolutions(fine, small), rtol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"halves": True}, {"assign": "soft"}, {"sep": 2}])
def test_particles_with_other_options(run_small, truth, options):
    found = run_small(inputmode="particles", **options)
    assert accuracy(found, truth) > 0.75
    assert all(np.isfinite(v.data).all() and v.data.any() for v in found.maps)
