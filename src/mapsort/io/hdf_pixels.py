"""Pixels of an image in EMAN2's HDF5 layout: plain, or compressed to integers of a few bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t

from mapsort.array_types import Array, Float32, Float64

#: Most bits of a pixel that EMAN2 keeps when it compresses.
MOST_BITS = 16
_DATASET = b"image"
_ROWS_IN_CHUNK = 8
_DEFLATE_LEVEL = 1
# EMAN2's numbers for the kinds of pixels.
_UINT8, _UINT16, _FLOAT32 = 2, 4, 7
#: The header item that tells that pixels are stored as they are.
PLAIN = {"datatype": _FLOAT32}
_SCALE = "stored_render"


def plain_dataset(group: h5g.GroupID, shape: tuple[int, ...]) -> h5d.DatasetID:
    """Make room for pixels that are written as they are."""
    return h5d.create(group, _DATASET, h5t.IEEE_F32LE, h5s.create_simple(shape), dcpl=_layout())


def write_compressed(group: h5g.GroupID, pixels: Float32, bits: int) -> dict[str, object]:
    """Write finite pixels as deflated integers of 1 to 16 bits, or, with 0, as deflated float32.

    The layout is EMAN2's: uint8 up to 8 bits and uint16 above, chunks of eight rows, gzip level 1,
    ``value = v / (2**bits - 1) * (max - min) + min``. Other than EMAN2 with its defaults, outliers
    are not clipped: no pixel moves by more than half a level, (max - min) / (2**bits - 1) / 2, and
    ``stored_truncated`` is 0. The header items that tell how pixels are stored are returned.
    """
    layout = _layout()
    layout.set_chunk(_chunk(pixels.shape))
    layout.set_deflate(_DEFLATE_LEVEL)
    stored = {"stored_renderbits": bits, "render_compress_level": _DEFLATE_LEVEL}
    if bits == 0:
        _write(group, pixels, h5t.IEEE_F32LE, layout)
        return {**PLAIN, **stored}
    low, high = pixels.min(), pixels.max()
    kind = h5t.STD_U8LE if bits <= 8 else h5t.STD_U16LE
    levels = _levels(pixels, float(low), float(high), bits)
    _write(group, levels.astype("u1" if bits <= 8 else "<u2"), kind, layout)
    return {
        "datatype": _UINT8 if bits <= 8 else _UINT16,
        f"{_SCALE}min": low,
        f"{_SCALE}max": high,
        "stored_truncated": 0,
        **stored,
    }


def is_scale(name: str) -> bool:
    """Whether a header item is needed to give stored integers their values."""
    return name.startswith(_SCALE)


def is_storage(name: str) -> bool:
    """Whether a header item tells how pixels are stored, not what they show."""
    return name.startswith(("stored_", "render_"))


def scaled_back(stored: Array, header: Mapping[str, object]) -> Float32:
    """Give stored pixels their values, by the items of `is_scale` in the image's header.

    Floating-point pixels, and integers without a scale, stay as they are.
    """
    bits, low, high = (header.get(_SCALE + item) for item in ("bits", "min", "max"))
    integers = stored.dtype.kind in "iu"
    if not (
        integers and isinstance(bits, int) and isinstance(low, float) and isinstance(high, float)
    ):
        return stored.astype(np.float32, copy=False)
    scaled = stored * ((high - low) / (2.0**bits - 1.0)) + low
    return np.asarray(scaled, dtype=np.float32)


def _levels(pixels: Float32, low: float, high: float, bits: int) -> Float64:
    if low == high:
        return np.zeros(pixels.shape)
    # In double precision: 16 bits leave no room for the rounding of a difference of two float32.
    return np.rint((pixels.astype(np.float64) - low) * ((2.0**bits - 1.0) / (high - low)))


def _layout() -> h5p.PropDCID:
    # No time of writing: the same images make the same file.
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_obj_track_times(False)
    return layout


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 1:
        return shape
    return (*(1,) * (len(shape) - 2), min(_ROWS_IN_CHUNK, shape[-2]), shape[-1])


def _write(group: h5g.GroupID, data: Array, kind: h5t.TypeID, layout: h5p.PropDCID) -> None:
    dataset = h5d.create(group, _DATASET, kind, h5s.create_simple(data.shape), dcpl=layout)
    dataset.write(h5s.ALL, h5s.ALL, data)
