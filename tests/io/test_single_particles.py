"""Names that stand for no single image, and names that lead to one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.io.mrc import write_stack
from mapsort.io.particle_files import read_particle_files
from mapsort.model.particles import Particles

IMAGES = np.random.default_rng(3).normal(size=(4, 8, 8)).astype(np.float32)
OPTICS = """data_optics

loop_
_rlnOpticsGroup
_rlnImagePixelSize
_rlnImageSize
_rlnImageDimensionality
1 2.0 8 {dimensions}
2 2.0 8 3

"""
PARTICLES = "data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n"


def table(path: Path, names: list[str], *, dimensions: int = 2, head: str = "") -> Path:
    rows = "".join(f"{name} 1\n" for name in names)
    path.write_text(head + OPTICS.format(dimensions=dimensions) + PARTICLES + rows)
    return path


def stack(path: Path, images: np.ndarray = IMAGES) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stack(path, images, 2.0)
    return path.name


def test_volumes_are_refused(tmp_path: Path) -> None:
    name = stack(tmp_path / "v.mrc")
    path = table(tmp_path / "p.star", [name], dimensions=3)
    with pytest.raises(FormatError, match=r"p\.star: these are subtomograms \(rlnImageDimension"):
        Particles.open(path)
    # A group of volumes that no particle belongs to is no fault.
    assert len(Particles.open(table(path, [f"1@{name}"]))) == 1


@pytest.mark.parametrize(
    "head",
    [
        "data_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\n",
        "data_general\n\nloop_\n_rlnTomoSubTomosAre2DStacks\n1\n\n",
    ],
)
def test_tilt_series_are_refused(tmp_path: Path, head: str) -> None:
    path = table(tmp_path / "p.star", [stack(tmp_path / "1_stack2d.mrcs")], head=head)
    with pytest.raises(FormatError, match="subtomograms"):
        Particles.open(path)
    path = table(
        path, ["1@1_stack2d.mrcs"], head=head.replace(" 1", " 0").replace("\n1\n", "\n0\n")
    )
    assert len(Particles.open(path)) == 1


def test_columns_of_subtomograms_are_refused(tmp_path: Path) -> None:
    name = stack(tmp_path / "a.mrcs")
    path = table(tmp_path / "p.star", [])
    path.write_text(
        path.read_text().replace("_rlnImageName\n", "_rlnImageName\n_rlnTomoVisibleFrames\n")
        + f"{name} [1,1] 1\n"
    )
    with pytest.raises(FormatError, match="it has a column rlnTomoVisibleFrames"):
        Particles.open(path)


def test_a_name_without_a_number_is_of_a_file_of_one_image(tmp_path: Path) -> None:
    many, one = stack(tmp_path / "many.mrcs"), stack(tmp_path / "one.mrcs", IMAGES[:1])
    particles = Particles.open(table(tmp_path / "p.star", [f"3@{many}", one]))
    assert particles.validate() == ()
    np.testing.assert_array_equal(particles.images([1])[0], IMAGES[0])
    particles = Particles.open(table(tmp_path / "p.star", [f"3@{many}", one, many]))
    with pytest.raises(FormatError) as caught:
        particles.validate()
    assert str(caught.value) == (
        f"{tmp_path / 'p.star'}: particle 3: many.mrcs gives no number of an image, and "
        f"{tmp_path / 'many.mrcs'} holds 4. An image is named 000001@many.mrcs; a name without @ "
        "is right for a file of one image only."
    )
    # What was left out by a selection is no fault.
    assert particles.subset([0, 1]).validate() == ()


@pytest.mark.parametrize(
    "names",
    [
        ["1@job1/m.mrcs", "1@job2/m.mrcs"],
        ["1@m.mrcs", "1@job2/m.mrcs"],
        ["1@job2/m.mrcs", "1@m.mrcs"],
        ["1@/old/job1/m.mrcs", "2@/old/job2/m.mrcs"],
    ],
)
def test_two_names_that_lead_to_one_file(tmp_path: Path, names: list[str]) -> None:
    stack(tmp_path / "flat/m.mrcs")
    path = table(tmp_path / "p.star", names)
    with pytest.raises(FormatError) as caught:
        read_particle_files(path, datadir=tmp_path / "flat")
    first, second = (name.split("@")[1] for name in names)
    assert (
        f"two names of the table lead to one file: {first} and {second} are both "
        f"{tmp_path / 'flat/m.mrcs'}. "
    ) in str(caught.value)


def test_two_names_in_a_set_of_cryosparc(tmp_path: Path) -> None:
    stack(tmp_path / "flat/m.mrc")
    own = np.zeros(2, [("uid", "<u8"), ("blob/psize_A", "<f4")])
    own["uid"], own["blob/psize_A"] = [1, 2], 2.0
    rest = np.zeros(2, [("uid", "<u8"), ("blob/path", "S12"), ("blob/idx", "<u4")])
    rest["uid"], rest["blob/path"] = [1, 2], [b">J1/m.mrc", b">J2/m.mrc"]
    for name, records in (("p.cs", own), ("rest.cs", rest)):
        with (tmp_path / name).open("wb") as file:
            np.save(file, records)
    with pytest.raises(FormatError, match=r"lead to one file: J1/m\.mrc and J2/m\.mrc"):
        read_particle_files(
            tmp_path / "p.cs", passthrough=[tmp_path / "rest.cs"], datadir=tmp_path / "flat"
        )


def test_one_file_written_in_two_ways(tmp_path: Path) -> None:
    stack(tmp_path / "flat/m.mrcs")
    (tmp_path / "flat/n.mrcs").symlink_to("m.mrcs")
    for names in (
        ["1@job1/m.mrcs", "2@./job1/m.mrcs", "3@job1//m.mrcs"],
        ["1@m.mrcs", "2@./m.mrcs"],
        ["1@job1/m.mrcs", "2@job2/n.mrcs"],  # a link that someone made
    ):
        read = read_particle_files(table(tmp_path / "p.star", names), datadir=tmp_path / "flat")
        assert {file.resolve() for file in read.files} == {(tmp_path / "flat/m.mrcs").resolve()}
    proj = tmp_path / "proj"
    for job in ("job1", "job2"):
        stack(proj / job / "m.mrcs")
    names = ["1@job1/m.mrcs", "1@job2/m.mrcs"]
    read = read_particle_files(table(tmp_path / "p.star", names), datadir=proj)
    assert read.files == (proj / "job1/m.mrcs", proj / "job2/m.mrcs")
