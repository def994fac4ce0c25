"""The ``--parallel`` option: where the work runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mapsort.errors import ConfigError

TAKES = "thread:N with N from 1"
TAKES_DASK = f"{TAKES}, dask:HOST:PORT, or dask:local=N"


@dataclass(frozen=True)
class ParallelRequest:
    """What ``--parallel`` asks for."""

    #: Threads asked for; None for all that this process may use.
    n_threads: int | None = None
    #: Scratch directory of the original's ``thread:N:scratch``, which has no use here.
    ignored_scratch: str | None = None
    #: Address of a Dask scheduler, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
    scheduler: str | None = None
    #: Number of Dask workers to start on this machine.
    n_local: int | None = None

    @property
    def on_dask(self) -> bool:
        """Whether the work goes to Dask workers."""
        return self.scheduler is not None or self.n_local is not None


def parse_parallel(text: str, *, dask: bool = False) -> ParallelRequest:
    """Read ``thread:N`` (``thread:N:scratch``, the scratch directory ignored) or ``dask:...``.

    Parameters
    ----------
    text : str
        Empty for the default. ``dask:HOST:PORT``, ``dask:tls://HOST:PORT``, ``dask:local=N``.
    dask : bool
        Whether the command can work on a Dask cluster.

    Raises
    ------
    ConfigError
        For the original's ``mpi:`` and ``dc:``, naming the alternative; for anything else.
    """
    if not text:
        return ParallelRequest()
    scheme = text.partition(":")[0].lower()
    if scheme in ("mpi", "dc"):
        raise ConfigError(
            f"--parallel={text}: mapsort does not run under {scheme}; use thread:N on one machine\n"
            "(several machines: dask:HOST:PORT; mapsort cluster check tests them)"
        )
    if scheme == "dask" and not dask:
        raise ConfigError(
            f"--parallel={text}: only mapsort multi works on a Dask cluster; use thread:N"
        )
    if scheme == "dask":
        return _parse_dask(text)
    match = re.fullmatch(r"thread:([0-9]+)(?::(.*))?", text, flags=re.IGNORECASE)
    if match is None or int(match[1]) < 1:
        raise ConfigError(f"--parallel={text}: expected {TAKES_DASK if dask else TAKES}")
    return ParallelRequest(int(match[1]), match[2] or None)


def _parse_dask(text: str) -> ParallelRequest:
    where = text.partition(":")[2]
    local = re.fullmatch(r"local=([0-9]+)", where, flags=re.IGNORECASE)
    if local is not None and int(local[1]) >= 1:
        return ParallelRequest(n_local=int(local[1]))
    remote = re.fullmatch(r"(?:(tcp|tls)://)?([^\s:/=]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})", where)
    if remote is None or not 0 < int(remote[3]) < 65536:
        raise ConfigError(f"--parallel={text}: expected {TAKES_DASK}")
    return ParallelRequest(scheduler=f"{remote[1] or 'tcp'}://{remote[2]}:{remote[3]}")
