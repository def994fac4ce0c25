"""Words and a scale bar on a sheet of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mapsort.array_types import UInt8

Picture = UInt8

#: Gap between the pictures of a sheet, of its words from a picture's edge, and a letter's height.
_GAP, _EDGE, _LETTER = 2, 4, 11
#: A scale bar is at most this part of a picture's width.
_LONGEST = 0.4


def captioned(
    sheet: Picture,
    labels: Sequence[str],
    *,
    tile: tuple[int, ...],
    columns: int,
    apix: float | None,
) -> Picture:
    """Return a sheet with a label at the top left of each picture, and a scale bar in the first.

    Parameters
    ----------
    sheet : ndarray of shape (height, width) or (height, width, 3), uint8
    labels : sequence of str
        One for each picture, row by row.
    tile : tuple of int
        Height and width of a picture [pixel].
    columns : int
        Pictures in a row.
    apix : float, optional
        Size of a pixel of the sheet [A]; without it there is no bar.
    """
    image = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTER)
    ink = 255 if sheet.ndim == 2 else (0, 0, 0)
    for number, label in enumerate(labels):
        row, column = divmod(number, columns)
        place = (column * (tile[1] + _GAP) + _EDGE, row * (tile[0] + _GAP) + 1)
        draw.text(place, label, fill=ink, font=font)
    length = None if apix is None else bar_length(_LONGEST * tile[1] * apix)
    if apix is not None and length is not None and tile[0] >= 4 * _LETTER:
        bottom = tile[0] - _EDGE
        draw.rectangle([_EDGE, bottom - 2, _EDGE + round(length / apix), bottom], fill=ink)
        draw.text((_EDGE, bottom - 5 - _LETTER), f"{length:g} A", fill=ink, font=font)
    return np.asarray(image)


def bar_length(longest: float) -> float | None:
    """Return the largest of 1, 2, 5, 10 ... that is not longer; None if nothing is.

    Examples
    --------
    >>> bar_length(73.0), bar_length(19.9), bar_length(0.0)
    (50.0, 10.0, None)
    """
    if longest <= 0:
        return None
    decade = 10.0 ** math.floor(math.log10(longest))
    return next(step * decade for step in (5.0, 2.0, 1.0) if step * decade <= longest)
