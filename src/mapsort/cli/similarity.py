"""``mapsort similarity``: one stage of an iteration by hand."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.stages import SimilarityOptions
from mapsort.rundir.wording import counted

NAME = "similarity"
HELP = "compare particles with projections of a file: the similarity matrix"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `SimilarityOptions`."""
    add_options(parser, SimilarityOptions)


def run(args: argparse.Namespace) -> int:
    """Compare, and name the matrix."""
    options = options_from(SimilarityOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.similarity import similarity_matrix

    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        n, m = similarity_matrix(options, progress=progress)
    say(f"{options.out}  {counted(n, 'particle')} x {counted(m, 'projection')}")
    return 0
