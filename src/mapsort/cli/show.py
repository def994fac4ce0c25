"""``mapsort show``: a map's slices and projections, or a stack's images, as one PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

from mapsort.cli.output import say
from mapsort.errors import ConfigError
from mapsort.options.fields import whole_number

NAME = "show"
HELP = "picture a map (slices, projections) or a stack (montage) as PNG"

_IMAGES, _SIDE = 100, 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file and what of it is shown."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="map or stack: .mrc, .mrcs, .hdf; or particles: .star, .cs, .lst",
    )
    parser.add_argument("-o", "--output", metavar="PNG", help="picture to write (required)")
    parser.add_argument("--first", metavar="N", help="stack: first image, from 0 (default 0)")
    parser.add_argument(
        "--count", metavar="N", help=f"stack: how many images at most (default {_IMAGES})"
    )
    parser.add_argument(
        "--size", metavar="PX", help=f"largest side of one image in the picture (default {_SIDE})"
    )


def run(args: argparse.Namespace) -> int:
    """Check the request, write the picture and name it."""
    if len(args.files) != 1:
        raise ConfigError(f"one map or stack is needed; {len(args.files)} are given")
    if args.output is None:
        raise ConfigError("--output is missing: the PNG to write, for example -o map.png")
    output = Path(args.output)
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output={output}: pictures are written as .png")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output={output}: {output.absolute().parent} is not a directory")
    first, count = _whole("first", args.first, 0, 0), _whole("count", args.count, 1, _IMAGES)
    size = _whole("size", args.size, 8, _SIDE)
    # After the request is known to be right.
    from mapsort.report.show import show

    shown = show(Path(args.files[0]), output, first=first, count=count, size=size)
    say(f"{output}  {shown}")
    return 0


def _whole(name: str, written: str | None, low: int, default: int) -> int:
    if written is None:
        return default
    kind = whole_number(low)
    try:
        value: int = kind.parse(written)
    except ValueError:
        value = low - 1
    if not kind.accepts(value):
        raise ConfigError(f"--{name}={written}: expected {kind.words}")
    return value
