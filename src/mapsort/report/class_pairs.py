"""Class averages beside the projections they were made with."""

from __future__ import annotations

from functools import partial

import numpy as np

from mapsort.array_types import Real
from mapsort.io.hdf import HdfReader
from mapsort.io.png import data_uri, grey, montage, png, shrunk
from mapsort.report.content import ClassGallery, ClassPair, Section
from mapsort.report.file_cache import FileCache
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.matrices import map_starts, read_members
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted

#: Pairs shown in all, the most populated classes of each map; every map gets some.
_PAIRS, _LEAST_PAIRS = 160, 16
#: Largest side of a picture [pixel].
_SIDE = 96


def classes_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return the most populated classes of each map, where the run has kept the files."""
    galleries = class_pairs(record.directory, record.last, record.n_models, cache)
    words = (
        "Each pair: class average left, projection of the map right. Bold: particles averaged. Σ: "
        "the sum of their weights, if these are not 1. After a minus: particles of the class left "
        "out of the average. cc: correlation of the two pictures.",
    )
    return Section(words=words, galleries=tuple(galleries)) if galleries else None


def class_pairs(
    directory: RunDirectory, iteration: int, n_models: int, cache: FileCache
) -> list[ClassGallery]:
    """Return the classes of each map; none where the run has not kept the files."""
    files = [directory.classes(iteration), directory.projections(iteration)]
    matrices = [directory.classify(iteration), directory.cls_result(iteration)]
    if not all(path.exists() for path in (*files, *matrices)):
        return []
    starts = map_starts(files[1], n_models)
    found = cache.get("members", matrices[1], partial(read_members, classify=matrices[0]))
    used = np.bincount(found.class_of[found.entering], minlength=starts[-1])
    excluded = np.bincount(found.class_of[found.kept_out], minlength=starts[-1])
    weight = np.bincount(
        found.class_of[found.entering], found.weight[found.entering], minlength=starts[-1]
    )
    limit = max(_LEAST_PAIRS, _PAIRS // n_models)
    with HdfReader(files[0]) as averages, HdfReader(files[1]) as projections:
        shown = []
        for model in range(n_models):
            numbers = np.arange(starts[model], starts[model + 1])
            order = numbers[np.argsort(-used[numbers], kind="stable")]
            occupied = order[used[order] > 0]
            pairs = tuple(
                ClassPair(
                    int(number),
                    *_picture(averages, projections, int(number)),
                    count=int(used[number]),
                    excluded=int(excluded[number]),
                    weight=float(weight[number]),
                )
                for number in occupied[:limit]
            )
            every = counted(len(numbers), "projection")
            note = f"{every}, {len(occupied)} of them matched by particles"
            if len(occupied) > len(pairs):
                note += f"; the {len(pairs)} with the most particles are shown"
            name, title = f"classes-{model + 1}", f"Map {model + 1}"
            shown.append(ClassGallery(name, title, note + ".", pairs, is_open=model == 0))
    return shown


def _picture(averages: HdfReader, projections: HdfReader, number: int) -> tuple[str, float]:
    """Return the picture of a class and its likeness."""
    average, projection = averages.image(number), projections.image(number)
    picture = montage([shrunk(grey(image), _SIDE) for image in (average, projection)], columns=2)
    return data_uri(png(picture)), correlation_in_circle(average, projection)


def correlation_in_circle(a: Real, b: Real) -> float:
    """Return Pearson's correlation of two images inside the inscribed circle; 0 if one is flat."""
    box = a.shape[0]
    y, x = np.ogrid[:box, :box]
    inside = (y - box // 2) ** 2 + (x - box // 2) ** 2 <= (box // 2 - 1) ** 2
    left, right = (image[inside] - image[inside].mean(dtype=np.float64) for image in (a, b))
    # Sums and not `@`: BLAS threads would compete with those of a run that goes on.
    norm = float(np.sqrt(np.sum(left**2) * np.sum(right**2)))
    return float(np.sum(left * right)) / norm if norm > 0 else 0.0
