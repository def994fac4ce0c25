"""Bring starting maps to what a refinement takes: white density, no offset, in the centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32
from mapsort.geometry.symmetry import symmetry
from mapsort.model.volume import Volume
from mapsort.modules.search_aligner import search_aligner
from mapsort.options.multi import MultiOptions
from mapsort.options.types import InputMode
from mapsort.physics.filters import cut_off
from mapsort.physics.masks import density_above_background, smoothed_deviations
from mapsort.physics.normalization import squared_radius
from mapsort.physics.resample import match_box
from mapsort.physics.shells import fourier_radius

#: Whole pixels along z, y, x.
Steps = tuple[int, int, int]

#: A map is dark if the third moment of its deviations, in those of the second, is below this.
#: Noise has 0, give or take 0.2 in a box of 32 pixels; a particle in its box has more than 2.
_DARK = -1.0
#: An offset counts from this part of the largest deviation.
_OFFSET = 0.01
#: Pixel sizes that differ by less are the same.
_SAME_PIXEL = 1e-3
#: Maps are moved when they lie off the centre by more than this part of the shifts searched.
_ABSORBED = 0.5
#: Detail beyond this resolution [A] is told when it holds this part of a map's power.
_FINE_ANG, _FINE_POWER = 20.0, 0.001
#: A map without deviation of so many sigmas of its background is noise.
_NOISE_PEAK = 8.0


@dataclass(frozen=True)
class GivenMaps:
    """Starting maps at the particles' box and pixel size, and what was done to them."""

    #: Each (box, box, box).
    maps: tuple[Float32, ...]
    #: One line each.
    notes: tuple[str, ...]
    #: Steps along z, y, x that would bring a map's density to the centre, where several maps are
    #: given and one lies off it: whether particles agree is tried (`mapsort.refinement.contrast`).
    moves: tuple[Steps | None, ...] = ()


def fitted_maps(
    options: MultiOptions, volumes: Sequence[Volume], *, box: int, apix: float, max_shift: float
) -> GivenMaps:
    """Bring starting maps to the particles' box, pixel size, contrast and centre.

    Parameters
    ----------
    volumes : sequence of Volume
        One for each of ``options.models``; of ``--model`` only the first is used.
    box : int
        The particles' box [pixels].
    apix : float
        The particles' pixel size [A].
    max_shift : float
        Largest shift searched [pixels].
    """
    maps, notes, moves = [], [], []
    for path, volume, name in zip(options.models, volumes, options.searched, strict=True):
        moved, told = _fitted(volume, box, apix)
        steps, offset = _to_the_centre(options, moved, name, max_shift)
        told += [offset] if offset else []
        if steps is not None and (options.model is not None or len(options.models) == 1):
            # Particles lie about the centre, and there is no other map to agree with.
            moved = np.roll(moved, steps, axis=(0, 1, 2))
            told[-1] += ". It is moved to the centre"
            steps = None
        moves.append(steps)
        if options.startres is not None:
            moved = cut_off(moved, shell=box * apix / options.startres)
        elif len(options.models) > 1 and not _unseen(options):
            told += _fine_detail(moved, box * apix)
        maps.append(moved)
        notes += [f"{path}: {words}" for words in told]
    if options.model is None and not options.makes_maps:
        notes += _identical(options.models, maps)
    return GivenMaps(tuple(maps), tuple(dict.fromkeys(notes)), tuple(moves))


def _unseen(options: MultiOptions) -> bool:
    """Whether no particle is compared with the maps as they are given."""
    return options.makes_maps or (options.finds_classes and options.skipalign)


def largest_shift(options: MultiOptions, box: int) -> float:
    """Return the largest shift searched [pixels]: ``--maxshift``, the aligner's, or 1/8 box."""
    if options.maxshift is not None:
        return options.maxshift
    by_aligner = search_aligner(options.simalign).max_shift_px
    return box / 8 if by_aligner is None else min(by_aligner, box / 2 - 1)


def _fitted(volume: Volume, box: int, apix: float) -> tuple[Float32, list[str]]:
    """Return a map without offset, white, at a box and pixel size; and what was changed."""
    data, told = volume.data, []
    deviations, noise = smoothed_deviations(data)
    level = _corner_level(data)
    largest = float(np.abs(data - level).max())
    if abs(level) > _OFFSET * largest:
        data = data - np.float32(level)
        told.append(f"its background is {level:.3g}, which is subtracted")
    if _skewness(deviations) < _DARK:
        data = -data
        told.append("its density is dark (negative); it is inverted")
    elif _is_noise(deviations, noise):
        told.append("no density stands out of its background: it looks like noise")
    if abs(volume.apix / apix - 1.0) > _SAME_PIXEL or volume.box != box:
        told.append(_rescaled(volume, box, apix))
    return match_box(data, volume.apix, box=box, target_apix=apix), told


def _rescaled(volume: Volume, box: int, apix: float) -> str:
    words = (
        f"{volume.box} px at {volume.apix:g} A/px are brought to the particles' {box} px at "
        f"{apix:g} A/px"
    )
    never_set = abs(volume.apix - 1.0) < _SAME_PIXEL < abs(apix - 1.0)
    if volume.box == box and never_set:
        words += (
            f". Its box is the particles' and 1 A is what headers say that nobody set: if it is at "
            f"{apix:g} A/px, write it anew with mapsort convert --inputapix {apix:g}"
        )
    return words


def _corner_level(data: Float32) -> float:
    n = len(data)
    return float(np.median(data[squared_radius(n, ndim=3) > (n // 2) ** 2]))


def _is_noise(deviations: Float32, noise: float) -> bool:
    return float(np.abs(deviations).max()) < _NOISE_PEAK * noise


def _skewness(deviations: Float32) -> float:
    square = float(np.mean(np.square(deviations, dtype=np.float64)))
    cube = float(np.mean(deviations.astype(np.float64) ** 3))
    return cube / square**1.5 if square > 0 else 0.0


def _to_the_centre(
    options: MultiOptions, volume: Float32, name: str, max_shift: float
) -> tuple[Steps | None, str]:
    """Return the way to the centre, where symmetry and given poses leave it free, and words."""
    density = density_above_background(volume)
    total = float(density.sum(dtype=np.float64))
    if total <= 0 or _is_noise(*smoothed_deviations(volume)):
        return None, ""
    n = len(volume)
    # The mean angle about the box, not the mean position: density may go on at the other side.
    turn = np.exp(2j * np.pi * (np.arange(n) - n // 2) / n)
    weights = [density.sum(axis=other, dtype=np.float64) for other in ((1, 2), (0, 2), (0, 1))]
    offset = np.array([np.angle(turn @ weight) for weight in weights]) * n / (2 * np.pi)
    kind = symmetry(name).name
    if kind != "c1":
        offset[1:] = 0.0  # the axis stays where it is
        if not kind.startswith("c"):
            offset[0] = 0.0
    length = float(np.linalg.norm(offset))
    if length <= _ABSORBED * max_shift:
        return None, ""
    words = (
        f"its density lies {length:.1f} px off the centre; shifts up to {max_shift:g} px are "
        "searched"
    )
    if options.skipalign or options.mask or options.inputmode is InputMode.PARTICLES:
        return None, f"{words}. It stays there, as the given poses or mask may need"
    z, y, x = (-int(step) for step in np.rint(offset))
    return (z, y, x), words


def _fine_detail(volume: Float32, field_ang: float) -> list[str]:
    n = len(volume)
    power = np.abs(np.fft.rfftn(volume)) ** 2
    power[0, 0, 0] = 0.0
    fine = float(power[fourier_radius(n, ndim=3) > field_ang / _FINE_ANG + 1].sum())
    if fine <= _FINE_POWER * float(power.sum()):
        return []
    return [
        f"it holds detail finer than {_FINE_ANG:g} A, which may bias the classes; "
        "--startres 40 low-passes it"
    ]


def _identical(paths: Sequence[Path], maps: Sequence[Float32]) -> list[str]:
    return [
        f"{paths[a]} and {paths[b]} are the same map (maps {a + 1} and {b + 1}): nothing tells "
        "their classes apart at the start; --model FILE --nmodels K makes several of one"
        for a, b in combinations(range(len(maps)), 2)
        if np.array_equal(maps[a], maps[b])
    ]
