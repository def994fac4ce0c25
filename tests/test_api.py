"""The Python interface: every name of it, with arrays, with files, with what does not fit."""

from __future__ import annotations

import doctest
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mapsort
import mapsort.api
from mapsort.errors import ConfigError, FormatError
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.phantom import phantom_map, phantom_slice

BOX, APIX = 32, 4.0


@pytest.fixture(scope="module")
def volume():
    return mapsort.Volume(phantom_map(0, BOX, APIX), APIX)


@pytest.fixture(scope="module")
def rotations():
    return mapsort.euler.eman_to_matrix(mapsort.orientations("eman:delta=6", "c1"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("api")
    return simulate(
        SimulateOptions(phantom=2, out=out, n=60, box=BOX, apix=APIX, snr=0.5, seedres=24.0)
    )


def constant_ctf(n, defocus_ang):
    def all_alike(value):
        return np.broadcast_to(np.asarray(value, float), (n,)).copy()

    return ContrastTransfer(
        defocus_u_ang=all_alike(defocus_ang),
        defocus_v_ang=all_alike(defocus_ang),
        defocus_angle_deg=all_alike(0),
        phase_shift_deg=all_alike(0),
        voltage_kv=all_alike(300),
        cs_mm=all_alike(2.7),
        amplitude_contrast=all_alike(0.1),
        bfactor_ang2=all_alike(0),
    )


def with_ctf(images, ctf):
    spectra = np.fft.rfft2(images) * ctf_images(ctf, images.shape[1], APIX)
    return np.fft.irfft2(spectra, s=images.shape[1:]).astype(np.float32)


# --- the package ----------------------------------------------------------------------------------


def test_every_name_is_there():
    for name in mapsort.__all__:
        assert getattr(mapsort, name) is not None
    assert dir(mapsort) == sorted(mapsort.__all__)
    with pytest.raises(AttributeError, match="no attribute 'refine_mutli'"):
        _ = mapsort.refine_mutli


def test_importing_mapsort_does_not_load_numpy():
    code = "import sys, mapsort; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_m_mapsort():
    told = subprocess.run(
        [sys.executable, "-m", "mapsort", "--version"], check=True, capture_output=True, text=True
    )
    assert told.stdout == f"mapsort {mapsort.__version__}\n"


def test_examples_in_the_docstrings():
    failed, tried = doctest.testmod(mapsort.api)
    assert tried > 0
    assert failed == 0


def test_build_config():
    facts = mapsort.build_config()
    assert facts["version"] == mapsort.__version__
    assert facts["isa_active"] in facts["isa_available"]
    assert set(facts["isa_available"]) <= set(facts["isa_compiled"])
    assert facts["threads"] >= 1
    assert {"compiler", "flags", "openmp"} <= set(facts)


# --- orientations, symmetry, Euler angles ---------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("c1", 1), ("c4", 4), ("d7", 14), ("icos", 60)])
def test_symmetry(name, order):
    matrices = mapsort.symmetry(name).matrices
    assert matrices.shape == (order, 3, 3)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)


@pytest.mark.parametrize(
    ("spec", "sym", "count"),
    [
        ("eman:delta=10:inc_mirror=0:perturb=0", "c1", 210),
        ("eman:delta=10:inc_mirror=1:perturb=0", "c1", 419),
        ("eman:delta=5", "d7", 74),
        ("even:delta=5", "c4", 223),
    ],
)
def test_orientations_have_the_counts_of_the_original(spec, sym, count):
    assert mapsort.orientations(spec, sym).shape == (count, 3)


def test_euler_angles_of_both_programs():
    np.testing.assert_allclose(
        mapsort.euler.matrix_to_relion(mapsort.euler.eman_to_matrix([[30.0, 40.0, 50.0]])) % 360,
        [[300.0, 40.0, 140.0]],
    )
    angles = [[12.0, 99.0, 311.0]]
    matrix = mapsort.euler.relion_to_matrix(angles)
    np.testing.assert_allclose(mapsort.euler.matrix_to_relion(matrix) % 360, angles)
    np.testing.assert_allclose(
        mapsort.euler.eman_to_matrix(mapsort.euler.matrix_to_eman(matrix)), matrix, atol=1e-12
    )


# --- project --------------------------------------------------------------------------------------


def test_project_agrees_with_the_closed_form(volume, rotations):
    images = mapsort.project(volume, rotations[::40])
    slices = phantom_slice(0, BOX, APIX, rotations[::40])
    expected = np.fft.fftshift(np.fft.irfft2(slices, s=(BOX, BOX)), axes=(1, 2))
    assert images.dtype == np.float32
    error = np.linalg.norm(images - expected) / np.linalg.norm(expected)
    assert error < 5e-3  # Nyquist terms are treated in different ways


def test_project_along_z_is_the_sum_over_z(volume):
    image = mapsort.project(volume.data, np.eye(3)[None])[0]
    expected = volume.data.sum(axis=0)
    np.testing.assert_allclose(image, expected, atol=5e-3 * expected.max())


def test_project_moves_the_content_by_the_shift(volume, rotations):
    still = mapsort.project(volume, rotations[:3])
    moved = mapsort.project(volume, rotations[:3], shifts=[(2, 0), (0, -3), (0, 0)])
    np.testing.assert_allclose(moved[0], np.roll(still[0], 2, axis=1), atol=1e-3 * still.max())
    np.testing.assert_allclose(moved[1], np.roll(still[1], -3, axis=0), atol=1e-3 * still.max())
    np.testing.assert_array_equal(moved[2], still[2])


# --- match ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def references(volume):
    eulers = mapsort.orientations("eman:delta=20", "c1")
    return mapsort.project(volume, mapsort.euler.eman_to_matrix(eulers))


@pytest.mark.parametrize("score", ["ccc", "loglik"])
def test_references_match_themselves(references, score):
    found = mapsort.match(references, references, maxshift=3, score=score)
    assert found.reference.shape == (len(references), 1)
    np.testing.assert_array_equal(found.reference[:, 0], np.arange(len(references)))
    turn = (found.alpha + 180) % 360 - 180
    assert np.abs(turn).max() < 0.5
    assert np.hypot(found.dx, found.dy).max() < 0.05
    assert not found.mirror.any()


def test_match_finds_a_shift_and_a_turn(references):
    """Particle = reference turned by 90 degrees and moved; match undoes both."""
    particle = np.roll(np.rot90(references[30], axes=(0, 1)), (1, -2), axis=(0, 1))[None]
    found = mapsort.match(particle, references, maxshift=4, top=3)
    assert found.reference.shape == found.score.shape == (1, 3)
    assert found.reference[0, 0] == 30
    assert (np.diff(found.score[0]) <= 0).all()
    # An even box has no pixel of its own opposite the first row: rot90 moves the centre by one.
    assert np.hypot(found.dx, found.dy)[0, 0] < 4.1
    assert min(abs(found.alpha[0, 0] - turn) for turn in (90, 270)) < 0.5
    assert found.mirror[0, 0] == 0


def test_match_finds_a_mirrored_particle(references):
    particle = np.roll(references[30][:, ::-1], 1, axis=1)[None]
    found = mapsort.match(particle, references, maxshift=2)
    assert (found.reference[0, 0], found.mirror[0, 0]) == (30, 1)


def test_match_applies_the_ctf(references):
    ctf = constant_ctf(len(references), 30000)
    particles = with_ctf(references, ctf)
    told = mapsort.match(particles, references, maxshift=2, ctf=ctf, apix=APIX)
    untold = mapsort.match(particles, references, maxshift=2)
    right = np.arange(len(references))
    assert np.mean(told.reference[:, 0] == right) == 1.0
    assert np.mean(untold.reference[:, 0] == right) < 0.9


# --- reconstruct ----------------------------------------------------------------------------------


def test_reconstruct_inverts_project(volume, rotations):
    again = mapsort.reconstruct(mapsort.project(volume, rotations), rotations, apix=APIX)
    assert isinstance(again, mapsort.Volume)
    assert (again.box, again.apix) == (BOX, APIX)
    assert (mapsort.fsc(again.data, volume.data)[: int(0.4 * BOX)] > 0.98).all()
    assert np.linalg.norm(again.data - volume.data) < 0.05 * np.linalg.norm(volume.data)


def test_reconstruct_undoes_shifts(volume, rotations):
    shifts = np.random.default_rng(1).uniform(-3, 3, (len(rotations), 2))
    images = mapsort.project(volume, rotations, shifts=shifts)
    again = mapsort.reconstruct(images, rotations, shifts=shifts, apix=APIX)
    smeared = mapsort.reconstruct(images, rotations, apix=APIX)
    inside = slice(0, int(0.4 * BOX))
    assert (mapsort.fsc(again.data, volume.data)[inside] > 0.97).all()
    assert mapsort.fsc(smeared.data, volume.data)[10] < 0.9


def test_reconstruct_corrects_the_ctf(volume, rotations):
    ctf = constant_ctf(len(rotations), np.where(np.arange(len(rotations)) % 2, 15000.0, 22000.0))
    images = with_ctf(mapsort.project(volume, rotations), ctf)
    again = mapsort.reconstruct(images, rotations, ctf=ctf, apix=APIX)
    assert (mapsort.fsc(again.data, volume.data)[2:11] > 0.95).all()


def test_reconstruct_with_symmetry_and_weights(rotations):
    group = mapsort.symmetry("c4").matrices
    single = phantom_map(0, BOX, APIX)
    images = mapsort.project(single, rotations)
    again = mapsort.reconstruct(images, rotations, symmetry="c4", apix=APIX).data
    turned = np.rot90(again[1:, 1:, 1:], axes=(1, 2))
    np.testing.assert_allclose(turned, again[1:, 1:, 1:], atol=1e-3 * again.max())
    # A weight of zero is as if the image were not there.
    noise = np.random.default_rng(0).standard_normal((20, BOX, BOX)).astype(np.float32)
    padded = np.concatenate([images, 50 * noise])
    turns = np.concatenate([rotations, rotations[:20]])
    weights = np.r_[np.ones(len(images)), np.zeros(20)]
    weighted = mapsort.reconstruct(padded, turns, weights=weights, symmetry="c4").data
    np.testing.assert_allclose(weighted, again, atol=1e-4 * again.max())
    assert len(group) == 4


def test_fsc(volume):
    curve = mapsort.fsc(volume.data, volume.data)
    assert curve.shape == (BOX // 2 + 1,)
    np.testing.assert_allclose(curve, 1.0)
    np.testing.assert_allclose(mapsort.fsc(volume.data, -volume.data)[1:], -1.0)


# --- refine_multi ---------------------------------------------------------------------------------

QUICK = {"iter": 1, "orientgen": "eman:delta=30", "randomseed": 1, "parallel": "thread:1"}


def test_refine_multi_takes_paths_and_objects(made, tmp_path):
    by_path = mapsort.refine_multi(
        str(made.particles), [str(path) for path in made.seeds], path=str(tmp_path / "a"), **QUICK
    )
    by_object = mapsort.refine_multi(
        mapsort.Particles.open(made.particles),
        [made.seeds[0], mapsort.Volume.open(made.seeds[1])],
        path=tmp_path / "b",
        **QUICK,
    )
    assert by_path.assignments.equals(by_object.assignments)
    for one, other in zip(by_path.maps, by_object.maps, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.apix == APIX
    assert by_path.path == tmp_path / "a"
    assert len(by_path.convergence) == 1
    assert len(by_path.assignments) == 60


def test_refine_multi_of_a_subset(made, tmp_path):
    some = mapsort.Particles.open(made.particles).subset(slice(10, 40))
    run = mapsort.refine_multi(some, made.seeds, path=tmp_path / "run", **QUICK)
    names = read_particles(made.particles)[1]["rlnImageName"][10:40]
    numbers = [
        column.str.partition("@")[0].tolist() for column in (run.assignments.rlnImageName, names)
    ]
    assert numbers[0] == numbers[1]


def test_refine_multi_takes_the_next_free_directory(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "multi_04").mkdir()
    run = mapsort.refine_multi(made.particles, made.seeds, **QUICK)
    assert run.path.resolve() == tmp_path / "multi_05"


def test_refine_multi_refuses(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="did you mean iter"):
        mapsort.refine_multi(made.particles, made.seeds, itre=3)
    with pytest.raises(FormatError, match=r"none\.star"):
        mapsort.refine_multi("none.star", made.seeds)
    with pytest.raises(ConfigError, match="--models"):
        mapsort.refine_multi(made.particles, [])
    assert list(tmp_path.iterdir()) == []


def test_particles_travel_to_other_processes(made):
    particles = mapsort.Particles.open(made.particles)
    again = pickle.loads(pickle.dumps(particles))
    np.testing.assert_array_equal(again.images([3, 1]), particles.images([3, 1]))


# --- what does not fit ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given(volume):
    """Arguments that fit: a map, an array, one rotation, a stack."""
    return SimpleNamespace(map=volume, cube=volume.data, one=np.eye(3)[None], few=volume.data[:4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: mapsort.project(g.map, np.eye(3)), r"rotations: expected shape \(n, 3, 3\)"),
        (lambda g: mapsort.project(g.map, g.one, method="x"), "method=x"),
        (lambda g: mapsort.project(g.map, g.one, shifts=[1, 2]), r"shifts: expected shape \(1, 2"),
        (lambda g: mapsort.reconstruct(g.few[0], g.one), r"images: expected \(1, box, box\)"),
        (lambda g: mapsort.reconstruct(g.few[:2], g.one), r"images: expected \(1, box, box\)"),
        (lambda g: mapsort.reconstruct(g.few[:1, :9], g.one), r"images: expected \(1, box, box\)"),
        (
            lambda g: mapsort.reconstruct(g.few[:1], g.one, weights=[1, 2]),
            "weights: expected shape",
        ),
        (lambda g: mapsort.reconstruct(g.few[:1], g.one, symmetry="q"), "symmetry 'q'"),
        (lambda g: mapsort.match(g.few, g.few[0], maxshift=1), "references: expected"),
        (lambda g: mapsort.match(g.few, g.few[:, 1:], maxshift=1), "references: expected"),
        (lambda g: mapsort.match(g.few, g.few, maxshift=1, score="x"), "score=x: takes ccc"),
        (lambda g: mapsort.match(g.few, g.few, maxshift=1, top=5), "top=5: takes 1 to"),
        (lambda g: mapsort.match(g.few, g.few, maxshift=1, top=0), "top=0: takes 1 to"),
        (
            lambda g: mapsort.match(g.few, g.few, maxshift=1, ctf=constant_ctf(3, 1e4)),
            "ctf: expected 4 particles, got 3",
        ),
        (lambda g: mapsort.fsc(g.cube, g.cube[:-1]), r"fsc: shapes differ"),
        (lambda g: mapsort.project(g.cube[:-1], g.one), "volume: "),
        (lambda g: mapsort.project(g.cube[0], g.one), "volume: "),
        (lambda g: mapsort.match(g.few, g.few, maxshift=-1), "maxshift"),
        (lambda g: mapsort.match(g.few, g.few, maxshift=np.nan), "maxshift"),
    ],
)
def test_arguments_that_do_not_fit_are_named(given, call, message):
    with pytest.raises(ValueError, match=message):
        call(given)


def test_unknown_names_are_named():
    with pytest.raises(ConfigError, match="'emna'; did you mean eman"):
        mapsort.orientations("emna:delta=3", "c1")
    with pytest.raises(ConfigError, match="'z3' is not known"):
        mapsort.symmetry("z3")
