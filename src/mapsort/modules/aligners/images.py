"""Aligners of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from mapsort.errors import ConfigError
from mapsort.geometry.transforms import Transform2D
from mapsort.modules.parameter import IMAGE, Limits, Parameter
from mapsort.modules.registry import ALIGNERS, Pixels, Score, Transform
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.registration2d import SearchSpace, refine_pose, register_images
from mapsort.physics.shells import fourier_radius

_POSITIVE = Limits(above=0.0)
_NOT_NEGATIVE = Limits(low=0.0)

_MAXSHIFT = Parameter(
    "maxshift", float, None, "largest shift along x and y [pixels]; 0 or none: a quarter of the box"
)
_FLIP = Parameter("flip", bool, True, "also try the mirrored image")
_NOZERO = Parameter("nozero", bool, False, "exclude shifts of one pixel or less")
_FLCF = Parameter("useflcf", bool, False, "locally normalised correlation")
_FOOTPRINT = Parameter(
    "rfp_mode",
    int,
    2,
    "footprint of the original; here the images themselves are turned, whatever it is",
    Limits(low=0, high=2),
)


def _radii(inner: str, outer: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter(inner, float, None, "smallest radius compared [pixels]", _NOT_NEGATIVE),
        Parameter(outer, float, None, "largest radius compared [pixels]", _POSITIVE),
    )


_RADII, _ITERATIVE = _radii("rmin", "rmax"), _radii("r1", "r2")


def _largest_shift(arguments: Mapping[str, Any], box: int, *, part: int = 4) -> float:
    """Shift range in pixels: a part of the box by default, less than half of it at most."""
    given = arguments.get("maxshift")
    shift = float(given) if given is not None and given > 0 else box // part
    return min(shift, box // 2 - 1.0)


def _declare(
    name: str,
    help: str,
    parameters: tuple[Parameter, ...],
    *,
    rotate: bool = True,
    translate: bool = True,
    mirror: bool = False,
    exhaustive: bool = False,
    part: int = 4,
) -> None:
    """Declare a name of the one engine with what it is allowed to move.

    Parameters
    ----------
    name, help, parameters
        As for `Registry.register`.
    rotate, translate, mirror : bool
        What it searches; a parameter ``flip=0`` takes the mirror back.
    exhaustive : bool
        Search at full size in smaller steps and polish more poses.
    part : int
        Part of the box that is the default range of shifts.
    """

    @ALIGNERS.register(name, help=help, parameters=parameters, ndim=2)
    def align(
        moving: Pixels, fixed: Pixels, *, score: Score, apix: float, **arguments: Any
    ) -> Transform:
        box = len(moving)
        moving, fixed = (_low_passed(m, arguments.get("maxres"), apix) for m in (moving, fixed))
        inner = arguments.get("rmin", arguments.get("r1"))
        outer = arguments.get("rmax", arguments.get("r2"))
        local = arguments.get("useflcf", False)
        space = SearchSpace(
            maxshift_px=_largest_shift(arguments, box, part=part) if translate else 0.0,
            rotate=rotate,
            mirror=mirror and arguments.get("flip", True),
            angular_step_deg=arguments.get("angstep"),
            shift_step_px=arguments.get("transtep", 1),
            inner_px=inner or 0.0,
            outer_px=float("inf") if outer is None else outer,
            forbid_zero=arguments.get("nozero", False),
            reduce_box=not exhaustive,
            whole_pixels=arguments.get("intonly", False),
            local_norm="support" if arguments.get("masked") else "circle" if local else None,
            n_candidates=16 if exhaustive else 4,
        )
        return register_images(moving, fixed, space, score=score)


def _low_passed(image: Pixels, resolution: float | None, apix: float) -> Pixels:
    if resolution is None:
        return image
    s = fourier_radius(len(image), ndim=2) / (len(image) * apix)
    return apply_transfer(image, gaussian_lowpass(s, cutoff=1.0 / resolution))


_declare(
    "translational",
    "best shift",
    (
        _MAXSHIFT,
        Parameter("intonly", bool, False, "shift by whole pixels"),
        _FLCF,
        Parameter("masked", bool, False, "zeros of the moving image are outside of it"),
        _NOZERO,
    ),
    rotate=False,
)
_declare("rotational", "best rotation about the centre", (_FOOTPRINT, *_RADII), translate=False)
_declare(
    "rotate_flip",
    "best rotation about the centre, mirrored or not",
    (_FLIP, _FOOTPRINT, *_RADII),
    translate=False,
    mirror=True,
)
_FULL = (_MAXSHIFT, _NOZERO, _FLCF, _FOOTPRINT, *_RADII)
_declare("rotate_translate", "best rotation and shift", _FULL)
_declare(
    "rotate_translate_flip",
    "best rotation and shift, mirrored or not",
    (*_FULL, _FLIP),
    mirror=True,
)
_SAME = "the engine of rotate_translate"
for _suffix, _parameters in (
    ("iterative", (_MAXSHIFT, *_ITERATIVE)),
    ("bispec", (_MAXSHIFT, *_RADII)),
    ("resample", (_MAXSHIFT, *_ITERATIVE)),
):
    _declare(f"rotate_translate_{_suffix}", f"best rotation and shift: {_SAME}", _parameters)
    _declare(
        f"rotate_translate_flip_{_suffix}",
        f"best rotation and shift, mirrored or not: {_SAME}_flip",
        (*_parameters, _FLIP),
        mirror=True,
    )
_MAXRES = Parameter("maxres", float, None, "finest resolution compared [A]", _POSITIVE)
for _name in ("rotate_translate_tree", "rotate_translate_flip_tree"):
    _declare(
        _name,
        f"best rotation and shift, mirrored or not: {_SAME}_flip",
        (_MAXSHIFT, _FLIP, _MAXRES),
        mirror=True,
    )
_declare("frm2d", f"best rotation and shift: {_SAME}", (_MAXSHIFT,))
_declare(
    "rtf_exhaustive",
    "rotate_translate_flip at full size, more poses compared",
    (_MAXSHIFT, _FLIP),
    mirror=True,
    exhaustive=True,
    part=8,
)
_declare(
    "rtf_slow_exhaustive",
    "rtf_exhaustive with steps of one's own",
    (
        _MAXSHIFT,
        Parameter("transtep", int, 1, "step of the shifts [pixels]", Limits(low=1)),
        Parameter("angstep", float, None, "angular step [degrees]", Limits(low=0.1, high=90.0)),
        _FLIP,
    ),
    mirror=True,
    exhaustive=True,
    part=10,
)


@ALIGNERS.register(
    "refine", help="improve a pose by a simplex search on the comparator; the mirror stays", ndim=2
)
def _refine(
    moving: Pixels,
    fixed: Pixels,
    *,
    score: Score,
    start: Transform | None,
    stepx: Annotated[float, "first step along x [pixels]", Limits(low=0.0)] = 1.0,
    stepy: Annotated[float, "first step along y [pixels]", Limits(low=0.0)] = 1.0,
    stepaz: Annotated[float, "first angular step [degrees]", Limits(low=0.0)] = 5.0,
    precision: Annotated[float, "end, as a part of the first steps", Limits(above=0.0)] = 0.04,
    maxiter: Annotated[int, "iterations at most", Limits(low=1)] = 28,
    maxshift: Annotated[float | None, "largest change of the shift [pixels]; 0: no limit"] = None,
    mask: Annotated[Pixels | None, "multiplies both images before they are compared", IMAGE] = None,
) -> Transform:
    if start is not None and not isinstance(start, Transform2D):
        raise ConfigError("aligner refine: start: expected a Transform2D")
    if mask is not None and mask.shape != fixed.shape:
        raise ConfigError(f"aligner refine: the mask is {mask.shape}, the images {fixed.shape}")
    return refine_pose(
        moving,
        fixed,
        Transform2D() if start is None else start,
        score=score,
        step_px=(stepx, stepy),
        step_deg=stepaz,
        precision=precision,
        maxiter=maxiter,
        maxshift_px=maxshift if maxshift is not None and maxshift > 0 else None,
        mask=mask,
    )
