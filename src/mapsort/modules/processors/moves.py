"""Processors xform.*: flips, shifts, centring, rigid transforms, symmetry."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mapsort.array_types import Float32
from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transforms import Transform2D
from mapsort.modules.parameter import Limits
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.image_moves import (
    centred,
    flip,
    object_centred,
    periodic_mirror,
    transform_image,
)

_Axis = Annotated[str, "axis", ("x", "y", "z")]


def _axis(image: Pixels, axis: str, name: str) -> int:
    if axis == "z" and image.ndim != 3:
        raise ConfigError(f"processor {name}:axis=z: works on maps, not on images")
    return {"x": image.ndim - 1, "y": image.ndim - 2, "z": 0}[axis]


@PROCESSORS.register(
    "xform.flip", help="invert an axis about n/2; of an even box the first layer becomes 0"
)
def _flip(image: Pixels, *, axis: _Axis) -> Float32:
    return flip(image, axis=_axis(image, axis, "xform.flip"))


@PROCESSORS.register(
    "xform.mirror", help="invert an axis about n/2; of an even box the first layer stays"
)
def _mirror(image: Pixels, *, axis: _Axis) -> Float32:
    return periodic_mirror(image, axis=_axis(image, axis, "xform.mirror"))


@PROCESSORS.register("xform.centerofmass", help="move the centre of mass to n/2")
def _centerofmass(
    image: Pixels,
    *,
    int_shift_only: Annotated[bool, "shift by whole pixels"] = True,
    powercenter: Annotated[bool, "weigh by squared densities"] = False,
    threshold: Annotated[float, "densities below do not count"] = 0.0,
) -> Float32:
    return centred(image, threshold=threshold, squared=powercenter, whole_pixels=int_shift_only)


@PROCESSORS.register("xform.center", help="move the brightest tenth of the area to n/2")
def _center(image: Pixels) -> Float32:
    return object_centred(image)


@PROCESSORS.register("xform.phaseorigin.tocorner", help="roll pixel n/2 to pixel 0")
def _tocorner(image: Pixels) -> Float32:
    shift = tuple(-(n // 2) for n in image.shape)
    return np.roll(image, shift, range(image.ndim)).astype(np.float32)


@PROCESSORS.register("xform.phaseorigin.tocenter", help="roll pixel 0 to pixel n/2")
def _tocenter(image: Pixels) -> Float32:
    shift = tuple(n // 2 for n in image.shape)
    return np.roll(image, shift, range(image.ndim)).astype(np.float32)


@PROCESSORS.register(
    "xform", help="rotate, scale, shift, then mirror x, about n/2, with linear interpolation"
)
def _xform(
    image: Pixels,
    *,
    alpha: Annotated[float, "rotation of an image [degrees]"] = 0.0,
    az: Annotated[float, "first Euler angle of a map [degrees]"] = 0.0,
    alt: Annotated[float, "second Euler angle of a map [degrees]"] = 0.0,
    phi: Annotated[float, "third Euler angle of a map [degrees]"] = 0.0,
    tx: Annotated[float, "shift along x [pixels]"] = 0.0,
    ty: Annotated[float, "shift along y [pixels]"] = 0.0,
    tz: Annotated[float, "shift of a map along z [pixels]"] = 0.0,
    scale: Annotated[float, "magnification", Limits(above=0.0)] = 1.0,
    mirror: Annotated[bool, "invert x at the end"] = False,
) -> Float32:
    if image.ndim == 2:
        if az or alt or phi or tz:
            raise ConfigError("processor xform: az, alt, phi and tz are for maps; use alpha")
        matrix = Transform2D(alpha, tx, ty, mirror).matrix
    else:
        if alpha:
            raise ConfigError("processor xform: alpha is for images; use az, alt, phi")
        matrix = np.column_stack([eman_to_matrix([az, alt, phi]), [tx, ty, tz]])
        if mirror:
            matrix[0] *= -1.0
    matrix[:, :-1] *= scale
    return transform_image(image, matrix)


@PROCESSORS.register("xform.applysym", help="mean over the operations of a symmetry", ndim=3)
def _applysym(image: Pixels, *, sym: Annotated[str, "point group, for example c3"]) -> Float32:
    total = np.zeros(image.shape, dtype=np.float64)
    operations = symmetry(sym).matrices
    for rotation in operations:
        total += transform_image(image, np.column_stack([rotation, np.zeros(3)]))
    return (total / len(operations)).astype(np.float32)
