"""Starting maps as users have them: dark, off the centre, with an offset, rescaled, identical."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mapsort.engines.progress import CallbackProgress
from mapsort.errors import ConfigError
from mapsort.io.mrc import write_map
from mapsort.jobs.convert import convert
from mapsort.jobs.simulate import simulate
from mapsort.model.volume import Volume
from mapsort.options.convert import ConvertOptions
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map
from mapsort.refinement.given_maps import fitted_maps
from mapsort.refinement.inputs import open_inputs

BOX, APIX = 32, 4.0


@pytest.fixture
def density(small):
    return Volume.open(small.seeds[0]).data


def fitted(data, *, apix=APIX, **options):
    """One map beside another, prepared; in the centre, if it may be moved there."""
    request = MultiOptions(input="p.star", models=("given.mrc", "other.mrc"), **options)
    volumes = [Volume(data, apix), Volume(phantom_map(1, BOX, APIX), APIX)]
    made = fitted_maps(request, volumes, box=BOX, apix=APIX, max_shift=4.0)
    moved = np.roll(made.maps[0], made.moves[0] or (0, 0, 0), axis=(0, 1, 2))
    return moved, [note for note in made.notes if note.startswith("given.mrc")]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_a_good_map_is_taken_as_it_is(density):
    made, notes = fitted(density)
    assert notes == []
    assert np.array_equal(made, density)


@pytest.mark.parametrize("change", [(-1.0, 0.0), (-1e4, 0.0), (-1.0, 5.0)], ids=str)
def test_dark_maps_become_white_and_are_told(density, change):
    factor, offset = change
    made, notes = fitted(factor * density + np.float32(offset * density.std()))
    assert correlation(made, density) > 0.999
    assert any("dark" in note for note in notes)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_of_no_contrast(seed):
    noise = np.random.default_rng(seed).normal(size=(BOX,) * 3).astype(np.float32)
    made, notes = fitted(noise)
    assert correlation(made, noise) > 0.99
    assert not any("dark" in note for note in notes)
    assert any("noise" in note for note in notes)


@pytest.mark.parametrize("steps", [(10, 0, 0), (0, -7, 0), (4, 4, 4)], ids=str)
def test_maps_off_the_centre_are_moved_there(density, steps):
    made, notes = fitted(np.roll(density, steps, axis=(0, 1, 2)))
    middle = fitted(density)[0]
    found = np.array(
        np.unravel_index(
            np.argmax(np.fft.ifftn(np.fft.fftn(made) * np.conj(np.fft.fftn(middle))).real),
            made.shape,
        )
    )
    found = (found + BOX // 2) % BOX - BOX // 2
    assert np.abs(found).max() <= 2
    assert any("off the centre" in note for note in notes)


def test_particles_decide_whether_a_map_is_moved(small, run_small, tmp_path):
    """A map that nobody centred is moved; tests/jobs/test_manual_command.py has one that stays."""
    off = np.roll(Volume.open(small.seeds[0]).data, (10, 0, 0), axis=(0, 1, 2))
    write_map(tmp_path / "off.mrc", off, APIX)
    told = []
    progress = CallbackProgress(lambda event: told.append(event.message))
    run = run_small(models=(tmp_path / "off.mrc", small.seeds[1]), progress=progress)
    assert any("it is moved to the centre" in line for line in told)
    seed = Volume.open(run.path / "threed_00_01.mrc").data
    middle = Volume.open(small.seeds[0]).data
    assert correlation(seed, middle) > 0.8 > correlation(off, middle)


def test_given_poses_and_symmetry_hold_a_map_in_its_place(density):
    moved = np.roll(density, (0, 9, 0), axis=(0, 1, 2))
    made, notes = fitted(moved, skipalign=True)
    assert np.array_equal(made, moved)
    assert any("stays there" in note for note in notes)
    assert np.array_equal(fitted(moved, sym=("c2",))[0], moved)
    along = np.roll(density, (9, 0, 0), axis=(0, 1, 2))
    assert not np.array_equal(fitted(along, sym=("c2",))[0], along)
    assert np.array_equal(fitted(along, sym=("d2",))[0], along)


@pytest.mark.parametrize("offset", [1.0, -1.0, 23.0])
def test_an_offset_is_no_information(density, offset):
    made, notes = fitted(density + np.float32(offset * density.std()))
    assert made == pytest.approx(density, abs=0.02 * float(density.max()))
    assert any("background" in note for note in notes)


def test_every_rescaled_map_is_told(density):
    (note,) = [n for n in fitted(density, apix=1.0)[1] if "brought" in n]
    assert "32 px at 1 A/px" in note
    assert "--inputapix 4" in note
    (note,) = [n for n in fitted(density, apix=5.0)[1] if "brought" in n]
    assert "32 px at 5 A/px" in note
    assert "--inputapix" not in note


def test_startres_removes_what_is_finer(density):
    noise = np.random.default_rng(0).normal(size=(BOX,) * 3)
    fine = (density + 0.1 * density.std() * noise).astype(np.float32)
    assert any("--startres" in note for note in fitted(fine)[1])
    made, notes = fitted(fine, startres=40.0)
    assert not any("--startres" in note for note in notes)
    power = np.abs(np.fft.fftn(made)) ** 2
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*3 * (np.fft.fftfreq(BOX) * BOX,))))
    assert power[radius > 32 * 4 / 40 + 1].sum() < 1e-6 * power.sum()


def request(small, **changed):
    return replace(MultiOptions(input=small.particles, models=tuple(small.seeds)), **changed)


def test_identical_maps_are_told(small):
    inputs = open_inputs(request(small, models=(small.seeds[0],) * 2))
    assert any("are the same map" in note for note in inputs.notes)
    assert not any("same map" in note for note in open_inputs(request(small)).notes)


def test_a_map_is_no_particles(small):
    with pytest.raises(ConfigError, match="is a map"):
        open_inputs(request(small, input=small.seeds[0]))


def test_more_maps_than_particles(small, tmp_path):
    few = tmp_path / "few.star"
    convert(ConvertOptions(files=(small.particles, few), first=1))
    with pytest.raises(ConfigError, match="at most as many maps as particles"):
        open_inputs(request(small, input=few))


@pytest.mark.parametrize("option", [{"nmodels": 3}, {"seedmethod": "mapfragment"}], ids=str)
def test_options_without_effect_on_given_maps(small, option):
    from mapsort.options.fields import typed_options

    values = {"input": small.particles, "models": tuple(small.seeds)} | option
    with pytest.raises(ConfigError, match="made of --model"):
        typed_options(MultiOptions, values).validated()


def test_one_map_and_too_many_threads_are_told(small):
    (note,) = request(small, models=(small.seeds[0],), parallel="thread:1").notes
    assert "one map" in note
    (note,) = request(small, parallel="thread:4000").notes
    assert "4000 threads are more" in note


def test_files_that_exist_are_replaced_only_when_asked(tmp_path):
    size = {"phantom": 1, "out": tmp_path, "n": 4, "box": 32, "apix": 4.0}
    made = simulate(SimulateOptions(**size))
    before = made.stack.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        simulate(SimulateOptions(**size, seed=9))
    assert made.stack.read_bytes() == before
    simulate(SimulateOptions(**size, seed=9, overwrite=True))
    assert made.stack.read_bytes() != before
    for target in ("a.star", "a.mrcs", "a.hdf", "a.lst"):
        files = (made.particles, tmp_path / target)
        files[1].write_text("mine")
        with pytest.raises(ConfigError, match="exists already"):
            convert(ConvertOptions(files=files))
        assert files[1].read_text() == "mine"
        convert(ConvertOptions(files=files, overwrite=True))
        assert files[1].read_bytes() != b"mine"
    with pytest.raises(ConfigError, match="exists already"):
        convert(ConvertOptions(files=(made.maps[0], made.seeds[0])))
