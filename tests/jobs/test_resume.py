"""Stopped runs go on and end bit for bit as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, FormatError, Interrupted, RunError
from mapsort.io.star import read_particles
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.resume import resumed_options
from mapsort.options.multi import MultiOptions
from mapsort.rundir import checkpoints
from mapsort.rundir.run_lock import run_lock
from mapsort.rundir.text import read_convergence

QUICK = {"iter": 2, "orientgen": "eman:delta=60", "randomseed": 1, "parallel": "thread:1"}


class StopsAt(SilentProgress):
    """Raises Interrupted as a signal would: at the first unit of a stage of an iteration."""

    def __init__(self, stage: str, iteration: int) -> None:
        self._where = (stage, iteration)
        self._now: tuple[str, int] | None = None

    def start(self, stage: str, _total: int, *, iteration: int, **_of: int) -> None:
        self._now = (stage, iteration)

    def advance(self, _amount: int) -> None:
        if self._now == self._where:
            raise Interrupted("interrupted by SIGTERM")


class Stages(SilentProgress):
    """Keeps which stages were begun."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []

    def start(self, stage: str, _total: int, *, iteration: int, **_of: int) -> None:
        self.begun.append((stage, iteration))


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    """Several chunks in a small set."""
    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny, results):
    """An uninterrupted run of each kind, by its options."""
    made = {}

    def run(**options):
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            path = tmp_path_factory.mktemp("whole") / "multi_00"
            refine_multi(tiny.particles, tiny.seeds, path=path, **QUICK, **options)
            made[key] = results(path)
        return made[key]

    return run


def stopped(tiny, path, progress, **options):
    with pytest.raises((Interrupted, RunError)) as caught:
        refine_multi(tiny.particles, tiny.seeds, path=path, progress=progress, **QUICK, **options)
    assert f"to continue: mapsort multi --resume {path}" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "stage", "iteration"),
    [
        ({}, "match", 0),
        ({}, "match", 2),
        ({}, "reconstruct", 1),
        ({"speed": 7}, "match", 2),
        ({"assign": "soft", "sep": 2}, "average", 2),
        ({"junk": 1}, "match", 2),
        ({"halves": True}, "average", 2),
        ({"halves": True}, "match", 2),
        ({"inputmode": "particles"}, "refine poses", 2),
    ],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    tiny, tmp_path, whole, results, options, stage, iteration
):
    path = tmp_path / "multi_00"
    stopped(tiny, path, StopsAt(stage, iteration), **options)
    again = Stages()
    run = refine_multi(tiny.particles, tiny.seeds, resume=path, progress=again)
    assert results(path) == whole(**options)
    assert len(run.convergence) == 2
    # Nothing finished is done again: the iterations before, and the stages before it in this one.
    assert ("match", iteration - 1) not in again.begun
    if stage in ("average", "reconstruct"):
        assert ("match", iteration) not in again.begun
    # what more iterations would begin with
    last = len(read_convergence(path / "convergence.json"))
    assert [file.name for file in (path / "checkpoint").iterdir()] == [f"state_{last:02d}.npz"]
    assert not (path / "run.lock").exists()


@pytest.mark.parametrize("stage", ["match", "average", "reconstruct"])
def test_half_sets_of_the_table_go_on(uneven, tiny, tmp_path, results, stage):
    """They are of unequal sizes, and chunks of one are not chunks of the other."""
    request = QUICK | {"halves": True, "particles": uneven, "models": tiny.seeds}
    whole, path = tmp_path / "multi_00", tmp_path / "multi_01"
    refine_multi(path=whole, **request)
    with pytest.raises(Interrupted):
        refine_multi(path=path, progress=StopsAt(stage, 2), **request)
    refine_multi(uneven, tiny.seeds, resume=path)
    assert results(path) == results(whole)
    subset = read_particles(path / "particles_02.star")[1]["rlnRandomSubset"].to_numpy(int)
    assert np.bincount(subset).tolist() == [0, 13, 27]


def test_chunks_that_were_done_are_not_done_again(tiny, tmp_path, whole, results):
    class Counts(StopsAt):
        def __init__(self, stop):
            super().__init__("match", stop)
            self.units = 0

        def advance(self, amount):
            self.units += 1
            if self._now == ("match", 2) and self._where == ("match", 2) and self.units < 11:
                return
            super().advance(amount)

    read = []
    images = mapsort.Particles.images

    def counted(self, where):
        read.append(where)
        return images(self, where)

    path = tmp_path / "multi_00"
    stopped(tiny, path, Counts(2))
    parts = sorted(file.name for file in (path / "checkpoint").glob("match-b0-*_02_part*"))
    (part,) = parts
    assert part.endswith("_02_part_0000000.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapsort.Particles, "images", counted)
        refine_multi(tiny.particles, tiny.seeds, resume=path)
    assert read[0].start >= 10
    assert results(path) == whole()


def test_chunks_are_saved_now_and_then(tiny, tmp_path, whole, results, monkeypatch):
    """A process that is killed has no time to save."""
    monkeypatch.setattr(checkpoints, "SAVE_SECONDS", 0.0)

    class Killed(BaseException):
        pass

    class KilledAt(StopsAt):
        def advance(self, _amount):
            if self._now == self._where and (path / "checkpoint").glob("match-b0-*_01*"):
                raise Killed

    path = tmp_path / "multi_00"
    with pytest.raises(Killed):
        refine_multi(tiny.particles, tiny.seeds, path=path, progress=KilledAt("match", 1), **QUICK)
    assert list((path / "checkpoint").glob("match-b0-*_01_part*"))
    refine_multi(tiny.particles, tiny.seeds, resume=path)
    assert results(path) == whole()


def test_a_finished_run_is_left_as_it_is(tiny, tmp_path, results):
    path = tmp_path / "multi_00"
    first = refine_multi(tiny.particles, tiny.seeds, path=path, **QUICK)
    before = results(path)
    again = Stages()
    run = refine_multi(tiny.particles, tiny.seeds, resume=path, progress=again)
    assert again.begun == []
    assert results(path) == before
    for ours, theirs in zip(run.maps, first.maps, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
    assert run.convergence == first.convergence
    np.testing.assert_array_equal(
        run.assignments["rlnClassNumber"], first.assignments["rlnClassNumber"]
    )
    progress = json.loads((path / "progress.json").read_text())
    assert progress["state"] == "finished"
    assert progress["iteration"] == progress["n_iterations"] == len(run.convergence)


def test_a_drawn_seed_is_kept(tiny, tmp_path, results):
    """Without --randomseed, and with seeds made at random."""
    path = tmp_path / "multi_00"
    options = {"model": tiny.seeds[0], "nmodels": 2, "models": (), "orientgen": "eman:delta=60"}
    request = options | {"iter": 2, "parallel": "thread:1", "path": path}
    with pytest.raises(Interrupted):
        typed(tiny, request, StopsAt("average", 1))
    seed = json.loads((path / "0_refine_parms.json").read_text())["seed"]
    refine_multi(tiny.particles, tiny.seeds, resume=path)
    other = tmp_path / "multi_01"
    typed(tiny, request | {"path": other, "randomseed": seed}, SilentProgress())
    assert results(path) == results(other)


def typed(tiny, request, progress):
    from mapsort.jobs.multi import refine_multi_run
    from mapsort.options.fields import typed_options
    from mapsort.options.multi import MultiOptions

    options = typed_options(MultiOptions, {"input": tiny.particles} | request).validated()
    return refine_multi_run(options, progress=progress)


@pytest.fixture(scope="module")
def interrupted(tiny, tmp_path_factory):
    """A project with a run that was interrupted in its second iteration, and a copy of it."""
    project = tmp_path_factory.mktemp("project") / "here"
    (project / "data").mkdir(parents=True)
    for name in ("particles.star", "seed_01.mrc", "seed_02.mrc", "particles.mrcs"):
        (project / "data" / name).write_bytes((tiny.particles.parent / name).read_bytes())
    words = ["multi", "--input", "data/particles.star", "--models"]
    words += ["data/seed_01.mrc,data/seed_02.mrc", "--iter", "2", "--orientgen", "eman:delta=60"]
    words += ["-P", "thread:1", "--randomseed", "1", "--path", "run", "-q", "--no-report"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 10)
        patch.setattr("mapsort.refinement.iteration.rebuild", _signalled)
        assert main(words) == 75
    shutil.copytree(project, project.with_name("kept"))
    return project


@pytest.fixture
def half(interrupted, monkeypatch):
    """The interrupted run as it was, in the directory in which it was begun."""
    for path in interrupted.parent.iterdir():
        if path.is_symlink():
            path.unlink()
        elif path.name != "kept":
            shutil.rmtree(path)
    shutil.copytree(interrupted.with_name("kept"), interrupted)
    monkeypatch.chdir(interrupted)
    return interrupted / "run"


def _signalled(*_args, **_options):
    raise Interrupted("interrupted by SIGTERM; finished files are kept")


def test_the_command_line_goes_on(half, capsys):
    assert main(["multi", "--resume", "run", "-q", "--no-report", "--log-json"]) == 0
    assert "run/threed_02_01.mrc" in capsys.readouterr().out
    progress = json.loads((half / "progress.json").read_text())
    assert (progress["state"], progress["iteration"]) == ("finished", 2)
    lines = [json.loads(line) for line in (half / "run.log.json").read_text().splitlines()]
    assert {"time", "level", "message"} <= set(lines[0])
    assert any(line.get("stage") == "reconstruct" and line["seconds"] >= 0 for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sym", "c2"], "--sym: differs"),
        (["--models", "x.mrc"], "--models: differs"),
        (["--simcmp", "frc"], "--simcmp: differs"),
        (["--iter", "2", "-P", "thread:2"], None),
    ],
)
@pytest.mark.usefixtures("half")
def test_options_must_be_those_of_the_run(capsys, words, message):
    status = main(["multi", "--resume", "run", "-q", "--no-report", *words])
    assert status == (0 if message is None else 2)
    if message:
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["particles.mrcs", "seed_02.mrc", "particles.star"])
def test_inputs_must_be_those_of_the_run(half, capsys, name):
    file = half.parent / "data" / name
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert main(["multi", "--resume", "run", "-q"]) == 2
    assert f"run: cannot be resumed: {file} has changed" in capsys.readouterr().err
    file.unlink()
    assert main(["multi", "--resume", "run", "-q"]) == 2
    assert f"{file} is gone" in capsys.readouterr().err


@pytest.mark.usefixtures("half")
def test_what_cannot_be_resumed_is_refused(capsys):
    Path("empty").mkdir()
    assert main(["multi", "--resume", "nowhere"]) == 2
    assert "--resume=nowhere: no such run directory" in capsys.readouterr().err
    assert main(["multi", "--resume", "empty"]) == 2
    assert "--resume=empty: no run has begun there" in capsys.readouterr().err


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_project_that_was_moved_goes_on(half, monkeypatch, capsys, link, inside):
    """From inside it and from elsewhere, with a link in the old place and without."""
    old, new = half.parent, half.parents[1] / "moved"
    before = (old / "run" / "0_refine_parms.json").read_text()
    old.rename(new)
    if link:
        old.symlink_to(new)
    elsewhere = half.parents[1] / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(new if inside else elsewhere)
    given = "run" if inside else str(new / "run")
    assert main(["multi", "--resume", given, "-q", "--no-report"]) == 0
    assert Path.cwd() == (new if inside else elsewhere)
    assert "threed_02_01.mrc" in capsys.readouterr().out
    # names in tables are as they would have been
    names = read_particles(new / "run" / "particles_02.star")[1]["rlnImageName"]
    assert names[0] == "000001@data/particles.mrcs"
    assert (new / "run" / "0_refine_parms.json").read_text() == before
    record = json.loads((new / "run" / "1_refine_parms.json").read_text())
    assert record["directory"] == str(new)
    assert record["options"]["path"] == "run"
    assert all(item["path"].startswith(f"{new}/data") for item in record["inputs"])
    assert main(["split", given, "--out", str(half.parents[1] / "s")]) == 0


def test_a_run_directory_that_was_moved_alone_goes_on(half, monkeypatch):
    """Its inputs are where they were."""
    other = half.parents[1] / "store" / "deep"
    other.mkdir(parents=True)
    half.rename(other / "run")
    monkeypatch.chdir(other)
    assert main(["multi", "--resume", "run", "-q", "--no-report"]) == 0
    names = read_particles(other / "run" / "particles_02.star")[1]["rlnImageName"]
    assert names[0] == "000001@data/particles.mrcs"


@pytest.mark.parametrize("changed", [False, True])
def test_a_project_moved_with_other_inputs_is_refused(half, monkeypatch, capsys, changed):
    new = half.parents[1] / "moved"
    half.parent.rename(new)
    stack = new / "data" / "particles.mrcs"
    if changed:
        stack.write_bytes(stack.read_bytes()[:-1] + b"x")
    else:
        stack.unlink()
    monkeypatch.chdir(new)
    assert main(["multi", "--resume", "run", "-q"]) == 2
    word = "has changed" if changed else "is gone"
    assert f"run: cannot be resumed: {stack} {word}" in capsys.readouterr().err
    assert not (new / "run" / "1_refine_parms.json").exists()


@pytest.mark.parametrize("options", [{}, {"assign": "soft"}, {"halves": True}, {"speed": 7}])
def test_a_finished_run_goes_on_to_what_one_of_more_iterations_finds(
    tiny, tmp_path, results, options
):
    path, whole = tmp_path / "multi_00", tmp_path / "multi_01"
    for where, n in ((path, 1), (whole, 3)):
        refine_multi(tiny.particles, tiny.seeds, path=where, **QUICK | options | {"iter": n})
    refine_multi(tiny.particles, tiny.seeds, resume=path, iter=3)
    assert results(path) == results(whole)
    first, then = (json.loads((path / f"{n}_refine_parms.json").read_text()) for n in (0, 1))
    assert (first["options"]["iter"], then["options"]["iter"]) == (1, 3)
    log = (path / "run.log").read_text()
    assert "resumed after iteration 1" in log
    assert "ERROR" not in log


def test_a_finished_run_goes_on_until_it_has_converged(tiny, tmp_path, results):
    path, whole = tmp_path / "multi_00", tmp_path / "multi_01"
    refine_multi(tiny.particles, tiny.seeds, path=path, **QUICK)
    again = refine_multi(tiny.particles, tiny.seeds, resume=path, iter="auto")
    assert again.convergence[-1]["end"].startswith(("converged", "ended after"))
    refine_multi(tiny.particles, tiny.seeds, path=whole, **QUICK | {"iter": None})
    assert results(path) == results(whole)


@pytest.mark.parametrize("finer", [{"targetres": 20.0, "speed": 4}, {"speed": 2}])
@pytest.mark.parametrize("speed", [5, 7])
def test_a_finished_run_goes_on_more_finely(tiny, tmp_path, finer, speed):
    """Also where the search stays near the last matches, which were with other projections."""
    path = tmp_path / "multi_00"
    quick = {"iter": 2, "randomseed": 1, "parallel": "thread:1", "speed": speed, "targetres": 30.0}
    before = refine_multi(tiny.particles, tiny.seeds, path=path, **quick)
    after = refine_multi(tiny.particles, tiny.seeds, resume=path, iter=3, **finer)
    counts = [len(h5py.File(path / f"projections_{n:02d}.hdf")["MDF/images"]) for n in (2, 3)]
    assert counts[1] > counts[0]
    assert len(after.convergence) == 3
    same = before.assignments["rlnClassNumber"] == after.assignments["rlnClassNumber"]
    assert same.mean() > 0.8
    record = json.loads((path / "1_refine_parms.json").read_text())
    assert record["searched_since"] == 2
    assert (
        record["options"]["orientgen"]
        != json.loads((path / "0_refine_parms.json").read_text())["options"]["orientgen"]
    )


def test_a_finer_search_drops_what_the_unfinished_iteration_had(half):
    assert any(file.name.startswith("match") for file in (half / "checkpoint").iterdir())
    assert main(["multi", "--resume", "run", "-q", "--no-report", "--targetres", "20"]) == 0
    entries = read_convergence(half / "convergence.json")
    assert len(entries) == 2


def test_going_on_is_refused_where_nothing_is_left_to_go_on_from(tiny, tmp_path):
    path = tmp_path / "multi_00"
    refine_multi(tiny.particles, tiny.seeds, path=path, **QUICK)
    with pytest.raises(ConfigError, match="has finished 2 iterations"):
        resumed_options(MultiOptions, {"resume": path, "speed": 3})
    with pytest.raises(ConfigError, match=r"--iter=1: .* has finished 2 iterations"):
        resumed_options(MultiOptions, {"resume": path, "iter": 1})
    with pytest.raises(ConfigError, match=r"--path=other: the run goes on in .*multi_00; leave"):
        resumed_options(MultiOptions, {"resume": path, "path": Path("other")})
    assert resumed_options(MultiOptions, {"resume": path, "path": path}).path == path
    shutil.rmtree(path / "checkpoint")
    with pytest.raises(ConfigError, match=r"its last state, .* is not there any more"):
        resumed_options(MultiOptions, {"resume": path, "iter": 4})


def test_a_run_of_objects_is_refused(tiny, tmp_path):
    particles = mapsort.Particles.open(tiny.particles).subset(slice(0, 40))
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        refine_multi(particles, tiny.seeds, path=path, progress=StopsAt("match", 2), **QUICK)
    with pytest.raises(ConfigError, match="begun from Python"):
        resumed_options(MultiOptions, {"resume": path})


def test_a_damaged_state_is_told_from_a_whole_one(half):
    (state,) = (half / "checkpoint").glob("state_*.npz")
    content = bytearray(state.read_bytes())
    content[len(content) // 3] ^= 1
    state.write_bytes(content)
    with pytest.raises((FormatError, RunError), match=r"state_0.\.npz: damaged"):
        refine_multi("", [""], resume=half)


def test_a_directory_in_use_is_refused(half, capsys):
    code = "import sys\nfrom mapsort.rundir.run_lock import run_lock\n" + (
        "with run_lock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(half / "run.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert main(["multi", "--resume", "run", "-q"]) == 2
        assert f"process {other.pid} on " in capsys.readouterr().err
        other.send_signal(signal.SIGKILL)
    # A killed process leaves its lock behind: it is recognised, and the log says so.
    assert (half / "run.lock").exists()
    assert main(["multi", "--resume", "run", "-q", "--no-report"]) == 0
    assert f"WARNING process {other.pid} on " in (half / "run.log").read_text()


def test_the_lock_is_held_while_the_run_lasts(tiny, tmp_path):
    path = tmp_path / "run"

    class Looks(SilentProgress):
        def start(self, *_, iteration, **__):
            if iteration:
                with (
                    pytest.raises(ConfigError, match=f"process {os.getpid()} on"),
                    run_lock(path / "run.lock"),
                ):
                    pass

    refine_multi(tiny.particles, tiny.seeds, path=path, progress=Looks(), **QUICK | {"iter": 1})


KILLER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import mapsort.engines.chunks
from mapsort.cli.main import main
from mapsort.jobs import multi

mapsort.engines.chunks.LONGEST_CHUNK = 10
run, begin = Path(sys.argv[1]), sys.argv[2:]
killed, delays = 0, np.random.default_rng(5).uniform(0.02, 0.25, size=6)
for delay in [*delays, None]:
    again = ["multi", "--resume", str(run), "-q", "--no-report"]
    child = os.fork()  # before this process has any other thread
    if not child:
        os._exit(main(again if (run / "0_refine_parms.json").exists() else begin))
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status) or killed == 0)
"""


def test_really_killed_runs_go_on(tiny, tmp_path, whole, results):
    """SIGKILL at random moments, again and again until the run gets through."""
    path = tmp_path / "multi_00"
    words = ["multi", "--input", tiny.particles, "--models", ",".join(map(str, tiny.seeds))]
    words += ["--path", path, "-q", "--no-report"]
    for name, value in QUICK.items():
        words += [f"--{name}", value]
    subprocess.run([sys.executable, "-c", KILLER, path, *map(str, words)], check=True)
    assert results(path) == whole()
    assert len(read_convergence(path / "convergence.json")) == 2
