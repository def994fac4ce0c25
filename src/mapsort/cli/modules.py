"""``mapsort modules``: what can be named in options and in the Python interface."""

from __future__ import annotations

import argparse

from mapsort.cli.output import say

NAME = "modules"
HELP = "list processors, comparators, aligners ... with their parameters"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mapsort modules``.

    Parameters
    ----------
    parser : ArgumentParser
        The subcommand's parser.
    """
    parser.add_argument(
        "kind",
        nargs="?",
        metavar="KIND",
        help="aligners, averagers, comparators, orientation-generators, processors, projectors, "
        "reconstructors or symmetries; all by default",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also the parameters of each module"
    )


def run(args: argparse.Namespace) -> int:
    """Print the modules of one kind or of all.

    Parameters
    ----------
    args : Namespace
        With ``kind`` and ``verbose``.

    Returns
    -------
    int
        0.

    Raises
    ------
    ConfigError
        For an unknown kind.
    """
    # Imported here: the declarations import numpy and scipy, which `--help` can do without.
    from mapsort.modules.listing import find_kind, kind_names, listing

    kinds = [args.kind] if args.kind is not None else kind_names()
    for number, kind in enumerate(kinds):
        if number:
            say("")
        for line in listing(find_kind(kind), parameters=args.verbose):
            say(line)
    return 0
