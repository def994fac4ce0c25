"""cryoSPARC's stacks: dark density is made white, and RELION opens what is called ``.mrcs``."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import starfile

from mapsort.engines.progress import SilentProgress
from mapsort.errors import ConfigError, FormatError
from mapsort.io.mrc import write_stack
from mapsort.jobs.convert import convert
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.refinement.table_poses import table_poses

IMAGES = np.random.default_rng(4).normal(size=(6, 8, 8)).astype(np.float32)
SIGNS = np.array([1, -1, -1, 1, -1, 1])


class Told(SilentProgress):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        """Keep a message."""
        self.messages.append(text)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def particle_set(signs: np.ndarray, paths: list[str] | None = None) -> Path:
    names = paths or ["J1/a.mrc"] * 3 + ["J1/b.mrc"] * 3
    fields = [("uid", "<u8"), ("blob/path", "S20"), ("blob/idx", "<u4")]
    records = np.zeros(6, [*fields, ("blob/psize_A", "<f4"), ("blob/sign", "<f4")])
    records["uid"], records["blob/path"] = np.arange(6), [name.encode() for name in names]
    records["blob/idx"], records["blob/psize_A"] = [0, 1, 2, 0, 1, 2], 2.0
    records["blob/sign"] = signs
    for number, name in enumerate(dict.fromkeys(names)):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        write_stack(name, IMAGES[3 * number : 3 * number + 3], 2.0)
    with Path("p.cs").open("wb") as file:
        np.save(file, records)
    return Path("p.cs")


def converted(*files: str, copy: bool = False, overwrite: bool = False) -> list[str]:
    told = Told()
    paths = tuple(map(Path, files))
    convert(ConvertOptions(files=paths, copy=copy, overwrite=overwrite), progress=told)
    return told.messages


def test_dark_images_are_white_as_they_are_read() -> None:
    white = IMAGES * SIGNS[:, None, None]
    particles = Particles.open(particle_set(SIGNS))
    assert any("blob/sign is -1 for 3 of 6 images" in note for note in particles.notes)
    np.testing.assert_array_equal(particles.images(slice(None)), white)
    order = [4, 0, 2, 5]
    np.testing.assert_array_equal(particles.subset(order).images([1, 3, 0]), white[[0, 5, 4]])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(particles.images_only())).images(order), white[order]
    )
    np.testing.assert_array_equal(Particles.open(particle_set(-SIGNS)).images([0]), -white[[0]])


def test_a_table_that_refers_to_dark_images_says_so() -> None:
    white = IMAGES * SIGNS[:, None, None]
    particle_set(SIGNS)
    messages = converted("p.cs", "o.star")
    assert any("density is dark in the stacks that o.star refers to" in m for m in messages)
    np.testing.assert_array_equal(Particles.open("o.star").images(slice(None)), white)
    assert not any("dark in the stacks" in m for m in converted("p.cs", "c.star", copy=True))
    assert "mapsortImageSign" not in starfile.read("c.star")["particles"]
    for name in ("c.star", "o.mrcs", "o.hdf", "o.lst"):
        if name != "c.star":
            # A list needs the dark images written anew: the stack of the same name is replaced.
            converted("o.star", name, overwrite=name == "o.lst")
        np.testing.assert_array_equal(Particles.open(name).images(slice(None)), white, err_msg=name)


def test_a_pose_that_is_no_number_stops_only_who_needs_it() -> None:
    """A search of all poses reads the set; given poses are refused with the particle's number."""
    path = particle_set(np.ones(6))
    records = np.load(path)
    posed = np.zeros(6, [*records.dtype.descr, ("alignments3D/pose", "<f4", (3,))])
    for name in records.dtype.names:
        posed[name] = records[name]
    posed["alignments3D/pose"][2, 1] = np.nan
    with path.open("wb") as file:
        np.save(file, posed)
    particles = Particles.open(path)
    assert any("1 particles, the first is particle 3, have no pose" in n for n in particles.notes)
    assert particles.images(slice(None)).shape == (6, 8, 8)
    with pytest.raises(FormatError, match=r"p\.cs: rlnAngleRot of particle 3 is nan; a number"):
        table_poses(path, particles.table, particles.apix, purpose="--skipalign")
    others = particles.subset([0, 1, 3])
    assert len(table_poses(path, others.table, others.apix, purpose="--skipalign")[0]) == 3


def test_white_images_are_left() -> None:
    particles = Particles.open(particle_set(np.ones(6)))
    assert not any("sign" in note for note in particles.notes)
    assert "mapsortImageSign" not in particles.table
    np.testing.assert_array_equal(particles.images(slice(None)), IMAGES)


@pytest.mark.parametrize(
    ("paths", "links"),
    [
        (["J1/a.mrc"] * 3 + ["J1/b.mrc"] * 3, ["a.mrcs", "b.mrcs"]),
        (["J1/a.mrc"] * 3 + ["J2/a.mrc"] * 3, ["00001_a.mrcs", "00002_a.mrcs"]),
        (["J1/a b.mrc"] * 3 + ["J2/c@d.mrc"] * 3, ["a b.mrcs", "c@d.mrcs"]),
    ],
)
def test_relion_opens_links(paths: list[str], links: list[str]) -> None:
    particle_set(np.ones(6), paths)
    for again in (False, True):  # the second time links are there
        messages = converted("p.cs", "o.star", overwrite=again)
        assert any("RELION opens stacks called .mrcs only" in m for m in messages)
    names = starfile.read("o.star")["particles"]["rlnImageName"]
    assert [name.partition("@")[2] for name in names] == [
        f"o_stacks/{links[k // 3]}" for k in range(6)
    ]
    assert sorted(link.name for link in Path("o_stacks").iterdir()) == links
    assert all(not link.readlink().is_absolute() for link in Path("o_stacks").iterdir())
    np.testing.assert_array_equal(Particles.open("o.star").images(slice(None)), IMAGES)


def test_links_only_where_names_need_them() -> None:
    particle_set(np.ones(6), ["J1/a.mrcs"] * 3 + ["J1/b.mrcs"] * 3)
    converted("p.cs", "o.star")
    assert not Path("o_stacks").exists()
    particle_set(np.ones(6))
    converted("p.cs", "q.star", copy=True)
    assert not Path("q_stacks").exists()
    Path("r_stacks").mkdir()
    Path("r_stacks/a.mrcs").write_text("something else")
    with pytest.raises(ConfigError, match=r"a\.mrcs: is there already and is no link"):
        converted("p.cs", "r.star")
    assert Path("r_stacks/a.mrcs").read_text() == "something else"
