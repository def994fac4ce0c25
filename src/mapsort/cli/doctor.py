"""``mapsort doctor``: whether this installation works, and what it runs on."""

from __future__ import annotations

import argparse

from mapsort.cli.output import say

NAME = "doctor"
HELP = "check this installation: kernels, threads, memory, versions, a self-test of 5 s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the examination takes no options."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001
    """Print every finding as it comes; return 0, or 1 if something failed."""
    # Here and not above: it loads the kernels.
    from mapsort.jobs.doctor import State, examine

    failed = 0
    for finding in examine():
        say(f"{finding.state.value:6}  {finding.name:17}  {finding.text}")
        failed += finding.state is State.BAD
    say("This installation works." if not failed else f"{failed} of these failed.")
    return 1 if failed else 0
