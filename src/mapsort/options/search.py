"""Options of the search: projections, their comparison with particles, classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.options.fields import (
    file_path,
    one_of,
    option,
    real_number,
    text,
    whole_number,
)
from mapsort.options.shared import module_field, projector_field
from mapsort.options.types import Assignment

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
    twostage: int = field(
        default=0,
        metadata=option(
            whole_number(0),
            group=COMPARISON,
            metavar="N",
            help="compare particles with clusters of similar projections first, at 1/N of their "
            "size, then with the projections of the best clusters; 0: in one stage",
        ),
    )
    shrink: int = field(
        default=0,
        metadata=option(
            whole_number(0),
            group=COMPARISON,
            metavar="N",
            help="compare at 1/N of the size: frequencies beyond are left out; 0 and 1: full size",
        ),
    )
    simcmp: str = module_field(
        COMPARISON,
        "loglik",
        "frc:maxres=10",
        "comparator that ranks references: loglik, ccc, dot, sqeuclidean, frc or phase with "
        ":minres=A:maxres=A in the search itself; any other one, and other parameters, on the best "
        "few poses of each map",
    )
    simalign: str = module_field(
        COMPARISON,
        "rotate_translate_flip",
        "rotate_translate_flip:maxshift=5",
        "aligner, which says what may differ: rotate_translate_flip, rotate_translate, "
        "translational, rotational, ... (coarse to fine); rtf_exhaustive: every reference in the "
        "full band, slow",
    )
    simaligncmp: str = module_field(
        COMPARISON,
        "auto",
        "ccc",
        "comparator that chooses the pose of each pair: loglik, ccc, dot, sqeuclidean, frc or "
        "phase; by default as --simcmp",
    )
    simralign: str = module_field(
        COMPARISON,
        "refine",
        "refine:maxshift=2",
        "refine: poses are refined continuously; none: they stay where the search found them",
    )
    simraligncmp: str = module_field(
        COMPARISON,
        "auto",
        "ccc",
        "comparator that the refinement improves, as for --simaligncmp, which is the default",
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
    prefilt: bool = field(
        default=False,
        metadata=option(
            None,
            group=COMPARISON,
            help="filter every reference to the particles' mean power spectrum first; in class "
            "averaging, too",
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
        default=Assignment.AUTO,
        metadata=option(
            one_of(Assignment),
            group=CLASSIFICATION,
            help="hard: each particle goes to its best reference (--sep of them); soft: to all "
            "that are kept, by their posterior probability, from broad to sharp; auto: hard until "
            "few particles change map, soft from there",
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
