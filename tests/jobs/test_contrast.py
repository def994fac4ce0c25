"""Particles of the wrong contrast are told before the run: by multi and refine, in --check too."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from mapsort.jobs.multi import plan_text
from mapsort.jobs.refine import refine, refine_plan_text
from mapsort.jobs.simulate import simulate
from mapsort.model.volume import Volume
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import RefineOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map
from mapsort.refinement.contrast import Contrast, tried_contrast, tried_moves
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.iteration import scanned
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest

QUICK = {"parallel": "thread:1", "randomseed": 1, "orientgen": "eman:delta=24"}


def another_stack(small, path, change):
    """The same table beside a stack of other images; the table's path."""
    path.mkdir()
    stack = next(small.particles.parent.glob("*.mrcs"))
    with mrcfile.new(path / stack.name) as file:
        file.set_data(change(mrcfile.read(stack)).astype(np.float32))
        file.voxel_size = 4.0
    table = path / "particles.star"
    table.write_text(small.particles.read_text())
    return table


def noise_like(images):
    return np.random.default_rng(2).normal(size=images.shape)


@pytest.fixture
def dark(small, tmp_path):
    return another_stack(small, tmp_path / "dark", lambda images: 40 - 3 * images)


def tried(particles, models, **options):
    request = MultiOptions(input=particles, models=tuple(models), **QUICK, **options)
    inputs = open_inputs(request)
    return tried_contrast(scanned(Run(request, inputs, resolve(request, inputs), Execution())))


@pytest.mark.parametrize("rolled", [0, 3], ids=["lacks a part", "rolled"])
def test_a_map_that_lacks_a_part_stays_where_its_particles_are(tmp_path, rolled):
    """Either lies off the centre, within the shifts that are searched: scores tell nothing."""
    whole = phantom_map(0, 32, 4.0)
    part = whole.copy()
    part[:16] = 0.0
    made = simulate(
        SimulateOptions(
            maps=tuple(written(tmp_path, whole=whole, part=part)),
            out=tmp_path / "made",
            n=240,
            snr=0.3,
            shift=1.0,
        )
    )
    other = part if not rolled else np.roll(whole, (rolled, 0, 0), axis=(0, 1, 2))
    models = written(tmp_path, first=part if rolled else whole, other=other)
    request = MultiOptions(input=made.particles, models=tuple(models), **QUICK)
    inputs = open_inputs(request)
    assert [steps is None for steps in inputs.moves] == [not rolled, False]
    run = scanned(Run(request, inputs, resolve(request, inputs), Execution()))
    seeds, notes = tried_moves(run)
    if rolled:
        # of the part that is first, and of the map that nobody centred
        assert "first.mrc: it stays off the centre" in notes[0]
        assert "other.mrc: it is moved to the centre" in notes[1]
        assert not np.array_equal(seeds[1], inputs.seeds[1])
    else:
        assert "other.mrc: it stays off the centre; its particles lie" in notes[0]
        assert np.array_equal(seeds[1], inputs.seeds[1])


def written(directory, **maps):
    """Write maps of 4 A/px; their paths."""
    for name, volume in maps.items():
        Volume(volume, 4.0).write(directory / f"{name}.mrc")
    return [directory / f"{name}.mrc" for name in maps]


def test_dark_particles_are_told(small, dark):
    found = tried(dark, small.seeds)
    assert found.deviations > 8
    assert found.note == (
        "the particles look dark: 120 of 120 tried fit the maps better inverted; add --invert"
    )
    assert found.finding == "120 of 120 tried fit the maps better inverted"


@pytest.mark.parametrize("invert", [False, True])
def test_the_right_contrast_is_not(small, dark, invert):
    found = tried(dark if invert else small.particles, small.seeds, invert=invert)
    assert found.deviations < -8
    assert found.note == ""
    assert found.finding.endswith("inverted" if invert else "as they are")


def test_an_invert_too_many_is_told(small):
    note = tried(small.particles, small.seeds, invert=True).note
    assert note.startswith("the particles look white already: ")
    assert note.endswith("leave out --invert")


@pytest.mark.parametrize("invert", [False, True])
def test_noise_is_of_neither(small, tmp_path, invert):
    found = tried(another_stack(small, tmp_path / "noise", noise_like), small.seeds, invert=invert)
    assert abs(found.deviations) < 4
    assert found.note == ""
    assert "clearly better either way" in found.finding


@pytest.mark.parametrize("seed", range(3))
def test_maps_of_noise_claim_nothing_wrong(small, tmp_path, seed):
    rng = np.random.default_rng(seed)
    density = Volume.open(small.seeds[0]).data
    wrong = tmp_path / "wrong.mrc"
    # as large as a particle, and of no shape
    Volume((rng.normal(size=density.shape) * (density > 0)).astype(np.float32), 4.0).write(wrong)
    assert tried(small.particles, [small.seeds[0], wrong]).note == ""
    noise = another_stack(small, tmp_path / "noise", noise_like)
    assert tried(noise, [wrong, wrong]).note == ""


def test_chance_rarely_looks_clear():
    rng = np.random.default_rng(0)
    found = [Contrast(False, *rng.standard_cauchy(size=(2, 256))).deviations for _ in range(2000)]
    assert np.max(np.abs(found)) < 4.5


def test_one_deviating_particle_is_no_claim():
    taken = np.zeros(200)
    opposite = taken.copy()
    opposite[3] = 1e6
    assert Contrast(False, taken, opposite).note == ""


def test_check_and_the_record_tell(small, dark, run_small, tmp_path, monkeypatch):
    run = run_small(dark)
    directory = RunDirectory(run.path)
    assert "note: the particles look dark" in directory.log.read_text()
    (choice,) = [c for c in read_manifest(directory.parms).choices if c["name"] == "contrast"]
    assert choice["value"] == "as it is"
    assert "better inverted" in choice["reason"]
    monkeypatch.chdir(tmp_path)
    request = MultiOptions(input=dark, models=tuple(small.seeds), **QUICK)
    assert "note: the particles look dark" in plan_text(request)


def test_refine_tells(small, dark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = {"model": small.seeds[0], **QUICK}
    assert "look dark" in refine_plan_text(RefineOptions(input=dark, **request))
    assert "look" not in refine_plan_text(RefineOptions(input=small.particles, **request))
    assert "look white" in refine_plan_text(
        RefineOptions(input=small.particles, invert=True, **request)
    )
    run = refine(small.particles, small.seeds[0], iter=1, path=tmp_path / "r", **QUICK)
    choices = read_manifest(RunDirectory(run.path).parms).choices
    (choice,) = [c for c in choices if c["name"] == "contrast"]
    assert choice["value"] == "as it is"
