"""Particle images in an EMAN2 HDF5 file, read when asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32, Int64
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import HeaderValue


class HdfStack:
    """A stack of images of one size in an EMAN2 HDF5 file.

    Picklable (the file is opened again on the other side) and safe to read from several threads,
    which take turns inside the HDF5 library.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FormatError
        The file is missing, damaged, not EMAN2's, empty, or holds a map.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.note: str | None = None  # an HDF5 file knows what is in it
        self._reader = HdfReader(path)
        self.n_images = self._reader.n_images
        if self.n_images < 1:
            raise FormatError(f"{path}: the file holds no image.")
        self._first = self._reader.first
        shape = self._reader.shape(self._first)
        if len(shape) != 2:
            sides = " x ".join(map(str, shape[::-1]))
            raise FormatError(
                f"{path}: image {self._first} is {sides} pixels; 2-D images are needed."
            )
        self.box = (shape[0], shape[1])

    def __repr__(self) -> str:
        return f"HdfStack({str(self.path)!r}, n_images={self.n_images}, box={self.box})"

    def __reduce__(self) -> tuple[type[HdfStack], tuple[Path]]:
        return HdfStack, (self.path,)

    @property
    def stated_apix(self) -> float | None:
        """Pixel size [A/pixel] that the first header states, None when it states none."""
        value = self._reader.header(self._first, wanted=lambda name: name == "apix_x").get("apix_x")
        usable = isinstance(value, int | float) and np.isfinite(value) and value > 0
        return float(value) if usable else None  # type: ignore[arg-type]

    def read_into(
        self, images: Float32, indices: Int64, *, inspect: Callable[[Float32], None] | None = None
    ) -> None:
        """Read images into an array that is there already; see `ImageStack.read_into`.

        Raises
        ------
        FormatError
            There is no such image, it is damaged, or of another size than the first.
        """
        for place, index in enumerate(indices.tolist()):
            image = self._reader.image(index)
            if image.shape != self.box:
                raise FormatError(
                    f"{self.path}: image {index} has shape {image.shape}, image "
                    f"{self._first} {self.box}; they must be equal."
                )
            images[place] = image
            if inspect is not None:
                inspect(images[place : place + 1])

    def header(self, index: int) -> dict[str, HeaderValue]:
        """Read the whole header of an image; see `HdfReader.header`."""
        return self._reader.header(index)
