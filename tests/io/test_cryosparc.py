from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.cryosparc import read_cryosparc

N = 5
FIELDS = [
    ("uid", "<u8"),
    ("blob/path", "S40"),
    ("blob/idx", "<u4"),
    ("blob/psize_A", "<f4"),
    ("blob/sign", "<f4"),
    ("ctf/exp_group_id", "<u4"),
    ("ctf/accel_kv", "<f4"),
    ("ctf/cs_mm", "<f4"),
    ("ctf/amp_contrast", "<f4"),
    ("ctf/df1_A", "<f4"),
    ("ctf/df2_A", "<f4"),
    ("ctf/df_angle_rad", "<f4"),
    ("ctf/phase_shift_rad", "<f4"),
    ("ctf/tilt_A", "<f4", (2,)),
    ("alignments3D/pose", "<f4", (3,)),
    ("alignments3D/shift", "<f4", (2,)),
    ("alignments3D/psize_A", "<f4"),
    ("alignments3D/split", "<u4"),
    ("alignments3D/class", "<u4"),
    ("location/micrograph_path", "S40"),
    ("location/micrograph_shape", "<u4", (2,)),
    ("location/center_x_frac", "<f4"),
    ("location/center_y_frac", "<f4"),
]


def records(n: int = N) -> np.ndarray:
    rng = np.random.default_rng(1)
    made = np.zeros(n, dtype=FIELDS)
    made["uid"] = rng.permutation(n) + (1 << 60)
    made["blob/path"] = [b">J12/extract/mic%d.mrc" % (i // 2) for i in range(n)]
    made["blob/idx"] = np.arange(n) % 2
    made["blob/psize_A"], made["blob/sign"] = 1.31, 1
    made["ctf/exp_group_id"] = [7, 7, 9, 9, 7]
    made["ctf/accel_kv"], made["ctf/cs_mm"], made["ctf/amp_contrast"] = 300, 2.7, 0.1
    made["ctf/df1_A"] = 10000 + 100 * np.arange(n)
    made["ctf/df2_A"] = 9000
    made["ctf/df_angle_rad"] = np.pi / 6
    made["alignments3D/pose"] = rng.normal(size=(n, 3))
    made["alignments3D/shift"] = rng.normal(size=(n, 2))
    made["alignments3D/psize_A"] = 2.62  # aligned at half the size
    made["alignments3D/split"] = np.arange(n) % 2
    made["alignments3D/class"] = np.arange(n) % 3
    made["location/micrograph_path"] = b">J2/motioncorrected/mic.mrc"
    made["location/micrograph_shape"] = (4000, 6000)  # rows, columns
    made["location/center_x_frac"], made["location/center_y_frac"] = 0.5, 0.25
    return made


def save(path: Path, made: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, made, allow_pickle=False)
    return path


def without(made: np.ndarray, prefix: str) -> np.ndarray:
    names = [name for name in made.dtype.names if not name.startswith(prefix)]
    fewer = np.empty(
        len(made),
        dtype=[
            (n, *made.dtype[n].subdtype) if made.dtype[n].subdtype else (n, made.dtype[n])
            for n in names
        ],
    )
    for name in names:
        fewer[name] = made[name]
    return fewer


def matrix_of_rotation_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula for the matrix that pyem takes for RELION's: the transposed one."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    k = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def test_all_fields(tmp_path: Path) -> None:
    made = records()
    optics, particles, notes = read_cryosparc(save(tmp_path / "p.cs", made))
    assert len(notes) == 1
    assert "rlnCoordinateY is (1 - location/center_y_frac) x rows" in notes[0]
    assert particles["rlnImageName"].tolist()[:3] == [
        "000001@J12/extract/mic0.mrc",
        "000002@J12/extract/mic0.mrc",
        "000001@J12/extract/mic1.mrc",
    ]
    assert optics["rlnOpticsGroup"].tolist() == [7, 9]
    assert particles["rlnOpticsGroup"].tolist() == [7, 7, 9, 9, 7]
    assert optics["rlnImagePixelSize"].tolist() == [1.31, 1.31]  # not 1.3099999
    assert optics["rlnSphericalAberration"].tolist() == [2.7, 2.7]
    np.testing.assert_allclose(particles["rlnDefocusU"], made["ctf/df1_A"])
    np.testing.assert_allclose(particles["rlnDefocusAngle"], 30, rtol=1e-6)
    assert particles["rlnClassNumber"].tolist() == [1, 2, 3, 1, 2]
    assert particles["rlnRandomSubset"].tolist() == [1, 2, 1, 2, 1]
    assert set(particles["rlnMicrographName"]) == {"J2/motioncorrected/mic.mrc"}
    assert (particles["rlnCoordinateX"] == 3000).all()
    assert (particles["rlnCoordinateY"] == 3000).all()  # from the top
    np.testing.assert_allclose(
        particles[["rlnOriginXAngst", "rlnOriginYAngst"]],
        made["alignments3D/shift"] * 2.62,
        rtol=1e-6,
    )
    found = relion_to_matrix(particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy())
    expected = [matrix_of_rotation_vector(v) for v in made["alignments3D/pose"].astype(float)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_groups_tilt_phase_and_contrast(tmp_path: Path) -> None:
    made = records()
    made["ctf/tilt_A"] = np.where((made["ctf/exp_group_id"] == 9)[:, None], [2700.0, 0.0], 0.0)
    made["ctf/phase_shift_rad"] = np.pi / 2
    made["blob/sign"] = -1
    optics, particles, notes = read_cryosparc(save(tmp_path / "p.cs", made))
    assert optics["rlnOpticsGroup"].tolist() == [7, 9]
    np.testing.assert_allclose(optics["rlnBeamTiltX"], [0, 0.1], rtol=1e-6)  # mrad
    assert particles["rlnOpticsGroup"].tolist() == [7, 7, 9, 9, 7]
    np.testing.assert_allclose(particles["rlnPhaseShift"], 90, rtol=1e-6)
    assert "blob/sign is -1 for every image" in notes[-1]
    assert particles["mapsortImageSign"].tolist() == [-1] * N


def test_several_classes(tmp_path: Path) -> None:
    base = without(records(), "alignments3D")
    extra: list[tuple[object, ...]] = []
    for k in range(2):
        extra += [(f"alignments_class_{k}/class_posterior", "<f4")]
        extra += [(f"alignments_class_{k}/pose", "<f4", (3,))]
    made = np.zeros(N, dtype=base.dtype.descr + extra)
    for name in base.dtype.names:
        made[name] = base[name]
    best = np.array([0, 1, 1, 0, 1])
    for k in range(2):
        made[f"alignments_class_{k}/class_posterior"] = best == k
        made[f"alignments_class_{k}/pose"] = [0, 0, 0.1 + k]
    _, particles, _ = read_cryosparc(save(tmp_path / "p.cs", made))
    assert particles["rlnClassNumber"].tolist() == (best + 1).tolist()
    total = particles["rlnAngleRot"] + particles["rlnAnglePsi"]
    np.testing.assert_allclose(total % 360, np.rad2deg(0.1 + best), rtol=1e-5)


def test_passthrough(tmp_path: Path) -> None:
    made = records()
    bare = save(tmp_path / "p.cs", without(without(made, "blob"), "ctf"))
    shuffled = made[[3, 0, 4, 2, 1]]
    rest = save(tmp_path / "p_passthrough.cs", without(shuffled, "alignments3D"))
    with pytest.raises(FormatError, match=r"p\.cs: it has no blob/path.*--passthrough"):
        read_cryosparc(bare)
    optics, particles, _ = read_cryosparc(bare, [rest])
    whole_optics, whole, _ = read_cryosparc(save(tmp_path / "all.cs", made))
    assert particles[whole.columns].equals(whole)
    assert optics.equals(whole_optics)
    fewer = save(tmp_path / "fewer.cs", without(shuffled, "alignments3D")[:3])
    with pytest.raises(FormatError, match=r"fewer\.cs: 2 particles of .*p\.cs are not in it"):
        read_cryosparc(bare, [fewer])


def test_without_ctf(tmp_path: Path) -> None:
    _, particles, notes = read_cryosparc(save(tmp_path / "p.cs", without(records(), "ctf")))
    assert "rlnDefocusU" not in particles
    assert "no CTF" in notes[0]


def test_pixel_size_given(tmp_path: Path) -> None:
    made = save(tmp_path / "p.cs", records())
    assert read_cryosparc(made, apix=2.0)[0]["rlnImagePixelSize"].tolist() == [2.0, 2.0]


def test_hostile_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "p.cs"
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="Python objects, which are never loaded"):
        read_cryosparc(path)
    save(path, records())
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(FormatError, match="announces 5 particles and holds 4"):
        read_cryosparc(path)
    path.write_bytes(whole.replace(b"'shape': (5,)", b"'shape': (9,)"))
    with pytest.raises(FormatError, match="announces 9 particles"):
        read_cryosparc(path)
    path.write_bytes(b"not an array")
    with pytest.raises(FormatError, match=r"p\.cs: not a cryoSPARC"):
        read_cryosparc(path)
    save(path, np.zeros(3))
    with pytest.raises(FormatError, match="no records with a uid"):
        read_cryosparc(path)
    for name, value in (("ctf/df1_A", np.nan), ("blob/psize_A", -1), ("blob/path", b"a\nb")):
        made = records()
        made[name][2] = value
        with pytest.raises(FormatError, match=name):
            read_cryosparc(save(path, made))


def test_images_that_cannot_be_found_are_told_with_their_particle(tmp_path: Path) -> None:
    path = tmp_path / "p.cs"
    made = records()
    made["blob/path"][2] = b">two\twords.mrc"
    with pytest.raises(FormatError, match=r"p\.cs: particle 3: blob/path .*words\.mrc' is no"):
        read_cryosparc(save(path, made))
    wide = records().astype(
        [(name, "<u8") if name == "blob/idx" else (name, *rest) for name, *rest in FIELDS]
    )
    wide["blob/idx"][3] = 1 << 63
    with pytest.raises(FormatError, match=r"p\.cs: blob/idx is not a number of an image"):
        read_cryosparc(save(path, wide))
    signed = records().astype(
        [(name, "<i4") if name == "blob/idx" else (name, *rest) for name, *rest in FIELDS]
    )
    read_cryosparc(save(path, signed))
    signed["blob/idx"][3] = -1
    with pytest.raises(FormatError, match=r"p\.cs: particle 4: blob/idx is < 0"):
        read_cryosparc(save(path, signed))
