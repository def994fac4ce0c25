"""The table of commands; their modules are imported only when they run."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Protocol, cast

#: Commands of this version, with the line ``mapsort --help`` shows. It stands here and not only
#: in the modules because importing all of them would load numpy to print a few lines.
COMMANDS: Mapping[str, str] = {
    "multi": "classify particles against several references and refine these together",
    "refine": "refine one map by half-sets that are kept apart from the start",
    "project": "project maps along the directions of a generator or of a .star file",
    "similarity": "compare particles with projections of a file: the similarity matrix",
    "classify": "the best references of each particle, from a similarity matrix",
    "average": "average classes: projections, particles and a classification matrix",
    "reconstruct": "reconstruct a map from particles with poses, or from a run's class averages",
    "simulate": "make realistic particles with known truth from maps or a built-in phantom",
    "demo": "run multi on a small problem made on the spot and score it against the truth",
    "split": "particles of a finished run as one set per map (.star, .lst)",
    "eotest": "even/odd resolution test of every map of a finished run",
    "crossval": "refine each set from each other set's map, judge by unseen particles: is the "
    "split real?",
    "followup": "after a run: split, refine each set alone, measure, cross-validate, report",
    "report": "build the HTML report of a run from its directory",
    "show": "picture a map (slices, projections) or a stack (montage) as PNG",
    "process": "apply named processors to a map or a stack of images",
    "modules": "list processors, comparators, aligners ... with their parameters",
    "cluster": "test the Dask workers of --parallel: versions, files, threads, bandwidth",
    "convert": "convert particles and maps between RELION, cryoSPARC and EMAN2 formats",
    "info": "tell what a file is (size, pixel size, counts, CTF, statistics), or how a run stands",
    "doctor": "check this installation: kernels, threads, memory, versions, a self-test of 5 s",
    "build-info": "tell how this installation was compiled and which instruction set it uses",
}

#: How the overview groups the commands; one that stands in no group comes under "more".
GROUPS: Mapping[str, tuple[str, ...]] = {
    "sort and refine": ("multi", "refine", "demo"),
    "after a run": ("split", "eotest", "crossval", "followup", "report", "show"),
    "stages of an iteration": ("project", "similarity", "classify", "average", "reconstruct"),
    "files": ("info", "convert", "process", "simulate"),
    "this program": ("modules", "doctor", "build-info", "cluster"),
}

DESCRIPTION = "Sort cryo-EM particle images among several 3-D maps while refining the maps."


class Command(Protocol):
    """What the module of a command provides."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options to its parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the command's work and return its exit status."""


def load(name: str) -> Command:
    """Import the module of a command of `COMMANDS`."""
    return cast(Command, importlib.import_module(f"mapsort.cli.{name.replace('-', '_')}"))
