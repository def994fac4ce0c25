from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.star import write_particles
from mapsort.jobs.convert import convert
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.physics.ctf import ctf_images

BOX, APIX = 12, 1.5
FORMATS = ("star", "cs", "hdf", "lst", "mrcs")
WRITABLE = ("star", "hdf", "lst", "mrcs")
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]


def run(*files: Path, **options: Any) -> Path:
    made = convert(ConvertOptions(files=files, **options))
    return made.files[0]


def write_set(directory: Path, n: int, seed: int = 0, phase: float = 0.0) -> Path:
    """Particles of two optics groups in two stacks, in no order, with columns of the user's own."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, n, BOX, BOX)).astype(np.float32)
    for name, stack in zip("ab", images, strict=True):
        write_stack(directory / f"{name}.mrcs", stack, APIX)
    places = [(name, k) for name in "ab" for k in range(1, n + 1)]
    chosen = [places[k] for k in rng.permutation(2 * n)[:n]]
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1, 4],
            "rlnOpticsGroupName": ["one", "four"],
            "rlnVoltage": [300.0, 200.0],
            "rlnSphericalAberration": [2.7, 1.4],
            "rlnAmplitudeContrast": [0.1, 0.07],
            "rlnImagePixelSize": [APIX, APIX],
            "rlnImageSize": [BOX, BOX],
            "rlnImageDimensionality": [2, 2],
            "rlnBeamTiltX": [0.0, 0.3],
        }
    )
    angles = rng.uniform(-180, 180, size=(3, n))
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{k:06d}@{name}.mrcs" for name, k in chosen],
            "rlnOpticsGroup": np.where(np.arange(n) % 2, 4, 1),
            "rlnDefocusU": rng.uniform(5e3, 3e4, n),
            "rlnDefocusV": rng.uniform(5e3, 3e4, n),
            "rlnDefocusAngle": rng.uniform(0, 180, n),
            "rlnPhaseShift": phase,
            "rlnAngleRot": angles[0],
            "rlnAngleTilt": np.abs(angles[1]),
            "rlnAnglePsi": angles[2],
            "rlnOriginXAngst": rng.normal(size=n),
            "rlnOriginYAngst": rng.normal(size=n),
            "rlnClassNumber": rng.integers(1, 4, n),
            "rlnMicrographName": [f"mic {k % 3}.mrc" for k in range(n)],
            "rlnLabNote": rng.integers(0, 2**40, n),
        }
    )
    write_particles(directory / "set.star", optics, table)
    return directory / "set.star"


def as_cryosparc(star: Path) -> Path:
    """The same set as cryoSPARC would describe it; by scipy's rotation vectors."""
    particles = Particles.open(star)
    table, ctf = particles.table, particles.ctf
    assert ctf is not None
    n = len(particles)
    fields = [("uid", "<u8"), ("blob/path", "S200"), ("blob/idx", "<u4"), ("blob/psize_A", "<f8")]
    fields += [(f"ctf/{k}", "<f8") for k in ("df1_A", "df2_A", "df_angle_rad", "phase_shift_rad")]
    fields += [(f"ctf/{k}", "<f8") for k in ("accel_kv", "cs_mm", "amp_contrast")]
    fields += [("ctf/exp_group_id", "<u4"), ("alignments3D/pose", "<f8", (3,))]  # type: ignore[list-item]
    fields += [("alignments3D/shift", "<f8", (2,)), ("alignments3D/class", "<u4")]  # type: ignore[list-item]
    made = np.zeros(n, dtype=fields)
    made["uid"] = np.arange(n)
    made["blob/path"] = [str(particles.files[k].resolve()) for k in particles.file_of]
    made["blob/idx"], made["blob/psize_A"] = particles.index_in_file, APIX
    made["ctf/df1_A"], made["ctf/df2_A"] = ctf.defocus_u_ang, ctf.defocus_v_ang
    made["ctf/df_angle_rad"] = np.deg2rad(ctf.defocus_angle_deg)
    made["ctf/phase_shift_rad"] = np.deg2rad(ctf.phase_shift_deg)
    made["ctf/accel_kv"], made["ctf/cs_mm"] = ctf.voltage_kv, ctf.cs_mm
    made["ctf/amp_contrast"] = ctf.amplitude_contrast
    made["ctf/exp_group_id"] = table["rlnOpticsGroup"]
    turns = relion_to_matrix(table[ANGLES].to_numpy())
    made["alignments3D/pose"] = Rotation.from_matrix(turns.swapaxes(1, 2)).as_rotvec()
    made["alignments3D/shift"] = table[ORIGINS].to_numpy() / APIX
    made["alignments3D/class"] = table["rlnClassNumber"] - 1
    path = star.with_name("set.cs")
    with path.open("wb") as file:
        np.save(file, made, allow_pickle=False)
    return path


def in_format(star: Path, kind: str) -> Path:
    if kind == "star":
        return star
    return as_cryosparc(star) if kind == "cs" else run(star, star.with_name(f"from.{kind}"))


def check_same(one: Particles, other: Particles, *, tables: bool) -> None:
    np.testing.assert_array_equal(one.images(slice(None)), other.images(slice(None)))
    assert other.apix == pytest.approx(one.apix, rel=1e-7)
    if not tables:
        return
    assert one.ctf is not None
    assert other.ctf is not None
    for name in ("defocus_u_ang", "defocus_v_ang", "voltage_kv", "cs_mm", "defocus_angle_deg"):
        np.testing.assert_allclose(getattr(one.ctf, name), getattr(other.ctf, name), rtol=1e-9)
    # The sine in EMAN2's amplitude contrast is flat at a quarter turn: 1e-7 remains there.
    for name in ("phase_shift_deg", "amplitude_contrast"):
        np.testing.assert_allclose(
            getattr(one.ctf, name), getattr(other.ctf, name), rtol=1e-6, atol=1e-6
        )
    np.testing.assert_allclose(
        ctf_images(one.ctf, BOX, APIX), ctf_images(other.ctf, BOX, APIX), atol=2e-5
    )
    # EMAN2 keeps transforms in float32: 2^-24 of 1 in a matrix, and of tens of pixels in a shift.
    np.testing.assert_allclose(
        relion_to_matrix(one.table[ANGLES].to_numpy()),
        relion_to_matrix(other.table[ANGLES].to_numpy()),
        atol=1e-6,
    )
    np.testing.assert_allclose(one.table[ORIGINS], other.table[ORIGINS], rtol=1e-6, atol=1e-6)
    assert one.table["rlnClassNumber"].tolist() == other.table["rlnClassNumber"].tolist()
    assert one.table["rlnOpticsGroup"].tolist() == other.table["rlnOpticsGroup"].tolist()


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", WRITABLE)
def test_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str
) -> None:
    """Every format → every writable format → back to every writable one; a stack has no tables."""
    monkeypatch.chdir(tmp_path)
    first = in_format(write_set(tmp_path, 6), source)
    there = run(first, tmp_path / f"there.{target}")
    tables = "mrcs" not in (source, target)
    check_same(Particles.open(first), Particles.open(there), tables=tables)
    back_format = "star" if source == "cs" else source
    back = run(there, tmp_path / f"back.{back_format}")
    check_same(Particles.open(first), Particles.open(back), tables=tables)


@given(
    n=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    phase=st.sampled_from([0.0, 90.0, 35.5]),
    way=st.lists(st.sampled_from(["star", "hdf", "lst"]), min_size=1, max_size=3),
    copy=st.booleans(),
)
@settings(max_examples=10, deadline=None)
def test_any_way_through_the_formats(
    tmp_path_factory: pytest.TempPathFactory,
    n: int,
    seed: int,
    phase: float,
    way: list[str],
    copy: bool,
) -> None:
    directory = tmp_path_factory.mktemp("way")
    first = write_set(directory, n, seed, phase)
    path = first
    for step, kind in enumerate(way):
        path = run(path, directory / f"step{step}.{kind}", copy=copy)
    start, end = Particles.open(first), Particles.open(path)
    check_same(start, end, tables=True)
    for label in ("rlnMicrographName", "rlnLabNote"):
        assert end.table[label].astype(str).tolist() == start.table[label].astype(str).tolist()
    used = start.optics[start.optics["rlnOpticsGroup"].isin(start.table["rlnOpticsGroup"])]
    ours = end.optics.set_index("rlnOpticsGroup")
    for group, tilt, name in zip(
        used["rlnOpticsGroup"], used["rlnBeamTiltX"], used["rlnOpticsGroupName"], strict=True
    ):
        assert ours["rlnBeamTiltX"][group] == tilt
        assert ours["rlnOpticsGroupName"][group] == name


def test_lists_and_tables_refer_to_the_stacks_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    star = write_set(tmp_path, 4)
    (tmp_path / "sub").mkdir()
    for kind in ("star", "lst"):
        made = convert(ConvertOptions(files=(star, Path(f"sub/out.{kind}"))))
        assert made.files == (Path(f"sub/out.{kind}"),)
        assert "mrcs" in made.files[0].read_text()
        assert str(tmp_path) not in made.files[0].read_text()  # from the project's directory
    copied = convert(ConvertOptions(files=(star, Path("sub/copy.star")), copy=True))
    assert [f.name for f in copied.files] == ["copy.star", "copy.mrcs"]
    hdf = run(star, Path("sub/out.hdf"))
    assert len(convert(ConvertOptions(files=(hdf, Path("sub/from_hdf.star")))).files) == 2


def test_header_items_of_eman2_are_kept(tmp_path: Path) -> None:
    items = {"ptcl_repr": 3, "my_list": [1.5, 2.5], "ctf": "E1 0 0 0 10 300 2.7 2 0.01 1,5 1,7"}
    images = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    write_images(tmp_path / "a.hdf", images, [items] * 2, apix=2.0)
    with HdfReader(run(tmp_path / "a.hdf", tmp_path / "b.hdf", box=6)) as reader:
        header = reader.header(1)
    assert (header["ptcl_repr"], header["my_list"], header["nx"]) == (3, [1.5, 2.5], 6)
    assert header["ctf"] == items["ctf"]  # with its curves
    assert header["rlnCtfDataArePhaseFlipped"] == 1


def test_subsets(tmp_path: Path) -> None:
    star = write_set(tmp_path, 8)
    whole = Particles.open(star).table
    limit = float(whole["rlnDefocusU"].median())
    some = Particles.open(run(star, tmp_path / "w.star", where=f"rlnDefocusU<{limit}")).table
    assert some["rlnLabNote"].tolist() == whole["rlnLabNote"][whole["rlnDefocusU"] < limit].tolist()
    both = "rlnVoltage==200 and rlnMicrographName!='mic 1.mrc'"
    some = Particles.open(run(star, tmp_path / "x.star", where=both)).table
    chosen = (np.arange(8) % 2 == 1) & (whole["rlnMicrographName"] != "mic 1.mrc")
    assert some["rlnLabNote"].tolist() == whole["rlnLabNote"][chosen].tolist()
    first = Particles.open(run(star, tmp_path / "f.star", first=3)).table
    assert first["rlnLabNote"].tolist() == whole["rlnLabNote"].tolist()[:3]
    draws = [
        Particles.open(run(star, tmp_path / f"r{k}.star", random=4, randomseed=seed)).table
        for k, seed in enumerate((1, 1, 2))
    ]
    assert draws[0]["rlnLabNote"].tolist() == draws[1]["rlnLabNote"].tolist()
    assert draws[0]["rlnLabNote"].tolist() != draws[2]["rlnLabNote"].tolist()
    assert len(set(draws[0]["rlnLabNote"])) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "rlnDefocusU<1"}, "none of the 4 particles"),
        ({"where": "rlnDefocus<1"}, "no column rlnDefocus; did you mean rlnDefocus[UV]"),
        ({"where": "__import__('os')"}, "is not a condition"),
        ({"where": "rlnDefocusU<x"}, "holds numbers, not 'x'"),
        ({"where": "rlnMicrographName<x"}, "holds text"),
        ({"first": 5}, "there are only 4"),
        ({"random": 5}, "there are only 4"),
        ({"first": 1, "random": 1}, "one of the two"),
    ],
)
def test_bad_subsets(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(write_set(tmp_path, 4), tmp_path / "o.star", **options)


def test_images_are_changed(tmp_path: Path) -> None:
    star = write_set(tmp_path, 5)
    raw, ctf = Particles.open(star).images(slice(None)), Particles.open(star).ctf
    assert ctf is not None
    inverted = Particles.open(run(star, tmp_path / "i.star", invert=True))
    np.testing.assert_array_equal(inverted.images(slice(None)), -raw)
    cropped = Particles.open(run(star, tmp_path / "c.hdf", box=8))
    np.testing.assert_array_equal(cropped.images(slice(None)), raw[:, 2:10, 2:10])
    assert (cropped.box, cropped.optics["rlnImageSize"].tolist()) == (8, [8, 8])
    padded = Particles.open(run(star, tmp_path / "p.star", box=16))
    images = padded.images(slice(None))
    np.testing.assert_array_equal(images[:, 2:14, 2:14], raw)
    assert np.ptp(images[:, 0], axis=1).max() == 0  # the mean of the border, not a step to zero
    normal = Particles.open(run(star, tmp_path / "n.star", normalize=True)).images(slice(None))
    grid = np.arange(BOX) - BOX // 2
    outside = grid[:, None] ** 2 + grid**2 > (0.45 * BOX) ** 2
    np.testing.assert_allclose(normal[:, outside].mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(normal[:, outside].std(axis=1), 1, rtol=1e-5)
    flipped = Particles.open(run(star, tmp_path / "f.star", phaseflip=True))
    assert flipped.phase_flipped
    signs = np.where(ctf_images(ctf, BOX, APIX) < 0, -1, 1)
    signs[:, 0, 0] = 1
    expected = np.fft.irfft2(np.fft.rfft2(raw) * signs, s=(BOX, BOX))
    np.testing.assert_allclose(flipped.images(slice(None)), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="corrected already"):
        run(tmp_path / "f.star", tmp_path / "g.star", phaseflip=True)


def test_resampling_keeps_a_band_limited_image_and_what_is_known_of_it(tmp_path: Path) -> None:
    grid = (np.arange(24) - 12) * 1.0
    wave = np.cos(2 * np.pi * (2 * grid[:, None] + 3 * grid) / 24 + 0.4).astype(np.float32)
    write_stack(tmp_path / "a.mrcs", wave[None], 1.0)
    half = Particles.open(run(tmp_path / "a.mrcs", tmp_path / "b.mrcs", apix=2.0))
    assert (half.box, half.apix) == (12, 2.0)
    np.testing.assert_allclose(half.images([0])[0], wave[::2, ::2], atol=1e-5)
    star = write_set(tmp_path, 3)
    coarse = Particles.open(run(star, tmp_path / "c.hdf", apix=3.0))
    assert (coarse.box, coarse.apix) == (6, 3.0)
    before = Particles.open(star)
    assert before.ctf is not None
    assert coarse.ctf is not None
    np.testing.assert_allclose(coarse.ctf.defocus_u_ang, before.ctf.defocus_u_ang, rtol=1e-9)
    np.testing.assert_allclose(coarse.table[ORIGINS], before.table[ORIGINS], atol=1e-6)


def test_pixel_size_of_the_input_can_be_given(tmp_path: Path) -> None:
    star = write_set(tmp_path, 2)
    assert Particles.open(run(star, tmp_path / "o.star", inputapix=4.0)).apix == 4.0


def test_maps(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    write_map(tmp_path / "a.mrc", data, 2.0)
    there = run(tmp_path / "a.mrc", tmp_path / "b.hdf")
    back, apix = read_map(run(there, tmp_path / "c.mrc", invert=True))
    np.testing.assert_array_equal(back, -data)
    assert apix == 2.0
    small, apix = read_map(run(tmp_path / "a.mrc", tmp_path / "d.mrc", apix=4.0))
    assert (small.shape, apix) == ((4, 4, 4), 4.0)
    with pytest.raises(ConfigError, match="--first: is for particles"):
        run(tmp_path / "a.mrc", tmp_path / "e.mrc", first=1)
    with pytest.raises(ConfigError, match="a map is written as"):
        run(tmp_path / "a.mrc", tmp_path / "e.star")


def test_compressed_images(tmp_path: Path) -> None:
    star = write_set(tmp_path, 6)
    images = Particles.open(star).images(slice(None))
    made = run(star, tmp_path / "c.hdf", compressbits=12)
    after = Particles.open(made)
    error = np.abs(after.images(slice(None)) - images).max(axis=(1, 2))
    levels = np.ptp(images, axis=(1, 2)) / (2**12 - 1)
    assert (error > 0).all()
    assert (error <= levels / 2 + 1e-6).all()
    assert after.ctf is not None
    # A list gets images of its own: those that it could refer to are stored in another way.
    listed = run(made, tmp_path / "d.lst", compressbits=0)
    check_same(after, Particles.open(listed), tables=True)
    with HdfReader(made) as one, HdfReader(tmp_path / "d.hdf") as two:
        assert (one.header(5)["stored_renderbits"], one.header(5)["datatype"]) == (12, 4)
        assert (two.header(5)["stored_renderbits"], two.header(5)["datatype"]) == (0, 7)
    # Written plain again, nothing tells of compression.
    with HdfReader(run(made, tmp_path / "e.hdf")) as plain:
        assert "stored_renderbits" not in plain.header(0)
        assert plain.header(0)["datatype"] == 7
    with pytest.raises(ConfigError, match=r"--compressbits: is for \.hdf and \.lst, and OUT is"):
        run(star, tmp_path / "o.star", compressbits=8)


def test_compressed_map(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    write_map(tmp_path / "a.mrc", data, 2.0)
    there = run(tmp_path / "a.mrc", tmp_path / "b.hdf", compressbits=8)
    back, apix = read_map(run(there, tmp_path / "c.mrc"))
    assert apix == 2.0
    assert 0 < np.abs(back - data).max() <= np.ptp(data) / 255 / 2 + 1e-6


def test_refusals(tmp_path: Path) -> None:
    star = write_set(tmp_path, 2)
    for target, message in (
        ("o.pdb", "written are"),
        ("a.mrcs", "is read and cannot be written over"),
        ("set.star", "is read and cannot be written over"),
        ("none/o.star", "there is no directory"),
    ):
        before = (tmp_path / "a.mrcs").read_bytes()
        with pytest.raises(ConfigError, match=message):
            run(star, tmp_path / target)
        assert (tmp_path / "a.mrcs").read_bytes() == before
    with pytest.raises(ConfigError, match="holds no CTF"):
        run(tmp_path / "a.mrcs", tmp_path / "o.mrcs", phaseflip=True)
    with pytest.raises(ConfigError, match="two files, IN and OUT; there are 1"):
        run(star)
    with pytest.raises(FormatError, match="bdb:"):
        run(Path("bdb:x"), tmp_path / "o.star")
    constant = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    grid = np.arange(8) - 4
    constant[1, grid[:, None] ** 2 + grid**2 > 10] = 0
    write_stack(tmp_path / "z.mrcs", constant, 1.0)
    with pytest.raises(FormatError, match="particle 2 has a constant background"):
        run(tmp_path / "z.mrcs", tmp_path / "o.mrcs", normalize=True)
    assert not (tmp_path / "o.mrcs").exists()


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path, 5)
    assert main(["convert", "set.star", "out.hdf", "--where", "rlnOpticsGroup==1", "--box=8"]) == 0
    told = capsys.readouterr()
    assert told.out == "out.hdf  3 particles\n"
    assert "convert: 3 particles" in told.err
    assert main(["convert", "set.star", "out.pdb"]) == 2
    assert main(["convert", "set.star"]) == 2
    assert main(["convert", "none.star", "out.hdf"]) == 2
    assert "none.star: no such file" in capsys.readouterr().err
