"""Fields of .cs files: what each is for, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy_format

from mapsort.errors import FormatError
from mapsort.io.cryosparc import field_names, read_cryosparc

N = 4
Fields = dict[str, Any]


def fields() -> Fields:
    """Four particles in one stack, with CTF and poses."""
    return {
        "uid": np.arange(N, dtype="<u8") + 10,
        "blob/path": np.array([b">J1/a.mrc"] * N),
        "blob/idx": np.arange(N, dtype="<u4"),
        "blob/psize_A": np.full(N, 1.31, "<f4"),
        "ctf/accel_kv": np.full(N, 300, "<f4"),
        "ctf/cs_mm": np.full(N, 2.7, "<f4"),
        "ctf/amp_contrast": np.full(N, 0.1, "<f4"),
        "ctf/df1_A": np.full(N, 12000, "<f4"),
        "ctf/df2_A": np.full(N, 11000, "<f4"),
        "ctf/df_angle_rad": np.full(N, np.pi / 3, "<f4"),
        "alignments3D/pose": np.tile(np.array([0, 0, 0.5], "<f4"), (N, 1)),
        "alignments3D/shift": np.tile(np.array([2, -3], "<f4"), (N, 1)),
    }


def save(path: Path, made: Fields) -> Path:
    n = len(next(iter(made.values())))
    dtype = [(name, values.dtype, values.shape[1:]) for name, values in made.items()]
    records = np.zeros(n, dtype)
    for name, values in made.items():
        records[name] = values
    with path.open("wb") as file:
        np.save(file, records, allow_pickle=False)
    return path


def read(path: Path, **changes: Any) -> tuple[Any, Any, list[str]]:
    """The four particles with some fields changed; None leaves one out."""
    made = fields() | {name.replace("__", "/"): value for name, value in changes.items()}
    return read_cryosparc(
        save(path, {name: value for name, value in made.items() if value is not None})
    )


def test_the_particles_of_which_the_others_are_changes(tmp_path: Path) -> None:
    optics, particles, notes = read(tmp_path / "p.cs")
    assert notes == []
    assert optics["rlnImagePixelSize"].tolist() == [1.31]
    assert optics["rlnAmplitudeContrast"].tolist() == [0.1]
    assert set(particles) == {
        "cryosparc_uid",
        "rlnImageName",
        "rlnOpticsGroup",
        "rlnDefocusU",
        "rlnDefocusV",
        "rlnDefocusAngle",
        "rlnAngleRot",
        "rlnAngleTilt",
        "rlnAnglePsi",
        "rlnOriginXAngst",
        "rlnOriginYAngst",
    }
    # Shifts without a pixel size of their own are in pixels of the images.
    np.testing.assert_allclose(particles["rlnOriginXAngst"], 2 * 1.31)
    np.testing.assert_allclose(particles["rlnOriginYAngst"], -3 * 1.31)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"blob__psize_A": None}, "it has no blob/psize_A; give the pixel size with --apix."),
        ({"blob__psize_A": np.zeros(N, "f4")}, "blob/psize_A must be positive."),
        ({"blob__idx": None}, "it has no blob/idx: its images are named in its passthrough file. "),
        ({"blob__idx": np.zeros(N)}, "blob/idx is not a number of an image."),
        ({"blob__idx": np.zeros((N, 1), "u4")}, "blob/idx is not a number of an image."),
        (
            {"blob__idx": np.array([0, 0, (1 << 40) + 1, 0], "u8")},
            "blob/idx is not a number of an image.",
        ),
        ({"blob__idx": np.array([0, 0, -1, 0])}, "particle 3: blob/idx is < 0."),
        ({"blob__path": np.zeros(N)}, "blob/path is not text."),
        ({"blob__path": np.array([[b"a"]] * N)}, "blob/path is not text."),
        ({"blob__path": np.array([b"\xff\xfe"] * N)}, "blob/path is not text: "),
        ({"blob__path": np.array([b"a\0b"] * N)}, "blob/path is not text."),
        (
            {"blob__path": np.array([b"a", b"a", b">", b"a"])},
            "particle 3: blob/path '' is no file name.",
        ),
        (
            {"blob__path": np.array([b"a", b"a", b"a", b"  "])},
            "particle 4: blob/path '  ' is no file name.",
        ),
        (
            {"blob__shape": np.full((N, 3), 32)},
            "blob/shape has 3 sizes: these are volumes (subtomograms)",
        ),
        ({"ctf__amp_contrast": None}, "incomplete CTF: it has no ctf/amp_contrast."),
        ({"ctf__df1_A": np.array([b"x"] * N)}, "ctf/df1_A is not 1 number(s) for each particle."),
        ({"ctf__df1_A": np.zeros((N, 2))}, "ctf/df1_A is not 1 number(s) for each particle."),
        ({"ctf__df2_A": np.array([1, 2, 3, np.inf])}, "particle 4: ctf/df2_A is not finite."),
        ({"ctf__df_angle_rad": np.full(N, np.nan)}, "particle 1: ctf/df_angle_rad is not finite."),
        (
            {"alignments3D__shift": np.zeros((N, 3))},
            "alignments3D/shift is not 2 number(s) for each particle.",
        ),
        (
            {"alignments3D__pose": np.zeros((N, 3, 3))},
            "alignments3D/pose is not 3 number(s) for each particle.",
        ),
        ({"ctf__tilt_A": np.zeros(N)}, "ctf/tilt_A is not 2 number(s) for each particle."),
    ],
)
def test_fields_that_cannot_be_used(tmp_path: Path, changes: Fields, told: str) -> None:
    path = tmp_path / "p.cs"
    with pytest.raises(FormatError) as caught:
        read(path, **changes)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_the_largest_number_of_an_image(tmp_path: Path) -> None:
    _, particles, _ = read(tmp_path / "p.cs", blob__idx=np.array([0, 9, 999_999, 1 << 40], "u8"))
    assert [name.split("@")[0] for name in particles["rlnImageName"]] == [
        "000001",
        "000010",
        "1000000",
        str((1 << 40) + 1),
    ]


@pytest.mark.parametrize(
    "name", ["ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm"]
)
def test_without_one_field_there_is_no_ctf(tmp_path: Path, name: str) -> None:
    changes = {"ctf__exp_group_id": np.array([4, 4, 5, 5], "u4"), name.replace("/", "__"): None}
    optics, particles, notes = read(
        tmp_path / "p.cs", **changes, ctf__phase_shift_rad=np.ones(N, "f4")
    )
    assert notes == [
        f"{tmp_path / 'p.cs'}: no CTF: it has no {name}; a passthrough file may have it"
    ]
    ctf = {"rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnVoltage", "rlnPhaseShift"}
    assert not ctf & (set(particles) | set(optics))
    # Groups remain: they are of the microscope's session.
    assert optics["rlnOpticsGroup"].tolist() == [4, 5]


def test_what_is_nothing_everywhere_is_no_column(tmp_path: Path) -> None:
    for value in (0.0, 0.25):
        number = np.full(N, value, "f4")
        optics, particles, _ = read(
            tmp_path / "p.cs",
            ctf__bfactor=number,
            ctf__phase_shift_rad=number,
            ctf__tilt_A=np.full((N, 2), 1e7 * value),
            ctf__cross_corr_ctffind4=number,
        )
        assert ("rlnCtfBfactor" in particles) == ("rlnPhaseShift" in particles) == (value > 0)
        assert ("rlnBeamTiltX" in optics) == (value > 0)
        assert particles["rlnCtfFigureOfMerit"].tolist() == [value] * N
    assert particles["rlnCtfBfactor"].tolist() == [0.25] * N
    np.testing.assert_allclose(particles["rlnPhaseShift"], np.rad2deg(0.25))


@pytest.mark.parametrize(
    ("tilt_ang", "cs_mm", "tilt_mrad"),
    [
        ((2.7e3, -5.4e3), 2.7, (0.1, -0.2)),
        ((1e9, -1e9), 2.7, (500 * np.pi, -500 * np.pi)),
        ((1e3, 1e3), 0.0, None),  # of no aberration no tilt is seen
        ((1e3, 0.0), -1.0, None),
    ],
)
def test_beam_tilt_is_a_length_by_the_spherical_aberration(
    tmp_path: Path,
    tilt_ang: tuple[float, float],
    cs_mm: float,
    tilt_mrad: tuple[float, float] | None,
) -> None:
    optics, _, _ = read(
        tmp_path / "p.cs",
        ctf__tilt_A=np.array([tilt_ang] * N, "f8"),
        ctf__cs_mm=np.full(N, cs_mm, "f8"),
    )
    if tilt_mrad is None:
        assert "rlnBeamTiltX" not in optics
    else:
        found = optics[["rlnBeamTiltX", "rlnBeamTiltY"]].to_numpy()[0]
        np.testing.assert_allclose(found, tilt_mrad, rtol=1e-6)


def test_dark_density_in_any_image_is_noted(tmp_path: Path) -> None:
    for sign, noted in (([1, 1, 1, 1], 0), ([1, 1, -1, 1], 1), ([0, 0, 0, 0], 0)):
        _, particles, notes = read(tmp_path / "p.cs", blob__sign=np.array(sign, "f4"))
        assert len(notes) == noted
        assert ("mapsortImageSign" in particles) == bool(noted)
    assert "blob/sign is -1" in read(tmp_path / "p.cs", blob__sign=-np.ones(N))[2][0]


def test_places_on_micrographs(tmp_path: Path) -> None:
    """Fractions of columns and rows; the shape is told as rows, columns."""
    place = {
        "location__micrograph_path": np.array([b">J2/m1.mrc", b">J2/m1.mrc", b"m2.mrc", b"m3.mrc"]),
        "location__micrograph_shape": np.array([[100, 200]] * N, "u4"),
        "location__center_x_frac": np.array([0, 0.25, 0.5, 1.0]),
        "location__center_y_frac": np.array([1.0, 0.5, 0.25, 0]),
    }
    _, particles, _ = read(tmp_path / "p.cs", **place)
    assert particles["rlnMicrographName"].tolist() == ["J2/m1.mrc", "J2/m1.mrc", "m2.mrc", "m3.mrc"]
    assert particles["rlnCoordinateX"].tolist() == [0, 50, 100, 200]
    assert particles["rlnCoordinateY"].tolist() == [0, 50, 75, 100]
    for missing in ("center_x_frac", "center_y_frac", "micrograph_shape"):
        _, particles, _ = read(tmp_path / "p.cs", **place | {f"location__{missing}": None})
        assert not {"rlnCoordinateX", "rlnCoordinateY"} & set(particles)
        assert "rlnMicrographName" in particles


def test_the_most_probable_class_of_each_particle(tmp_path: Path) -> None:
    posterior = np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0], [0, 0.4, 0.6], [0.1, 0.8, 0.1]])
    changes: Fields = {"alignments3D__pose": None, "alignments3D__shift": None}
    for k in range(3):
        group = f"alignments_class_{k}"
        changes[f"{group}__class_posterior"] = posterior[:, k]
        changes[f"{group}__pose"] = np.tile([0, 0, 0.1 + k], (N, 1))
        changes[f"{group}__shift"] = np.tile([k + 1.0, -k], (N, 1))
        changes[f"{group}__psize_A"] = np.full(N, 2.0 + k)
        changes[f"{group}__split"] = np.array([0, 1, 0, 1]) if k else np.array([1, 1, 1, 1])
    _, particles, _ = read(tmp_path / "p.cs", **changes)
    best = np.array([1, 0, 2, 1])
    assert particles["rlnClassNumber"].tolist() == (best + 1).tolist()
    np.testing.assert_allclose(particles["rlnOriginXAngst"], (best + 1.0) * (2 + best))
    np.testing.assert_allclose(particles["rlnOriginYAngst"], -best * (2.0 + best))
    assert particles["rlnRandomSubset"].tolist() == [1, 2, 1, 2]
    turn = particles["rlnAngleRot"] + particles["rlnAnglePsi"]
    np.testing.assert_allclose(turn % 360, np.rad2deg(0.1 + best))


def test_classes_and_halves_count_from_one(tmp_path: Path) -> None:
    _, particles, _ = read(
        tmp_path / "p.cs",
        alignments3D__class=np.array([0, 3, 1, 0], "u4"),
        alignments3D__split=np.array([0, 1, 1, 0], "u4"),
    )
    assert particles["rlnClassNumber"].tolist() == [1, 4, 2, 1]
    assert particles["rlnRandomSubset"].tolist() == [1, 2, 2, 1]
    _, particles, _ = read(tmp_path / "p.cs", alignments3D__pose=None)
    assert not {"rlnAngleRot", "rlnOriginXAngst"} & set(particles)
    _, particles, _ = read(tmp_path / "p.cs", alignments3D__shift=None)
    assert "rlnAngleRot" in particles
    assert "rlnOriginXAngst" not in particles


def test_passthrough_files_add_what_is_missing_by_uid(tmp_path: Path) -> None:
    """In any order, with others between; what the set has itself stays."""
    made = fields()
    own = {name: made[name] for name in ("uid", "alignments3D/pose", "blob/psize_A")}
    order = np.array([3, 0, 2, 1])
    rest = {
        "uid": np.append(made["uid"][order], [5, 99]).astype("u8"),
        "blob/path": np.append(made["blob/path"][order], [b"x", b"y"]),
        "blob/idx": np.append(made["blob/idx"][order], [77, 78]).astype("u4"),
        "blob/psize_A": np.full(6, 9.0),
    }
    path, extra = save(tmp_path / "p.cs", own), save(tmp_path / "rest.cs", rest)
    optics, particles, _ = read_cryosparc(path, [extra])
    assert particles["rlnImageName"].tolist() == [f"{k + 1:06d}@J1/a.mrc" for k in range(N)]
    assert optics["rlnImagePixelSize"].tolist() == [1.31]
    with pytest.raises(FormatError) as caught:
        read_cryosparc(path, [save(tmp_path / "less.cs", {"uid": rest["uid"]})])
    assert str(caught.value) == (
        f"{path}: it has no blob/path: its images are named in its passthrough file, not in the "
        "one given. Give that (…_passthrough_particles.cs) with --passthrough."
    )
    few = {name: values[[0, 2, 3]] for name, values in rest.items()}
    with pytest.raises(FormatError) as caught:
        read_cryosparc(path, [save(tmp_path / "few.cs", few)])
    assert str(caught.value) == (
        f"{tmp_path / 'few.cs'}: 1 particles of {path} are not in it, the first is particle 1 "
        "(uid 10). Give the passthrough of the same job."
    )
    for odd in (rest["uid"].astype("f8"), rest["uid"][:, None]):
        with pytest.raises(FormatError, match=r"odd\.cs: uid is not a number\."):
            read_cryosparc(path, [save(tmp_path / "odd.cs", {**rest, "uid": odd})])


def test_names_of_the_fields(tmp_path: Path) -> None:
    path = save(tmp_path / "p.cs", fields())
    assert field_names(path) == (N, tuple(fields()))


def raw(path: Path, header: Callable[[Any], None], body: bytes) -> Path:
    with path.open("wb") as file:
        header(file)
        file.write(body)
    return path


def test_files_that_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "p.cs"
    with pytest.raises(FormatError, match=r"p\.cs: no such file\."):
        field_names(path)
    with pytest.raises(FormatError, match=r"cannot be read: Is a directory\."):
        field_names(tmp_path)
    records = np.zeros(3, [("uid", "<u8"), ("k", "<u4")])
    for odd in (
        np.zeros((3, 3)),
        records.reshape(1, 3),
        records[["k"]],
        np.zeros((), records.dtype),
    ):
        np.save(path.with_suffix(".npy"), odd)
        with pytest.raises(FormatError, match="no records with a uid"):
            field_names(path.with_suffix(".npy"))
    save(path, {"uid": np.zeros(0, "u8")})
    with pytest.raises(FormatError, match="announces 0 particles and holds 0"):
        field_names(path)
    whole = save(path, {"uid": np.arange(3, dtype="u8")}).read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(FormatError) as caught:
        field_names(path)
    assert str(caught.value) == f"{path}: it announces 3 particles and holds 2. Copy it again."
    path.write_bytes(whole + b"more")
    assert field_names(path) == (3, ("uid",))
    path.write_bytes(whole[:6] + b"\x09\x00" + whole[8:])
    with pytest.raises(FormatError, match=r"not a cryoSPARC \.cs file: .*version"):
        field_names(path)


def test_long_headers_are_read(tmp_path: Path) -> None:
    """Version 2 of the format, which NumPy takes for headers of more than 64 kB."""
    described = {
        "descr": [("uid", "<u8")] + [(f"field_{k:0100d}", "<u1") for k in range(1000)],
        "fortran_order": False,
        "shape": (2,),
    }
    path = raw(
        tmp_path / "p.cs",
        lambda file: npy_format.write_array_header_2_0(file, described),
        bytes(2 * 1008),
    )
    number, names = field_names(path)
    assert (number, len(names), names[0]) == (2, 1001, "uid")
