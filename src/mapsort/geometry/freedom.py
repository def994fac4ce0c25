"""What may differ between an image and its reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PoseFreedom:
    """What an alignment may change: all of it by default.

    Attributes
    ----------
    rotate, translate, mirror : bool
        In-plane rotation, shift, and whether the mirrored reference is tried.
    """

    rotate: bool = True
    translate: bool = True
    mirror: bool = True
