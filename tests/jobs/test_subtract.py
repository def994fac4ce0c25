"""Signal subtraction: what is outside goes, what is inside stays, images keep their identity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

import mapsort
from mapsort.cli.main import main
from mapsort.errors import ConfigError
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.optics import one_group
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.expand import expand
from mapsort.jobs.reconstruct import reconstruct_map
from mapsort.jobs.subtract import subtract
from mapsort.model.particles import Particles
from mapsort.options.fields import typed_options
from mapsort.options.focus import ExpandOptions, SubtractOptions
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.physics.ctf import ctf_images
from mapsort.physics.masks import lowpassed, soft_edged
from mapsort.refinement.table_poses import pose_columns, table_poses

BOX, APIX, N = 32, 4.0, 150
PLACE = np.array([7, -4, 3])


def ball(place, radius):
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    apart = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
    return np.exp(-apart / (2 * radius**2))


class Case:
    """Particles of two parts, one in a mask, each part's images and the noise known."""

    def __init__(self, path, sign=1.0):
        self.path, rng = path, np.random.default_rng(4)
        self.part = ball(PLACE, 2.0).astype(np.float32)
        self.rest = (ball((-5, 3, -2), 3.0) + ball((-2, -8, 4), 2.0)).astype(np.float32)
        self.mask = soft_edged(self.part > 0.02, margin_px=0.0, edge_px=2.0)
        self.rest *= 1 - self.mask
        self.part *= self.mask
        self.rotations = Rotation.random(N, rng=rng).as_matrix()
        self.origins = rng.uniform(-2, 2, (N, 2))
        self.table = pd.DataFrame(
            {
                "rlnImageName": [f"{k + 1:06d}@{path / 'images.mrcs'}" for k in range(N)],
                **pose_columns(self.rotations, self.origins, APIX),
                "rlnDefocusU": rng.uniform(8000, 20000, N),
                "rlnDefocusAngle": 0.0,
                "mapsortScale": np.round(rng.uniform(0.8, 1.2, N), 4),
                "rlnOpticsGroup": 1,
            }
        )
        self.table["rlnDefocusV"] = self.table["rlnDefocusU"]
        self.optics = one_group(APIX, BOX, name="a").assign(
            rlnVoltage=300.0, rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1
        )
        write_particles(path / "particles.star", self.optics, self.table)
        write_stack(path / "images.mrcs", np.zeros((N, BOX, BOX), np.float32), apix=APIX)
        ctf = Particles.open(path / "particles.star").ctf
        self.transfer = ctf_images(ctf, BOX, APIX)
        inside, outside = self.seen(self.part), self.seen(self.rest)
        self.noise = rng.standard_normal((N, BOX, BOX)).astype(np.float32)
        # signal of variance 0.1
        self.scale = sign * np.sqrt(0.1 / (inside + outside).var())
        self.inside, self.outside = self.scale * inside, self.scale * outside
        write_stack(path / "images.mrcs", self.inside + self.outside + self.noise, apix=APIX)
        write_map(path / "map.mrc", self.part + self.rest, APIX)
        write_map(path / "mask.mrc", self.mask, APIX)

    def seen(self, volume):
        """Return a part's images by another way: projected in real space, moved, CTF applied."""
        images = mapsort.project(volume, self.rotations, shifts=-self.origins)
        spectra = np.fft.rfft2(images) * self.transfer
        scales = self.table["mapsortScale"].to_numpy()[:, None, None]
        return (np.fft.irfft2(spectra, s=(BOX, BOX)) * scales).astype(np.float32)

    def subtracted(self, source=None, **options):
        request = {
            "particles": source or self.path / "particles.star",
            "output": self.path / "out.star",
            "model": self.path / "map.mrc",
            "mask": self.path / "mask.mrc",
            "overwrite": True,
            "parallel": "thread:1",
        }
        return subtract(typed_options(SubtractOptions, request | options))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("subtract"))


def power(images):
    return float(np.sum(np.square(images, dtype=np.float64)))


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_left_is_the_other_part_and_the_noise(case, inside):
    made = case.subtracted(inside=inside)
    left = MrcStack(made.stack).read(range(N)) - case.noise
    kept, gone = (case.outside, case.inside) if inside else (case.inside, case.outside)
    assert power(left) == pytest.approx(power(kept), rel=0.01)
    assert power(left - kept) < 1e-3 * power(gone)
    assert made.scale == pytest.approx(case.scale, rel=0.02)
    # outside, what is left cannot be told from noise: no more of it than chance has
    along = np.sum((left + case.noise) * gone, dtype=np.float64) / np.sqrt(power(gone))
    expected = np.sum((kept + case.noise) * gone, dtype=np.float64) / np.sqrt(power(gone))
    assert abs(along - expected) < 3.0


def test_the_result_does_not_depend_on_threads_or_chunks(case, monkeypatch):
    one = MrcStack(case.subtracted().stack).read(range(N))
    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 17)
    other = MrcStack(case.subtracted(parallel="thread:2").stack).read(range(N))
    # the scale's sample is other, and so the scale, by less than its error
    np.testing.assert_allclose(one, other, atol=2e-2)
    again = MrcStack(case.subtracted(parallel="thread:1").stack).read(range(N))
    np.testing.assert_array_equal(again, other)


def test_recentred_images_hold_the_part_about_their_centre(case):
    made = case.subtracted(center=True, box=20)
    assert made.box == 20
    optics, table = read_particles(made.table)
    assert optics["rlnImageSize"].tolist() == [20]
    _, origins = table_poses(made.table, table, APIX, purpose="a test")
    assert np.abs(origins).max() <= 0.5 + 1e-6
    request = {"inputs": made.table, "output": case.path / "part.mrc", "parallel": "thread:1"}
    reconstruct_map(typed_options(ReconstructOptions, request))
    found = read_map(case.path / "part.mrc")[0]
    kept, mask = read_map(made.map)[0], read_map(made.mask)[0]
    assert kept.shape == mask.shape == (20, 20, 20)
    assert np.unravel_index(kept.argmax(), kept.shape) == (10, 10, 10)
    assert np.corrcoef(found[mask > 0.5], kept[mask > 0.5])[0, 1] > 0.7
    peak = np.unravel_index(lowpassed(found, 0.15).argmax(), found.shape)
    assert np.abs(np.array(peak) - 10).max() <= 1


def test_images_are_named_after_those_they_were_made_of(case):
    made = case.subtracted()
    _, table = read_particles(made.table)
    original = Particles.open(case.path / "particles.star")
    named = Particles.open(made.table)
    assert [name.split("@")[0] for name in table["rlnImageOriginalName"]] == [
        f"{k + 1:06d}" for k in range(N)
    ]
    assert (table["rlnImageName"] != table["rlnImageOriginalName"]).all()
    np.testing.assert_array_equal(named.half_sets().half, original.half_sets().half)


def test_copies_of_an_image_stay_together_when_each_has_an_image_of_its_own(case):
    source = case.path / "expanded.star"
    request = {"files": (case.path / "particles.star", source), "sym": "c3", "overwrite": True}
    expand(typed_options(ExpandOptions, request))
    made = case.subtracted(source=source, center=True)
    optics, table = read_particles(made.table)
    write_particles(made.table, optics, table.drop(columns="rlnRandomSubset"))
    particles = Particles.open(made.table)
    assert particles.half_sets().n_images == N
    number = table["mapsortParticle"].to_numpy()
    np.testing.assert_array_equal(particles.image_numbers(), pd.factorize(number)[0])
    half = pd.Series(particles.half_sets().half).groupby(number)
    assert (half.nunique() == 1).all()
    some = np.random.default_rng(1).permutation(3 * N)[:N]
    np.testing.assert_array_equal(
        particles.subset(some).image_numbers(), pd.factorize(number[some])[0]
    )
    np.testing.assert_array_equal(
        particles.without_table(lambda values: values).image_numbers(), particles.image_numbers()
    )


def test_what_cannot_be_subtracted_is_refused(case, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        case.subtracted(overwrite=False)
    with pytest.raises(ConfigError, match=r"--box=64: is larger than the images, 32 pixels"):
        case.subtracted(box=64)
    with pytest.raises(ConfigError, match="--center: is for what is kept inside"):
        case.subtracted(center=True, inside=True)
    with pytest.raises(ConfigError, match=r"density is bright in the images; leave out --invert"):
        case.subtracted(invert=True)
    write_map(tmp_path / "other.mrc", ball((12, 12, 0), 1.0).astype(np.float32), APIX)
    with pytest.raises(ConfigError, match=r"it is not seen at these poses"):
        case.subtracted(model=tmp_path / "other.mrc")


def test_dark_density_is_told_by_its_sign(tmp_path):
    dark = Case(tmp_path, sign=-1.0)
    with pytest.raises(ConfigError, match=r"density is dark in the images; give --invert"):
        dark.subtracted()
    made = dark.subtracted(invert=True)
    left = MrcStack(made.stack).read(range(N)) - dark.noise
    assert power(left - dark.inside) < 1e-3 * power(dark.outside)


def test_the_command_names_its_files(case, capsys):
    words = ["subtract", str(case.path / "particles.star"), "-o", str(case.path / "cli.star")]
    words += ["--model", str(case.path / "map.mrc"), "--mask", str(case.path / "mask.mrc")]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{case.path / 'cli.star'}  150 particles of 32 px; the map is ")
    assert said[1] == f"{case.path / 'cli.mrcs'}  their images"
