"""Options of the way from classes to maps: class averages, reconstruction."""

from __future__ import annotations

from mapsort.options.fields import Options, choice, flag, option, refuse
from mapsort.options.shared import (
    AVERAGER,
    POSE_COMPARATOR,
    POSE_REFINEMENT,
    RANKING_COMPARATOR,
    SEARCH_ALIGNER,
    Reconstructor,
    module,
    processors,
)
from mapsort.options.types import (
    AUTOMASK_VALUES,
    Automask3D,
    InputMode,
    real_number,
    text,
    whole_number,
)

AVERAGES = "class averages"
RECONSTRUCTION = "reconstruction"


class AverageOptions(Options, group=AVERAGES):
    """How the members of a class are averaged."""

    classiter: int = option(
        whole_number(0),
        "N",
        "times that the members of a class are aligned anew with their average, and "
        "chosen anew; 0: they are averaged as they lie on their projection",
        0,
    )
    classcmp: str = module(
        RANKING_COMPARATOR,
        "auto",
        "ccc",
        "comparator by which --classkeep chooses members; by default their correlation with the "
        "reference in units of its noise",
    )
    classalign: str = module(
        SEARCH_ALIGNER,
        "auto",
        "rotate_translate_flip",
        "aligner of members, as for --simalign; given, they are also aligned anew with their "
        "projection before the first average; by default rotate_translate_flip, with averages only",
    )
    classaligncmp: str = module(
        POSE_COMPARATOR,
        "auto",
        "ccc",
        "comparator of this alignment; by default that of --simaligncmp",
    )
    classralign: str = module(
        POSE_REFINEMENT,
        "refine",
        "refine:maxshift=2",
        "refine: this alignment is refined continuously; none: not",
    )
    classraligncmp: str = module(
        POSE_COMPARATOR,
        "auto",
        "ccc",
        "comparator that this refinement improves; by default that of --classaligncmp",
    )
    classaverager: str = module(
        AVERAGER,
        "auto",
        "mean",
        "averager: auto (CTF-weighted least squares), mean (phases flipped only), ctf.weight, "
        "ctf.auto, median, ...",
    )
    classkeep: float = option(
        real_number(), "F", "fraction of each class that is averaged, the best first", 0.9
    )
    classkeepsig: bool = flag("--classkeep is in standard deviations from the class's mean score")
    classnormproc: str = processors(
        "processors of every particle before it is averaged, in place of background mean 0 and "
        "standard deviation 1"
    )
    classrefsf: bool = flag("filter class averages to the radial spectrum of their projections")
    classautomask: bool = flag(
        "with --classiter: mask averages by their density before members are aligned with "
        "them, not by a soft disc"
    )

    def _check(self) -> None:
        super()._check()
        _check_keep("classkeep", self.classkeep, in_sigmas=self.classkeepsig)


def _check_keep(name: str, keep: float, *, in_sigmas: bool) -> None:
    if not in_sigmas and not 0 < keep <= 1:
        raise refuse(name, keep, f"a fraction above 0 and up to 1 (any number with --{name}sig)")


class Automask(Options, group=RECONSTRUCTION):
    """How maps are masked."""

    automask3d: Automask3D | None = option(
        AUTOMASK_VALUES,
        "T,R,N,G,S",
        "mask maps by threshold,radius,nshells,nshellsgauss,nmaxseed; by default one "
        "soft envelope about the density of all maps",
    )


class ReconstructionOptions(
    Reconstructor,
    Automask,
    group=RECONSTRUCTION,
    words={
        "recon": "fourier (least squares), back_projection (a few steps: faster), nn4, nn4_rect "
        "or nn4_ctf with :snr=S; wiener_fourier and nnSSNR are fourier here, for all maps are "
        "Wiener-filtered by their halves"
    },
):
    """How a map is made of class averages, and masked."""

    m3dkeep: float = option(
        real_number(),
        "F",
        "with --m3diter from 2: fraction of a map's class averages that make the map, "
        "those that agree best with the map of the others",
        0.8,
    )
    m3dkeepsig: bool = flag(
        "--m3dkeep is in standard deviations below the mean quality of a map's averages"
    )
    m3dsetsf: str = option(
        text("a file of two columns, auto or none"),
        "FILE",
        "set the maps' radial spectrum to a structure factor: a file of 1/A and "
        "intensity, or (auto, or without a value) as measured on the particles",
        "none",
        bare="auto",
    )
    m3diter: int = option(
        whole_number(1),
        "N",
        "1: all class averages make the map; 2: one pass of selection by --m3dkeep; "
        "from 3: their scales are refined too",
        1,
    )
    m3dpreprocess: str = processors("processors of every class average before it enters a map")
    m3dpostprocess: str = processors(
        "processors of every map, after --m3dsetsf, before it is masked"
    )
    inputmode: InputMode = choice(
        InputMode.CLASSES,
        "maps are made of class averages; or of particles, each inserted at its own pose, "
        "which a local search refines beyond the projections' step",
    )
    halves: bool = flag(
        "keep two half-sets apart (those of rlnRandomSubset if the table has it; copies "
        "of an image together): each has its own starting maps (phases random beyond 24 A, or "
        "twice --targetres), references and poses; FSC between them per map and iteration"
    )

    def _check(self) -> None:
        super()._check()
        _check_keep("m3dkeep", self.m3dkeep, in_sigmas=self.m3dkeepsig)
