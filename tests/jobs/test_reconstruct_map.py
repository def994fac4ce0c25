"""``mapsort reconstruct``: particles with poses or class averages in, a map out."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.engines.progress import CallbackProgress
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import matrix_to_relion, relion_to_matrix
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.reconstruct import reconstruct_map
from mapsort.jobs.reconstruct_inputs import open_slices
from mapsort.jobs.simulate import simulate
from mapsort.model.volume import Volume
from mapsort.options.fields import typed_options
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.masks import soft_sphere
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import read_fsc

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """1,200 particles of two states, nearly without noise, with CTF and shifts."""
    out = tmp_path_factory.mktemp("clean")
    return simulate(
        SimulateOptions(phantom=2, out=out, n=1200, box=32, apix=4.0, snr=50.0, shift=2.0, seed=5)
    )


def rebuild(source, output, *, progress=None, **options):
    request = {"inputs": source, "output": output, "parallel": "thread:1"} | options
    return reconstruct_map(typed_options(ReconstructOptions, request), progress=progress)


def edited(source, target, edit):
    """Write a particle table changed by `edit`, beside the original."""
    optics, table = read_particles(source)
    path = source.with_name(target)
    write_particles(path, optics, edit(table))
    return path


def agreement(volume, truth):
    sphere = soft_sphere(len(truth), 0.42 * len(truth), 2.0)
    return mapsort.fsc(volume * sphere, truth * sphere)


@pytest.mark.parametrize("number", [1, 2])
def test_particles_of_one_class_give_its_map(clean, tmp_path, number):
    made = rebuild(clean.truth, tmp_path / "map.mrc", class_=number)
    written = Volume.open(tmp_path / "map.mrc")
    np.testing.assert_array_equal(written.data, made.volume.data)
    assert written.apix == pytest.approx(4.0)
    curves = [agreement(made.volume.data, Volume.open(path).data) for path in clean.maps]
    # to 14 A: finer shells hold less than this noise; the other state's map is another there
    assert curves[number - 1][:10].min() >= 0.98
    assert curves[2 - number][7:10].max() < 0.9


def test_the_map_is_the_one_of_the_python_call(clean, tmp_path):
    """Read in chunks, phases and CTF made chunk by chunk: the same as all at once."""
    particles = mapsort.Particles.open(clean.truth)
    made = rebuild(clean.truth, tmp_path / "map.mrc")
    table = particles.table
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float) / 4.0
    expected = mapsort.reconstruct(
        particles.images(slice(None)),
        relion_to_matrix(table[ANGLES].to_numpy(float)),
        shifts=-origins,
        ctf=particles.ctf,
        apix=4.0,
    ).data
    sphere = soft_sphere(32, 0.45 * 32, 0.05 * 32)
    np.testing.assert_allclose(
        made.volume.data, expected * sphere, atol=2e-4 * float(expected.max())
    )


def test_halves_are_made_in_the_same_pass(clean, tmp_path):
    made = rebuild(clean.truth, tmp_path / "map.mrc", class_=1, halves=True)
    assert [path.name for path in made.half_paths] == ["map_half1.mrc", "map_half2.mrc"]
    first, second = (Volume.open(path).data for path in made.half_paths)
    _, curve = read_fsc(made.fsc_path)
    np.testing.assert_allclose(curve, mapsort.fsc(first, second), atol=1e-4)
    assert made.resolution_ang < 12.0
    # their mean is nearly the map: what differs is noise in gaps
    mean = 0.5 * (first + second)
    assert np.corrcoef(mean.ravel(), made.volume.data.ravel())[0, 1] >= 0.999


def test_halves_are_the_table_s_own_if_it_has_them(clean, tmp_path):
    """All lines of the first half of the file in subset 1."""
    path = edited(
        clean.truth,
        "subsets.star",
        lambda t: t.assign(rlnRandomSubset=np.where(np.arange(len(t)) < 600, 1, 2)),
    )
    made = rebuild(path, tmp_path / "map.mrc", halves=True)
    alone = edited(clean.truth, "first.star", lambda t: t.iloc[:600])
    expected = rebuild(alone, tmp_path / "first.mrc").volume.data
    found = Volume.open(made.half_paths[0]).data
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(expected.max()))


def test_halves_are_made_anew_where_the_table_has_one_only(clean, tmp_path):
    path = edited(clean.truth, "one.star", lambda t: t.assign(rlnRandomSubset=1))
    told = []
    progress = CallbackProgress(lambda event: told.append(event.message))
    made = rebuild(path, tmp_path / "one.mrc", halves=True, progress=progress)
    expected = rebuild(clean.truth, tmp_path / "none.mrc", halves=True)
    for name, other in zip(made.half_paths, expected.half_paths, strict=True):
        np.testing.assert_array_equal(Volume.open(name).data, Volume.open(other).data)
    assert f"{path}: rlnRandomSubset is 1 for all particles; half-sets are made anew" in told


def test_symmetry_copies_are_inserted(clean, tmp_path):
    volume = rebuild(clean.truth, tmp_path / "map.mrc", sym="c2").volume.data
    turned = np.roll(volume[:, ::-1, ::-1], 1, axis=(1, 2))
    inner = slice(4, -4)
    np.testing.assert_allclose(
        volume[inner, inner, inner], turned[inner, inner, inner], atol=2e-3 * float(volume.max())
    )


def test_frequencies_beyond_maxres_are_left_out(clean, tmp_path):
    volume = rebuild(clean.truth, tmp_path / "map.mrc", maxres=16.0).volume.data
    power = np.abs(np.fft.rfftn(volume)) ** 2
    k = np.fft.fftfreq(32, 1 / 32)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(17.0) ** 2)
    assert power[radius > 11].mean() < 1e-3 * power[(radius > 1) & (radius < 7)].mean()


def test_contrast_can_be_inverted(clean, tmp_path):
    white = rebuild(clean.truth, tmp_path / "white.mrc").volume.data
    black = rebuild(clean.truth, tmp_path / "black.mrc", invert=True).volume.data
    np.testing.assert_allclose(black, -white, atol=1e-5 * float(white.max()))


def test_wiener_filter_from_the_halves_without_writing_them(clean, tmp_path):
    plain = rebuild(clean.truth, tmp_path / "plain.mrc", class_=1).volume.data
    made = rebuild(clean.truth, tmp_path / "map.mrc", class_=1, recon="wiener_fourier")
    assert made.half_paths == ()
    power, filtered = (np.abs(np.fft.rfftn(v)) ** 2 for v in (plain, made.volume.data))
    assert filtered.sum() < power.sum()


def test_class_averages_of_a_run_give_its_map(finished, tmp_path):
    directory = RunDirectory(finished.path)
    for number in (1, 2):
        made = rebuild(directory.classes(3), tmp_path / f"map{number}.mrc", model=number)
        correlations = [
            np.corrcoef(made.volume.data.ravel(), volume.data.ravel())[0, 1]
            for volume in finished.maps
        ]
        assert np.argmax(correlations) == number - 1
        assert correlations[number - 1] >= 0.9


def write_averages(path, images, transforms, **header):
    with HdfWriter(path, apix=4.0) as writer:
        for image, transform in zip(images, transforms, strict=True):
            writer.append(image, {"xform.projection": EmanTransform(transform)} | header)


def test_a_transform_s_mirror_and_shift_are_undone(clean, tmp_path):
    """Projections moved and mirrored as their transforms say come back as the same map."""
    truth = Volume.open(clean.maps[0]).data
    rng = np.random.default_rng(1)
    rotations = relion_to_matrix(rng.uniform(0, 180, (400, 3)))
    shifts = rng.integers(-2, 3, (400, 2)).astype(float)
    images = mapsort.project(truth, rotations, shifts=shifts)
    transforms = np.concatenate([rotations, np.zeros((400, 3, 1))], axis=2)
    transforms[:, :2, 3] = shifts
    # mirrored: x of the image and of the transform's rows inverted
    images[::2] = np.roll(images[::2, :, ::-1], 1, axis=2)
    transforms[::2, 0] *= -1
    write_averages(tmp_path / "averages.hdf", images, transforms, ptcl_repr=3)
    made = rebuild(tmp_path / "averages.hdf", tmp_path / "map.mrc")
    # the last row or column of an even image has no mirror: the map is not exact at the edge
    assert agreement(made.volume.data, truth)[:13].min() >= 0.98


def test_particles_in_averages_of_both_halves_are_told(clean, tmp_path):
    """An average holds both half-sets; halves are made of averages in turn."""
    truth = Volume.open(clean.maps[0]).data
    rotations = relion_to_matrix(np.random.default_rng(2).uniform(0, 180, (3, 3)))
    transforms = np.concatenate([rotations, np.zeros((3, 3, 1))], axis=2)
    path = tmp_path / "averages.hdf"
    for members, said in (([[1, 2], [3], [2]], ()), ([[1, 2], [2, 7], [7]], ("2 particles",))):
        with HdfWriter(path, apix=4.0) as writer:
            images = mapsort.project(truth, rotations)
            for image, transform, these in zip(images, transforms, members, strict=True):
                header = {"xform.projection": EmanTransform(transform), "class_ptcl_idxs": these}
                writer.append(image, header)
        asked = {"inputs": (path,), "halves": True, "output": tmp_path / "map.mrc"}
        notes = open_slices(typed_options(ReconstructOptions, asked).validated()).notes
        assert [note.split(": ")[1].split(" are")[0] for note in notes] == list(said)


def test_averages_left_out_of_the_map_stay_out(clean, tmp_path):
    truth = Volume.open(clean.maps[0]).data
    rotations = relion_to_matrix(np.random.default_rng(2).uniform(0, 180, (50, 3)))
    transforms = np.concatenate([rotations, np.zeros((50, 3, 1))], axis=2)
    path = tmp_path / "averages.hdf"
    with HdfWriter(path, apix=4.0) as writer:
        for index, image in enumerate(mapsort.project(truth, rotations)):
            header = {"xform.projection": EmanTransform(transforms[index]), "ptcl_repr": 1}
            writer.append(image, header | {"threed_excl": int(index < 10)})
    assert rebuild(path, tmp_path / "map.mrc").n_slices == 40


def test_rejected_averages_are_marked(run_small):
    run = run_small(m3diter=2, m3dkeep=0.7)
    with HdfReader(RunDirectory(run.path).classes(1)) as reader:
        headers = [reader.header(index) for index in range(reader.n_images)]
    for model in (1, 2):
        own = [h for h in headers if h["model_id"] == model and h["ptcl_repr"] > 0]
        assert sum("threed_excl" in h for h in own) == len(own) - int(np.ceil(0.7 * len(own)))
    assert "class averages left out: " in (run.path / "run.log").read_text()


@pytest.mark.parametrize("spec", ["back_projection", "nn4:snr=2", "wiener_fourier:mode=gauss_5"])
def test_multi_takes_reconstructors_by_name(run_small, spec):
    plain, named = (run_small(recon=name).maps[0].data for name in ("fourier", spec))
    assert np.corrcoef(plain.ravel(), named.ravel())[0, 1] >= 0.98
    assert np.array_equal(plain, named) == spec.startswith("wiener_fourier")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_": 7}, ConfigError, r"--class=7: .* has no particles of this class; it has 1, 2"),
        ({"recon": "fourrier"}, ConfigError, "--recon=fourrier: unknown .* did you mean fourier"),
        ({"sym": "q7"}, ConfigError, "--sym=q7: "),
        ({"maxres": 5.0}, ConfigError, "--maxres=5: must be at least 8 A"),
        ({"pad": 36}, ConfigError, r"--pad=36: .* at least 1.25 x box \(40\)"),
        ({"output": "x.png"}, ConfigError, "--output=x.png: expected a map"),
        ({"output": "nowhere/x.mrc"}, ConfigError, "there is no directory .*nowhere"),
        ({"model": 1}, ConfigError, "--model=1: expected no value with particles"),
        ({"inputs": ("a.star", "b.star")}, ConfigError, "give one input"),
        ({"inputs": "missing.star"}, FormatError, "missing.star: no such file"),
        ({"inputs": "missing.hdf", "class_": 1}, ConfigError, "--class=1: expected no value"),
    ],
)
def test_wrong_requests_are_refused(clean, tmp_path, options, error, message):
    request = {"source": clean.truth, "output": tmp_path / "map.mrc"} | options
    source = request.pop("inputs", request.pop("source"))
    with pytest.raises(error, match=message):
        rebuild(source, request.pop("output"), **request)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.drop(columns="rlnAngleTilt"), "no column rlnAngleTilt: .* needs the .* poses"),
        (
            lambda t: t.assign(rlnAngleRot=[*t["rlnAngleRot"][:4], "x", *t["rlnAngleRot"][5:]]),
            "rlnAngleRot of particle 5 is x; a number",
        ),
        (lambda t: t.assign(rlnRandomSubset=3), "rlnRandomSubset of particle 1 is 3"),
    ],
)
def test_tables_that_do_not_do_are_refused(clean, tmp_path, edit, message):
    path = edited(clean.truth, "wrong.star", edit)
    with pytest.raises(FormatError, match=message):
        rebuild(path, tmp_path / "map.mrc", halves=True)
    assert not list(tmp_path.iterdir())


def test_averages_of_several_maps_need_a_choice(finished, tmp_path):
    source = RunDirectory(finished.path).classes(3)
    with pytest.raises(ConfigError, match="averages of the maps 1, 2: choose one with --model"):
        rebuild(source, tmp_path / "map.mrc")
    with pytest.raises(ConfigError, match=r"--model=3: .* has averages of 1, 2"):
        rebuild(source, tmp_path / "map.mrc", model=3)


def test_the_command_names_its_files(clean, tmp_path, capsys):
    output = tmp_path / "map.mrc"
    words = f"reconstruct {clean.truth} --class 1 --halves -P thread:1 -q -o {output}".split()
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{output}  map of ")
    assert "FSC of the halves: 0.143 at" in lines[3]
    assert len(lines) == 4


def test_poses_do_not_depend_on_how_they_are_written(clean, tmp_path):
    """Angles beyond their usual ranges mean the same."""
    turned = edited(
        clean.truth,
        "turned.star",
        lambda t: t.assign(
            rlnAngleRot=t["rlnAngleRot"].astype(float) + 180.0,
            rlnAngleTilt=-t["rlnAngleTilt"].astype(float),
            rlnAnglePsi=t["rlnAnglePsi"].astype(float) + 180.0,
        ),
    )
    _, table = read_particles(clean.truth)
    _, other = read_particles(turned)
    np.testing.assert_allclose(
        relion_to_matrix(table[ANGLES].to_numpy(float)),
        relion_to_matrix(other[ANGLES].to_numpy(float)),
        atol=1e-6,
    )
    assert matrix_to_relion(np.eye(3)[None]).shape == (1, 3)
    first = rebuild(clean.truth, tmp_path / "a.mrc").volume.data
    second = rebuild(turned, tmp_path / "b.mrc").volume.data
    np.testing.assert_allclose(second, first, atol=1e-4 * float(first.max()))
