"""The same run on Dask workers: the same results, whatever happens to the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mapsort.cli.main import main
from mapsort.engines.dask_engine import DaskEngine
from mapsort.errors import ConfigError, RunError
from mapsort.jobs.cluster import WorkerFacts, refuse_unfit, worker_facts
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.refine import refine
from mapsort.jobs.simulate import simulate
from mapsort.options.parallel import parse_parallel
from mapsort.options.simulate import SimulateOptions

OPTIONS = {"iter": 2, "orientgen": "eman:delta=45", "randomseed": 1}

# Workers are processes that import the main module: a file of its own, and no test module.
SCRIPT = """
import json, multiprocessing, os, signal, sys
import mapsort.engines.chunks
from mapsort.jobs.multi import refine_multi
from mapsort.engines.progress import SilentProgress


class KillsWorkers(SilentProgress):
    '''Kills a worker in the middle of a matching and of an averaging.'''

    def __init__(self):
        self.killed = []

    def start(self, stage, total, *, iteration, n_iterations):
        self.now, self.done = (stage, iteration), 0

    def advance(self, amount):
        self.done += 1
        if self.done == {("match", 1): 3, ("average", 2): 1}.get(self.now):
            victim = multiprocessing.active_children()[0]
            os.kill(victim.pid, signal.SIGKILL)
            self.killed.append(self.now)


if __name__ == "__main__":
    mapsort.engines.chunks.LONGEST_CHUNK = 6
    asked = json.loads(sys.argv[1])
    progress = KillsWorkers() if asked.pop("kill") else SilentProgress()
    refine_multi(asked.pop("particles"), asked.pop("models"), progress=progress, **asked)
    print(json.dumps(getattr(progress, "killed", [])))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    options = {"n": 60, "box": 20, "apix": 6.4, "snr": 0.4, "shift": 1.0, "seed": 3}
    out = tmp_path_factory.mktemp("small")
    return simulate(SimulateOptions(phantom=2, out=out, seedres=24.0, **options))


@pytest.fixture(scope="module")
def by_threads(small, tmp_path_factory, results):
    """Results with one thread, by options."""
    made = {}

    def run(**options):
        key = json.dumps(options)
        if key not in made:
            path = tmp_path_factory.mktemp("threads") / "run"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 6)
                everything = OPTIONS | options
                refine_multi(
                    small.particles, small.seeds, path=path, parallel="thread:1", **everything
                )
            made[key] = results(path)
        return made[key]

    return run


def run_script(tmp_path, small, *, kill, **options):
    script = tmp_path / "run_on_dask.py"
    script.write_text(SCRIPT)
    asked = {"particles": str(small.particles), "models": [str(path) for path in small.seeds]}
    asked |= {"path": str(tmp_path / "run"), "kill": kill} | OPTIONS | options
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_workers_one_killed_in_each_stage(small, tmp_path, by_threads, results):
    killed = run_script(tmp_path, small, kill=True, parallel="dask:local=2", speed=7)
    assert killed == [["match", 1], ["average", 2]]
    assert results(tmp_path / "run") == by_threads(speed=7)


@pytest.fixture
def two_threads(monkeypatch):
    """What --parallel names a cluster by whose two workers are threads of this process."""
    import dask
    from distributed import LocalCluster

    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 6)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    patience = dask.config.set({"distributed.comm.timeouts.connect": "120s"})
    with patience, LocalCluster(dashboard_address=":0", protocol="tcp", **workers) as cluster:
        yield f"dask:{cluster.scheduler_address.removeprefix('tcp://')}"


def test_one_map_on_two_workers(tiny, tmp_path, results, two_threads):
    options = OPTIONS | {"speed": 7, "iter": 3, "orientgen": "auto"}
    here, there = tmp_path / "here", tmp_path / "there"
    for path, parallel in ((here, "thread:1"), (there, two_threads)):
        refine(tiny.particles, tiny.seeds[0], path=path, parallel=parallel, **options)
    assert results(there) == results(here)


def test_half_sets_of_the_table(uneven, tiny, tmp_path, results, two_threads):
    """They are of unequal sizes."""
    options = OPTIONS | {"halves": True, "orientgen": "eman:delta=60"}
    here, there = tmp_path / "here", tmp_path / "there"
    for path, parallel in ((here, "thread:1"), (there, two_threads)):
        refine_multi(uneven, tiny.seeds, path=path, parallel=parallel, **options)
    assert results(there) == results(here)


@pytest.mark.slow
def test_four_workers(small, tmp_path, by_threads, results):
    run_script(tmp_path, small, kill=False, parallel="dask:local=4", junk=1)
    assert results(tmp_path / "run") == by_threads(junk=1)


@pytest.mark.slow
def test_a_lost_scheduler_ends_the_run_resumable(small, tmp_path, by_threads, results):
    """The scheduler is a process of its own and is killed in the second iteration."""
    code = (
        "import sys; from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=':0')\n"
        "    print(cluster.scheduler_address, flush=True); sys.stdin.read()\n"
    )
    server = tmp_path / "server.py"
    server.write_text(code)
    killer = tmp_path / "killer.py"
    killer.write_text(
        SCRIPT.replace("multiprocessing.active_children()[0]", "None")
        .replace("victim.pid", "asked_pid")
        .replace(
            'self.done == {("match", 1): 3, ("average", 2): 1}.get(self.now)',
            'self.now == ("match", 2) and self.done == 3',
        )
        .replace(
            "asked = json.loads(sys.argv[1])",
            "asked = json.loads(sys.argv[1])\n    asked_pid = asked.pop('pid')",
        )
    )
    with subprocess.Popen(
        [sys.executable, str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as scheduler:
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip().removeprefix("tcp://")
        path = tmp_path / "run"
        asked = {"particles": str(small.particles), "models": [str(p) for p in small.seeds]}
        asked |= {"path": str(path), "kill": True, "pid": scheduler.pid} | OPTIONS
        done = subprocess.run(
            [sys.executable, str(killer), json.dumps(asked | {"parallel": f"dask:{address}"})],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    assert done.returncode == 1
    assert "the Dask scheduler was lost" in done.stderr
    assert f"to continue: mapsort multi --resume {path}" in done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 6)
        refine_multi("", [""], resume=path, parallel="thread:1")
    assert results(path) == by_threads()


HERE = worker_facts(())


def changed(**fields):
    return {"tcp://a:1": WorkerFacts(**(vars(HERE) | fields))}


@pytest.mark.parametrize(
    ("workers", "at_once", "message"),
    [
        (changed(version="0.0.1"), 1, "worker tcp://a:1 on .* has mapsort 0.0.1"),
        (changed(isa="other"), 1, "computes with other"),
        (changed(unseen=("/data/a.mrcs",)), 1, "does not see /data/a.mrcs, or sees another"),
        (changed(unseen=("/a", "/b")), 1, "does not see /a and 1 more files"),
        (changed(), 4, "does 4 tasks at a time"),
    ],
)
def test_unfit_workers_are_refused(workers, at_once, message):
    with pytest.raises(ConfigError, match=message):
        refuse_unfit("dask:a:1", workers, {"tcp://a:1": at_once})


def test_fit_workers_pass():
    refuse_unfit("dask:a:1", changed(), {"tcp://a:1": 1})


def test_what_a_worker_sees(tmp_path):
    file = tmp_path / "a.mrcs"
    file.write_bytes(b"1234")
    files = [(str(file), 4), (str(file), 5), (str(tmp_path / "b"), 4)]
    assert worker_facts(files).unseen == (str(file), str(tmp_path / "b"))


class LosesItsScheduler:
    status = "closed"

    def submit(self, *_args, **_options):
        from distributed.comm.core import CommClosedError

        raise CommClosedError("lost")


def test_a_lost_scheduler_has_a_message():
    with pytest.raises(RunError, match="--parallel=dask:a:1: the Dask scheduler was lost"):
        list(DaskEngine(LosesItsScheduler(), "dask:a:1").in_order(print, None, [1]))


class HasNoWorkersLeft:
    status = "running"

    def submit(self, *_args, **_options):
        return self

    def result(self, **_options):
        raise TimeoutError

    def done(self):
        return False

    def processing(self):
        return {"tcp://a:2": ()}

    def nthreads(self):
        return {"tcp://a:2": 1}

    def cancel(self, _futures):
        pass


def test_work_that_no_worker_does_is_given_up():
    with pytest.raises(RunError, match="work is left and no worker did any for 2 minutes"):
        list(DaskEngine(HasNoWorkersLeft(), "dask:a:1").in_order(print, None, [1]))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dask:node7:8786", "tcp://node7:8786"),
        ("dask:tls://10.0.0.1:8786", "tls://10.0.0.1:8786"),
        ("dask:[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_addresses(text, address):
    request = parse_parallel(text, dask=True)
    assert request.scheduler == address
    assert request.on_dask


@pytest.mark.parametrize(
    "text", ["dask:", "dask:local=0", "dask:local=x", "dask:h", "dask:h:99999", "dask:h:1:2"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match=f"--parallel={text}: expected thread:N"):
        parse_parallel(text, dask=True)


@pytest.mark.parametrize("command", ["demo", "eotest run"])
def test_commands_that_work_here_only(capsys, command):
    assert main([*command.split(), "--parallel", "dask:h:1"]) == 2
    assert "only mapsort multi works on a Dask cluster" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cluster -P dask:h:1", "mapsort cluster check --parallel"),
        ("cluster check", "--parallel is missing"),
        ("cluster check -P thread:2", "--parallel=thread:2: expected dask:HOST:PORT"),
        ("cluster check -P mpi:2", "does not run under mpi"),
        ("cluster check -P dask:h:1 --files nowhere.mrcs", "nowhere.mrcs: no such file here"),
    ],
)
def test_wrong_requests(capsys, words, message):
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err


def test_the_check_of_a_cluster(monkeypatch, capsys, tmp_path):
    """The command around the check; the check itself is tried by the runs above."""
    from contextlib import contextmanager

    class Engine:
        def on_each_worker(self, function, *args):
            return {"tcp://a:1": function(*args), "tcp://b:1": function(*args)}

        def tasks_at_once(self):
            return {"tcp://a:1": 1, "tcp://b:1": n_tasks}

    @contextmanager
    def engine(*_args, **_options):
        yield Engine()

    monkeypatch.setattr("mapsort.jobs.cluster.dask_engine", engine)
    stack = tmp_path / "p.mrcs"
    stack.write_bytes(b"x")
    words = ["cluster", "check", "-P", "dask:h:1", "--files", str(stack)]
    n_tasks = 1
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["tcp://a:1", "tcp://b:1", "2", "a"]
    n_tasks = 2
    assert main(words) == 1
    assert "start it with --nthreads 1" in capsys.readouterr().err
    assert Path(stack).exists()
