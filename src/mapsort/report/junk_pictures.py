"""Some images of each set of junk, so that one sees what was taken for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.errors import FormatError
from mapsort.io.image_stack import open_stack
from mapsort.io.png import data_uri, grey, montage, png, shrunk
from mapsort.io.star import resolve_stack, split_image_names
from mapsort.io.star_columns import read_columns
from mapsort.report.content import Chart, Section
from mapsort.report.file_cache import FileCache
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted

#: Images of a set that are shown, evenly spread, those in a row, and their largest side [pixel].
_MOST, _COLUMNS, _SIDE = 24, 8, 64
_NAME = "rlnImageName"


def junk_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return some images of each set of junk, where there is any."""
    path = record.directory.particles(record.last)
    if not record.n_junk or not path.exists():
        return None
    counts = record.counts[-1]
    words = [
        "Junk enters no map: images that match no better than noise, and from junk2 on images that "
        "are nothing like their map."
    ]
    make = partial(_montages, n_models=record.n_models, n_junk=record.n_junk)
    try:
        pictures = cache.get("junk pictures", path, make)
    except FormatError as error:
        # The images may have moved since; the rest of the page is right without them.
        words.append(f"Its images cannot be shown: {error}")
        pictures = []
    charts = tuple(
        Chart(
            f"{name}: {counted(n, 'particle')}",
            f"Some images of {name}, evenly spread over its {counted(n, 'particle')}.",
            png=picture,
        )
        for name, n, picture in zip(counts.junk_names, counts.junk, pictures, strict=False)
        if picture
    )
    return Section(words=tuple(words), charts=charts)


def _montages(path: Path, *, n_models: int, n_junk: int) -> list[str]:
    table = read_columns(path, "particles", ("rlnClassNumber", _NAME), texts=(_NAME,))
    kind = np.minimum(table["rlnClassNumber"].to_numpy(dtype=np.int64) - n_models, n_junk)
    return [_montage(path, table[kind == number]) for number in range(1, n_junk + 1)]


def _montage(path: Path, junk: pd.DataFrame) -> str:
    if junk.empty:
        return ""
    spread = np.unique(np.linspace(0, len(junk) - 1, min(len(junk), _MOST)).astype(int))
    pictures = []
    indices, files = split_image_names(path, junk[_NAME].iloc[spread])
    for index, file in zip(indices, files, strict=True):
        stack = open_stack(resolve_stack(file, path))
        if index >= stack.n_images:
            raise FormatError(f"{stack.path}: {path} names image {index + 1}; the file is shorter.")
        image = np.empty((1, *stack.box), dtype=np.float32)
        stack.read_into(image, np.array([index]))
        pictures.append(shrunk(grey(image[0]), _SIDE))
    return data_uri(png(montage(pictures, columns=_COLUMNS)))
