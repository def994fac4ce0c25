"""Dask workers for a run: started or found, and looked at before any work."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapsort import _core
from mapsort._version import __version__
from mapsort.engines.dask_engine import DaskEngine, dask_engine
from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError
from mapsort.options.multi import MultiOptions
from mapsort.options.parallel import ParallelRequest, parse_parallel
from mapsort.refinement.inputs import MultiInputs
from mapsort.rundir.wording import counted

#: What is sent to a worker and back to measure the way there.
_PROBE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker tells of itself."""

    host: str
    #: Of mapsort.
    version: str
    python: str
    numpy: str
    #: Instruction set of the kernels: results are the same, bit for bit, with the same one only.
    isa: str
    #: Threads a piece of work uses there.
    n_threads: int
    #: Files that it does not see, or sees with another size.
    unseen: tuple[str, ...]


def worker_facts(files: Sequence[tuple[str, int]]) -> WorkerFacts:
    """Return what this process is, and which of these files (path, bytes) it does not see."""
    return WorkerFacts(
        platform.node(),
        __version__,
        platform.python_version(),
        np.__version__,
        _core.isa,
        available_threads(),
        tuple(path for path, size in files if not _is_seen(Path(path), size)),
    )


def _is_seen(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _echo(data: bytes) -> bytes:
    return data


@contextmanager
def engine_for(options: MultiOptions, inputs: MultiInputs) -> Iterator[DaskEngine | None]:
    """Give the engine that ``--parallel`` asks for, its workers looked at; None for threads.

    Raises
    ------
    ConfigError
        There are no workers, one has another version, or one does not see the particle files.
    """
    request = options.workers
    if not request.on_dask:
        yield None
        return
    with connected(options.parallel, request) as engine:
        files = [(str(path.absolute()), path.stat().st_size) for path in inputs.particles.files]
        facts = engine.on_each_worker(worker_facts, files)
        refuse_unfit(options.parallel, facts, engine.tasks_at_once())
        yield engine


def connected(name: str, request: ParallelRequest) -> AbstractContextManager[DaskEngine]:
    """Connect to the workers that a request names, while the block lasts."""
    return dask_engine(name, address=request.scheduler, n_local=request.n_local)


def refuse_unfit(
    name: str, workers: Mapping[str, WorkerFacts], tasks_at_once: Mapping[str, int]
) -> None:
    """Refuse workers that cannot do the work, or would do it otherwise."""
    here = worker_facts(())
    for address, facts in workers.items():
        where = f"--parallel={name}: worker {address} on {facts.host}"
        if facts.version != here.version:
            raise ConfigError(f"{where} has mapsort {facts.version}, here is {here.version}")
        if facts.isa != here.isa:
            raise ConfigError(
                f"{where} computes with {facts.isa}, here is {here.isa}: results would depend on "
                f"who computes\nset MAPSORT_ISA={min(facts.isa, here.isa)} everywhere"
            )
        if tasks_at_once.get(address, 1) > 1:
            raise ConfigError(
                f"{where} does {tasks_at_once[address]} tasks at a time, each of which would use "
                "all its threads; start it with --nthreads 1"
            )
        if facts.unseen:
            raise ConfigError(
                f"{where} does not see {facts.unseen[0]}"
                + (f" and {len(facts.unseen) - 1} more files" if len(facts.unseen) > 1 else "")
                + ", or sees another file there; all machines need the same file system"
            )


def check_cluster(name: str, files: Sequence[Path] = ()) -> tuple[list[str], list[str]]:
    """Look at a cluster: who works there, with what, what they see, and how fast data get there.

    ``name`` is as for ``--parallel``; every worker should see the files.

    Returns
    -------
    lines : list of str
        One for each worker, and one for the bandwidth.
    problems : list of str
        Empty if a run would start.

    Raises
    ------
    ConfigError
        There is no such cluster, or a file does not exist here.
    """
    request = parse_parallel(name, dask=True)
    if not request.on_dask:
        raise ConfigError(f"{name or 'no cluster'}: expected dask:HOST:PORT or dask:local=N")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise ConfigError(f"{missing[0]}: no such file here")
    sizes = [(str(path.absolute()), path.stat().st_size) for path in files]
    with connected(name, request) as engine:
        workers = engine.on_each_worker(worker_facts, sizes)
        at_once = engine.tasks_at_once()
        begin = time.perf_counter()
        engine.on_each_worker(_echo, bytes(_PROBE_BYTES))
        seconds = time.perf_counter() - begin
    problems = []
    try:
        refuse_unfit(name, workers, at_once)
    except ConfigError as error:
        problems.append(str(error))
    lines = [
        f"{address}  {facts.host}  {counted(facts.n_threads, 'thread')}  mapsort {facts.version} "
        f"({facts.isa}), Python {facts.python}, NumPy {facts.numpy}"
        + (f"  does not see {counted(len(facts.unseen), 'file')}" if facts.unseen else "")
        for address, facts in workers.items()
    ]
    rate = 2 * len(workers) * _PROBE_BYTES / 2**20 / seconds
    threads = sum(facts.n_threads for facts in workers.values())
    found = f"{counted(len(workers), 'worker')}, {counted(threads, 'thread')}"
    lines.append(f"{found}; {rate:.0f} MiB/s there and back")
    return lines, problems
