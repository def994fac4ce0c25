"""The memory that `--check` foretells is what a run takes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.simulate import simulate
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.memory_plan import (
    class_sum_bytes,
    item_bytes,
    memory_bytes,
    scratch_bytes,
    spills_classes,
)
from mapsort.refinement.plan import MultiPlan, particles_at_once, resolve
from mapsort.rundir.text import read_convergence
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid

GIB = 2**30


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A set of particles of 48 px and the words that run it."""
    options = {"n": 600, "box": 48, "apix": 3.0, "snr": 0.3, "shift": 1.0, "seed": 2}
    made = simulate(
        SimulateOptions(phantom=2, out=tmp_path_factory.mktemp("data"), seedres=20.0, **options)
    )
    words = ["multi", "--input", str(made.particles), "--models", ",".join(map(str, made.seeds))]
    return [*words, "--iter", "1", "--orientgen", "eman:delta=40", "--randomseed", "1"]


def foretold(text):
    """Total of the plan's memory line [MiB]."""
    value, unit = re.search(r"^memory: ([\d.]+) (MiB|GiB) \(", text, re.MULTILINE).groups()
    return float(value) * (1024 if unit == "GiB" else 1)


def test_a_run_takes_what_the_check_says(words, tmp_path, capsys):
    words = [*words, "-q", "--no-report", "-P", "thread:1", "--path", str(tmp_path / "run")]
    assert main([*words, "--check", "-v", "1"]) == 0
    out = capsys.readouterr().out
    expected = foretold(out)
    assert re.search(r"^memory per item: particle \d.*, map \d", out, re.MULTILINE)
    # A process of its own: this one has loaded and used much more.
    code = "import sys; from mapsort.cli.main import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *words], check=True)
    (entry,) = read_convergence(tmp_path / "run" / "convergence.json")
    assert 0.8 * expected < entry["peak_memory_mib"] < 1.1 * expected


@pytest.fixture(scope="module")
def plan(words, tmp_path_factory):
    request = {"input": words[2], "models": words[4], "orientgen": "eman:delta=40", "sym": "c1"}
    options = typed_options(MultiOptions, request).validated()
    options = replace(options, path=tmp_path_factory.mktemp("none") / "run")
    return resolve(options, open_inputs(options))


def test_it_does_not_depend_on_threads(plan):
    assert memory_bytes(replace(plan, n_threads=64), 10**5) == memory_bytes(plan, 10**5)


def test_particles_cost_little(plan):
    """Most of the memory is there for any number of particles."""
    small, large = (memory_bytes(plan, n) for n in (50_000, 500_000))
    grown = {name for name in small if large[name] > small[name]}
    assert grown == {"particles"}
    assert item_bytes(plan)["particle"] < 200


def test_many_classes_lie_in_files(large_plan):
    """10,000 projections of each of four maps: 15 GiB a half, of which little is looked at."""
    eulers = np.zeros((10_000, 3))
    many = replace(large_plan, references=References.of_models([eulers] * 4))
    assert not spills_classes(large_plan)
    assert spills_classes(many)
    assert class_sum_bytes(many) > 29 * GIB
    assert memory_bytes(many, 10**6)["classes"] < 8 * GIB
    assert sum(memory_bytes(many, 10**6).values()) < 64 * GIB
    assert scratch_bytes(many, 10**6) > 2 * class_sum_bytes(many)


@pytest.mark.slow
def test_ten_times_the_particles_take_the_same_memory(words, tmp_path):
    """The same images again and again: 5,000 and 50,000 particles of 48 px.

    The smaller set fills the chunk in work, the one that is read ahead, and a piece of averaging.
    """
    source = Path(words[2])
    optics, table = read_particles(source)
    peaks = []
    for n in (5_000, 50_000):
        repeated = source.with_name(f"repeated_{n}.star")
        rows = table.iloc[np.arange(n) % len(table)].reset_index(drop=True)
        write_particles(repeated, optics, rows)
        path = tmp_path / f"run_{n}"
        asked = [*words, "-q", "--no-report", "-P", "thread:1", "--path", str(path)]
        asked[2] = str(repeated)
        code = "import sys; from mapsort.cli.main import main; sys.exit(main(sys.argv[1:]))"
        subprocess.run([sys.executable, "-c", code, *asked], check=True)
        (entry,) = read_convergence(path / "convergence.json")
        peaks.append(entry["peak_memory_mib"])
    assert peaks[1] < 1.05 * peaks[0]


@pytest.mark.parametrize("box", [16, 48, 64, 100, 128, 256, 360])
def test_a_chunks_transforms_stay_below_what_is_given_back_when_freed(words, box):
    """glibc's largest threshold for memory that the system clears anew each time: 32 MiB."""
    grid = FourierGrid.for_box(box)
    options = typed_options(MultiOptions, {"input": words[2], "models": words[4]})
    chunk = particles_at_once(options, grid, 10)
    assert 8 * grid.padded * (grid.padded // 2 + 1) * chunk < 32 * 2**20


def test_a_million_particles_of_256_px_fit_64_gib(large_plan: MultiPlan):
    """Four maps without symmetry, projections every 5 degrees."""
    memory = memory_bytes(large_plan, 10**6)
    assert sum(memory.values()) < 64 * GIB
    assert memory["references"] < 2 * GIB


@pytest.fixture
def large_plan(plan):
    """The plan of a large set: nothing but the numbers that the memory follows from."""
    c1 = symmetry("c1")
    eulers = orientations("eman:delta=5:inc_mirror=0:perturb=0", c1, rng=np.random.default_rng(0))
    return replace(
        plan,
        grid=FourierGrid.for_box(256),
        map_grid=InsertionGrid.for_box(256),
        references=References.of_models([eulers] * 4),
        symmetries=(c1,) * 4,
        chunk=1024,
    )
