"""Grey pictures of maps and images as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mapsort.array_types import Real, UInt8

Grey = UInt8

#: Share of pixels at each end that may be cut off when densities become grey.
_TAIL = 0.001
#: Grey levels are multiples of this: the eye sees no difference, and files shrink by a third.
_STEP = 4
_WHITE = 255


def grey_range(image: Real) -> tuple[float, float]:
    """Return the densities that become black and white."""
    low, high = np.quantile(image, [_TAIL, 1 - _TAIL])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def grey(image: Real, limits: tuple[float, float] | None = None) -> Grey:
    """Return densities as grey levels, high is bright; y grows upward in the picture."""
    low, high = grey_range(image) if limits is None else limits
    scaled = np.clip((np.asarray(image, np.float32) - low) / (high - low), 0, 1)
    levels = np.rint(scaled * (_WHITE // _STEP)) * _STEP
    return np.ascontiguousarray(levels.astype(np.uint8)[::-1])


def shrunk(picture: Grey, largest: int) -> Grey:
    """Return a picture of at most this side, averaged down if it is larger."""
    side = max(picture.shape[:2])
    if side <= largest:
        return picture
    height, width = (max(1, round(n * largest / side)) for n in picture.shape[:2])
    made = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    return np.asarray(made) // _STEP * _STEP


def montage(pictures: Sequence[Grey], *, columns: int, gap: int = 2) -> Grey:
    """Return pictures of one size side by side, row by row, with white between them."""
    height, width, *colours = pictures[0].shape
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) - gap, min(columns, len(pictures)) * (width + gap) - gap)
    sheet = np.full((*shape, *colours), _WHITE, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        y, x = (number // columns) * (height + gap), (number % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def png(picture: Grey) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def jpeg_uri(picture: Grey, *, quality: int = 82) -> str:
    """Return a picture, grey (h, w) or coloured (h, w, 3), as JPEG text for an HTML file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def data_uri(content: bytes) -> str:
    """Return a PNG as text that stands in an HTML file."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def central_slices(volume: Real) -> list[Real]:
    """Return the slices through pixel n//2: seen along z (y up), y (z up) and x (z up)."""
    z, y, x = (n // 2 for n in volume.shape)
    return [volume[z], volume[:, y], volume[:, :, x]]


def projections(volume: Real) -> list[Real]:
    """Return the sums along z, y and x."""
    # Summing each plane's columns first reads the map once for two of the three sums.
    along_y = volume.sum(axis=1)
    along_x = volume.sum(axis=2)
    along_z = volume.sum(axis=0)
    return [along_z, along_y, along_x]


def map_strips(volume: Real, largest: int) -> tuple[bytes, bytes]:
    """Return three central slices and three projections, each set as one PNG."""
    cut = central_slices(volume)
    limits = grey_range(np.concatenate([image.ravel() for image in cut]))
    slices = [shrunk(grey(image, limits), largest) for image in cut]
    sums = [shrunk(grey(image), largest) for image in projections(volume)]
    return png(montage(slices, columns=3)), png(montage(sums, columns=3))
