"""``.cs`` to ``.cs``: what the original said stays, poses and images that are new are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.io.cryosparc_fields import CryosparcFields
from mapsort.io.mrc import write_stack
from mapsort.jobs.convert import convert
from mapsort.jobs.simulate import simulate
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.options.simulate import SimulateOptions

N = 6
IMAGES = np.random.default_rng(4).normal(size=(N, 8, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def particle_set(path: str, stack: str = "J1/a.mrc") -> np.ndarray:
    layout = [("uid", "<u8"), ("blob/path", "S20"), ("blob/idx", "<u4"), ("blob/psize_A", "<f4")]
    layout += [("blob/sign", "<f4"), ("blob/import_sig", "<u8")]
    made = np.zeros(N, layout)
    made["uid"], made["blob/path"] = np.arange(N) + 40, f">{stack}".encode()
    made["blob/idx"], made["blob/psize_A"], made["blob/sign"] = np.arange(N), 2.0, -1
    made["blob/import_sig"] = 77
    Path(stack).parent.mkdir(exist_ok=True)
    write_stack(stack, IMAGES, 2.0)
    with Path(path).open("wb") as file:
        np.save(file, made)
    rest = np.zeros(N, [("uid", "<u8"), ("ctf/tetra_A", "<f4", (4,)), ("pick_stats/ncc", "<f4")])
    rest["uid"], rest["ctf/tetra_A"] = made["uid"][::-1], 3
    rest["pick_stats/ncc"] = np.arange(N)[::-1]
    with Path("rest.cs").open("wb") as file:
        np.save(file, rest)
    return made


def converted(*files: str, **options: object) -> dict[str, np.ndarray]:
    paths = tuple(map(Path, files))
    convert(ConvertOptions(files=paths, **options))
    return CryosparcFields.read(paths[1]).values


def test_a_subset_keeps_every_field_of_set_and_passthrough() -> None:
    made = particle_set("p.cs")
    back = converted("p.cs", "o.cs", passthrough=(Path("rest.cs"),), random=4, randomseed=2)
    rows = back["uid"].astype(int) - 40
    assert len(rows) == 4
    for name in made.dtype.names:
        np.testing.assert_array_equal(back[name], made[name][rows])
    assert (back["ctf/tetra_A"] == 3).all()
    np.testing.assert_array_equal(back["pick_stats/ncc"], rows)
    group = Path("o.csg").read_text(encoding="utf-8")
    assert "type: particle.pick_stats" in group
    assert group.count("num_items: 4") == 3


def test_images_written_anew_have_their_own_places_and_white_density() -> None:
    particle_set("p.cs")
    back = converted("p.cs", "o.cs", copy=True)
    assert set(back["blob/path"]) == {b"o.mrcs"}
    assert (back["blob/sign"] == 1).all()
    assert "blob/import_sig" not in back
    np.testing.assert_array_equal(Particles.open("o.cs").images(slice(None)), -IMAGES)


def test_what_another_program_made() -> None:
    write_stack("a.mrcs", IMAGES, 2.0)
    back = converted("a.mrcs", "o.cs", first=3)
    assert back["blob/path"].tolist() == [b"a.mrcs"] * 3
    assert back["blob/shape"].tolist() == [[8, 8]] * 3
    np.testing.assert_array_equal(Particles.open("o.cs").images(slice(None)), IMAGES[:3])


def test_refusals() -> None:
    particle_set("p.cs")
    Path("o.csg").touch()
    with pytest.raises(ConfigError, match=r"o\.csg: exists already"):
        converted("p.cs", "o.cs")
    simulate(SimulateOptions(phantom=1, n=3, out=Path("sim")))
    with pytest.raises(ConfigError, match="does not know images whose phases are flipped"):
        converted("sim/particles.star", "flipped.cs", phaseflip=True)
    assert not Path("flipped.mrcs").exists()


def test_sets_of_a_run_are_the_particles_that_it_was_given() -> None:
    """A run of a ``.cs``: each set has its uids and fields, and the run's poses and classes."""
    simulate(SimulateOptions(phantom=2, n=60, out=Path("sim"), seed=1))
    convert(ConvertOptions(files=(Path("sim/particles.star"), Path("in.cs"))))
    original = CryosparcFields.read(Path("in.cs")).values
    run = mapsort.refine_multi(
        "in.cs",
        ["sim/seed_01.mrc", "sim/seed_02.mrc"],
        path="multi_00",
        iter=1,
        orientgen="eman:delta=30",
        randomseed=1,
        parallel="thread:1",
    )
    sets = [item for item in mapsort.split(run).sets if len(item)]
    table = run.assignments
    for item in sets:
        assert item.cs is not None
        back = CryosparcFields.read(item.cs).values
        np.testing.assert_array_equal(back["uid"], original["uid"][item.particles])
        for name in (field for field in original if field.split("/")[0] in ("blob", "ctf")):
            np.testing.assert_array_equal(back[name], original[name][item.particles])
        rows = table.iloc[item.particles]
        assert (back["alignments3D/class"] + 1).tolist() == rows["rlnClassNumber"].tolist()
        again = Particles.open(item.cs).table
        for label in ("rlnAngleTilt", "rlnOriginXAngst"):
            np.testing.assert_allclose(again[label], rows[label], atol=2e-4)
    Path("in.cs").unlink()
    without = mapsort.split(run)
    assert all(item.cs is not None for item in without.sets if len(item))
