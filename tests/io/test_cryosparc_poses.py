"""Where the poses, classes and halves of cryoSPARC's kinds of jobs are taken from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.io.cryosparc import read_cryosparc

N, K = 6, 3
BEST = np.array([2, 0, 1, 1, 2, 0])
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
Fields = dict[str, Any]


def images() -> Fields:
    return {
        "uid": np.arange(N, dtype="<u8") + 100,
        "blob/path": np.array([b"a.mrcs"] * N),
        "blob/idx": np.arange(N, dtype="<u4"),
        "blob/psize_A": np.full(N, 2.0),
    }


def turns(seed: int) -> Fields:
    """Turns about the axis of view by 10 degrees times seed + particle, and shifts."""
    degrees = 10.0 * seed + np.arange(N)
    return {
        "pose": np.stack([np.zeros(N), np.zeros(N), np.deg2rad(degrees)], axis=1),
        "shift": np.stack([np.full(N, float(seed)), np.arange(N, dtype=float)], axis=1),
        "psize_A": np.full(N, 4.0),
        "split": np.arange(N, dtype="<u4") % 2,
    }


def group(name: str, seed: int, **more: Any) -> Fields:
    return {f"{name}/{key}": value for key, value in {**turns(seed), **more}.items()}


def posteriors() -> np.ndarray:
    probable = np.full((N, K), 0.1)
    probable[np.arange(N), BEST] = 0.8
    return probable


def numbered(name: str, first: int = 0) -> Fields:
    made: Fields = {}
    for k in range(K):
        made |= group(f"{name}{k + first}", 1 + k, class_posterior=posteriors()[:, k])
    return made


def multi() -> Fields:
    made: Fields = {"alignments3D_multi/class_posterior": posteriors()}
    for name in ("pose", "shift"):
        every = np.stack([turns(1 + k)[name] for k in range(K)], axis=1)
        made[f"alignments3D_multi/{name}"] = every
    made["alignments3D_multi/psize_A"] = np.full(N, 4.0)  # once for all classes
    made["alignments3D_multi/split"] = np.zeros(N, "<u4")
    return made


def save(path: Path, made: Fields) -> Path:
    records = np.zeros(N, [(name, v.dtype, v.shape[1:]) for name, v in made.items()])
    for name, values in made.items():
        records[name] = values
    with path.open("wb") as file:
        np.save(file, records, allow_pickle=False)
    return path


def read(tmp_path: Path, own: Fields, *others: Fields) -> tuple[pd.DataFrame, list[str]]:
    path = save(tmp_path / "p.cs", images() | own)
    extra = [
        save(tmp_path / f"pass{number}.cs", {"uid": images()["uid"], **other})
        for number, other in enumerate(others)
    ]
    _, particles, notes = read_cryosparc(path, extra)
    return particles, [note.removeprefix(f"{path}: ") for note in notes if "no CTF" not in note]


def assert_turned(particles: pd.DataFrame, seed: Any) -> None:
    total = particles["rlnAngleRot"] + particles["rlnAnglePsi"]
    np.testing.assert_allclose(total, 10 * seed + np.arange(N), atol=1e-4)
    np.testing.assert_allclose(particles["rlnOriginXAngst"], 4.0 * seed * np.ones(N))
    np.testing.assert_allclose(particles["rlnOriginYAngst"], 4.0 * np.arange(N))


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (multi(), "alignments3D_multi"),
        (numbered("alignments_class3D_"), "alignments_class3D_k"),
        (numbered("alignments_class_"), "alignments_class_k"),
    ],
)
def test_the_pose_in_the_most_probable_class(tmp_path: Path, own: Fields, name: str) -> None:
    particles, notes = read(tmp_path, own)
    assert particles["rlnClassNumber"].tolist() == (BEST + 1).tolist()
    assert_turned(particles, 1 + BEST)
    assert notes == [
        f"each particle is in the most probable of the 3 classes of {name}, with its pose there"
    ]


def test_classes_keep_their_numbers(tmp_path: Path) -> None:
    """Also when those before them are not in the file."""
    particles, _ = read(tmp_path, numbered("alignments_class_", first=4))
    assert particles["rlnClassNumber"].tolist() == (BEST + 5).tolist()


@pytest.mark.parametrize("stale", [numbered("alignments_class_"), multi()])
def test_the_jobs_own_pose_before_one_that_was_passed_through(
    tmp_path: Path, stale: Fields
) -> None:
    own = group("alignments3D", 7, **{"class": np.zeros(N, "<u4")})
    particles, notes = read(tmp_path, own, stale)
    assert_turned(particles, 7)
    assert particles["rlnClassNumber"].tolist() == [1] * N
    assert len(notes) == 1
    assert "are not read from alignments" in notes[0]
    assert "pass0.cs; they are those of alignments3D of p.cs" in notes[0]


def test_the_jobs_own_classes_before_a_refinement_that_was_passed_through(tmp_path: Path) -> None:
    particles, notes = read(tmp_path, multi(), group("alignments3D", 7))
    assert_turned(particles, 1 + BEST)
    assert any("not read from alignments3D of pass0.cs" in note for note in notes)


def test_an_alignment_is_of_one_job(tmp_path: Path) -> None:
    """What an older job says of the same fields fills no gaps, nor adds classes."""
    old = group("alignments3D", 3, **{"class": np.full(N, 5, "<u4")})
    new = {"alignments3D/pose": turns(7)["pose"]}
    particles, notes = read(tmp_path, new, old)
    assert "rlnClassNumber" not in particles
    assert not set(ORIGINS) & set(particles)
    assert "alignments3D of pass0.cs" in notes[0]
    fewer = {k: v for k, v in numbered("alignments_class_").items() if "class_2" not in k}
    particles, _ = read(tmp_path, fewer, numbered("alignments_class_"))
    assert set(particles["rlnClassNumber"]) <= {1, 2}


def test_which_of_several_in_one_file(tmp_path: Path) -> None:
    exported = group("alignments3D", 7) | multi() | numbered("alignments_class_")
    particles, notes = read(tmp_path, exported)
    assert_turned(particles, 7)
    assert notes[0].startswith("poses and classes are not read from alignments3D_multi of p.cs, ")
    later, _ = read(tmp_path, {}, multi(), group("alignments3D", 7))
    assert_turned(later, 1 + BEST)


def test_classes_without_poses_go_with_the_poses_there_are(tmp_path: Path) -> None:
    own = {k: v for k, v in numbered("alignments_class3D_").items() if "posterior" in k}
    particles, _ = read(tmp_path, own, group("alignments3D", 7, **{"class": np.zeros(N, "<u4")}))
    assert particles["rlnClassNumber"].tolist() == (BEST + 1).tolist()
    assert_turned(particles, 7)


def test_classes_in_two_dimensions_have_no_pose(tmp_path: Path) -> None:
    flat = {
        "alignments2D/pose": np.linspace(0, 1, N),
        "alignments2D/shift": np.ones((N, 2)),
        "alignments2D/class": np.arange(N, dtype="<u4"),
    }
    particles, notes = read(tmp_path, flat)
    assert particles["rlnClassNumber"].tolist() == [1, 2, 3, 4, 5, 6]
    assert not set(ANGLES + ORIGINS) & set(particles)
    assert "angles in the plane and its shifts are not read" in notes[0]


def test_kinds_of_alignments_that_are_not_known(tmp_path: Path) -> None:
    unknown = {"alignments4D/pose": turns(1)["pose"]}
    no_posterior = {k: v for k, v in multi().items() if "posterior" not in k}
    for fields, name in ((unknown, "alignments4D"), (no_posterior, "alignments3D_multi")):
        particles, notes = read(tmp_path, fields)
        assert not set(ANGLES) & set(particles)
        assert notes == [f"poses and classes are not read from {name} of p.cs"]


def test_halves_only_where_there_are_two(tmp_path: Path) -> None:
    particles, _ = read(tmp_path, group("alignments3D", 1))
    assert particles["rlnRandomSubset"].tolist() == [1, 2] * 3
    particles, _ = read(tmp_path, multi())  # all in half 0: this job makes none
    assert "rlnRandomSubset" not in particles


@pytest.mark.parametrize("field", ["pose", "shift"])
def test_particles_without_a_pose_are_read_and_told(tmp_path: Path, field: str) -> None:
    own = group("alignments3D", 1)
    own[f"alignments3D/{field}"][2, 0] = np.nan
    own[f"alignments3D/{field}"][4, 1] = np.inf
    particles, notes = read(tmp_path, own)
    columns = ANGLES if field == "pose" else ORIGINS
    usable = np.isfinite(particles[columns].to_numpy()).all(axis=1)
    assert usable.tolist() == [True, True, False, True, False, True]
    assert notes[0].startswith("2 particles, the first is particle 3, have no pose in alignments3D")


def test_particles_of_no_class(tmp_path: Path) -> None:
    own = multi()
    own["alignments3D_multi/class_posterior"][1] = np.nan
    own["alignments3D_multi/class_posterior"][3, 0] = np.nan  # its other classes are known
    particles, notes = read(tmp_path, own)
    assert particles["rlnClassNumber"].tolist() == [3, 0, 2, 2, 3, 1]
    assert np.isnan(particles[ANGLES].to_numpy()[1]).all()
    assert any("1 particles, the first is particle 2, have no class" in note for note in notes)


def test_arrays_of_classes_that_do_not_fit(tmp_path: Path) -> None:
    own = multi()
    own["alignments3D_multi/pose"] = np.zeros((N, 2, 3))
    with pytest.raises(FormatError, match=r"fields of alignments3D_multi are of 2 and 3 classes"):
        read(tmp_path, own)
    own["alignments3D_multi/pose"] = np.zeros((N, 4))
    with pytest.raises(FormatError, match=r"alignments3D_multi/pose is not 3 number\(s\) for each"):
        read(tmp_path, own)


def test_figures_of_merit_may_be_no_numbers(tmp_path: Path) -> None:
    ctf = {f"ctf/{name}": np.full(N, 1e4) for name in ("df1_A", "df2_A", "df_angle_rad")}
    ctf |= {"ctf/accel_kv": np.full(N, 300.0), "ctf/cs_mm": np.full(N, 2.7)}
    ctf |= {"ctf/amp_contrast": np.full(N, 0.1), "ctf/tilt_A": np.full((N, 2), np.nan)}
    ctf |= {"ctf/cross_corr_ctffind4": np.full(N, np.nan), "ctf/ctf_fit_to_A": np.full(N, np.inf)}
    particles, _ = read(tmp_path, ctf)
    assert particles["rlnCtfFigureOfMerit"].isna().all()
    assert np.isinf(particles["rlnCtfMaxResolution"]).all()


@pytest.mark.parametrize("name", ["J1/Grid 1/a b.mrcs", "J1/user@host.mrcs", "J1/x [1].mrcs"])
def test_names_with_blanks_and_ats(tmp_path: Path, name: str) -> None:
    particles, _ = read(tmp_path, {"blob/path": np.array([f">{name}".encode()] * N)})
    assert particles["rlnImageName"].tolist()[2] == f"000003@{name}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (numbered("alignments_class_"), 0.8),
        (multi(), 0.8),
        (group("alignments3D", 1, **{"class": BEST, "class_posterior": np.full(N, 0.6)}), 0.6),
        (group("alignments3D", 1, **{"class": BEST, "class_posterior": np.zeros(N)}), None),
        (group("alignments3D", 1, **{"class": BEST}), None),
    ],
)
def test_how_sure_the_class_is(tmp_path: Path, given: Fields, expected: float | None) -> None:
    particles = read(tmp_path, given)[0]
    if expected is None:
        assert "rlnMaxValueProbDistribution" not in particles
    else:
        np.testing.assert_allclose(particles["rlnMaxValueProbDistribution"], expected)
