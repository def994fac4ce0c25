"""Options of the search: projections, their comparison with particles, classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.workflows.option_fields import (
    file_path,
    one_of,
    option,
    real_number,
    text,
    whole_number,
)
from mapsort.workflows.option_types import Assignment, SearchMethod
from mapsort.workflows.shared_fields import projector_field

PROJECTION = "projection"
COMPARISON = "comparison"
CLASSIFICATION = "classification"


@dataclass(frozen=True, kw_only=True)
class ProjectionOptions:
    """Where and how maps are projected."""

    orientgen: str = field(
        default="auto",
        metadata=option(
            text("auto or an orientation generator, for example eman:delta=7.5"),
            group=PROJECTION,
            metavar="SPEC",
            help="orientation generator, eman or even, as name:delta=DEG; auto: from "
            "--targetres and --speed",
        ),
    )
    projector: str = projector_field(PROJECTION)


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How particles are compared with projections."""

    maxshift: float | None = field(
        default=None,
        metadata=option(
            real_number(low=0),
            group=COMPARISON,
            metavar="PX",
            help="largest shift searched, in pixels; by default auto, an eighth of the box",
        ),
    )
    simcmp: str = field(
        default="loglik",
        metadata=option(
            text("a comparator, for example frc:maxres=10"),
            group=COMPARISON,
            metavar="SPEC",
            help="comparator: loglik, ccc, dot, sqeuclidean, frc or phase, with :minres=A:maxres=A",
        ),
    )
    simalign: SearchMethod = field(
        default=SearchMethod.COARSE_TO_FINE,
        metadata=option(
            one_of(SearchMethod),
            group=COMPARISON,
            help="search over rotation, mirror and shift: rotate_translate_flip (coarse to fine, "
            "then refined), or rtf_exhaustive (every reference in the full band: slow)",
        ),
    )
    simmask: Path | None = field(
        default=None,
        metadata=option(
            file_path("a mask image"),
            group=COMPARISON,
            metavar="FILE",
            help="2-D mask of the box's size that multiplies every projection",
        ),
    )
    mask: Path | None = field(
        default=None,
        metadata=option(
            file_path("a mask volume"),
            group=COMPARISON,
            metavar="FILE",
            help="3-D mask, 0 to 1: classify by what lies inside it; outside, all maps that are "
            "compared are given the same density, their mean",
        ),
    )
    skipalign: bool = field(
        default=False,
        metadata=option(
            None,
            group=COMPARISON,
            help="no search: classify with the poses of the input (rlnAngleRot and so on)",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions:
    """Which references a particle goes to."""

    sep: int = field(
        default=1,
        metadata=option(
            whole_number(1),
            group=CLASSIFICATION,
            metavar="N",
            help="number of references each particle goes to",
        ),
    )
    assign: Assignment = field(
        default=Assignment.HARD,
        metadata=option(
            one_of(Assignment),
            group=CLASSIFICATION,
            help="hard: each particle goes to its best reference (--sep of them); soft: to all "
            "that are kept, by their posterior probability, from broad to sharp",
        ),
    )
    junk: int = field(
        default=0,
        metadata=option(
            whole_number(0, 9),
            group=CLASSIFICATION,
            metavar="N",
            help="1: particles that match no map better than pure noise does go to a class of "
            "their own, after the last map's; from 2: images that are nothing like their map (ice, "
            "carbon) go to N - 1 more, by their spectra",
        ),
    )
