"""Copies of an image (expanded, joined sets) and the table's half-sets: no resolution of noise.

All images are pure noise: each occurs once, or twice in one of the ways in which tables are made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mapsort.cli.main import main
from mapsort.errors import ConfigError
from mapsort.io.mrc import write_stack
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.crossval.validation import JudgeGains, _summary
from mapsort.jobs.eotest import eotest
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.reconstruct import reconstruct_map
from mapsort.jobs.refine import refine
from mapsort.jobs.simulate import simulate
from mapsort.jobs.split import split
from mapsort.options.fields import typed_options
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.options.simulate import SimulateOptions

N, BOX, APIX = 120, 24, 6.0
QUICK = {"orientgen": "eman:delta=24", "randomseed": 1, "parallel": "thread:1", "iter": 1}
WAYS = ["in a row", "in blocks", "link", "absolute", "with subsets", "other subsets"]


class Noise:
    """Tables of noise images, and seeds with detail."""

    def __init__(self, path):
        made = simulate(
            SimulateOptions(phantom=2, out=path, n=8, box=BOX, apix=APIX, seed=2, seedres=20.0)
        )
        self.path, self.seeds = path, made.seeds
        rng = np.random.default_rng(5)
        images = rng.standard_normal((N, BOX, BOX)).astype(np.float32)
        write_stack(path / "noise.mrcs", images, apix=APIX)
        (path / "linked.mrcs").symlink_to("noise.mrcs")
        self.optics, table = read_particles(made.truth)
        rows = table.iloc[np.arange(N) % len(table)].reset_index(drop=True)
        self.table = rows.assign(
            rlnImageName=[f"{k + 1:06d}@noise.mrcs" for k in range(N)],
            rlnAngleRot=rng.uniform(-180, 180, N),
            rlnAngleTilt=np.degrees(np.arccos(rng.uniform(-1, 1, N))),
            rlnAnglePsi=rng.uniform(-180, 180, N),
        )

    def written(self, name, table):
        path = self.path / f"{name.replace(' ', '_')}.star"
        write_particles(path, self.optics, table)
        return path

    def twice(self, way):
        """Return a table with every image twice, and which image each row is of."""
        image = np.repeat(np.arange(N), 2) if way in ("in a row", "with subsets") else None
        image = np.tile(np.arange(N), 2) if image is None else image
        table = self.table.iloc[image].reset_index(drop=True)
        second = np.arange(2 * N) >= N
        names = table["rlnImageName"]
        if way == "link":
            table["rlnImageName"] = names.where(~second, names.str.replace("noise", "linked"))
        if way == "absolute":
            full = names.str.replace("noise", f"{self.path}/noise")
            table["rlnImageName"] = full.where(second, names)
        if way == "with subsets":
            table["rlnRandomSubset"] = image % 2 + 1
        if way == "other subsets":  # as two refinements have dealt them out
            table["rlnRandomSubset"] = np.where(second, image * 2 // N, image % 2) + 1
        return self.written(way, table), image


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return Noise(tmp_path_factory.mktemp("noise"))


def of_refine(noise, source, path):
    made = refine(source, noise.seeds[0], path=path, no_report=True, **QUICK)
    return [made.resolution_ang], made.assignments


def of_multi(noise, source, path, **options):
    made = refine_multi(source, noise.seeds, path=path, no_report=True, **QUICK | options)
    found = [item["resolution_fsc_0143_ang"] for item in made.convergence[0]["maps"]]
    return found, made.assignments


def of_eotest(noise, source, path):
    _, table = of_multi(noise, source, path)
    return [item.resolution_0143_ang for item in eotest(path, parallel="thread:1").maps], table


def of_reconstruct(_noise, source, path):
    request = {"inputs": source, "output": path.with_suffix(".mrc"), "halves": True}
    made = reconstruct_map(typed_options(ReconstructOptions, request | {"parallel": "thread:1"}))
    return [made.resolution_ang], None


JOBS = {
    "refine": of_refine,
    "multi": of_multi,
    "halves": lambda *given: of_multi(*given, halves=True),
    "particles": lambda *given: of_multi(*given, inputmode="particles"),
    "median": lambda *given: of_multi(*given, classaverager="median"),
    "eotest": of_eotest,
    "reconstruct": of_reconstruct,
}


@pytest.fixture(scope="module")
def once(noise, tmp_path_factory):
    """What each job says of the images once."""
    source, out = noise.written("once", noise.table), tmp_path_factory.mktemp("once")
    return {name: job(noise, source, out / name)[0] for name, job in JOBS.items()}


@pytest.mark.parametrize(
    ("job", "way"),
    [
        *(("refine", way) for way in WAYS),
        # that halves come from one place is all that the others must show
        *((job, "link") for job in JOBS if job != "refine"),
    ],
)
def test_noise_twice_is_not_better_resolved_than_once(noise, once, tmp_path, job, way):
    """Two shells at most lie between the two; Nyquist, to which copies agree, is far away."""
    source, image = noise.twice(way)
    found, table = JOBS[job](noise, source, tmp_path / "run")
    frequencies = 1 / np.array(found), 1 / np.array(once[job])
    assert np.all(frequencies[0] < frequencies[1] + 2 / (BOX * APIX))
    assert min(found) > 2.5 * APIX
    if table is not None:
        subset = table["rlnRandomSubset"].to_numpy()
        first = pd.Series(subset).groupby(image).transform("first")
        np.testing.assert_array_equal(subset, first)
        assert np.bincount(subset).tolist() == [0, N, N] or way == "other subsets"


@pytest.mark.parametrize("job", ["refine", "halves"])
def test_the_table_s_half_sets_are_kept(noise, tmp_path, job):
    subset = np.random.default_rng(2).integers(1, 3, N)
    source = noise.written("subsets", noise.table.assign(rlnRandomSubset=subset))
    _, table = JOBS[job](noise, source, tmp_path / "run")
    np.testing.assert_array_equal(table["rlnRandomSubset"], subset)


@pytest.mark.parametrize("job", ["refine", "halves"])
def test_one_subset_only_is_parted_anew(noise, tmp_path, job):
    source = noise.written("one", noise.table.assign(rlnRandomSubset=2))
    _, table = JOBS[job](noise, source, tmp_path / "run")
    np.testing.assert_array_equal(table["rlnRandomSubset"], np.arange(N) % 2 + 1)


def test_irregular_half_sets_do_not_depend_on_threads(noise, tmp_path, monkeypatch):
    """Short chunks, so that half-sets have several."""
    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 17)
    subset = np.random.default_rng(2).integers(1, 3, N)
    source = noise.written("subsets", noise.table.assign(rlnRandomSubset=subset))
    found = []
    for threads in (1, 2):
        path = tmp_path / f"run_{threads}"
        options = {"halves": True, "parallel": f"thread:{threads}"}
        made = refine_multi(source, noise.seeds, path=path, no_report=True, **QUICK | options)
        found.append((made.maps, made.particles.read_text()))
    assert found[0][1] == found[1][1]
    for one, other in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_it_is_told_before_the_run_and_in_it(noise, tmp_path, capsys):
    source, _ = noise.twice("in blocks")
    words = ["--input", str(source), "--models", ",".join(map(str, noise.seeds)), "-q"]
    told = (
        f"{source}: {2 * N} rows are of {N} distinct images (up to 2 copies of one); copies stay "
        "together in half-sets and in cross-validation"
    )
    assert main(["multi", *words, "--check", "--iter", "1"]) == 0
    said = capsys.readouterr().out
    assert f"note: {told}" in said
    assert f"particles: {2 * N} (copies of {N} distinct images) of {BOX} px" in said
    path = tmp_path / "run"
    of_refine(noise, source, path)
    assert told in (path / "run.log").read_text()
    assert main(["info", str(source)]) == 0
    assert f"distinct images\t{N} in {2 * N} rows\n" in capsys.readouterr().out


def test_sets_of_a_split_keep_the_half_of_each_image(noise, tmp_path):
    """An image whose copies are in two sets must not be in other halves of them."""
    path, _ = noise.twice("in blocks")
    table = read_particles(path)[1]
    # copies are seen from elsewhere, as in a symmetry-expanded set
    table["rlnAngleRot"] += np.where(np.arange(2 * N) < N, 0.0, 120.0)
    source = noise.written("expanded", table)
    of_multi(noise, source, tmp_path / "run", skipalign=True)
    sets = split(tmp_path / "run")
    tables = [read_particles(sets[f"m{number}"].star)[1] for number in (1, 2)]
    both = pd.concat(tables)
    assert set(tables[0]["rlnImageName"]) & set(tables[1]["rlnImageName"])
    assert (both.groupby("rlnImageName")["rlnRandomSubset"].nunique() == 1).all()


@pytest.mark.parametrize("job", ["refine", "multi"])
def test_the_same_pixels_under_another_name_are_told(noise, tmp_path, capsys, job):
    """A part of a stack was copied, in another order, and joined to it."""
    images = MrcStack(noise.path / "noise.mrcs").read(np.arange(40)[::-1])
    write_stack(noise.path / "copied.mrcs", images, apix=APIX)
    names = [f"{k + 1:06d}@copied.mrcs" for k in range(40)]
    copied = noise.table.iloc[:40].assign(rlnImageName=names)
    source = noise.written("copied", pd.concat([noise.table, copied], ignore_index=True))
    JOBS[job](noise, source, tmp_path / "run")
    told = (
        f"{source}: 40 images are copies of others under another name (first: particles 40 and "
        f"{N + 1} have the same pixels)"
    )
    assert told in (tmp_path / "run" / "run.log").read_text()
    if job == "multi":
        words = ["--input", str(source), "--models", ",".join(map(str, noise.seeds)), "-q"]
        assert main(["multi", *words, "--check", "--iter", "1"]) == 0
        assert f"note: {told}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["multi", "refine"])
def test_one_image_cannot_be_halved(noise, tmp_path, command):
    table = noise.table.iloc[[0, 0, 0]].reset_index(drop=True)
    source = noise.written("single", table)
    job = JOBS["halves" if command == "multi" else "refine"]
    with pytest.raises(ConfigError, match="two distinct images"):
        job(noise, source, tmp_path / "run")


def test_errors_of_gains_are_those_of_images():
    """Copies say nothing new: the standard error of the mean of 400 images is theirs, twice."""
    gains = np.random.default_rng(3).standard_normal(400)
    image = np.tile(np.arange(400), 2)
    single = JudgeGains(np.arange(400), gains)
    double = replace(single, members=np.arange(800), gain_nats=np.tile(gains, 2))
    one = _summary((1, 2), single.of_images(np.arange(400)))
    two = _summary((1, 2), double.of_images(image))
    assert (one.n_particles, two.n_particles) == (400, 800)
    assert two.gain_nats == pytest.approx(one.gain_nats) == pytest.approx(gains.mean())
    assert two.error_nats == pytest.approx(one.error_nats)
    assert one.error_nats == pytest.approx(gains.std() / 20, rel=0.05)
