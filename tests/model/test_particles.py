from __future__ import annotations

import pickle
import re
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import BadImagesError, FormatError
from mapsort.io.mrc import write_stack
from mapsort.io.star import write_particles
from mapsort.model.particles import Particles
from mapsort.refinement.suspect_images import counting_bad

BOX = 8
#: particle → (file, image number from 1); scattered over files on purpose
WHERE = [("a", 3), ("b", 1), ("a", 1), ("c", 2), ("b", 2), ("a", 3), ("c", 1)]


def pixels(n_images: int, *, seed: int, box: int = BOX) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_images, box, box)).astype(np.float32)


def optics_table(**changes: object) -> pd.DataFrame:
    columns = {
        "rlnOpticsGroup": [1],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [1.5],
        "rlnImageSize": [BOX],
    }
    return pd.DataFrame(columns | changes)


def particle_table(n: int = len(WHERE), **changes: object) -> pd.DataFrame:
    columns = {
        "rlnImageName": [f"{number:06d}@stacks/{name}.mrcs" for name, number in WHERE][:n],
        "rlnOpticsGroup": 1,
        "rlnDefocusU": np.arange(n) * 100 + 10000.0,
        "rlnDefocusV": np.arange(n) * 100 + 11000.0,
        "rlnDefocusAngle": 30.0,
    }
    return pd.DataFrame(columns | changes)


@pytest.fixture
def star(tmp_path: Path) -> Path:
    (tmp_path / "stacks").mkdir()
    for seed, name in enumerate("abc"):
        write_stack(tmp_path / f"stacks/{name}.mrcs", pixels(3, seed=seed), 1.5)
    write_particles(tmp_path / "p.star", optics_table(), particle_table())
    return tmp_path / "p.star"


def expected_images() -> np.ndarray:
    stacks = {name: pixels(3, seed=seed) for seed, name in enumerate("abc")}
    return np.stack([stacks[name][number - 1] for name, number in WHERE])


def test_open_star(star: Path) -> None:
    particles = Particles.open(star)
    assert (len(particles), particles.box, particles.apix) == (7, BOX, 1.5)
    assert [path.name for path in particles.files] == ["a.mrcs", "b.mrcs", "c.mrcs"]
    assert particles.table["rlnImageName"].iloc[0] == "000003@stacks/a.mrcs"
    particles.validate()
    images = particles.images(slice(None))
    assert (images.shape, images.dtype) == ((7, BOX, BOX), np.float32)
    np.testing.assert_array_equal(images, expected_images())


def test_ctf(star: Path) -> None:
    ctf = Particles.open(star).ctf
    assert ctf is not None
    assert ctf.defocus_u_ang.tolist() == [10000.0 + 100 * i for i in range(7)]
    assert ctf.defocus_v_ang[0] == 11000
    assert set(ctf.voltage_kv) == {300.0}
    assert set(ctf.cs_mm) == {2.7}
    assert set(ctf.amplitude_contrast) == {0.1}
    assert set(ctf.phase_shift_deg) == {0.0}
    assert set(ctf.bfactor_ang2) == {0.0}
    assert set(ctf.defocus_angle_deg) == {30.0}


@given(wanted=st.lists(st.integers(0, 6), max_size=20))
@settings(max_examples=30, deadline=None)
def test_images_come_in_the_order_asked_for(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[int]
) -> None:
    particles = Particles.open(_cached_star(tmp_path_factory))
    np.testing.assert_array_equal(particles.images(wanted), expected_images()[wanted])
    part = particles.subset(wanted)
    assert len(part) == len(wanted)
    assert part.table["rlnDefocusU"].tolist() == [10000.0 + 100 * i for i in wanted]
    np.testing.assert_array_equal(part.images(slice(None)), expected_images()[wanted])


def _cached_star(factory: pytest.TempPathFactory) -> Path:
    root = factory.getbasetemp() / "cached"
    if not root.exists():
        (root / "stacks").mkdir(parents=True)
        for seed, name in enumerate("abc"):
            write_stack(root / f"stacks/{name}.mrcs", pixels(3, seed=seed), 1.5)
        write_particles(root / "p.star", optics_table(), particle_table())
    return root / "p.star"


def test_indexing(star: Path) -> None:
    particles = Particles.open(star)
    expected = expected_images()
    mask = np.array([True, False, False, True, False, False, True])
    np.testing.assert_array_equal(particles.images(mask), expected[mask])
    np.testing.assert_array_equal(particles.images(slice(1, 6, 2)), expected[1:6:2])
    np.testing.assert_array_equal(particles.images(-1), expected[[-1]])
    assert particles.images([]).shape == (0, BOX, BOX)
    part = particles.subset(mask).subset([2, 0])
    np.testing.assert_array_equal(part.images(slice(None)), expected[[6, 0]])
    assert part.ctf is not None
    assert part.ctf.defocus_u_ang.tolist() == [10600, 10000]
    with pytest.raises(IndexError):
        particles.images([7])
    with pytest.raises(IndexError):
        particles.subset([99])


def test_pickle(star: Path) -> None:
    particles = Particles.open(star)
    particles.images([0])
    copy = pickle.loads(pickle.dumps(particles))
    np.testing.assert_array_equal(copy.images([3, 1]), expected_images()[[3, 1]])
    pd.testing.assert_frame_equal(copy.table, particles.table)


def test_bare_stack(tmp_path: Path) -> None:
    path = tmp_path / "set.mrcs"
    data = pixels(4, seed=9)
    write_stack(path, data, 2.5)
    particles = Particles.open(path)
    assert (len(particles), particles.box, particles.apix, particles.ctf) == (4, BOX, 2.5, None)
    assert particles.table["rlnImageName"].tolist()[3] == f"000004@{path}"
    assert particles.optics["rlnImagePixelSize"].tolist() == [2.5]
    np.testing.assert_array_equal(particles.images([3, 0]), data[[3, 0]])
    particles.validate()
    assert Particles.open(path, apix=1.0).apix == 1.0
    again = tmp_path / "again.star"
    write_particles(again, particles.optics, particles.table)
    np.testing.assert_array_equal(Particles.open(again).images(slice(None)), data)


def test_bare_stack_without_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "set.mrc"
    write_stack(path, pixels(2, seed=1), 1.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.cella = (0, 0, 0)
    with pytest.raises(FormatError, match=r"set\.mrc: .*no pixel size; give it with --apix"):
        Particles.open(path)
    assert Particles.open(path, apix=3.0).apix == 3.0
    with pytest.raises(FormatError, match=r"set\.mrc: the pixel size must be positive"):
        Particles.open(path, apix=-1.0)


@pytest.mark.parametrize("name", ["p.hdf", "p.lst", "p.cs", "p.star", "p.mrcs"])
def test_missing_file(name: str) -> None:
    with pytest.raises(FormatError, match=rf"{name}: no such file"):
        Particles.open(name)


def test_formats_that_are_not_read() -> None:
    with pytest.raises(FormatError, match=r"p: particles are read from \.star, \.cs, \.hdf"):
        Particles.open("p")
    with pytest.raises(FormatError, match=r"bdb:particles#all is an EMAN2 bdb:.*e2proc2d\.py"):
        Particles.open("bdb:particles#all")
    with pytest.raises(FormatError, match="go with a cryoSPARC"):
        Particles.open("p.star", passthrough=["q.cs"])


def test_header_of_another_pixel_size(star: Path) -> None:
    assert Particles.open(star).validate() == ()
    write_stack(star.parent / "stacks/b.mrcs", pixels(3, seed=1), 1.51)
    assert Particles.open(star).validate() == ()  # within 1 %
    write_stack(star.parent / "stacks/b.mrcs", pixels(3, seed=1), 3.0)
    (note,) = Particles.open(star).validate()
    assert re.search(r"b\.mrcs: the header states 3 A/pixel and .*p\.star 1\.5; 1\.5 is used", note)
    write_stack(star.parent / "stacks/c.mrcs", pixels(3, seed=1), 4.0)
    (note,) = Particles.open(star).validate()
    assert "(and 1 more stacks)" in note


def test_not_square(tmp_path: Path) -> None:
    path = tmp_path / "flat.mrcs"
    write_stack(path, np.zeros((2, 4, 6), dtype=np.float32), 1.0)
    with pytest.raises(FormatError, match=r"flat\.mrcs: the images are 6 x 4"):
        Particles.open(path)


def test_stack_of_another_box(star: Path) -> None:
    write_stack(star.parent / "stacks/c.mrcs", pixels(3, seed=2, box=10), 1.5)
    particles = Particles.open(star)
    for ask in (particles.validate, lambda: particles.images([3])):
        with pytest.raises(FormatError, match=r"c\.mrcs: its images are 10 x 10.*8 x 8"):
            ask()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rlnImagePixelSize": [1.5, 1.6]}, r"different pixel sizes \(1\.5, 1\.6 A\)"),
        ({"rlnImageSize": [8, 10]}, "images of 8, 10 pixels, the first stack has 8"),
        ({"rlnImageSize": [16, 16]}, "images of 16 pixels, the first stack has 8"),
    ],
)
def test_optics_groups_must_agree(
    star: Path, changes: dict[str, list[float]], message: str
) -> None:
    optics = pd.concat([optics_table(), optics_table(rlnOpticsGroup=[2])], ignore_index=True)
    groups = [1, 2, 1, 2, 1, 2, 1]
    write_particles(star, optics.assign(**changes), particle_table(rlnOpticsGroup=groups))
    with pytest.raises(FormatError, match=message) as caught:
        Particles.open(star)
    assert str(star) in str(caught.value)


def test_unused_optics_group_does_not_matter(star: Path) -> None:
    optics = pd.concat(
        [optics_table(), optics_table(rlnOpticsGroup=[2], rlnImagePixelSize=[9.0])],
        ignore_index=True,
    )
    write_particles(star, optics, particle_table())
    assert Particles.open(star).apix == 1.5


def test_missing_stack(star: Path) -> None:
    (star.parent / "stacks/b.mrcs").unlink()
    with pytest.raises(FormatError, match=r"p\.star: the image file stacks/b\.mrcs is not found"):
        Particles.open(star)


def test_datadir(star: Path, tmp_path: Path) -> None:
    other = tmp_path / "scratch"
    other.mkdir()
    for seed, name in enumerate("abc", start=10):
        write_stack(other / f"{name}.mrcs", pixels(3, seed=seed), 1.5)
    particles = Particles.open(star, datadir=other)
    np.testing.assert_array_equal(particles.images([2])[0], pixels(3, seed=10)[0])


def test_truncated_stack(star: Path) -> None:
    path = star.parent / "stacks/c.mrcs"
    path.write_bytes(path.read_bytes()[:-10])
    particles = Particles.open(star)
    with pytest.raises(FormatError, match=r"c\.mrcs: truncated.*3 images.*2 whole"):
        particles.validate()


def test_image_number_beyond_the_stack(star: Path) -> None:
    names = particle_table()["rlnImageName"].replace("000002@stacks/b.mrcs", "4@stacks/b.mrcs")
    write_particles(star, optics_table(), particle_table(rlnImageName=names))
    particles = Particles.open(star)
    with pytest.raises(
        FormatError, match=r"p\.star: particle 5 is image 4 of .*b\.mrcs, which holds 3"
    ):
        particles.validate()
    with pytest.raises(FormatError, match=r"b\.mrcs: image 4 was asked for.*holds 3"):
        particles.images([4])


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (np.inf, "NaN or infinite"), (None, r"constant \(5\)")]
)
def test_images_nobody_can_align(star: Path, value: float | None, message: str) -> None:
    with mrcfile.mmap(star.parent / "stacks/c.mrcs", "r+") as mrc:
        if value is None:
            mrc.data[1] = 5
        else:
            mrc.data[1, 2, 3] = value
    particles = Particles.open(star)
    assert particles.images([0, 6]).shape == (2, BOX, BOX)
    with pytest.raises(FormatError, match=rf"c\.mrcs: image 2 \(particle 4 of .*{message}"):
        particles.images(slice(None))
    with pytest.raises(FormatError, match=r"c\.mrcs: image 2 \(particle 1 of "):
        particles.subset([3]).images([0])


def test_real_stacks(shared_dir: Path) -> None:
    for name, box, apix in (("empiar10076_7", 320, 1.31), ("empiar10076_7_64px", 64, 6.55)):
        particles = Particles.open(shared_dir / f"data/stacks/{name}.star")
        assert (len(particles), particles.box) == (7, box)
        assert particles.apix == pytest.approx(apix, rel=1e-3)
        particles.validate()
        assert particles.ctf is not None
        assert particles.ctf.cs_mm.tolist() == [2.7] * 7
        assert particles.images(slice(0, 7, 3)).shape == (3, box, box)


def test_tables_of_relion(golden_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(golden_dir / "files/relion")
    old, new = Particles.open("particles_30.star"), Particles.open("restacked.star")
    np.testing.assert_array_equal(old.images(slice(None)), new.images(slice(None)))
    assert old.apix == new.apix == 2.0
    assert old.optics["rlnImageSize"].tolist() == [32]


def test_bad_images_are_all_counted(star: Path) -> None:
    """The first is named with its place, some by their numbers, and all are counted."""
    for name, bad in (("a", [0, 2]), ("c", [1])):
        images = pixels(3, seed=1)
        images[bad] = 7.0
        write_stack(star.parent / f"stacks/{name}.mrcs", images, 1.5)
    particles = Particles.open(star)
    constant = dict.fromkeys((0, 2, 3, 5), "is constant (7)")
    assert particles.bad_images(slice(None)) == constant
    with pytest.raises(BadImagesError) as caught:
        particles.images(slice(None))
    assert str(caught.value) == (
        f"{particles.files[0]}: image 3 (particle 1 of {star}) is constant (7). 4 images cannot be "
        "used: particles 1, 3, 4, 6. Remove them from the set."
    )
    with pytest.raises(BadImagesError, match=r"particle 6 of .* is constant \(7\)\. Remove it"):
        particles.images([4, 5, 6])
    # Those of later ranges are counted too.
    ranges = [slice(n, n + 1) for n in range(7)]
    read = counting_bad(particles, ((own, particles.images(own)) for own in ranges), ranges)
    with pytest.raises(BadImagesError, match=r"4 images cannot be used: particles 1, 3, 4, 6\."):
        list(read)
    many = dict.fromkeys(range(7), "is constant (0)")
    with pytest.raises(BadImagesError, match=r"7 images .* particles 1, 2, 3, 4, 5 and 2 more\."):
        particles.refuse(many)


def test_who_says_which_pixel_size(star: Path) -> None:
    (note,) = Particles.open(star, apix=3.5).validate()
    assert "the header states 1.5 A/pixel and --apix 3.5; 3.5 is used" in note
    assert str(star) not in note


def test_stacks_longer_than_their_headers_say(star: Path) -> None:
    for name in "ac":
        with (star.parent / f"stacks/{name}.mrcs").open("ab") as file:
            file.write(bytes(2 * 4 * BOX**2))
    (note,) = Particles.open(star).validate()
    assert "longer than its header says: 3 images announced and read, and 2 images more" in note
    assert note.endswith("(and 1 more stacks like it)")
