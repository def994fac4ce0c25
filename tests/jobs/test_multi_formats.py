"""The main job gives the same result whichever format the particles come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import ConfigError
from mapsort.io.star import read_particles, write_particles
from mapsort.io.star_tables import read_tables
from mapsort.jobs.convert import convert
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.simulate import Simulated
from mapsort.options.convert import ConvertOptions
from mapsort.options.multi import MultiOptions
from mapsort.options.types import CtfHandling
from mapsort.refinement.inputs import open_inputs

Runs = Callable[..., MultiRun]
RESULTS = ["rlnClassNumber", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst"]


def as_cryosparc(star: Path, path: Path) -> Path:
    optics, table = read_particles(star)
    fields = [("uid", "<u8"), ("blob/path", "S200"), ("blob/idx", "<u4"), ("blob/psize_A", "<f8")]
    names = {"df1_A": "rlnDefocusU", "df2_A": "rlnDefocusV", "df_angle_rad": "rlnDefocusAngle"}
    scope = {
        "accel_kv": "rlnVoltage",
        "cs_mm": "rlnSphericalAberration",
        "amp_contrast": "rlnAmplitudeContrast",
    }
    fields += [(f"ctf/{name}", "<f8") for name in (*names, *scope)]
    made = np.zeros(len(table), dtype=fields)
    made["uid"] = made["blob/idx"] = np.arange(len(table))
    made["blob/path"] = b">" + str(star.with_suffix(".mrcs")).encode()
    made["blob/psize_A"] = optics["rlnImagePixelSize"].iloc[0]
    for name, label in names.items():
        made[f"ctf/{name}"] = table[label]
    for name, label in scope.items():
        made[f"ctf/{name}"] = optics[label].iloc[0]
    with path.open("wb") as file:
        np.save(file, made, allow_pickle=False)
    return path


@pytest.fixture
def inputs(tiny: Simulated, tmp_path: Path) -> dict[str, Path]:
    """The same particles in every format."""
    made = {"star": tiny.particles, "mrcs": tiny.stack}
    made["cs"] = as_cryosparc(tiny.particles, tmp_path / "in.cs")
    for kind in ("hdf", "lst"):
        made[kind] = tmp_path / f"in.{kind}"
        convert(ConvertOptions(files=(tiny.particles, made[kind])))
    return made


def results(run: MultiRun) -> pd.DataFrame:
    return read_tables(run.path / "particles_01.star")["particles"][RESULTS]


def test_equal_results_with_ctf(inputs: dict[str, Path], run_tiny: Runs) -> None:
    expected = results(run_tiny(inputs["star"]))
    for kind in ("cs", "hdf", "lst"):
        pd.testing.assert_frame_equal(results(run_tiny(inputs[kind])), expected, obj=kind)


def test_equal_results_without_ctf(inputs: dict[str, Path], run_tiny: Runs) -> None:
    expected = results(run_tiny(inputs["star"], ctf="none"))
    for kind in ("cs", "hdf", "lst", "mrcs"):
        found = results(run_tiny(inputs[kind], ctf="none"))
        pd.testing.assert_frame_equal(found, expected, obj=kind)


def test_columns_of_the_user_survive(tiny: Simulated, run_tiny: Runs, tmp_path: Path) -> None:
    optics, table = read_particles(tiny.particles)
    names = [f"{tiny.stack}" for _ in range(len(table))]
    table = table.assign(
        labNote=[f"page {k}" for k in range(len(table))],
        rlnHelicalTubeID=np.arange(len(table)),
        rlnImageName=[f"{k:06d}@{name}" for k, name in enumerate(names, start=1)],
    )
    write_particles(tmp_path / "own.star", optics.assign(rlnBeamTiltX=0.25), table)
    convert(ConvertOptions(files=(tmp_path / "own.star", tmp_path / "own.hdf")))
    for kind in ("star", "hdf"):
        written = read_tables(run_tiny(tmp_path / f"own.{kind}").path / "particles_01.star")
        assert written["particles"]["labNote"].tolist() == table["labNote"].tolist()
        assert written["particles"]["rlnHelicalTubeID"].tolist() == list(range(len(table)))
        assert written["optics"]["rlnBeamTiltX"].tolist() == [0.25]


def test_flipped_phases_are_recognised(tiny: Simulated, tmp_path: Path) -> None:
    convert(ConvertOptions(files=(tiny.particles, tmp_path / "f.hdf"), phaseflip=True))
    for path, ctf, expected in (
        (tmp_path / "f.hdf", "auto", True),
        (tmp_path / "f.hdf", "apply", False),
        (tiny.particles, "auto", False),
        (tiny.particles, "flipped", True),
    ):
        options = MultiOptions(
            input=path, models=tiny.seeds, ctf=CtfHandling(ctf), path=tmp_path / "run"
        )
        assert open_inputs(options).flipped is expected


def test_premultiplied_images_are_refused(tiny: Simulated, tmp_path: Path) -> None:
    optics, table = read_particles(tiny.particles)
    table["rlnImageName"] = [f"{k:06d}@{tiny.stack}" for k in range(1, len(table) + 1)]
    write_particles(tmp_path / "p.star", optics.assign(rlnCtfDataAreCtfPremultiplied=1), table)
    options = MultiOptions(input=tmp_path / "p.star", models=tiny.seeds, path=tmp_path / "run")
    with pytest.raises(ConfigError, match="multiplied with their CTF"):
        open_inputs(options)


def test_notes_reach_the_log(tiny: Simulated, run_tiny: Runs, tmp_path: Path) -> None:
    """A pixel size that differs from the stack's is told."""
    optics, table = read_particles(tiny.particles)
    table["rlnImageName"] = [f"{k:06d}@{tiny.stack}" for k in range(1, len(table) + 1)]
    write_particles(tmp_path / "p.star", optics.assign(rlnImagePixelSize=8.4), table)
    run = run_tiny(tmp_path / "p.star")
    log = (run.path / "run.log").read_text()
    assert "the header states 8 A/pixel and" in log
    assert "8.4 is used" in log
