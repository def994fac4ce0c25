"""``mapsort demo``: the main job on a small problem it makes itself."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.small import DemoOptions

NAME = "demo"
HELP = "run multi on a small problem made on the spot and score it against the truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `DemoOptions`, and the display's."""
    add_options(parser, DemoOptions)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and print its score and where the results are."""
    options = options_from(DemoOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.demo import demo

    with progress_display(quiet=args.quiet) as shown, interruptible(shown) as progress:
        score = demo(options, progress=progress)
    say(f"particles in the right class: {score.accuracy:.1%}")
    for path, resolution in zip(score.maps, score.resolutions_ang, strict=True):
        say(f"{path}  {resolution:.1f} A at FSC 0.5 against the truth")
    say(f"{score.particles}  class and pose of every particle")
    return 0
