"""``mapsort cluster``: test the workers before a run of days relies on them."""

from __future__ import annotations

import argparse

from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say, warn
from mapsort.options.small import ClusterOptions

NAME = "cluster"
HELP = "test the Dask workers of --parallel: versions, files, threads, bandwidth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ClusterOptions`."""
    add_options(parser, ClusterOptions)


def run(args: argparse.Namespace) -> int:
    """Say what the workers are and what is wrong with them; 1 if a run would not start."""
    options = options_from(ClusterOptions, args).validated()
    from mapsort.jobs.cluster import check_cluster

    lines, problems = check_cluster(options.parallel, options.files)
    for line in lines:
        say(line)
    for problem in problems:
        warn(problem)
    if not problems:
        say("a run can start there")
    return 1 if problems else 0
