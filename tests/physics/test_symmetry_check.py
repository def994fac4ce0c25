"""Symmetrised maps, and maps whose symmetry lies elsewhere than is said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.map_symmetry import check_symmetry, moved, symmetrize

BOX, SIGMA = 36, 2.0


def blobs(name, *, turn=None, centre=(0.0, 0.0, 0.0), n=3, seed=0):
    """Gaussians at all symmetry copies of a few points: exact, without interpolation."""
    group, rng = symmetry(name), np.random.default_rng(seed)
    points = rng.standard_normal((n, 3))
    points *= (rng.uniform(0.18, 0.32, n) * BOX / np.linalg.norm(points, axis=1))[:, None]
    copies = np.einsum("kij,nj->kni", group.matrices, points) + group.shifts_ang[:, None]
    copies = copies.reshape(-1, 3) @ (np.eye(3) if turn is None else turn).T + centre
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    volume = np.zeros((BOX,) * 3)
    for px, py, pz in copies:
        volume += np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (2 * SIGMA**2))
    return volume


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize("name", ["c3", "d2", "tet", "oct", "icos", "icos2"])
def test_symmetrising_leaves_a_symmetric_map(name):
    volume = blobs(name)
    again = symmetrize(volume, symmetry(name))
    assert again.dtype == np.float32
    # cubic splines of Gaussians of sigma 2 are good to 1e-2 of the peak
    assert np.abs(again - volume).max() <= 0.02 * volume.max()


@pytest.mark.parametrize("name", ["c4", "d3", "oct"])
def test_one_blob_becomes_its_copies(name):
    """The mean over copies of one Gaussian, put where the operations say."""
    group = symmetry(name)
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    at = np.array([6.0, 2.0, 3.0])

    def gaussian(p):
        return np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / (2 * SIGMA**2))

    # V(S x) has its peak at S^-1 p; the group holds the inverses
    expected = np.mean([gaussian(m @ at) for m in group.matrices], axis=0)
    np.testing.assert_allclose(symmetrize(gaussian(at), group), expected, atol=5e-3)


def test_a_helix_is_shifted_as_it_turns():
    name, apix = "h5:1:30:6", 2.0
    group = symmetry(name)
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    at = np.array([8.0, 0.0, 0.0])

    def gaussian(p):
        return np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / (2 * SIGMA**2))

    # V(M x + t) peaks where M x + t = p
    peaks = [m.T @ (at - t / apix) for m, t in zip(group.matrices, group.shifts_ang, strict=True)]
    assert len({round(p[2]) for p in peaks}) == 5
    expected = np.mean([gaussian(p) for p in peaks], axis=0)
    np.testing.assert_allclose(symmetrize(gaussian(at), group, apix=apix), expected, atol=5e-3)


def test_moved_reads_at_the_matrix_times_x():
    volume = np.zeros((9, 9, 9))
    volume[4, 5, 6] = 1.0  # z 0, y 1, x 2
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    # M x + t = (2, 1, 0) at x = M^T ((2, 1, 0) - (0, 0, 1))
    x, y, z = (turn.T @ np.array([2, 1, -1])).astype(int) + 4
    assert moved(volume, turn, (0, 0, 1))[z, y, x] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["c1", "c2", "c7", "d2", "d7", "tet", "oct", "icos", "icos2"])
def test_a_map_with_its_symmetry_agrees(name):
    finding = check_symmetry(blobs(name), symmetry(name))
    assert finding.agrees
    assert finding.agreement > 0.9
    assert finding.setting == ""


@pytest.mark.parametrize(
    ("given", "true", "words"),
    [
        ("icos", "icos2", "as in --sym=icos2 (RELION I1)"),
        ("icos2", "icos", "as in --sym=icos (RELION I4)"),
    ],
)
def test_icosahedral_settings_are_told_apart(given, true, words):
    finding = check_symmetry(blobs(true), symmetry(given))
    assert finding.agreement < 0.3
    assert words in finding.setting
    assert finding.found > 0.9
    assert "only to" in str(finding)


@pytest.mark.parametrize(
    ("name", "axis", "angle", "words"),
    [
        ("icos", "z", 180, "(RELION I3)"),
        ("icos2", "z", 90, "(RELION I2)"),
        ("tet", "z", 180, "(RELION T)"),
        ("c4", "y", 90, "the main axis on x"),
        ("d3", "x", 90, "the main axis on y"),
        ("d3", "z", 90, "a 2-fold on y"),
    ],
)
def test_other_settings_are_named(name, axis, angle, words):
    turn = Rotation.from_euler(axis, angle, degrees=True).as_matrix()
    finding = check_symmetry(blobs(name, turn=turn), symmetry(name))
    assert words in finding.setting
    assert finding.found > 0.9


@pytest.mark.parametrize("name", ["c3", pytest.param("oct", marks=pytest.mark.slow)])
def test_any_orientation_is_found(name):
    turn = Rotation.from_rotvec([0.5, -0.8, 0.3]).as_matrix()
    finding = check_symmetry(blobs(name, turn=turn), symmetry(name))
    assert not finding.agrees
    assert finding.found > 0.9
    if name == "c3":
        words = finding.setting.removeprefix("its axis along (").removesuffix(")")
        found = np.array([float(word) for word in words.split(",")])
        # written with two digits, found to a few degrees
        assert abs(found @ turn[:, 2]) > np.cos(np.deg2rad(4))


@pytest.mark.parametrize("name", ["c4", pytest.param("oct", marks=pytest.mark.slow)])
def test_a_map_off_the_centre_is_found(name):
    centre = np.array([2.0, -1.5, 0.0 if name == "c4" else 1.0])
    finding = check_symmetry(blobs(name, centre=centre), symmetry(name))
    assert finding.found > 0.9
    assert finding.setting.startswith("its centre at (")
    words = finding.setting.partition("(")[2].partition(")")[0]
    found = np.array([float(word) for word in words.split(",")])
    np.testing.assert_allclose(found, centre, atol=0.3)


def test_a_map_without_symmetry_is_said_to_have_none():
    finding = check_symmetry(blobs("c1", n=6, seed=4), symmetry("c5"))
    assert not finding.agrees
    assert finding.setting == ""
    assert "only to" in str(finding)


def test_a_helix_is_compared():
    volume = blobs("h9:1:40:4")
    right, wrong = (check_symmetry(volume, symmetry(f"h3:1:{turn}:4")) for turn in (40, 60))
    assert right.agreement > wrong.agreement + 0.1


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("groel_1mnf_D7_64_4.0A", "d7"),
        ("apoferritin_O_64_3.0A", "oct"),
        ("betagal_real_D2_64_3.54A", "d2"),
        ("groel_1mnf_singlering_C7_64_4.0A", "c7"),
    ],
)
def test_real_maps(file, name, shared_dir):
    from mapsort.model.volume import Volume

    volume = Volume.open(shared_dir / "data" / "maps" / f"{file}.mrc").data
    assert check_symmetry(volume, symmetry(name)).agreement > 0.9
