"""Running processors on images, maps and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mapsort.array_types import Array, Float32
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import PROCESSORS, BoundModule


def processor_chain(text: str) -> tuple[BoundModule[..., Float32], ...]:
    """Return the processors that a list names, ``"normalize.edgemean,mask.sharp"`` or ``none``."""
    if text.strip().lower() == "none":
        return ()
    return tuple(PROCESSORS.bind(spec.strip()) for spec in text.split(","))


def process(
    spec: ModuleCall | str,
    array: Array,
    *,
    apix: float = 1.0,
    stack: bool | None = None,
    **parameters: Any,
) -> Float32:
    """Apply a named processor to an image, a map, or each member of a stack.

    Parameters
    ----------
    spec : ModuleCall or str
        For example ``"filter.lowpass.gauss:cutoff_freq=0.05"``.
    array : ndarray
        Image (box, box), map (box, box, box), images (n, box, box) or maps (n, box, box, box).
    apix : float
        Pixel size, Angstrom; for parameters in Angstrom or 1/Angstrom.
    stack : bool, optional
        Whether the first axis counts images. By default a cube is a map, anything else with three
        axes a stack of images.
    **parameters
        More parameters of the processor; arrays where the specification would name a file.

    Returns
    -------
    ndarray, float32
        Of the same number of axes.

    Raises
    ------
    ConfigError
        As `processor_chain`, for a shape that is none of those above, and for what the processor
        itself refuses.
    NumericalError
        If the result cannot be computed, for example for a mask without density.

    Notes
    -----
    Random processors take member i of a stack with ``seed + i``.

    Examples
    --------
    >>> import numpy as np
    >>> process("threshold.binary:value=0.5", np.eye(4)).sum()
    np.float32(4.0)
    """
    bound = PROCESSORS.bind(spec, parameters)
    pixels = real_array(array, "array", None, finite=False)
    if not (np.isfinite(apix) and apix > 0):
        raise ConfigError(f"apix={apix}: expected a pixel size above 0 A")
    if not _is_stack(pixels, stack):
        return apply_chain([bound], pixels, apix=apix)[0]
    if len(pixels) == 0:
        return np.zeros(pixels.shape, dtype=np.float32)
    return np.stack(
        [apply_chain([bound], member, apix=apix, index=i)[0] for i, member in enumerate(pixels)]
    )


def apply_chain(
    chain: Sequence[BoundModule[..., Float32]], image: Array, *, apix: float, index: int = 0
) -> tuple[Float32, float]:
    """Apply processors (`processor_chain`), one after the other, to one image or map of pixels [A].

    Returns the result and its pixel size, another one where a processor changed the box. ``index``
    is the number of the image in its stack, which random processors add to their seed.
    """
    result = np.asarray(image, dtype=np.float32)
    for bound in chain:
        seed = bound.arguments.get("seed")
        run = bound.with_arguments(seed=seed + index) if isinstance(seed, int) else bound
        box = len(result)
        result = np.asarray(run(result, apix=apix), dtype=np.float32)
        apix = _pixel_size_after(bound, apix, box, len(result))
    return result, apix


def _pixel_size_after(
    bound: BoundModule[..., Float32], apix: float, before: int, after: int
) -> float:
    """Blocks have a whole number of pixels; resampling keeps the field of view."""
    if bound.module.name in ("math.meanshrink", "math.medianshrink"):
        block: Any = bound.arguments["n"]
        return apix * float(block)
    return apix * before / after


def _is_stack(pixels: Array, stack: bool | None) -> bool:
    """Whether the first axis counts; refuses shapes that are neither images nor maps."""
    if stack is None:
        stack = pixels.ndim == 4 or (pixels.ndim == 3 and len(set(pixels.shape)) > 1)
    member = pixels.shape[1:] if stack else pixels.shape
    if len(member) not in (2, 3) or len(set(member)) != 1 or member[0] < 1:
        raise ConfigError(
            f"array: expected square images or cubic maps, or a stack of them, got {pixels.shape}"
        )
    return stack
