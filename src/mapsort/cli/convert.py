"""``mapsort convert``: particles and maps from one format to another."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.convert import ConvertOptions
from mapsort.rundir.wording import counted

NAME = "convert"
HELP = "convert particles and maps between RELION, cryoSPARC and EMAN2 formats"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ConvertOptions`, and the display's."""
    add_options(parser, ConvertOptions)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int:
    """Convert, and name the files written."""
    options = options_from(ConvertOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.convert import convert

    with progress_display(quiet=args.quiet) as shown, interruptible(shown) as progress:
        made = convert(options, progress=progress)
    first, *others = made.files
    say(f"{first}  {counted(made.n_images, 'particle')}" if made.n_images else f"{first}  map")
    for path in others:
        say(f"{path}  their images")
    return 0
