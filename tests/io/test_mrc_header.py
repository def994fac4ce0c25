"""The MRC header word by word: what is written, what is believed and what is refused."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest
from mrcfile.dtypes import HEADER_DTYPE

from mapsort.errors import FormatError
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_header import MrcHeader, read_header
from mapsort.io.mrc_stack import MrcStack

RAMP = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
STAMPS = {"<": b"\x44\x44\0\0", ">": b"\x11\x11\0\0"}


def write_words(path: Path, order: str = "<", *, stamp: str | bytes = "", **words: object) -> Path:
    """RAMP with a header of the given words, the others as a plain float32 volume has them."""
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder(order))
    plain = {"nx": 5, "ny": 3, "nz": 2, "mode": 2, "mx": 5, "my": 3, "mz": 2}
    plain |= {"mapc": 1, "mapr": 2, "maps": 3, "cella": (7.5, 4.5, 3.0), "map": b"MAP "}
    for name, value in {**plain, **words}.items():
        header[name] = value
    content = bytearray(header.tobytes())
    content[212:216] = stamp if isinstance(stamp, bytes) else STAMPS[stamp or order]
    path.write_bytes(bytes(content) + RAMP.astype(f"{order}f4").tobytes())
    return path


def written(path: Path) -> np.void:
    content: np.void = np.frombuffer(path.read_bytes()[:1024], HEADER_DTYPE.newbyteorder("<"))[0]
    return content


def test_every_word_of_a_map_and_of_a_stack(tmp_path: Path) -> None:
    """MRC2014: a stack of images has space group 0 and one section in its cell."""
    write_map(tmp_path / "map.mrc", RAMP, 1.5, origin_ang=(1.0, 2.0, 4.0))
    write_stack(tmp_path / "stack.mrcs", RAMP, 1.5)
    for name, group, sections, origin in (
        ("map.mrc", 1, 2, (1, 2, 4)),
        ("stack.mrcs", 0, 1, (0, 0, 0)),
    ):
        words = written(tmp_path / name)
        assert [int(words[k]) for k in ("nx", "ny", "nz", "mode")] == [5, 3, 2, 2]
        assert [int(words[k]) for k in ("nxstart", "nystart", "nzstart")] == [0, 0, 0]
        assert [int(words[k]) for k in ("mx", "my", "mz")] == [5, 3, sections]
        assert words["cella"].tolist() == (7.5, 4.5, 1.5 * sections)
        assert words["cellb"].tolist() == (90, 90, 90)
        assert [int(words[k]) for k in ("mapc", "mapr", "maps")] == [1, 2, 3]
        assert (words["dmin"], words["dmax"], words["dmean"]) == (0, 29, 14.5)
        assert words["rms"] == pytest.approx(RAMP.std(), rel=1e-6)
        assert (int(words["ispg"]), int(words["nsymbt"]), int(words["nversion"])) == (
            group,
            0,
            20141,
        )
        assert words["origin"].tolist() == origin
        assert (bytes(words["map"]), bytes(words["machst"])) == (b"MAP ", STAMPS["<"])
        assert (int(words["nlabl"]), words["label"][0]) == (1, b"mapsort")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stamp", ["<", ">", b"\0\0\0\0", b"\xff\xff\0\0"])
def test_the_numbers_decide_whatever_the_stamp_says(
    tmp_path: Path, order: str, stamp: str | bytes
) -> None:
    header = read_header(write_words(tmp_path / "a.mrc", order, stamp=stamp, nsymbt=0))
    assert header == MrcHeader(
        path=tmp_path / "a.mrc",
        nx=5,
        ny=3,
        nz=2,
        mode=2,
        byte_order=order,
        data_offset=1024,
        voxel_ang=(1.5, 1.5, 1.5),
        axes=(1, 2, 3),
        space_group=0,
        unsigned_bytes=False,
        file_bytes=1024 + RAMP.nbytes,
    )
    np.testing.assert_array_equal(read_map(tmp_path / "a.mrc")[0], RAMP)


def test_old_programs_leave_the_axes_zero(tmp_path: Path) -> None:
    for axes in ((0, 0, 0), (1, 1, 3), (1, 2, 4)):
        path = write_words(
            tmp_path / "a.mrc", **dict(zip(("mapc", "mapr", "maps"), axes, strict=True))
        )
        assert read_header(path).axes == (1, 2, 3)
    path = write_words(tmp_path / "a.mrc", mapc=2, mapr=1, maps=3, ispg=1)
    assert (read_header(path).axes, read_header(path).space_group) == ((2, 1, 3), 1)


@pytest.mark.parametrize(
    ("words", "voxel"),
    [
        ({"cella": (7.5, 3.0, 1.0)}, (1.5, 1.0, 0.5)),
        ({"cella": (0.0, 4.5, 3.0)}, (0, 1.5, 1.5)),
        ({"cella": (7.5, -4.5, np.nan)}, (1.5, 0, 0)),
        ({"cella": (np.inf, 4.5, 3.0)}, (0, 1.5, 1.5)),
        ({"mx": 0, "my": -3, "mz": 1}, (0, 0, 3.0)),
        # One third is no float32; what is meant is the decimal of seven digits.
        ({"cella": (5 / 3, 4.5, 3.0)}, (0.3333333, 1.5, 1.5)),
    ],
)
def test_voxels_are_the_cell_by_its_samples(
    tmp_path: Path, words: dict[str, object], voxel: tuple[float, ...]
) -> None:
    path = write_words(tmp_path / "a.mrc", **words)
    header = read_header(path)
    assert header.voxel_ang == voxel
    assert header.apix == (voxel[0] or None)
    stack = MrcStack(path)
    assert (stack.stated_apix, stack.apix) == (voxel[0] or None, voxel[0] or 1.0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"mode": 3}, "MRC mode 3 is a complex transform, not an image"),
        ({"mode": 4}, "MRC mode 4 is a complex transform, not an image"),
        ({"mode": 5}, "MRC mode 5 is not known; readable are 0, 1, 2, 6, 12 and 101"),
        ({"nx": 0}, "damaged MRC header: it announces 0 x 3 x 2 pixels"),
        ({"ny": -1}, "damaged MRC header: it announces 5 x -1 x 2 pixels"),
        ({"nz": (1 << 24) + 1}, "damaged MRC header: it announces 5 x 3 x 16777217 pixels"),
        ({"nz": 1 << 24}, r"truncated: the header announces 16777216 images"),
        ({"nsymbt": -4}, "damaged MRC header"),
        ({"map": b"    ", "mode": 3}, "not an MRC file"),
    ],
)
def test_headers_that_cannot_be(
    tmp_path: Path, order: str, words: dict[str, object], message: str
) -> None:
    path = write_words(tmp_path / "a.mrc", order, **words)
    with pytest.raises(FormatError, match=rf"a\.mrc: {message}"):
        read_header(path)


def test_without_an_identifier_the_size_must_be_right(tmp_path: Path) -> None:
    """Files of the years before 2000 have none."""
    path = write_words(tmp_path / "old.mrc", map=b"\0\0\0\0")
    np.testing.assert_array_equal(read_map(path)[0], RAMP)
    whole = path.read_bytes()
    for content in (whole + b"\0", whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"old\.mrc: not an MRC file: no MAP identifier"):
            read_header(path)
    # With it what follows the pixels is no matter.
    path = write_words(tmp_path / "new.mrc")
    path.write_bytes(path.read_bytes() + b"\0")
    np.testing.assert_array_equal(read_map(path)[0], RAMP)


def test_truncated_files_say_what_they_hold(tmp_path: Path) -> None:
    """A header of 1024 bytes, 200 more behind it, and two sections of 60 bytes."""
    path = write_words(tmp_path / "cut.mrc", nsymbt=200)
    content = path.read_bytes()
    content = content[:1024] + bytes(200) + content[1024:]
    path.write_bytes(content)
    assert read_header(path).data_offset == 1224
    np.testing.assert_array_equal(read_map(path)[0], RAMP)
    for size, whole in ((1343, 1), (1284, 1), (1283, 0), (1224, 0), (1100, 0)):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError) as caught:
            read_header(path)
        assert str(caught.value) == (
            f"{path}: truncated: the header announces 2 images (1344 bytes), the file holds "
            f"{whole} whole ones ({size} bytes) and ends in image {whole + 1}. Copy it again."
        )


def test_less_than_a_header(tmp_path: Path) -> None:
    path = write_words(tmp_path / "a.mrc")
    content = path.read_bytes()
    path.write_bytes(content[:1023])
    with pytest.raises(FormatError, match=r"not an MRC file: 1023 bytes, less than one header"):
        read_header(path)
    path.write_bytes(content[:1024])
    with pytest.raises(FormatError, match=r"truncated"):
        read_header(path)
    path.write_bytes(bz2.compress(content))
    with pytest.raises(FormatError, match=r"the file is compressed; decompress it first"):
        read_header(path)


def test_imod_stamp_of_the_other_byte_order(tmp_path: Path) -> None:
    for order in "<>":
        path = write_words(tmp_path / "a.st", order, mode=0, nx=20)
        content = bytearray(path.read_bytes())
        content[152:156] = np.array([1146047817], f"{order}i4").tobytes()
        for flags, unsigned in ((0, True), (1, False), (4, True)):
            content[156:160] = np.array([flags], f"{order}i4").tobytes()
            path.write_bytes(content)
            assert read_header(path).unsigned_bytes is unsigned
            assert read_header(path).dtype == (np.uint8 if unsigned else np.int8)


@pytest.mark.parametrize(
    ("mode", "nx", "items", "size"),
    [(0, 7, 7, 1), (1, 7, 7, 2), (2, 7, 7, 4), (6, 7, 7, 2), (12, 7, 7, 2), (101, 7, 4, 1)],
)
def test_sections_take_their_bytes(
    tmp_path: Path, mode: int, nx: int, items: int, size: int
) -> None:
    path = write_words(tmp_path / "a.mrc", mode=mode, nx=nx, nz=1)
    header = read_header(path) if 3 * items * size <= RAMP.nbytes else None
    assert header is not None
    assert (header.row_items, header.section_bytes) == (items, 3 * items * size)


def changed(path: Path, *, add: int = 0, **words: int) -> Path:
    """Write 20 images of 8 x 8 pixels, change words of the header and add bytes."""
    write_stack(path, np.random.default_rng(1).normal(size=(20, 8, 8)), 1.5)
    content = bytearray(path.read_bytes())
    for name, value in words.items():
        at = {"nz": 8, "nsymbt": 92}[name]
        content[at : at + 4] = int(value).to_bytes(4, "little", signed=True)
    path.write_bytes(bytes(content) + bytes(add))
    return path


@pytest.mark.parametrize(
    ("words", "add", "told"),
    [
        ({"nz": 1}, 0, "1 image announced and read, and 19 images more"),
        ({"nz": 19}, 0, "19 images announced and read, and 1 image more"),
        ({}, 3 * 256, "20 images announced and read, and 3 images more"),
        ({}, 1, "20 images announced and read, and 1 byte of no whole image more"),
        ({"nz": 18}, 100, "and 2 images and 100 bytes of no whole image more"),
        ({}, 0, None),
    ],
)
def test_files_longer_than_their_headers_say(
    tmp_path: Path, words: dict[str, int], add: int, told: str | None
) -> None:
    surplus = read_header(changed(tmp_path / "a.mrcs", add=add, **words)).surplus
    if told is None:
        assert surplus is None
    else:
        assert surplus is not None
        assert surplus.startswith(f"{tmp_path / 'a.mrcs'}: the file is longer than its header")
        assert surplus.endswith(told)


@pytest.mark.parametrize(
    ("words", "add", "told"),
    [
        ({"nsymbt": 49920}, 0, "an extended header of 49920 bytes that is not there"),
        ({"nsymbt": 80}, 0, "exactly as long as its 20 images without one"),
        ({"nsymbt": 512}, 100, "truncated: the header announces 20 images"),
        ({"nsymbt": -1}, 0, "its extended header has -1 bytes"),
        ({"nz": 0}, 0, "announces 0 images; the file has room for 20 of 8 x 8 pixels"),
        ({"nz": 0}, 100, "has room for 20 of"),
        ({"nz": -20}, 0, "damaged MRC header: it announces 8 x 8 x -20 pixels"),
    ],
)
def test_headers_that_do_not_fit_the_file(
    tmp_path: Path, words: dict[str, int], add: int, told: str
) -> None:
    with pytest.raises(FormatError, match=told):
        read_header(changed(tmp_path / "a.mrcs", add=add, **words))
