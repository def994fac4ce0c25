"""A run as a job of RELION: its words, its files, how it ends, how it is asked to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.io.star import read_particles
from mapsort.io.star_tables import read_tables
from mapsort.model.volume import Volume
from mapsort.rundir.relion_job import ABORT_FILES, NODES

PLACE = Path("External/job012")
ENDS = ("SUCCESS", "FAILURE", "ABORTED")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PLACE.mkdir(parents=True)
    for name in ("job.star", "run.out", "run.err", "note.txt", "job_pipeline.star"):
        (PLACE / name).write_text("theirs")


def started(tiny, *more, command="multi"):
    """Start a job as RELION does; further words are its parameters."""
    words = [command, "--o", f"{PLACE}/", "--in_parts", str(tiny.particles)]
    words += ["--in_3dref", str(tiny.seeds[0]), "--j", "1", "--pipeline_control", f"{PLACE}/"]
    if command == "multi":
        words += ["--nmodels", "2", "--seedmethod", "noise", "--orientgen", "eman:delta=60"]
    return main([*words, "--randomseed", "1", "--no-report", *more])


def ends():
    return [end for end in ENDS if (PLACE / f"RELION_JOB_EXIT_{end}").exists()]


def test_a_job_leaves_what_relion_opens(tiny, capfd):
    assert started(tiny, "--iter", "2") == 0
    assert ends() == ["SUCCESS"]
    told = capfd.readouterr()
    assert "iteration 2/2: particles" in told.out  # RELION shows run.out
    assert not told.err
    assert (PLACE / "job.star").read_text() == "theirs"
    nodes = read_tables(PLACE / NODES)["output_nodes"]
    kinds = dict(zip(nodes["rlnPipeLineNodeName"], nodes["rlnPipeLineNodeTypeLabel"], strict=True))
    assert kinds[f"{PLACE}/run_it002_data.star"] == "ParticleGroupMetadata.star.relion.class3d"
    assert kinds[f"{PLACE}/run_it002_optimiser.star"] == "OptimiserData.star.relion.class3d"
    assert kinds[f"{PLACE}/run_it002_class002.mrc"] == "DensityMap.mrc.relion.class3d"
    assert all(Path(name).exists() for name in kinds)
    optimiser = read_tables(PLACE / "run_it002_optimiser.star")["optimiser_general"].iloc[0]
    model = read_tables(optimiser["rlnModelStarFile"])
    classes = model["model_classes"]
    _, particles = read_particles(optimiser["rlnExperimentalDataStarFile"])
    shares = particles["rlnClassNumber"].value_counts(normalize=True).sort_index()
    assert classes["rlnClassDistribution"].tolist() == pytest.approx(shares.tolist())
    for name in classes["rlnReferenceImage"]:
        assert Volume.open(name).box == model["model_general"]["rlnOriginalImageSize"].iloc[0]


def test_halves_of_one_map(tiny):
    assert started(tiny, "--iter", "1", command="refine") == 0
    nodes = read_tables(PLACE / NODES)["output_nodes"].set_index("rlnPipeLineNodeName")
    label, number = nodes.loc[f"{PLACE}/run_it001_half1_class001_unfil.mrc"]
    assert (label, number) == ("DensityMap.mrc.halfmap", 10)
    second = PLACE / "run_it001_half2_class001_unfil.mrc"
    assert second.resolve() == (PLACE / "threed_odd_01_01.mrc").resolve()
    assert nodes.loc[f"{PLACE}/run_it001_data.star"].iloc[0].endswith("refine3d")


@pytest.mark.parametrize("name", ABORT_FILES)
def test_asked_to_stop_and_going_on(tiny, name):
    (PLACE / name).touch()
    assert started(tiny, "--iter", "1") == 75
    assert ends() == ["ABORTED"]
    assert not (PLACE / name).exists()
    assert "interrupted" not in (PLACE / "job.star").read_text()
    assert started(tiny, "--iter", "1") == 0  # Continue: the same words
    assert ends() == ["SUCCESS"]


def test_what_ends_a_job_before_it_begins_is_told(tiny, capfd):
    assert started(tiny, "--itre", "1") == 2
    assert ends() == ["FAILURE"]
    assert "unknown option --itre" in capfd.readouterr().err


def test_a_job_that_fails_in_its_course(tiny, monkeypatch):
    from mapsort.errors import NumericalError
    from mapsort.jobs import multi

    def fails(*_):
        raise NumericalError("no")

    monkeypatch.setattr(multi, "assignment_rows", fails)
    assert started(tiny, "--iter", "1") == 1
    assert ends() == ["FAILURE"]


def test_a_directory_with_other_files_is_refused(tiny, capfd):
    (PLACE / "thesis.tex").touch()
    assert started(tiny) == 2
    assert "is not empty" in capfd.readouterr().err


def test_a_run_of_its_own_tells_the_job_that_relion_would_start(tiny):
    run = mapsort.refine_multi(
        tiny.particles,
        tiny.seeds,
        path="multi_00",
        iter=1,
        orientgen="eman:delta=60",
        halves=True,
        randomseed=1,
    )
    job = read_tables(run.path / "job.star")
    assert job["job"]["rlnJobTypeLabel"].tolist() == ["relion.external"]
    values = job["joboptions_values"].set_index("rlnJobOptionVariable")["rlnJobOptionValue"]
    assert values["fn_exe"] == "mapsort multi"
    assert values["in_part"] == str(tiny.particles)
    models = ",".join(map(str, tiny.seeds))
    assert values["other_args"] == (
        f"--models {models} --iter 1 --randomseed 1 --orientgen eman:delta=60 --halves"
    )


def test_maps_that_relion_does_not_read_have_no_names_of_its(tiny):
    run = mapsort.refine_multi(
        tiny.particles, tiny.seeds, path="multi_00", iter=1, orientgen="eman:delta=60", format="hdf"
    )
    assert not list(run.path.glob("run_it*"))
