"""Options of the way from classes to maps: class averages, reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field

from mapsort.options.fields import one_of, option, real_number, text, whole_number
from mapsort.options.shared import (
    module_field,
    pad_field,
    processors_field,
    reconstructor_field,
)
from mapsort.options.types import AUTOMASK_VALUES, Automask3D, InputMode

AVERAGES = "class averages"
RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True, kw_only=True)
class AverageOptions:
    """How the members of a class are averaged."""

    classiter: int = field(
        default=0,
        metadata=option(
            whole_number(0),
            group=AVERAGES,
            metavar="N",
            help="times that the members of a class are aligned anew with their average, and "
            "chosen anew; 0: they are averaged as they lie on their projection",
        ),
    )
    classcmp: str = module_field(
        AVERAGES,
        "auto",
        "ccc",
        "comparator by which --classkeep chooses members; by default their correlation with the "
        "reference in units of its noise",
    )
    classalign: str = module_field(
        AVERAGES,
        "auto",
        "rotate_translate_flip",
        "aligner of members, as for --simalign; given, they are also aligned anew with their "
        "projection before the first average; by default rotate_translate_flip, with averages only",
    )
    classaligncmp: str = module_field(
        AVERAGES, "auto", "ccc", "comparator of this alignment; by default that of --simaligncmp"
    )
    classralign: str = module_field(
        AVERAGES,
        "refine",
        "refine:maxshift=2",
        "refine: this alignment is refined continuously; none: not",
    )
    classraligncmp: str = module_field(
        AVERAGES,
        "auto",
        "ccc",
        "comparator that this refinement improves; by default that of --classaligncmp",
    )
    classaverager: str = module_field(
        AVERAGES,
        "auto",
        "mean",
        "averager: auto (CTF-weighted least squares), mean (phases flipped only), ctf.weight, "
        "ctf.auto, median, ...",
    )
    classkeep: float = field(
        default=0.9,
        metadata=option(
            real_number(),
            group=AVERAGES,
            metavar="F",
            help="fraction of each class that is averaged, the best first",
        ),
    )
    classkeepsig: bool = field(
        default=False,
        metadata=option(
            None,
            group=AVERAGES,
            help="--classkeep is in standard deviations from the class's mean score",
        ),
    )
    classnormproc: str = processors_field(
        AVERAGES,
        "processors of every particle before it is averaged, in place of background mean 0 and "
        "standard deviation 1",
    )
    classrefsf: bool = field(
        default=False,
        metadata=option(
            None,
            group=AVERAGES,
            help="filter class averages to the radial spectrum of their projections",
        ),
    )
    classautomask: bool = field(
        default=False,
        metadata=option(
            None,
            group=AVERAGES,
            help="with --classiter: mask averages by their density before members are aligned with "
            "them, not by a soft disc",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """How a map is made of class averages, and masked."""

    pad: int = pad_field(RECONSTRUCTION)
    recon: str = reconstructor_field(
        RECONSTRUCTION,
        "fourier (least squares), back_projection (a few steps: faster), nn4, nn4_rect or nn4_ctf "
        "with :snr=S; wiener_fourier and nnSSNR are fourier here, for all maps are Wiener-filtered "
        "by their halves",
    )
    m3dkeep: float = field(
        default=0.8,
        metadata=option(
            real_number(),
            group=RECONSTRUCTION,
            metavar="F",
            help="with --m3diter from 2: fraction of a map's class averages that make the map, "
            "those that agree best with the map of the others",
        ),
    )
    m3dkeepsig: bool = field(
        default=False,
        metadata=option(
            None,
            group=RECONSTRUCTION,
            help="--m3dkeep is in standard deviations below the mean quality of a map's averages",
        ),
    )
    m3dsetsf: str = field(
        default="none",
        metadata=option(
            text("a file of two columns, auto or none"),
            group=RECONSTRUCTION,
            metavar="FILE",
            bare="auto",
            help="set the maps' radial spectrum to a structure factor: a file of 1/A and "
            "intensity, or (auto, or without a value) as measured on the particles",
        ),
    )
    m3diter: int = field(
        default=1,
        metadata=option(
            whole_number(1),
            group=RECONSTRUCTION,
            metavar="N",
            help="1: all class averages make the map; 2: one pass of selection by --m3dkeep; "
            "from 3: their scales are refined too",
        ),
    )
    m3dpreprocess: str = processors_field(
        RECONSTRUCTION, "processors of every class average before it enters a map"
    )
    m3dpostprocess: str = processors_field(
        RECONSTRUCTION, "processors of every map, after --m3dsetsf, before it is masked"
    )
    automask3d: Automask3D | None = field(
        default=None,
        metadata=option(
            AUTOMASK_VALUES,
            group=RECONSTRUCTION,
            metavar="T,R,N,G,S",
            help="mask maps by threshold,radius,nshells,nshellsgauss,nmaxseed; by default one "
            "soft envelope about the density of all maps",
        ),
    )
    inputmode: InputMode = field(
        default=InputMode.CLASSES,
        metadata=option(
            one_of(InputMode),
            group=RECONSTRUCTION,
            help="maps are made of class averages; or of particles, each inserted at its own pose, "
            "which a local search refines beyond the projections' step",
        ),
    )
    halves: bool = field(
        default=False,
        metadata=option(
            None,
            group=RECONSTRUCTION,
            help="keep two half-sets apart (those of rlnRandomSubset if the table has it; copies "
            "of an image together): each has its own starting maps (phases random beyond 24 A, or "
            "twice --targetres), references and poses; FSC between them per map and iteration",
        ),
    )
