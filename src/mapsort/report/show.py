"""Picture a map or stack as PNG on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, UInt8
from mapsort.errors import ConfigError
from mapsort.io.png import Grey, central_slices, grey, grey_range, montage, png, projections, shrunk
from mapsort.options.files import ShowOptions
from mapsort.physics.masks import lowpassed
from mapsort.report.captions import captioned
from mapsort.report.palette import difference_colours
from mapsort.report.pictures import is_map, read_stack, read_volume, stated_apix
from mapsort.rundir.atomic import atomic_path

_AXES = ("z", "y", "x")
#: Images of a stack are numbered where a number fits beside what they show [pixel].
_NUMBERED = 48


@dataclass(frozen=True)
class _Sheet:
    """Pictures of one size, row by row, what stands on each, and what all show."""

    pictures: list[UInt8]
    labels: list[str]
    columns: int
    words: str


def show(options: ShowOptions) -> str:
    """Write a picture of a map or an image stack.

    A map is shown as three central slices (perpendicular to z, y and x, one grey scale) above its
    projections along these axes; a stack as a montage, row by row from the top left. Small images
    are enlarged by a whole number, large ones averaged down. ``minus`` shows the difference of two
    maps from blue to red, in standard deviations.

    Returns
    -------
    str
        What the picture shows, in words.

    Raises
    ------
    FormatError
        The file cannot be read, or the stack has no such image.
    ConfigError
        The other map has another box, or a low-pass is asked for without a pixel size.
    """
    source = options.files[0]
    apix = stated_apix(source)
    if options.lowpass is not None and apix is None:
        raise ConfigError(f"--lowpass={options.lowpass:g}: {source} states no pixel size")
    if is_map(source):
        sheet, n = _of_map(options, apix)
    elif options.minus is not None:
        raise ConfigError(f"--minus={options.minus}: {source} is a stack, not a map")
    else:
        sheet, n = _of_stack(options, apix)
    with atomic_path(options.output) as part:
        part.write_bytes(png(_drawn(sheet, options, n, apix)))
    return sheet.words


def _drawn(sheet: _Sheet, options: ShowOptions, n: int, apix: float | None) -> UInt8:
    """Return the sheet; ``n`` is the side of an image before it was sized [pixel]."""
    side = max(sheet.pictures[0].shape[:2])
    whole = montage(sheet.pictures, columns=sheet.columns)
    if options.plain:
        return whole
    return captioned(
        whole,
        sheet.labels,
        tile=sheet.pictures[0].shape[:2],
        columns=sheet.columns,
        apix=None if apix is None else apix * n / side,
    )


def _of_map(options: ShowOptions, apix: float | None) -> tuple[_Sheet, int]:
    volume = _filtered(read_volume(options.files[0]), options, apix)
    labels = [*(f"slice {axis}" for axis in _AXES), *(f"projection {axis}" for axis in _AXES)]
    words = "slices (top) and projections perpendicular to z, y and x"
    if options.minus is not None:
        other = _filtered(read_volume(options.minus), options, apix)
        if other.shape != volume.shape:
            raise ConfigError(
                f"--minus={options.minus}: its box is {other.shape}, that of {options.files[0]} "
                f"{volume.shape}"
            )
        difference = volume - other
        images = [*central_slices(difference), *projections(difference)]
        pictures = [_coloured(image) for image in images]
        words = f"difference from {options.minus}, blue to red in standard deviations; {words}"
    else:
        cut = central_slices(volume)
        limits = grey_range(np.concatenate([image.ravel() for image in cut]))
        pictures = [grey(image, limits) for image in cut]
        pictures += [grey(image) for image in projections(volume)]
    side = max(max(picture.shape[:2]) for picture in pictures)
    sized = [_sized(_framed(picture, side), options.size) for picture in pictures]
    return _Sheet(sized, labels, 3, words), side


def _of_stack(options: ShowOptions, apix: float | None) -> tuple[_Sheet, int]:
    images = read_stack(options.files[0], options.first, options.count)
    n = max(images.shape[1:])
    # A montage of many stays as small as its images are.
    largest = options.size if len(images) * n <= 4 * options.size else min(n, options.size)
    pictures = [_sized(grey(_filtered(image, options, apix)), largest) for image in images]
    last = options.first + len(images) - 1
    numbered = max(pictures[0].shape) >= _NUMBERED
    labels = [str(options.first + i) if numbered else "" for i in range(len(images))]
    words = f"images {options.first} to {last}, row by row"
    return _Sheet(pictures, labels, math.ceil(math.sqrt(len(images))), words), n


def _filtered(image: Float32, options: ShowOptions, apix: float | None) -> Float32:
    if options.lowpass is None or apix is None:
        return image
    return lowpassed(image, apix / options.lowpass)


def _coloured(difference: Float32) -> UInt8:
    """Return a difference as colours, y upward: white is none."""
    spread = float(np.std(difference)) or 1.0
    return np.ascontiguousarray(difference_colours(difference, spread)[::-1])


def _sized(picture: UInt8, largest: int) -> UInt8:
    """Return a picture averaged down to a side, or enlarged by a whole number up to it."""
    times = largest // max(picture.shape[:2])
    if times > 1:
        return picture.repeat(times, axis=0).repeat(times, axis=1)
    return shrunk(picture, largest)


def _framed(picture: Grey, side: int) -> Grey:
    """Return a picture in a black square: a map that is no cube has pictures of several shapes."""
    height, width = picture.shape[:2]
    square = np.zeros((side, side, *picture.shape[2:]), dtype=np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = picture
    return square
