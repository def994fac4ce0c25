"""Options of the way from classes to maps: class averages, reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field

from mapsort.workflows.option_fields import one_of, option, real_number, whole_number
from mapsort.workflows.option_types import AUTOMASK_VALUES, Automask3D, InputMode
from mapsort.workflows.shared_fields import pad_field, reconstructor_field

AVERAGES = "class averages"
RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True, kw_only=True)
class AverageOptions:
    """How the members of a class are averaged."""

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


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """How a map is made of class averages, and masked."""

    pad: int = pad_field(RECONSTRUCTION, "twice the box")
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
            help="keep even and odd particles apart: each half has its own starting maps (phases "
            "random beyond 24 A, or twice --targetres), references and poses; FSC between them per "
            "map and iteration",
        ),
    )
