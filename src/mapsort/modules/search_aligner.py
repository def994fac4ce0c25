"""Aligners as the search over poses takes them: one engine, which names constrain."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mapsort.errors import ConfigError
from mapsort.modules.aligners import ALIGNERS
from mapsort.modules.modopt import ModuleCall

__all__ = ["Polish", "SearchAligner", "polish", "search_aligner"]

#: Parameters that only pairs of images are aligned with.
_PAIRS_ONLY = ("nozero", "useflcf", "masked", "intonly")


@dataclass(frozen=True)
class SearchAligner:
    """What an aligner's name and parameters mean to the search."""

    #: rotate, translate and mirror: what may differ: in-plane rotation, shift, and whether the
    #: mirrored reference is tried.
    rotate: bool = True
    translate: bool = True
    mirror: bool = True
    #: Every reference in the full band, without any shortcut.
    exhaustive: bool = False
    #: Largest shift [pixels]; None where it does not say.
    max_shift_px: float | None = None
    #: Step of an exhaustive search's shifts [pixels].
    shift_step_px: float | None = None
    #: inner_px and outer_px: radii between which references are compared [pixels].
    inner_px: float | None = None
    outer_px: float | None = None
    #: Finest resolution compared while poses are searched [A].
    maxres_ang: float | None = None


_RIGID, _ALL = SearchAligner(mirror=False), SearchAligner()
_EVERYTHING = SearchAligner(exhaustive=True)
_SAME_ENGINE = ("", "_iterative", "_bispec", "_resample")
_ALIGNERS = {
    "translational": SearchAligner(rotate=False, mirror=False),
    "rotational": SearchAligner(translate=False, mirror=False),
    "rotate_flip": SearchAligner(translate=False),
    **{f"rotate_translate{suffix}": _RIGID for suffix in _SAME_ENGINE},
    "frm2d": _RIGID,
    **{f"rotate_translate_flip{suffix}": _ALL for suffix in (*_SAME_ENGINE, "_tree")},
    "rotate_translate_tree": _ALL,
    "rtf_exhaustive": _EVERYTHING,
    "rtf_slow_exhaustive": _EVERYTHING,
}


#: Newton steps that a continuous refinement takes.
NEWTON_STEPS = 4


@dataclass(frozen=True)
class Polish:
    """A continuous refinement of poses: the aligner ``refine``."""

    #: Newton steps at most.
    max_steps: int
    #: A pose whose shift would change by more stays as it was.
    max_change_px: float | None = None


def search_aligner(spec: ModuleCall | str) -> SearchAligner:
    """Return what an aligner, as ``"rotate_translate_flip:maxshift=5"``, means to the search.

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or one that does not search poses of images.
    """
    bound = ALIGNERS.bind(spec)
    name, given = bound.module.name, bound.arguments
    if name not in _ALIGNERS:
        why = "it starts from a pose" if name == "refine" else "it is not one of the search's"
        raise ConfigError(f"aligner {name}: {why}; the search takes {', '.join(_ALIGNERS)}")
    for parameter in _PAIRS_ONLY:
        if given.get(parameter):
            raise ConfigError(
                f"aligner {name}: {parameter}=1 is for pairs of images (mapsort.align); the search "
                "of all references does without"
            )
    aligner = _ALIGNERS[name]
    slow = name == "rtf_slow_exhaustive"
    return replace(
        aligner,
        mirror=aligner.mirror and bool(given.get("flip", True)),
        max_shift_px=0.0 if not aligner.translate else _positive(given.get("maxshift")),
        shift_step_px=_positive(given["transtep"]) if slow else None,
        inner_px=_positive(given.get("rmin", given.get("r1"))),
        outer_px=_positive(given.get("rmax", given.get("r2"))),
        maxres_ang=_positive(given.get("maxres")),
    )


def polish(spec: ModuleCall | str, *, steps: int = NEWTON_STEPS) -> Polish | None:
    """Return the refinement that follows a search: ``refine``, or None for ``none``.

    It takes ``steps`` Newton steps unless ``maxiter`` is less.

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or an aligner that does not refine.
    """
    if str(spec).strip().lower() == "none":
        return None
    bound = ALIGNERS.bind(spec)
    if bound.module.name != "refine":
        raise ConfigError(f"aligner {bound.module.name}: expected refine, which improves a pose")
    if bound.arguments["mask"] is not None:
        raise ConfigError("aligner refine: mask= is for pairs of images; --simmask is the search's")
    maxiter, change = bound.arguments["maxiter"], _positive(bound.arguments["maxshift"])
    assert isinstance(maxiter, int), "the parameter's type"
    return Polish(min(steps, maxiter), change)


def _positive(value: object) -> float | None:
    """Return a number above 0, None for what is not given or not above 0."""
    return float(value) if isinstance(value, int | float) and value > 0 else None
