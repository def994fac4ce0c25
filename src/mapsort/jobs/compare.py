"""``mapsort compare``: where maps differ by more than their noise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from mapsort.array_types import Bool, Float32
from mapsort.engines.progress import Progress, default_progress
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.jobs.finished_run import FinishedRun, open_finished
from mapsort.jobs.half_classes import half_classes
from mapsort.model.volume import Volume
from mapsort.options.compare import CompareOptions
from mapsort.physics.fsc import ONE_HALF, local_resolution
from mapsort.physics.half_maps import filtered_mean
from mapsort.physics.image_moves import transform_image
from mapsort.physics.map_difference import HalfPair, MapDifference, map_difference
from mapsort.physics.masks import envelope_mask, inscribed_sphere
from mapsort.physics.normalization import PROTEIN_DENSITY_DA_PER_ANG3
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.registration3d import Simplex3D, refine_map_pose
from mapsort.physics.resample import fourier_resample
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.outputs import check_output
from mapsort.rundir.result_record import ResultRecord, ResultTable, write_result
from mapsort.rundir.text import write_json
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.map_register import Register, in_register, other_hand

#: The region that is looked at ends so far beyond the density, of the box.
MARGIN = 0.06
#: Maps are brought together on boxes of at most this size, and left where this much more
#: correlation is all that a move would bring.
_REGISTER_BOX, _WORTH_MOVING = 64, 2e-4
_FINE = Simplex3D(step_px=(0.5,) * 3, step_deg=(1.0,) * 3, precision=0.1, maxiter=100)
#: Order of the splines that maps are moved by, which keep their finest terms.
CUBIC: Literal[3] = 3


@dataclass(frozen=True)
class Compared:
    """Where one map differs from another.

    Attributes
    ----------
    maps : tuple of str
        Their names.
    deviations, mask, agreement : Path
        Maps: the second less the first in standard errors; 1 where the difference is significant;
        the resolution [A] down to which both agree (local FSC 0.5).
    gained_kda, lost_kda : float
        Mass of the significant parts where the second map has more, and less, density.
    volume_ang3 : float
        Of both.
    called, tested : int
        Voxels.
    highest : float
        Largest difference in standard errors, either way.
    resolution_ang : float
        Down to which the maps were compared.
    moved_deg, moved_px : float
        By how much the second map was turned and shifted; ``mirrored`` if it was in another hand.
    scale, bfactor_ang2 : float
        The second map was multiplied by ``scale exp(-bfactor s^2 / 4)``.
    """

    maps: tuple[str, str]
    deviations: Path
    mask: Path
    agreement: Path
    gained_kda: float
    lost_kda: float
    volume_ang3: float
    called: int
    tested: int
    highest: float
    resolution_ang: float
    moved_deg: float
    moved_px: float
    mirrored: bool
    scale: float
    bfactor_ang2: float

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        a, b = self.maps
        if not self.called:
            return f"{b} and {a}: no significant difference at {self.resolution_ang:.1f} A"
        return (
            f"{b} has {self.gained_kda:.0f} kDa that {a} lacks, and lacks {self.lost_kda:.0f} kDa "
            f"of it: {self.volume_ang3:.0f} A^3 differ significantly, by up to {self.highest:.1f} "
            f"standard errors at {self.resolution_ang:.1f} A"
        )


@dataclass(frozen=True, eq=False)
class _Subject:
    """One map to compare: what it is called, and its halves."""

    name: str
    halves: HalfPair
    group: Symmetry

    @cached_property
    def whole(self) -> Float32:
        """The map without most of its noise, which a move would blur and so make fit better."""
        halves = self.halves.first, self.halves.second
        return filtered_mean(*halves, inscribed_sphere(len(halves[0])))[0]


def compare_maps(
    options: CompareOptions, *, progress: Progress | None = None
) -> tuple[Compared, ...]:
    """Find where two maps, or every two maps of a run, differ by more than noise.

    Raises
    ------
    ConfigError
        An option is wrong, or half maps are missing.
    NumericalError
        The half maps of a map do not agree at any resolution.
    """
    options = options.validated()
    shown = progress or default_progress()
    if len(options.run) == 2:
        return (_two_maps(options),)
    return _maps_of_run(options, shown)


def _two_maps(options: CompareOptions) -> Compared:
    a, b = options.run
    wholes = [Volume.open(path, apix=options.apix) for path in (a, b)]
    paths = options.halves or (*_halves_beside(a), *_halves_beside(b))
    halves = [Volume.open(path, apix=options.apix) for path in paths]
    for path, volume in zip((b, *paths), (wholes[1], *halves), strict=True):
        _check_alike(path, volume, a, wholes[0])
    directory = options.out if options.out is not None else b.parent
    path = directory / f"difference_{a.stem}_{b.stem}.mrc"
    check_output(path, a, b, *paths)
    subjects = [
        _Subject(source.name, HalfPair(*(half.data for half in own)), symmetry("c1"))
        for source, own in zip((a, b), (halves[:2], halves[2:]), strict=True)
    ]
    return _compared(options, subjects[0], subjects[1], wholes[0].apix, path)


def _maps_of_run(options: CompareOptions, progress: Progress) -> tuple[Compared, ...]:
    finished = open_finished(options.run[0])
    if finished.n_models < 2:
        raise ConfigError(f"{options.run[0]}: has one map; a comparison needs two")
    iteration = finished.iteration(options.iter)
    subjects, apix = _subjects(finished, iteration, options, progress)
    place = finished.directory if options.out is None else RunDirectory(options.out)
    found = tuple(
        _compared(
            options, subjects[a - 1], subjects[b - 1], apix, place.difference(iteration, a, b)
        )
        for a, b in combinations(range(1, len(subjects) + 1), 2)
    )
    write_result(finished.directory.path, "5_compare", _record(found, options.fdr))
    return found


def _subjects(
    finished: FinishedRun, iteration: int, options: CompareOptions, progress: Progress
) -> tuple[list[_Subject], float]:
    groups = finished.request().symmetries
    halves = half_classes(finished, iteration, progress, parallel=options.parallel)
    subjects = [
        _Subject(f"map {number}", pair, symmetry(group))
        for number, (pair, group) in enumerate(zip(halves, groups, strict=True), start=1)
    ]
    return subjects, finished.apix


def _halves_beside(path: Path) -> tuple[Path, Path]:
    """Return the half maps that lie beside a map, as mapsort's commands or RELION call them."""
    stem, suffix = path.stem, path.suffix
    named = (
        tuple(re.sub("^threed(_filt)?_", f"threed_{half}_", stem) for half in ("even", "odd")),
        (f"{stem}_half1", f"{stem}_half2"),
        tuple(re.sub("^(run.*)_(class.*)", rf"\1_half{n}_\2_unfil", stem) for n in (1, 2)),
    )
    for first, second in named:
        both = path.with_name(first + suffix), path.with_name(second + suffix)
        if first != stem and all(half.exists() for half in both):
            return both
    raise ConfigError(
        f"{path}: its half maps are not beside it; give --halves A1,A2,B1,B2 (of a run: mapsort "
        "compare RUN, or mapsort eotest RUN first)"
    )


def _check_alike(path: Path, volume: Volume, first: Path, other: Volume) -> None:
    if volume.box != other.box:
        raise FormatError(f"{path}: the box is {volume.box} and {first} has {other.box}.")
    if not np.isclose(volume.apix, other.apix, rtol=1e-3):
        raise FormatError(
            f"{path}: the pixel size is {volume.apix:g} A and {first} has {other.apix:g}; give "
            "--apix to settle it."
        )


def _compared(
    options: CompareOptions, a: _Subject, b: _Subject, apix: float, path: Path
) -> Compared:
    """Compare two maps and write what is found."""
    move = Register(Transform3D(), False, 1.0)
    if not options.asis:
        coarse = in_register(b.whole, a.whole, (b.group, a.group), apix=apix)
        move = _polished(coarse, b, a, np.zeros(a.whole.shape, bool))
    found = _difference(options, a, b, apix, move)
    if not options.asis and found.significant.any():
        # What differs has drawn the maps apart.
        move = _polished(move, b, a, found.significant)
        found = _difference(options, a, b, apix, move)
    return _written(found, (a.name, b.name), move, apix, path)


def _difference(
    options: CompareOptions, a: _Subject, b: _Subject, apix: float, move: Register
) -> MapDifference:
    moved = HalfPair(*(move.applied(x, order=CUBIC) for x in (b.halves.first, b.halves.second)))
    last = None
    if options.resolution is not None:
        last = int(len(a.whole) * apix / options.resolution)
    tested = _region(options, 0.5 * (a.halves.mean + moved.mean), apix)
    try:
        return map_difference(a.halves, moved, tested, false_rate=options.fdr, last_shell=last)
    except NumericalError as error:
        raise NumericalError(f"{a.name} and {b.name}: {error}") from error


def _polished(start: Register, moving: _Subject, fixed: _Subject, differs: Bool) -> Register:
    """Bring maps nearly in register together, by all but what differs.

    They stay where a move brings next to nothing, and where they have symmetry.
    """
    if moving.group.order > 1 or fixed.group.order > 1:
        return start
    box = len(fixed.whole)
    small = min(box, _REGISTER_BOX)
    same = 1.0 - gaussian_filter(differs.astype(np.float32), 2.0)
    whole = other_hand(moving.whole) if start.mirrored else moving.whole
    a, b, same = (
        fourier_resample(volume, box=small, ndim=3) if small < box else volume
        for volume in (whole, fixed.whole, same)
    )

    def score(moved: Float32, to: Float32) -> float:
        return correlation(moved * same, to * same)

    begin = start.at(small / box).transform
    pose = refine_map_pose(a, b, begin, score=score, simplex=_FINE, order=CUBIC)
    before, after = (
        score(transform_image(a, found.matrix, order=CUBIC), b) for found in (begin, pose)
    )
    worth = before - after > _WORTH_MOVING
    return Register(pose, start.mirrored, -after).at(box / small) if worth else start


def _region(options: CompareOptions, mean: Float32, apix: float) -> Bool:
    """Return the voxels that are looked at: those of the mask, or about the molecule."""
    inside = inscribed_sphere(len(mean)) > 0.5
    if options.mask is not None:
        mask = Volume.open(options.mask, apix=apix)
        if mask.box != len(mean):
            raise FormatError(
                f"{options.mask}: the box is {mask.box} and the maps have {len(mean)}."
            )
        return np.asarray(inside & (mask.data > 0.5))
    try:
        return np.asarray(
            inside & (envelope_mask(mean, margin_px=MARGIN * len(mean), edge_px=0.0) > 0.5)
        )
    except NumericalError:
        return inside


def _written(
    found: MapDifference, names: tuple[str, str], move: Register, apix: float, path: Path
) -> Compared:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask, agreement = (path.with_name(path.stem + end + ".mrc") for end in ("_mask", "_local"))
    write_volume(path, found.deviations, apix)
    write_volume(mask, found.significant.astype(np.float32), apix)
    last = max(found.shell, 2)
    local = local_resolution(*found.maps, apix=apix, threshold=ONE_HALF, last_shell=last)
    write_volume(agreement, local, apix)
    kda = 1e-3 * PROTEIN_DENSITY_DA_PER_ANG3 * apix**3
    called = int(found.significant.sum())
    more = int((found.significant & (found.deviations > 0)).sum())
    result = Compared(
        maps=names,
        deviations=path,
        mask=mask,
        agreement=agreement,
        gained_kda=more * kda,
        lost_kda=(called - more) * kda,
        volume_ang3=called * apix**3,
        called=called,
        tested=int(found.tested.sum()),
        highest=float(np.abs(found.deviations[found.tested]).max()),
        resolution_ang=len(local) * apix / found.shell,
        moved_deg=move.turn_deg,
        moved_px=float(np.linalg.norm(move.transform.shift)),
        mirrored=move.mirrored,
        scale=found.scale,
        bfactor_ang2=found.bfactor_px2 * apix**2,
    )
    write_json(path.with_suffix(".json"), _as_json(result, found))
    return result


def _as_json(result: Compared, found: MapDifference) -> dict[str, Any]:
    content = {name: getattr(result, name) for name in result.__dataclass_fields__}
    content |= {name: content[name].name for name in ("deviations", "mask", "agreement")}
    return content | {
        "words": result.words,
        "least_standard_errors_called": found.least,
        "degrees_of_freedom": found.freedom,
    }


def _record(found: tuple[Compared, ...], false_rate: float) -> ResultRecord:
    table = ResultTable.of(
        "Differences between maps",
        found,
        {
            "maps": lambda item: " and ".join(name.removeprefix("map ") for name in item.maps),
            "more in the second [kDa]": lambda item: item.gained_kda,
            "less in it [kDa]": lambda item: item.lost_kda,
            "volume [Å³]": lambda item: item.volume_ang3,
            "voxels called [%]": lambda item: 100.0 * item.called / item.tested,
            "highest [standard errors]": lambda item: item.highest,
            "compared to [Å]": lambda item: item.resolution_ang,
            "file": lambda item: item.deviations.name,
        },
    )
    words = (
        "Each half of the particles was sorted without the other, so that sorting makes no "
        f"difference. Of the voxels called, {false_rate:.0%} may be false on average."
    )
    return ResultRecord(
        title="Where the maps differ",
        summary=(*(item.words for item in found), words),
        tables=(table,),
    )
