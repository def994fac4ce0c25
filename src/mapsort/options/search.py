"""Options of the search: projections, their comparison with particles, classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mapsort.options.fields import Options, choice, flag, option
from mapsort.options.shared import (
    POSE_COMPARATOR,
    POSE_REFINEMENT,
    RANKING_COMPARATOR,
    SEARCH_ALIGNER,
    Projector,
    module,
)
from mapsort.options.types import (
    JUNK_SETS,
    Assignment,
    file_path,
    list_of,
    real_number,
    text,
    whole_number,
)

PROJECTION = "projection"
COMPARISON = "comparison"
CLASSIFICATION = "classification"


class OrientationStep(Options, group=PROJECTION):
    """Where maps are projected."""

    orientgen: str = option(
        text("auto or an orientation generator, for example eman:delta=7.5"),
        "SPEC",
        "orientation generator, eman or even, as name:delta=DEG; auto: from "
        "--targetres and --speed",
        "auto",
        names="modules.orientgen:ORIENTATION_GENERATORS.bind",
    )


class ProjectionOptions(OrientationStep, Projector, group=PROJECTION):
    """Where and how maps are projected."""


class PoseSearch(Options, group=COMPARISON):
    """What every search needs."""

    maxshift: float | None = option(
        real_number(low=0),
        "PX",
        "largest shift searched, in pixels; by default auto, an eighth of the box",
    )
    simcmp: str = module(
        RANKING_COMPARATOR,
        "loglik",
        "frc:maxres=10",
        "comparator that ranks references: loglik, ccc, dot, sqeuclidean, frc or phase with "
        ":minres=A:maxres=A in the search itself; any other one, and other parameters, on the best "
        "few poses of each map",
    )


class SearchDetails(Options):
    """What is compared, and in which steps."""

    twostage: int = option(
        whole_number(0),
        "N",
        "compare particles with clusters of similar projections first, at 1/N of their "
        "size, then with the projections of the best clusters; 0: in one stage",
        0,
    )
    shrink: int = option(
        whole_number(0),
        "N",
        "compare at 1/N of the size: frequencies beyond are left out; 0 and 1: full size",
        0,
    )
    simalign: str = module(
        SEARCH_ALIGNER,
        "rotate_translate_flip",
        "rotate_translate_flip:maxshift=5",
        "aligner, which says what may differ: rotate_translate_flip, rotate_translate, "
        "translational, rotational, ... (coarse to fine); rtf_exhaustive: every reference in the "
        "full band, slow",
    )
    simaligncmp: str = module(
        POSE_COMPARATOR,
        "auto",
        "ccc",
        "comparator that chooses the pose of each pair: loglik, ccc, dot, sqeuclidean, frc or "
        "phase; by default as --simcmp",
    )
    simralign: str = module(
        POSE_REFINEMENT,
        "refine",
        "refine:maxshift=2",
        "refine: poses are refined continuously; none: they stay where the search found them",
    )
    simraligncmp: str = module(
        POSE_COMPARATOR,
        "auto",
        "ccc",
        "comparator that the refinement improves, as for --simaligncmp, which is the default",
    )
    simmask: Path | None = option(
        file_path("a mask image"),
        "FILE",
        "2-D mask of the box's size that multiplies every projection",
    )
    mask: tuple[Path, ...] = option(
        list_of(file_path("a mask volume"), "mask volumes"),
        "FILE[,FILE...]",
        "3-D mask, 0 to 1: classify by the density inside it; outside, all references get the "
        "same density, their mean. With several masks, each region has classes of its own, at "
        "common poses",
        (),
    )
    skipalign: bool = flag(
        "no search: classify with the poses of the input (rlnAngleRot and so on)"
    )
    prefilt: bool = flag(
        "filter every reference to the particles' mean power spectrum first; in class "
        "averaging, too"
    )


class ComparisonOptions(PoseSearch, SearchDetails, group=COMPARISON):
    """How particles are compared with projections."""


class ClassificationOptions(Options, group=CLASSIFICATION):
    """Which references a particle goes to."""

    sep: int = option(whole_number(1), "N", "number of references each particle goes to", 1)
    assign: Assignment = choice(
        Assignment.AUTO,
        "hard: each particle goes to its best reference (--sep of them); soft: to all "
        "that are kept, by their posterior probability, from broad to sharp; auto: hard until "
        "few particles change class, then soft",
    )
    junk: int | None = option(
        JUNK_SETS,
        "N|auto",
        "1: particles that match no map better than pure noise does go to a class of "
        "their own, after the last map's; from 2 on, images that do not resemble their map (ice, "
        "carbon) go to N - 1 further classes, by their spectra; 0: no junk; by default auto: 1 if "
        "classes are found from --model; with --models, junk is separated at the end of a run "
        "that converges; else 0",
    )

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        return super().as_record() | ({"junk": "auto"} if self.junk is None else {})
