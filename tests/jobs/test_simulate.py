"""Simulated particles against images computed from their truth table, by other formulas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mapsort.errors import ConfigError, FormatError
from mapsort.io.mrc import read_map, write_map
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map, phantom_slice


def rotation_matrix(rot, tilt, psi):
    """RELION's matrix, written as the product of its three turns."""
    a, b, g = np.deg2rad([rot, tilt, psi])

    def about_z(t):
        return np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])

    about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return about_z(g) @ about_y @ about_z(a)


def contrast(box, apix, defocus, voltage=300.0, cs=2.7, amplitude=0.1):
    """CTF as the reference simulator writes it; protein white, RELION's sign."""
    wavelength = 12.2643247 / np.sqrt(voltage * 1e3 * (1 + voltage * 1e3 * 0.978466e-6))
    s2 = np.fft.fftfreq(box, apix)[:, None] ** 2 + np.fft.rfftfreq(box, apix) ** 2
    chi = np.pi * wavelength * defocus * s2 - 0.5 * np.pi * cs * 1e7 * wavelength**3 * s2**2
    return np.sqrt(1 - amplitude**2) * np.sin(chi) + amplitude * np.cos(chi)


def expected_image(row, box, apix, *, with_ctf):
    """Image of one row of the truth table, centred at box // 2."""
    rotation = rotation_matrix(row.rlnAngleRot, row.rlnAngleTilt, row.rlnAnglePsi)
    spectrum = phantom_slice(int(row.rlnClassNumber) - 1, box, apix, rotation)[0]
    # rlnOrigin centres the particle: the particle itself lies at minus the origin.
    x, y = -row.rlnOriginXAngst / apix, -row.rlnOriginYAngst / apix
    fx, fy = np.fft.rfftfreq(box), np.fft.fftfreq(box)[:, None]
    spectrum = spectrum * np.exp(-2j * np.pi * (fx * x + fy * y))
    if with_ctf:
        spectrum = spectrum * contrast(box, apix, row.rlnDefocusU)
    return np.fft.fftshift(np.fft.irfft2(spectrum, s=(box, box)))


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.fixture(scope="module")
def almost_noise_free(tmp_path_factory):
    out = tmp_path_factory.mktemp("clean")
    options = SimulateOptions(phantom=2, out=out, n=40, snr=1e8, seed=3)
    return options, simulate(options)


@pytest.mark.parametrize("no_ctf", [False, True])
def test_images_are_what_the_truth_table_says(tmp_path, no_ctf):
    made = simulate(
        SimulateOptions(phantom=2, out=tmp_path, n=12, snr=1e8, seed=5, no_ctf=no_ctf, shift=4.5)
    )
    _, truth = read_particles(made.truth)
    stack = MrcStack(made.stack)
    assert ("rlnDefocusU" in truth) is not no_ctf
    for index, row in enumerate(truth.itertuples()):
        expected = expected_image(row, 64, 2.0, with_ctf=not no_ctf)
        assert correlation(stack.read([index])[0], expected) > 0.9999


def test_a_wrong_sign_would_show(almost_noise_free):
    _, made = almost_noise_free
    _, truth = read_particles(made.truth)
    far = truth.rlnOriginXAngst.abs().idxmax()
    row = truth.loc[far]
    image = MrcStack(made.stack).read([far])[0]
    flipped = row.copy()
    flipped["rlnOriginXAngst"] *= -1
    assert correlation(image, expected_image(row, 64, 2.0, with_ctf=True)) > 0.9999
    assert correlation(image, expected_image(flipped, 64, 2.0, with_ctf=True)) < 0.9


def test_the_tables_are_relion_tables(almost_noise_free):
    options, made = almost_noise_free
    optics, particles = read_particles(made.particles)
    _, truth = read_particles(made.truth)
    assert len(particles) == options.n
    assert optics["rlnImagePixelSize"].tolist() == [2.0]
    assert optics["rlnImageSize"].tolist() == [64]
    assert particles["rlnImageName"].iloc[1] == "000002@particles.mrcs"
    assert truth["rlnImageName"].tolist() == particles["rlnImageName"].tolist()
    # The truth must not leak into what a refinement is given.
    assert not {"rlnAngleRot", "rlnClassNumber", "rlnOriginXAngst"} & set(particles)
    assert set(truth["rlnClassNumber"]) == {1, 2}
    assert truth["rlnOriginXAngst"].abs().max() <= 3.0 * 2.0
    assert truth["rlnDefocusU"].between(8000, 25000).all()


def test_signal_to_noise_and_normalisation(tmp_path):
    noisy = simulate(SimulateOptions(phantom=1, out=tmp_path / "a", n=300, snr=0.1, seed=2))
    images = MrcStack(noisy.stack).read(slice(None))
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01
    clean = simulate(SimulateOptions(phantom=1, out=tmp_path / "b", n=300, snr=1e8, seed=2))
    signal = MrcStack(clean.stack).read(slice(None))
    # The same seed gives the same signal: its share of the variance is snr / (1 + snr).
    slope = (images * signal).mean() / np.square(signal).mean()
    assert slope**2 == pytest.approx(0.1 / 1.1, rel=0.03)
    noise = images - slope * signal
    rows = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    assert abs(rows) < 0.01


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def bytes_of(name, seed):
        out = tmp_path / name
        made = simulate(SimulateOptions(phantom=2, out=out, n=20, seed=seed, overwrite=True))
        return made.stack.read_bytes(), made.truth.read_text()

    assert bytes_of("a", 7) == bytes_of("b", 7)
    assert bytes_of("a", 7) != bytes_of("c", 8)


def test_the_chunk_size_changes_nothing(tmp_path, monkeypatch):
    options = SimulateOptions(phantom=2, out=tmp_path / "a", n=20, seed=7)
    whole = MrcStack(simulate(options).stack).read(slice(None))
    monkeypatch.setattr("mapsort.jobs.simulate._CHUNK", 7)
    parts = MrcStack(simulate(dataclasses.replace(options, out=tmp_path / "b")).stack)
    np.testing.assert_allclose(parts.read(slice(None)), whole, atol=1e-5)


def test_populations(tmp_path):
    options = SimulateOptions(phantom=3, out=tmp_path, n=400, fractions=(3.0, 0.0, 1.0), seed=1)
    _, truth = read_particles(simulate(options).truth)
    counts = truth["rlnClassNumber"].value_counts()
    assert 2 not in counts
    assert abs(counts[1] / 400 - 0.75) < 0.08


def test_phantom_maps_and_seeds_are_written(almost_noise_free):
    _, made = almost_noise_free
    assert [path.name for path in made.maps] == ["true_01.mrc", "true_02.mrc"]
    for state, (true, seed) in enumerate(zip(made.maps, made.seeds, strict=True)):
        volume, apix = read_map(true)
        assert apix == pytest.approx(2.0)
        np.testing.assert_allclose(volume, phantom_map(state, 64, 2.0), atol=1e-6)
        blurred, _ = read_map(seed)
        spectra = np.fft.rfftn(volume), np.fft.rfftn(blurred)
        # 30 A is shell 4.27 of a box of 128 A.
        inside, edge = 0.5 - 0.5 * np.sin(0.5 * np.pi * np.array([-1, 4 - 128 / 30]))
        for shell, expected in [(2, inside), (3, inside), (4, edge), (6, 0.0), (20, 0.0)]:
            ratio = abs(spectra[1][shell, 0, 0] / spectra[0][shell, 0, 0])
            assert ratio == pytest.approx(expected, abs=2e-3)


def test_particles_of_a_map_are_those_of_the_phantom(tmp_path):
    """The slices of the kernel and the phantom's own, through the whole simulation."""
    write_map(tmp_path / "map.mrc", phantom_map(0, 64, 2.0), 2.0)
    common = {"n": 20, "snr": 1e8, "seed": 4}
    of_map = simulate(
        SimulateOptions(maps=(tmp_path / "map.mrc",), out=tmp_path / "a", seedres=20.0, **common)
    )
    of_phantom = simulate(SimulateOptions(phantom=1, out=tmp_path / "b", **common))
    assert of_map.truth.read_text() == of_phantom.truth.read_text()
    assert of_map.maps == ()
    assert len(of_map.seeds) == 1
    found = MrcStack(of_map.stack).read(slice(None))
    expected = MrcStack(of_phantom.stack).read(slice(None))
    assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phantom": None}, "give maps, or --phantom"),
        ({"maps": (Path("a.mrc"),)}, "not both"),
        ({"phantom": 99}, "--phantom=99"),
        ({"n": 0}, "--n=0"),
        ({"snr": 0.0}, "--snr=0.0"),
        ({"shift": -1.0}, "--shift=-1.0"),
        ({"fractions": (1.0,)}, "--fractions=1.0: expected 2 numbers"),
        ({"fractions": (0.0, 0.0)}, "--fractions"),
        ({"defocus": (2e4, 1e4)}, "--defocus"),
        ({"defocus": (2e4,)}, "--defocus"),
        ({"ampcont": 1.5}, "--ampcont"),
        ({"box": 32}, "--box=32: expected at least 64"),
        ({"seedres": 0.0}, "--seedres"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_refusals(tmp_path, changes, words):
    options = SimulateOptions(phantom=2, out=tmp_path / "x", n=4)
    with pytest.raises(ConfigError, match=words):
        simulate(dataclasses.replace(options, **changes))
    assert not (tmp_path / "x").exists()


def test_maps_must_be_alike(tmp_path):
    write_map(tmp_path / "a.mrc", np.ones((16, 16, 16)), 2.0)
    write_map(tmp_path / "b.mrc", np.ones((18, 18, 18)), 2.0)
    write_map(tmp_path / "c.mrc", np.ones((16, 16, 16)), 3.0)
    write_map(tmp_path / "d.mrc", np.ones((16, 16, 18)), 2.0)
    for other, error, words in [
        ("b", ConfigError, "b.mrc: the box is 18"),
        ("c", ConfigError, "c.mrc: the pixel size is 3"),
        ("d", FormatError, "d.mrc"),
        ("missing", FormatError, "missing.mrc"),
    ]:
        maps = (tmp_path / "a.mrc", tmp_path / f"{other}.mrc")
        with pytest.raises(error, match=words):
            simulate(SimulateOptions(maps=maps, out=tmp_path / "x", n=2))


def test_out_must_not_be_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        simulate(SimulateOptions(phantom=1, out=tmp_path / "file", n=2))
