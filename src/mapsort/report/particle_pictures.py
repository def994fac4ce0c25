"""Some images of each map and of each set of junk, so that one sees what was taken for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Int64
from mapsort.errors import FormatError
from mapsort.io.image_stack import open_stack
from mapsort.io.png import data_uri, grey, montage, png, shrunk
from mapsort.io.star import resolve_stack, split_image_names
from mapsort.io.star_tables import read_columns
from mapsort.report.content import Chart, Section
from mapsort.report.file_cache import FileCache
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted

#: Images in a row, rows of a set, and the largest side of one [pixel].
_COLUMNS, _ROWS, _SIDE = 8, 3, 64
_NAME, _SCORE, _CLASS = "rlnImageName", "rlnLogLikeliContribution", "rlnClassNumber"


def pictures_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return some images of each map's particles, by score, and of each set of junk."""
    path = record.directory.particles(record.last)
    if not path.exists():
        return None
    counts = record.counts[-1]
    words = [
        "For each map: particles with the highest scores (first row), with middle ones, and with "
        "the lowest."
    ]
    if record.n_junk:
        words.append(
            "Junk enters no map. It holds images that match no better than noise; junk2 and "
            "further sets hold images that do not resemble their map."
        )
    # The report may be written anew from anywhere; names are relative to where the run was begun.
    begun = Path(record.manifest.directory) / (record.manifest.options.get("datadir") or "")
    make = partial(_montages, n_models=record.n_models, n_sets=len(counts.all), datadir=begun)
    try:
        pictures = cache.get("particle pictures", path, make)
    except FormatError as error:
        # The images may have moved since; the rest of the page is right without them.
        words.append(f"The images cannot be shown: {error}")
        pictures = []
    charts = tuple(
        Chart(
            f"{name.capitalize()}: {counted(n, 'particle')}",
            f"Some images of {name}, which has {counted(n, 'particle')}.",
            png=picture,
        )
        for name, n, picture in zip(counts.names, counts.all, pictures, strict=False)
        if picture
    )
    return Section(words=tuple(words), charts=charts)


def _montages(path: Path, *, n_models: int, n_sets: int, datadir: Path) -> list[str]:
    table = read_columns(path, "particles", (_CLASS, _NAME, _SCORE), texts=(_NAME,))
    place = np.minimum(table[_CLASS].to_numpy(dtype=np.int64) - 1, n_sets - 1)
    shown = []
    for number in range(n_sets):
        own = table[place == number]
        if number < n_models and _SCORE in own:
            chosen = _by_score(own)
        else:
            chosen = _spread(len(own), _ROWS * _COLUMNS)
        shown.append(_montage(path, own[_NAME].iloc[chosen], datadir) if len(chosen) else "")
    return shown


def _by_score(own: pd.DataFrame) -> Int64:
    """Return the rows with the highest, middling and lowest scores, each once, in this order."""
    order = np.argsort(-own[_SCORE].to_numpy(dtype=np.float64), kind="stable")
    if len(order) <= _ROWS * _COLUMNS:
        return order
    middle = (len(order) - _COLUMNS) // 2
    return np.concatenate([order[:_COLUMNS], order[middle : middle + _COLUMNS], order[-_COLUMNS:]])


def _spread(n: int, most: int) -> Int64:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _montage(path: Path, names: pd.Series, datadir: Path) -> str:
    pictures = []
    indices, files = split_image_names(path, names)
    for index, file in zip(indices, files, strict=True):
        stack = open_stack(resolve_stack(file, path, datadir=datadir))
        if index >= stack.n_images:
            raise FormatError(f"{stack.path}: {path} names image {index + 1}; the file is shorter.")
        image = np.empty((1, *stack.box), dtype=np.float32)
        stack.read_into(image, np.array([index]))
        pictures.append(shrunk(grey(image[0]), _SIDE))
    return data_uri(png(montage(pictures, columns=_COLUMNS)))
