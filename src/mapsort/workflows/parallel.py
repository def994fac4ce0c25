"""The ``--parallel`` option: where the work runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mapsort.errors import ConfigError

TAKES = "thread:N with N from 1"


@dataclass(frozen=True)
class ParallelRequest:
    """What ``--parallel`` asks for.

    Attributes
    ----------
    n_threads : int or None
        Threads asked for; None for all that this process may use.
    ignored_scratch : str or None
        Scratch directory of the original's ``thread:N:scratch``, which has no use here.
    """

    n_threads: int | None
    ignored_scratch: str | None


def parse_parallel(text: str) -> ParallelRequest:
    """Read ``thread:N``, or ``thread:N:scratch`` with the scratch directory ignored.

    Parameters
    ----------
    text : str
        Empty for the default.

    Raises
    ------
    ConfigError
        For the original's ``mpi:`` and ``dc:``, naming the alternative; for ``dask:``, which
        comes later; for anything else.
    """
    if not text:
        return ParallelRequest(None, None)
    scheme = text.partition(":")[0].lower()
    if scheme in ("mpi", "dc"):
        raise ConfigError(
            f"--parallel={text}: mapsort does not run under {scheme}; use thread:N on one machine\n"
            "(several machines: dask:HOST:PORT, in a later version)"
        )
    if scheme == "dask":
        raise ConfigError(f"--parallel={text}: not yet in this version of mapsort; use thread:N")
    match = re.fullmatch(r"thread:([0-9]+)(?::(.*))?", text, flags=re.IGNORECASE)
    if match is None or int(match[1]) < 1:
        raise ConfigError(f"--parallel={text}: expected {TAKES}")
    return ParallelRequest(int(match[1]), match[2] or None)
