"""Examples that the help of each command ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Example(NamedTuple):
    """A command line without ``mapsort COMMAND``, and what it is for."""

    words: str
    purpose: str


EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "multi": (
        Example("--input particles.star --models a.mrc,b.mrc --check", "what would run"),
        Example("--input particles.star --models a.mrc,b.mrc", "the job, until it converges"),
        Example("--input particles.star --model a.mrc --nmodels 3", "three maps from one"),
        Example("--input p.cs --passthrough q.cs --models a.mrc,b.mrc --sym d7", "from cryoSPARC"),
        Example("--input p.star --models a.mrc,b.mrc --targetres 9 --speed 3", "finer and slower"),
        Example("--resume multi_00", "continue a stopped run"),
    ),
    "refine": (
        Example("--input particles.star --model map.mrc", "one map, two halves kept apart"),
        Example("--input multi_00/sets/particles_mul00_it06_m1.star --model a.mrc", "one set"),
    ),
    "project": (
        Example("map.mrc projections.hdf --orientgen eman:delta=7.5", "over the asymmetric unit"),
    ),
    "similarity": (
        Example("projections_01.hdf particles.star -o simmx.hdf", "every particle with every view"),
    ),
    "classify": (Example("simmx_01.hdf -o classify.hdf --sep 2", "two classes for each particle"),),
    "average": (
        Example(
            "projections_01.hdf particles.star classify_01.hdf -o classes.hdf", "as a run does it"
        ),
    ),
    "reconstruct": (Example("particles.star -o map.mrc", "from the poses in a particle table"),),
    "simulate": (
        Example("open.mrc closed.mrc --n 2000 --snr 0.05 --out sim", "from two maps"),
        Example("--phantom 2 --n 2000 --out sim", "from the built-in phantom"),
    ),
    "demo": (Example("--path trial --n 1000", "a smaller one, in the directory trial"),),
    "split": (Example("multi_00", "one .star file for each map of the last iteration"),),
    "eotest": (Example("multi_00", "FSC between even and odd particles of every map"),),
    "crossval": (Example("multi_00", "does each set come back from the other sets' maps?"),),
    "followup": (Example("multi_00", "split, refine each set, measure, cross-validate"),),
    "report": (Example("multi_00", "writes multi_00/report/index.html"),),
    "show": (
        Example("multi_00/threed_03_01.mrc -o map.png", "slices and projections of a map"),
        Example("particles.mrcs -o some.png --count 25", "the first images of a stack"),
    ),
    "process": (
        Example(
            "map.mrc out.mrc --process mask.sharp:outer_radius=20 --process normalize",
            "two processors, in this order",
        ),
    ),
    "modules": (
        Example("comparators -v", "the comparators with their parameters"),
        Example("", "everything"),
    ),
    "convert": (
        Example("particles.cs particles.star --passthrough extra.cs", "cryoSPARC to RELION"),
        Example("particles.star some.star --random 1000", "a subset"),
    ),
    "info": (Example("particles.star map.mrc", "two files"),),
    "cluster": (
        Example("check --parallel dask:local=2 --files particles.mrcs", "two workers of this host"),
    ),
    "doctor": (Example("", "all checks"),),
    "build-info": (Example("--json", "for a report of a problem"),),
}


def examples_text(command: str, *, prog: str) -> str:
    """Return the closing lines of a command's help, or nothing where it has no examples."""
    examples = EXAMPLES.get(command, ())
    if not examples:
        return ""
    lines = [line for example in examples for line in _lines(example, prog)]
    return "\n".join(["examples:", *lines])


def _lines(example: Example, prog: str) -> list[str]:
    return [f"  {prog} {example.words}".rstrip(), f"      {example.purpose}"]
