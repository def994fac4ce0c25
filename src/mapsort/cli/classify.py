"""``mapsort classify``: one stage of an iteration by hand."""

from __future__ import annotations

import argparse

from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.options.stages import ClassifyOptions
from mapsort.rundir.wording import counted

NAME = "classify"
HELP = "the best references of each particle, from a similarity matrix"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ClassifyOptions`."""
    add_options(parser, ClassifyOptions)


def run(args: argparse.Namespace) -> int:
    """Classify, and name the matrix."""
    options = options_from(ClassifyOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.classify import classification_matrix

    n, m = classification_matrix(options)
    say(f"{options.out}  {counted(n, 'particle')} in {counted(m, 'class', 'classes')}")
    return 0
