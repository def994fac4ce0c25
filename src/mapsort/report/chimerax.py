"""``view.cxc``: what ChimeraX shows of a run, as the report colours it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from mapsort.model.volume import Volume
from mapsort.physics.masks import density_threshold
from mapsort.report.file_cache import FileCache
from mapsort.report.palette import set_colours
from mapsort.rundir.atomic import write_text
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.text import read_json

#: Model numbers of differences begin here, beyond those of maps.
_FIRST_DIFFERENCE = 101
#: Where the second map has less density than the first, and where it has more.
_LESS, _MORE = "#D55E00", "#0072B2"


def write_view(record: RunRecord, cache: FileCache) -> None:
    """Write the commands that show the last iteration's maps in ChimeraX.

    All maps are at one level, side by side. Where maps have been compared (`mapsort compare`), the
    significant part of the difference lies on the first of the two. Files are named as seen from
    the script, whose directory is ChimeraX's while it runs.
    """
    write_text(record.directory.view, "\n".join(_commands(record, cache)) + "\n")


def _commands(record: RunRecord, cache: FileCache) -> Iterator[str]:
    directory, iteration, n_models = record.directory, record.last, record.n_models
    name = directory.threed_filt if iteration else directory.maps
    paths = [name(iteration, number) for number in range(1, n_models + 1)]
    yield f"# Maps of iteration {iteration} of {record.name}: chimerax {directory.view.name}"
    shown = [(number, path) for number, path in enumerate(paths, start=1) if path.exists()]
    if not shown:
        return
    level = float(np.mean([cache.get("level", path, _level) for _, path in shown]))
    colours = set_colours(n_models, 0)
    for number, path in shown:
        yield f'open {path.name} id {number} name "map {number}"'
        yield f"volume #{number} style surface step 1 level {level:.5g}"
        yield f"color #{number} {colours[number - 1]}"
    if len(shown) > 1:
        yield f"tile #1-{n_models}"
    pairs = combinations([number for number, _ in shown], 2)
    for model, (a, b) in enumerate(pairs, start=_FIRST_DIFFERENCE):
        path = directory.difference(iteration, a, b)
        told = path.with_suffix(".json")
        if not (path.exists() and told.exists()):
            continue
        least = read_json(told)["least_standard_errors_called"]
        if least is None:  # nothing is significant
            continue
        yield f'open {path.name} id {model} name "map {b} less map {a}, standard errors"'
        yield (
            f"volume #{model} style surface step 1 level {-least:.4g} level {least:.4g} "
            f"color {_LESS} color {_MORE}"
        )
        # In the frame of the first, wherever that has been put.
        yield f"view position #{model} sameAsModels #{a}"
    yield "view"


def _level(path: Path) -> float:
    return float(density_threshold(Volume.open(path).data))
