"""Junk goes its own way through every job after the run, and all counts of the page agree."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.engines.progress import SilentProgress
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.refinement import learning as multi_learning
from mapsort.report.page import write_report
from mapsort.rundir.matrices import read_members

BOX, APIX, N_NOISE, N_STRIPED, N = 24, 5.4, 24, 12, 180
QUICK = {"orientgen": "eman:delta=24", "randomseed": 1, "parallel": "thread:1"}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Sections of a page with their words, and their tables by caption."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[str]]] = {}
        self.words: dict[str, list[str]] = {"": []}
        self.titles: list[str] = []
        self._open: list[str] = []
        self._section, self._caption = "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self._section = dict(attrs)["id"]
            self.words[self._section] = []
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if "caption" in self._open:
            self._caption += data
        if {"td", "th"} & set(self._open):
            self.tables[self._caption][-1][-1] += data
        if "title" in self._open:
            self.titles.append(data)
        if data.strip() and not {"style", "script"} & set(self._open):
            self.words[self._section].append(data.strip())

    def table(self, beginning: str) -> tuple[list[str], dict[str, list[str]]]:
        """Return the heads of a table, and its rows by their first cell."""
        caption = next(name for name in self.tables if name.startswith(beginning))
        heads, *rows = self.tables[caption]
        return heads, {row[0]: row for row in rows}

    def column(self, beginning: str, head: str) -> dict[str, float]:
        """Return a column of numbers by the first cell of each row; gaps are left out."""
        heads, rows = self.table(beginning)
        place = heads.index(head)
        return {name: float(row[place]) for name, row in rows.items() if row[place] != "–"}


@dataclass(frozen=True)
class Counts:
    """All counts of particles that a page shows of the last iteration."""

    header: int
    junk_in_header: int
    cards: dict[str, int]
    shares: list[float]
    bars: dict[str, int]
    course: dict[str, int]
    flow: dict[str, int]
    best: dict[str, int]
    posterior: dict[str, float]
    used: dict[str, int]

    @classmethod
    def of(cls, text: str) -> Counts:
        """Read them from the page."""
        page = Page(text)
        top = page.words[""]
        after = {name: top[i + 1] for i, name in enumerate(top[:-1])}
        cards, shares = {}, []
        for place, words in enumerate(top):
            found = re.fullmatch(r"([\d,]+) particles? · ([\d.]+)%", words)
            if found:
                name = next(w for w in reversed(top[:place]) if re.match(r"(Map \d|Junk)", w))
                cards[name.lower()] = int(found[1].replace(",", ""))
                shares.append(float(found[2]))
        bars = re.search(r"each set in each iteration; last ([^.]+)\.", text)
        heads, rows = page.table("Figures of each iteration")
        last = rows[max(rows, key=int)]
        sets = [head for head in heads if re.match(r"(map \d|junk)", head)]
        # The columns of what they went to are the sets; rows of where they came from.
        flow_heads, flow_rows = page.table("Particles that went to")
        flow = {
            head.removeprefix("to "): sum(int(row[column]) for row in flow_rows.values())
            for column, head in enumerate(flow_heads)
            if head.startswith("to ")
        }
        return cls(
            header=int(after["particles"].replace(",", "")),
            junk_in_header=int(after.get("of them junk", "0").replace(",", "")),
            cards=cards,
            shares=shares,
            bars={
                name: int(n) for name, n in (item.rsplit(" ", 1) for item in bars[1].split(", "))
            },
            course={name: int(last[heads.index(name)]) for name in sets},
            flow=flow,
            best={k: int(v) for k, v in page.column("Maps of iteration", "best match").items()},
            posterior=page.column("Maps of iteration", "sum of posteriors"),
            used={k: int(v) for k, v in page.column("Maps of iteration", "used").items()},
        )


def check(run: Path, n_models: int, n_junk: int) -> Counts:
    """Check that all counts of a run's page agree with each other and with its table."""
    counts = Counts.of((run / "report" / "index.html").read_text(encoding="utf-8"))
    junk_names = ["junk", *(f"junk{kind}" for kind in range(2, n_junk + 1))][:n_junk]
    names = [*(f"map {number}" for number in range(1, n_models + 1)), *junk_names]
    table = read_particles(sorted(run.glob("particles_*.star"))[-1])[1]
    numbers = table["rlnClassNumber"].to_numpy(int)
    expected = {name: int(np.sum(numbers == place)) for place, name in enumerate(names, start=1)}
    assert sum(expected.values()) == len(table)
    for found in (counts.cards, counts.bars, counts.course, counts.flow, counts.best):
        assert found == expected
    assert counts.header == len(table)
    assert counts.junk_in_header == sum(expected[name] for name in junk_names)
    assert sum(counts.shares) == pytest.approx(100.0, abs=1e-6)
    maps = names[:n_models]
    assert list(counts.posterior) == list(counts.used) == maps
    good = len(table) - counts.junk_in_header
    assert sum(counts.posterior.values()) == pytest.approx(good, abs=0.06 * n_models)
    assert all(counts.used[name] <= good for name in maps)
    assert sum(counts.used.values()) >= good
    return counts


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """180 particles of two states, and among them 24 images of noise and 12 of stripes."""
    out = tmp_path_factory.mktemp("mixed")
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=N, box=BOX, apix=APIX, snr=0.4, shift=1.0, seed=3, seedres=24.0
        )
    )
    images = mapsort.Particles.open(made.particles).images(slice(None))
    rng = np.random.default_rng(0)
    junk = rng.permutation(N)[: N_NOISE + N_STRIPED]
    deviation = images.std()
    images[junk] = rng.normal(0, deviation, (len(junk), BOX, BOX))
    for place in junk[N_NOISE:]:
        wave = np.sin(rng.uniform(0.3, 1.0) * np.arange(BOX) + rng.uniform(0, 6))
        images[place] += 3 * deviation * (wave > 0)
    write_stack(made.stack, [images], APIX)
    return made


@pytest.fixture(scope="module")
def sorted_run(mixed, tmp_path_factory):
    """A run with two sets of junk that ends soft, and everything that can follow it."""
    path = tmp_path_factory.mktemp("sorted") / "multi_00"
    words = ["--input", mixed.particles, "--models", ",".join(map(str, mixed.seeds))]
    words += [
        "--junk",
        2,
        "--iter",
        4,
        "--path",
        path,
        "--assign",
        "soft",
        "--classkeep",
        1,
        "-q",
        "--no-report",
    ]
    for name, value in QUICK.items():
        words += [f"--{name}", value]
    assert main(["multi", *map(str, words)]) == 0
    write_report(path)
    return path


def test_a_page_of_one_map_shows_its_four_curves_and_no_shares(small, tmp_path):
    made = mapsort.refine(
        small.particles, small.seeds[0], path=tmp_path / "refine_00", iter=2, parallel="thread:1"
    )
    text = write_report(made.path).read_text(encoding="utf-8")
    page = Page(text)
    labels = {"corrected", "masked", "no mask", "random phases"}
    assert labels <= set(page.words["fsc"])
    assert "sharpened map" in " ".join(page.words["maps"])
    for absent in ("Occupancy", "Changed assignments", "Probability of the chosen map"):
        assert absent not in text
    assert "changed class" not in page.words[""]


def run_command(capsys, *words) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_every_job_after_the_run_takes_junk_as_sets_of_its_own(sorted_run, capsys):
    told = run_command(capsys, "split", sorted_run)
    counts = check(sorted_run, 2, 2)
    assert counts.best["junk"] + counts.best["junk2"] >= 0.8 * (N_NOISE + N_STRIPED)
    sets = {
        re.search(r"_it04_(\w+)\.star", line)[1]: int(re.search(r"  (\d+) particles", line)[1])
        for line in told.splitlines()
        if ".star" in line
    }
    assert sets == {
        "m1": counts.best["map 1"],
        "m2": counts.best["map 2"],
        "junk": counts.best["junk"],
        "junk2": counts.best["junk2"],
    }
    star = next((sorted_run / "sets").glob("*_m1.star"))
    refined = sorted_run.parent / "refine_00"
    run_command(
        capsys, "refine", "--input", star, "--model", sorted_run / "threed_04_01.mrc",
        "--path", refined, "--iter", 1, "--parallel", "thread:1", "--quiet",
    )  # fmt: skip
    table = read_particles(refined / "particles_01.star")[1]
    old = {"rlnMaxValueProbDistribution", "mapsortScale", "mapsortOutlierScore"}
    old |= {"mapsortEffectiveClasses"}
    assert not (old | {"mapsortJunkProbability"}) & set(table.columns)
    assert old < set(read_particles(star)[1].columns)
    told = run_command(capsys, "eotest", sorted_run, "--quiet")
    halves = re.findall(r"map (\d): (\d+) even and (\d+) odd", told)
    assert {f"map {m}": int(even) + int(odd) for m, even, odd in halves} == counts.used
    told = run_command(capsys, "followup", sorted_run, "--refineiter", 1, "--quiet")
    assert "junk" in told
    record = json.loads((sorted_run / "crossval" / "crossval.json").read_text())
    run_command(capsys, "report", sorted_run)
    assert check(sorted_run, 2, 2) == counts
    page = Page((sorted_run / "report" / "index.html").read_text(encoding="utf-8"))
    assert page.column("Sets", "particles") == {
        "m1": counts.best["map 1"],
        "m2": counts.best["map 2"],
        "junk": counts.best["junk"],
        "junk2": counts.best["junk2"],
    }
    assert sum(page.column("Sets", "occupancy [%]").values()) == pytest.approx(100.0)
    assert page.column("Sets", "its map: used") == {
        "m1": counts.used["map 1"],
        "m2": counts.used["map 2"],
    }
    even = page.column("Resolution of halves", "even")
    odd = page.column("Resolution of halves", "odd")
    used = page.column("Resolution of halves", "used")
    assert (
        {k: even[k] + odd[k] for k in even}
        == used
        == {str(number): counts.used[f"map {number}"] for number in (1, 2)}
    )
    assert page.column("Resolution of each set", "particles") == {
        str(number): counts.best[f"map {number}"] for number in (1, 2)
    }
    assert record
    facts = json.loads(run_command(capsys, "info", "--json", sorted_run))[0]
    assert facts["particles"] == N
    for name, n in counts.best.items():
        assert facts[name.replace(" ", "_")]["particles"] == n
    for name in counts.used:
        assert facts[name.replace(" ", "_")]["particles_used"] == counts.used[name]
        assert facts[name.replace(" ", "_")]["sum_of_posteriors"] == pytest.approx(
            counts.posterior[name], abs=0.051
        )


def test_a_probability_is_not_told_of_junk(sorted_run):
    write_report(sorted_run)
    page = Page((sorted_run / "report" / "index.html").read_text(encoding="utf-8"))
    table = read_particles(sorted_run / "particles_04.star")[1]
    good = table["rlnClassNumber"].to_numpy(int) <= 2
    sure = np.mean(table["rlnMaxValueProbDistribution"].to_numpy(float)[good] > 0.9)
    words = " ".join(page.words["particles"])
    assert f"{sure:.1%} of the particles that are not junk are assigned with p > 0.9" in words


def test_members_without_weight_are_not_kept_out(sorted_run):
    """Every particle has more matches than it is a member of classes: they are no rejects."""
    page = Page(write_report(sorted_run).read_text(encoding="utf-8"))
    assert not [words for words in page.words["classes"] if "(−" in words]
    members = read_members(
        sorted_run / "cls_result_04.hdf", classify=sorted_run / "classify_04.hdf"
    )
    assert (members.weight == 0).any()
    assert not members.kept_out.any()
    with HdfReader(sorted_run / "classes_04.hdf") as reader:
        headers = [reader.header(index) for index in range(reader.n_images)]
    assert not [header for header in headers if "exc_class_ptcl_idxs" in header]


def test_members_that_are_kept_out_are_told(mixed, tmp_path):
    run = refine_multi(
        mixed.particles, mixed.seeds, path=tmp_path / "run", iter=2, junk=1, classkeep=0.5,
        assign="soft", **QUICK,
    )  # fmt: skip
    page = Page(write_report(run.path).read_text(encoding="utf-8"))
    told = [int(n) for words in page.words["classes"] for n in re.findall(r"\(−(\d+)\)", words)]
    members = read_members(run.path / "cls_result_02.hdf", classify=run.path / "classify_02.hdf")
    with HdfReader(run.path / "classes_02.hdf") as reader:
        listed = sum(
            len(np.atleast_1d(reader.header(index).get("exc_class_ptcl_idxs", [])))
            for index in range(reader.n_images)
        )
    assert sum(told) == members.kept_out.sum() == listed > 0
    # Junk is no member, and nobody keeps it out.
    junk = run.assignments["rlnClassNumber"].to_numpy(int) > 2
    assert junk.any()
    assert not members.kept_out[junk].any()


def test_asking_for_junk_where_there_is_none(run_tiny, capsys):
    run = run_tiny(iter=2, junk=2)
    write_report(run.path)
    counts = check(run.path, 2, 2)
    assert counts.junk_in_header <= 0.1 * counts.header
    assert "all sets together: 40 particles" in run_command(capsys, "split", run.path)


def taken_for_junk(monkeypatch, share: float) -> None:
    """Make the run believe that every particle is junk with this probability."""
    monkeypatch.setattr(
        multi_learning, "junk_probability", lambda scores, _: np.full(len(scores), share)
    )


def test_junk_that_gets_nothing_is_an_empty_set(run_tiny, capsys, monkeypatch):
    taken_for_junk(monkeypatch, 0.0)
    run = run_tiny(iter=2, junk=1)
    write_report(run.path)
    assert check(run.path, 2, 1).best["junk"] == 0
    told = run_command(capsys, "split", run.path)
    assert "junk  0 particles" in told
    assert "all sets together: 40 particles" in told
    facts = json.loads(run_command(capsys, "info", "--json", run.path))[0]
    assert facts["junk"] == {"particles": 0}


def test_junk_that_gets_everything_ends_the_run_in_plain_words(run_tiny, monkeypatch):
    taken_for_junk(monkeypatch, 1.0)
    with pytest.raises(mapsort.errors.NumericalError, match="all 40 particles are taken for junk"):
        run_tiny(iter=2, junk=2)


def test_a_run_without_junk_says_nothing_of_it(run_tiny, capsys):
    run = run_tiny(iter=2)
    text = write_report(run.path).read_text(encoding="utf-8")
    assert check(run.path, 2, 0).junk_in_header == 0
    assert "of them junk" not in text
    assert run.convergence[-1]["junk_sets"] is None
    facts = json.loads(run_command(capsys, "info", "--json", run.path))[0]
    assert not [name for name in facts if "junk" in name]
    assert "_it02_junk" not in run_command(capsys, "split", run.path)


def test_junk_stays_apart_from_what_other_filters_leave_out(sorted_run, tmp_path):
    made = mapsort.split(sorted_run, min_prob=1.0, exclude_rejected=True, out=tmp_path / "sets")
    numbers = read_particles(sorted_run / "particles_04.star")[1]["rlnClassNumber"].to_numpy(int)
    np.testing.assert_array_equal(made["junk"].particles, np.flatnonzero(numbers == 3))
    np.testing.assert_array_equal(made["junk2"].particles, np.flatnonzero(numbers == 4))
    assert len(made["rejected"]) == 0  # a soft run with --classkeep 1 keeps nobody out
    by_class = mapsort.split(sorted_run, by="0-3", out=tmp_path / "ranges")
    np.testing.assert_array_equal(by_class["junk"].particles, np.flatnonzero(numbers == 3))
    assert not np.isin(np.flatnonzero(numbers > 2), by_class["classes_0-3"].particles).any()


def test_a_class_beyond_the_junk_is_refused(sorted_run, tmp_path):
    copy = tmp_path / "multi_00"
    shutil.copytree(sorted_run, copy)
    optics, table = read_particles(copy / "particles_04.star")
    table.loc[0, "rlnClassNumber"] = 5
    write_particles(copy / "particles_04.star", optics, table)
    with pytest.raises(mapsort.errors.FormatError, match="must lie between 1 and 4"):
        mapsort.split(copy)


def test_the_first_soft_iteration_is_told(run_tiny):
    class Told(SilentProgress):
        def __init__(self):
            self.lines = []

        def message(self, text):
            self.lines.append(text)

    told = Told()
    run = run_tiny(iter=4, progress=told)
    first = run.convergence[-1]["soft_since"]
    assert first > 1
    line = f"soft from iteration {first}: particles go to maps by their probabilities"
    assert told.lines.count(line) == 1
    before = told.lines[: told.lines.index(line)]
    assert sum(words.startswith("iteration ") for words in before) == first - 1
    assert (run.path / "run.log").read_text(encoding="utf-8").count(line) == 1
    text = write_report(run.path).read_text(encoding="utf-8")
    assert f"(each particle to its best map) before iteration {first}, then soft" in text


def test_columns_that_an_earlier_run_found_are_not_copied(small, run_small):
    optics, table = read_particles(small.particles)
    old = ("rlnNrOfSignificantSamples", "mapsortJunkProbability", "mapsortOutlierScore")
    marked = small.particles.with_name("marked.star")
    kept = {"rlnCtfMaxResolution": 7.5, "labBook": 3}
    write_particles(marked, optics, table.assign(**dict.fromkeys(old, 0.123), **kept))
    run = run_small(particles=marked, iter=1)
    assert "mapsortJunkProbability" not in run.assignments
    assert "rlnNrOfSignificantSamples" not in run.assignments
    assert not (run.assignments["mapsortOutlierScore"].astype(float) == 0.123).all()
    for name, value in kept.items():
        assert (run.assignments[name].astype(float) == value).all()
