"""The 1024-byte MRC2014 header: decoded, checked against the size of its file, and encoded.

The field layout and the byte-order stamp come from ``mrcfile``; the checks are ours, because a
truncated stack must be refused when it is opened, with the number of images that are really there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile.utils
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import DTypeLike

from mapsort.errors import FormatError, reading

HEADER_BYTES = 1024
MODE_FOUR_BIT = 101
ISPG_IMAGES = 0
ISPG_VOLUME = 1

_COMPLEX_MODES = (3, 4)
_IMAGE_MODES = (0, 1, 2, 6, 12, MODE_FOUR_BIT)
_MAX_AXIS = 1 << 24
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
# IMOD keeps its stamp and flags at bytes 152 and 156 of the header, inside ``extra2``.
_IMOD_STAMP = 1146047817
_IMOD_OFFSET = 152
_IMOD_SIGNED_BYTES = 1


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says, with the byte order resolved."""

    path: Path
    #: nx, ny and nz: columns, rows and sections as stored.
    nx: int
    ny: int
    nz: int
    #: MRC pixel mode: 0, 1, 2, 6, 12 or 101.
    mode: int
    #: ``"<"`` or ``">"``.
    byte_order: str
    #: Where pixels begin [bytes].
    data_offset: int
    #: Voxel size along x, y, z [A/pixel]; 0 where the header states none.
    voxel_ang: tuple[float, float, float]
    #: Which of x=1, y=2, z=3 the columns, rows and sections are.
    axes: tuple[int, int, int]
    #: ``ispg``: 0 for images, 1 for a volume.
    space_group: int
    #: Whether mode 0 means 0..255 (old IMOD files) instead of -128..127.
    unsigned_bytes: bool
    #: Size of the file [bytes].
    file_bytes: int

    @property
    def surplus(self) -> str | None:
        """What the file holds beyond what its header announces, in words; None for nothing."""
        rest = self.file_bytes - self.data_offset - self.nz * self.section_bytes
        if rest <= 0:
            return None
        more, odd = divmod(rest, self.section_bytes)
        beyond = [_count(more, "image")] if more else []
        beyond += [f"{_count(odd, 'byte')} of no whole image"] if odd else []
        return (
            f"{self.path}: the file is longer than its header says: {_count(self.nz, 'image')} "
            f"announced and read, and {' and '.join(beyond)} more"
        )

    @property
    def apix(self) -> float | None:
        """Pixel size along x [A/pixel], or None when the header states none."""
        return self.voxel_ang[0] if self.voxel_ang[0] > 0 else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Storage type of a pixel; for 4-bit files that of a byte holding two pixels."""
        if self.mode == MODE_FOUR_BIT or (self.mode == 0 and self.unsigned_bytes):
            return np.dtype(np.uint8)
        stored: np.dtype[Any] = mrcfile.utils.dtype_from_mode(self.mode)
        return stored.newbyteorder(self.byte_order)  # type: ignore[arg-type]

    @property
    def row_items(self) -> int:
        """Stored items in a row: ``nx``, or half of it (rounded up) for 4-bit pixels."""
        return (self.nx + 1) // 2 if self.mode == MODE_FOUR_BIT else self.nx

    @property
    def section_bytes(self) -> int:
        """Size of one section [bytes]."""
        return self.ny * self.row_items * self.dtype.itemsize

    def decode(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[Any]]:
        """Turn stored rows into pixels: unpacks 4-bit pairs (low half first), else a no-op."""
        if self.mode != MODE_FOUR_BIT:
            return stored
        pixels = np.empty((*stored.shape[:-1], 2 * stored.shape[-1]), dtype=np.uint8)
        pixels[..., 0::2] = stored & 0x0F
        pixels[..., 1::2] = stored >> 4
        return pixels[..., : self.nx]


def read_header(path: str | Path) -> MrcHeader:
    """Read the header of an MRC file that is known to hold all the sections that it announces.

    Raises
    ------
    FormatError
        The file is missing, empty, compressed, not MRC, complex-valued or truncated.
    """
    path = Path(path)
    head, size = _head_and_size(path)
    header, has_map_id = _decode(path, head, size)
    _check_size(header, has_map_id=has_map_id)
    return header


def encode_header(
    shape: tuple[int, int, int],
    apix: float,
    *,
    space_group: int,
    statistics: tuple[float, float, float, float],
    origin_ang: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> bytes:
    """Return the 1024 bytes of the header of a little-endian float32 file (nz, ny, nx).

    ``space_group`` is 0 for images (then ``mz`` = 1, as MRC2014 asks), 1 for a volume;
    ``statistics`` are minimum, maximum, mean and standard deviation (n); ``origin_ang`` is the
    position of voxel 0 along x, y, z. No time is written, so that equal input gives equal files.
    """
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
    nz, ny, nx = shape
    mz = nz if space_group == ISPG_VOLUME else 1
    for name, value in zip(
        ("nx", "ny", "nz", "mx", "my", "mz"), (nx, ny, nz, nx, ny, mz), strict=True
    ):
        header[name] = value
    header["mode"] = 2
    header["cella"] = (nx * apix, ny * apix, mz * apix)
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = statistics
    header["ispg"] = space_group
    header["nversion"] = 20141
    header["origin"] = origin_ang
    header["map"] = b"MAP "
    header["machst"] = mrcfile.utils.machine_stamp_from_byte_order("<")
    header["nlabl"] = 1
    header["label"][0] = b"mapsort"
    return header.tobytes()


def _head_and_size(path: Path) -> tuple[bytes, int]:
    with reading(path), path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        size = file.seek(0, 2)
    if size == 0:
        raise FormatError(f"{path}: the file is empty.")
    if head.startswith((_GZIP, _BZIP2)):
        raise FormatError(f"{path}: the file is compressed; decompress it first (gunzip, bunzip2).")
    if size < HEADER_BYTES:
        raise FormatError(f"{path}: not an MRC file: {size} bytes, less than one header (1024).")
    return head, size


def _decode(path: Path, head: bytes, size: int) -> tuple[MrcHeader, bool]:
    """Decode in the byte order that gives a plausible header, the stamp's order first."""
    plain = np.frombuffer(head, dtype=HEADER_DTYPE)[0]
    has_map_id = bytes(plain["map"])[:3] == b"MAP"
    try:
        first = str(mrcfile.utils.byte_order_from_machine_stamp(plain["machst"]))
    except ValueError:
        first = "<"
    candidates = [(order, _fields(head, order)) for order in (first, "<" if first == ">" else ">")]
    # Files exist whose stamp names the wrong order; the numbers themselves decide.
    for order, fields in candidates:
        if _plausible(fields) and int(fields["mode"]) in _IMAGE_MODES:
            return _from_fields(path, head, size, fields, order), has_map_id
    fields = candidates[0][1]
    raise FormatError(
        _unfinished(path, fields, size) or _why_not(path, fields, has_map_id=has_map_id)
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _fields(head: bytes, order: str) -> np.void:
    dtype: DTypeLike = HEADER_DTYPE.newbyteorder(order)
    fields: np.void = np.frombuffer(head, dtype=dtype)[0]
    return fields


def _plausible(fields: np.void) -> bool:
    sides = [int(fields[name]) for name in ("nx", "ny", "nz")]
    return all(0 < side <= _MAX_AXIS for side in sides) and int(fields["nsymbt"]) >= 0


def _unfinished(path: Path, fields: np.void, size: int) -> str | None:
    """Tell a stack whose number of images was never written, as when its writer was ended."""
    nx, ny, mode = (int(fields[name]) for name in ("nx", "ny", "mode"))
    if int(fields["nz"]) != 0 or not (0 < nx <= _MAX_AXIS and 0 < ny <= _MAX_AXIS):
        return None
    if mode not in _IMAGE_MODES or mode == MODE_FOUR_BIT or bytes(fields["map"])[:3] != b"MAP":
        return None
    section = nx * ny * mrcfile.utils.dtype_from_mode(mode).itemsize
    whole = max(0, size - HEADER_BYTES - max(0, int(fields["nsymbt"]))) // section
    return (
        f"{path}: the header announces 0 images; the file has room for {whole} of {nx} x {ny} "
        "pixels. The program that wrote it did not finish."
    )


def _why_not(path: Path, fields: np.void, *, has_map_id: bool) -> str:
    mode = int(fields["mode"])
    if not has_map_id:
        return f"{path}: not an MRC file."
    extended = int(fields["nsymbt"])
    if extended < 0:
        return f"{path}: damaged MRC header: its extended header has {extended} bytes."
    if not _plausible(fields):
        sides = " x ".join(str(int(fields[name])) for name in ("nx", "ny", "nz"))
        return f"{path}: damaged MRC header: it announces {sides} pixels."
    if mode in _COMPLEX_MODES:
        return f"{path}: MRC mode {mode} is a complex transform, not an image."
    return f"{path}: MRC mode {mode} is not known; readable are 0, 1, 2, 6, 12 and 101."


def _from_fields(path: Path, head: bytes, size: int, fields: np.void, order: str) -> MrcHeader:
    axes = (int(fields["mapc"]), int(fields["mapr"]), int(fields["maps"]))
    # Old programs leave the three axis numbers zero.
    axes = axes if sorted(axes) == [1, 2, 3] else (1, 2, 3)
    stamp, flags = np.frombuffer(head, dtype=f"{order}i4", count=2, offset=_IMOD_OFFSET)
    return MrcHeader(
        path=path,
        nx=int(fields["nx"]),
        ny=int(fields["ny"]),
        nz=int(fields["nz"]),
        mode=int(fields["mode"]),
        byte_order=order,
        data_offset=HEADER_BYTES + int(fields["nsymbt"]),
        voxel_ang=(
            _voxel(fields["cella"]["x"], fields["mx"]),
            _voxel(fields["cella"]["y"], fields["my"]),
            _voxel(fields["cella"]["z"], fields["mz"]),
        ),
        axes=axes,
        space_group=int(fields["ispg"]),
        unsigned_bytes=int(stamp) == _IMOD_STAMP and not int(flags) & _IMOD_SIGNED_BYTES,
        file_bytes=size,
    )


def _voxel(cell_ang: float, samples: int) -> float:
    cell = float(cell_ang)
    if not math.isfinite(cell) or cell <= 0 or int(samples) <= 0:
        return 0.0
    # The header keeps the cell in float32; seven digits drop the noise of the division.
    return float(f"{cell / int(samples):.7g}")


def _check_size(header: MrcHeader, *, has_map_id: bool) -> None:
    size = header.file_bytes
    need = header.data_offset + header.nz * header.section_bytes
    if not has_map_id and size != need:
        raise FormatError(f"{header.path}: not an MRC file: no MAP identifier in its header.")
    extended = header.data_offset - HEADER_BYTES
    if extended and size == need - extended:
        raise FormatError(
            f"{header.path}: the header announces an extended header of {extended} bytes that is "
            f"not there: the file is exactly as long as its {header.nz} images without one. Set "
            "nsymbt (byte 92) to 0."
        )
    if size < need:
        whole = max(0, size - header.data_offset) // header.section_bytes
        raise FormatError(
            f"{header.path}: truncated: the header announces {header.nz} images "
            f"({need} bytes), the file holds {whole} whole ones ({size} bytes) and ends in image "
            f"{whole + 1}. Copy it again."
        )
