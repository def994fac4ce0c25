"""The map or the images of a file whatever its format, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mapsort.array_types import Float32
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import HeaderValue
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.mrc import read_map
from mapsort.io.mrc_header import read_header
from mapsort.io.mrc_stack import MrcStack

#: MRC files that hold images also where these make up a cube.
STACK_SUFFIXES = (".mrcs", ".st")


@dataclass(frozen=True)
class ImageFile:
    """An open file; images are numbered from 0."""

    n_images: int
    #: Of the first one: (ny, nx), or (nz, ny, nx) of a map.
    shape: tuple[int, ...]
    #: Pixel size [A/pixel]; None where the file states none.
    apix: float | None
    #: Reads an image or map, float32.
    image: Callable[[int], Float32]
    #: Reads its header; empty in an MRC file.
    header: Callable[[int], dict[str, HeaderValue]]

    @property
    def holds_maps(self) -> bool:
        """Whether its images have three dimensions."""
        return len(self.shape) == 3


@contextmanager
def open_images(path: Path, *, as_stack: bool = False) -> Iterator[ImageFile]:
    """Open EMAN2 HDF by suffix, all else as MRC, in which a cube is a map unless told otherwise.

    With ``as_stack`` a cube is a stack of images, whatever its file is called.

    Yields
    ------
    ImageFile
    """
    if path.suffix.lower() in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            n = reader.n_images
            shape = tuple(reader.shape(0)) if n else ()
            apix = reader.header(0).get("apix_x") if n else None
            usable = isinstance(apix, int | float) and apix > 0
            size = float(apix) if usable else None  # type: ignore[arg-type]
            yield ImageFile(n, shape, size, reader.image, reader.header)
        return
    header = read_header(path)
    is_cube = header.nx == header.ny == header.nz
    if is_cube and not as_stack and path.suffix.lower() not in STACK_SUFFIXES:
        sides = (header.nz, header.ny, header.nx)
        yield ImageFile(1, sides, header.apix, lambda _: read_map(path)[0], lambda _: {})
        return
    stack = MrcStack(path)
    yield ImageFile(
        stack.n_images, stack.box, header.apix, lambda i: stack.read([i])[0], lambda _: {}
    )
