"""cryoSPARC's particle sets as they are written: what is read back, and what was there before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.errors import FormatError
from mapsort.io.cryosparc import UID, read_cryosparc
from mapsort.io.cryosparc_fields import CryosparcFields
from mapsort.io.cryosparc_writer import fields_of_table, group_text, rows_of, write_records
from mapsort.io.star import read_particles, write_particles

N = 7
ONE_FLOAT = 1.2e-7  # relative, of 32 bits


def original() -> np.ndarray:
    """Return a set as a refinement of cryoSPARC 4 writes it, uids beyond 63 bits among them."""
    rng = np.random.default_rng(3)
    plain = "ctf/accel_kv ctf/cs_mm ctf/amp_contrast ctf/df1_A ctf/df2_A ctf/df_angle_rad"
    layout = [("uid", "<u8"), ("blob/path", "S40"), ("blob/idx", "<u4")]
    layout += [("blob/psize_A", "<f4"), ("blob/sign", "<f4"), ("ctf/exp_group_id", "<u4")]
    layout += [(name, "<f4") for name in (*plain.split(), "ctf/phase_shift_rad", "ctf/bfactor")]
    layout += [("ctf/tilt_A", "<f4", (2,)), ("alignments3D/pose", "<f4", (3,))]
    layout += [("alignments3D/shift", "<f4", (2,)), ("alignments3D/psize_A", "<f4")]
    layout += [("alignments3D/split", "<u4"), ("alignments3D/class", "<u4")]
    made = np.zeros(N, dtype=layout)
    made["uid"] = rng.integers(0, 1 << 64, N, dtype=np.uint64)
    made["uid"][0] = (1 << 64) - 1
    made["blob/path"] = [b">J12/extract/mic%d.mrc" % (i // 3) for i in range(N)]
    made["blob/idx"], made["blob/psize_A"], made["blob/sign"] = np.arange(N) % 3, 1.31, -1
    made["ctf/exp_group_id"] = [7, 7, 9, 9, 7, 9, 7]
    made["ctf/accel_kv"], made["ctf/cs_mm"], made["ctf/amp_contrast"] = 300, 2.7, 0.1
    made["ctf/df1_A"], made["ctf/df2_A"] = rng.uniform(5000, 30000, (2, N))
    made["ctf/df_angle_rad"] = rng.uniform(-3, 3, N)
    made["ctf/phase_shift_rad"], made["ctf/bfactor"] = rng.uniform(0, 2, N), 50
    made["ctf/tilt_A"] = np.where(made["ctf/exp_group_id"] == 9, 2700.0, 0)[:, None]
    made["alignments3D/pose"] = Rotation.random(N, random_state=4).as_rotvec()
    made["alignments3D/shift"] = rng.normal(size=(N, 2)) * 4
    made["alignments3D/psize_A"] = 1.31
    made["alignments3D/split"], made["alignments3D/class"] = np.arange(N) % 2, np.arange(N) % 3
    return made


def saved(path: Path, records: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, records)
    return path


def same_turns(found: np.ndarray, expected: np.ndarray) -> None:
    between = Rotation.from_rotvec(found) * Rotation.from_rotvec(expected).inv()
    assert between.magnitude().max() < 8 * ONE_FLOAT


def test_by_a_star_file_and_back_everything_is_equal_to_float_precision(tmp_path: Path) -> None:
    made = original()
    optics, particles, _ = read_cryosparc(saved(tmp_path / "a.cs", made))
    write_particles(tmp_path / "a.star", optics, particles)
    optics, particles = read_particles(tmp_path / "a.star")
    fields = fields_of_table(optics, particles, paths=list(particles["rlnImageName"]), box=64)
    write_records(tmp_path / "b.cs", fields)
    back = CryosparcFields.read(tmp_path / "b.cs").values
    np.testing.assert_array_equal(back["uid"], made["uid"])
    assert [p.decode() for p in back["blob/path"]] == [p.decode()[1:] for p in made["blob/path"]]
    for name in made.dtype.names:
        if name in ("uid", "blob/path", "alignments3D/pose"):
            continue
        np.testing.assert_allclose(
            back[name], made[name], rtol=2 * ONE_FLOAT, atol=1e-6, err_msg=name
        )
    same_turns(back["alignments3D/pose"], made["alignments3D/pose"])
    assert back["blob/shape"].tolist() == [[64, 64]] * N
    assert (back["ctf/scale"] == 1).all()
    assert not back["ctf/tetra_A"].any()


def test_particles_of_other_programs_get_numbers_of_their_own(tmp_path: Path) -> None:
    optics, particles, _ = read_cryosparc(saved(tmp_path / "a.cs", original()))
    names = list(particles["rlnImageName"])
    names[3] = names[2]
    first = fields_of_table(optics, particles.drop(columns=UID), paths=names, box=64)["uid"]
    again = fields_of_table(optics, particles.drop(columns=UID), paths=names, box=64)["uid"]
    np.testing.assert_array_equal(first, again)
    assert len(set(first.tolist())) == N


def test_copies_of_a_particle_are_told_apart(tmp_path: Path) -> None:
    optics, particles, _ = read_cryosparc(saved(tmp_path / "a.cs", original()))
    copies = particles.assign(**{UID: particles[UID].iloc[0]})
    uids = fields_of_table(optics, copies, paths=["1@a.mrc"] * N, box=64)["uid"]
    assert uids[0] == (1 << 64) - 1
    assert len(set(uids.tolist())) == N


def test_without_ctf_and_poses_there_are_no_such_fields(tmp_path: Path) -> None:
    optics, particles, _ = read_cryosparc(saved(tmp_path / "a.cs", original()))
    kept = particles[["rlnImageName", "rlnOpticsGroup"]]
    fields = fields_of_table(optics, kept, paths=list(kept["rlnImageName"]), box=64)
    assert {name.split("/")[0] for name in fields} == {"uid", "blob"}


def test_particles_without_a_pose_stay_without(tmp_path: Path) -> None:
    made = original()
    made["alignments3D/pose"][2] = np.nan
    optics, particles, _ = read_cryosparc(saved(tmp_path / "a.cs", made))
    fields = fields_of_table(optics, particles, paths=list(particles["rlnImageName"]), box=64)
    pose = fields["alignments3D/pose"]
    assert np.isnan(pose[2]).all()
    assert np.isfinite(np.delete(pose, 2, axis=0)).all()


def test_group_file_names_the_type_of_each_group() -> None:
    one = np.zeros(N)
    fields = {"uid": one, "blob/path": one, "blob/idx": one, "alignments_class_0/pose": one}
    fields |= {"alignments3D_multi/pose": one, "alignments_class3D_1/pose": one}
    lines = group_text("p.cs", fields, created="2026-11-30", title="Particles").splitlines()
    types = [line.split()[1] for line in lines if line.startswith("    type:")]
    slots = [line.strip(" :") for line in lines if line.startswith("  ") and line.endswith(":")]
    assert dict(zip(slots, types, strict=True)) == {
        "blob": "particle.blob",
        "alignments_class_0": "particle.alignments3D",
        "alignments3D_multi": "particle.alignments3D_multi",
        "alignments_class3D_1": "particle.alignments3D",
    }
    assert lines.count(f"    num_items: {N}") == lines.count("    metafile: '>p.cs'") == 4


def test_a_particle_that_a_set_does_not_hold(tmp_path: Path) -> None:
    uids = np.array([5, 3, 9], dtype=np.uint64)
    wanted = np.array([9, 5], dtype=np.uint64)
    assert rows_of(uids, wanted, tmp_path).tolist() == [2, 0]
    with pytest.raises(FormatError, match="does not hold the particle uid 4"):
        rows_of(uids, np.array([4], dtype=np.uint64), tmp_path)


def test_the_compressed_stream_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.cs").write_bytes(b"\x95CSDAT" + bytes(100))
    with pytest.raises(FormatError, match=r"compressed stream format.*Dataset"):
        read_cryosparc(tmp_path / "a.cs")
