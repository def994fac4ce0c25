"""A job that RELION starts, and its files opened by RELION's programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mapsort.io.star_tables import read_tables
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

pytestmark = pytest.mark.interop

JOB = "External/job001"
PARAMETERS = {"nmodels": "2", "iter": "1", "seedmethod": "noise", "orientgen": "eman:delta=30"}
FLAGS = ("halves",)
EMPTY_PIPELINE = """
# version 30001

data_pipeline_general

_rlnPipeLineJobCounter                       1

"""


def told(*words: str, cwd: Path) -> str:
    """Return what a program prints; it must end well."""
    # mapsort is found beside the Python that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of RELION 3.1 in which relion_pipeliner has run mapsort as an External job."""
    home = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        simulate(SimulateOptions(phantom=2, n=120, out=Path("Extract"), snr=0.3, seed=1))
    (home / "default_pipeline.star").write_text(EMPTY_PIPELINE)
    fields = {"fn_exe": "mapsort multi", "in_part": "Extract/particles.star"}
    fields |= {"in_3dref": "Extract/seed_01.mrc", "nr_threads": "1"}
    for number, (name, value) in enumerate(PARAMETERS.items(), start=1):
        fields |= {f"param{number}_label": name, f"param{number}_value": value}
    for number, name in enumerate(FLAGS, start=len(PARAMETERS) + 1):
        fields[f"param{number}_label"] = name
    options = ";".join(f"{name} == {value}" for name, value in fields.items())
    told("relion_pipeliner", "--addJob", "External", "--addJobOptions", options, cwd=home)
    run = ("--RunJobs", f"{JOB}/", "--schedule", "once", "--sec_wait_after", "1")
    told("relion_pipeliner", *run, cwd=home)
    return home


def test_the_job_has_ended_well_with_all_its_outputs(project: Path) -> None:
    pipeline = read_tables(project / "default_pipeline.star")
    finished = 2
    assert pipeline["pipeline_processes"]["rlnPipeLineProcessStatus"].tolist() == [finished]
    edges = pipeline["pipeline_output_edges"]["rlnPipeLineEdgeToNode"].tolist()
    nodes = read_tables(project / JOB / "RELION_OUTPUT_NODES.star")["output_nodes"]
    assert sorted(edges) == sorted(nodes["rlnPipeLineNodeName"])
    assert (project / JOB / "run.err").read_text() == ""
    assert "iteration 1/1: particles" in (project / JOB / "run.out").read_text()


def test_classes_are_listed(project: Path) -> None:
    columns = ("_rlnReferenceImage", "_rlnClassDistribution", "_rlnEstimatedResolution")
    model = f"{JOB}/run_it001_model.star"
    lines = told("relion_star_printtable", model, "data_model_classes", *columns, cwd=project)
    rows = [line.split() for line in lines.splitlines() if line.strip()]
    assert [name for name, _, _ in rows] == [
        f"{JOB}/run_it001_class{number:03d}.mrc" for number in (1, 2)
    ]
    assert sum(float(share) for _, share, _ in rows) == pytest.approx(1, abs=1e-3)
    for name, _, _ in rows:
        assert "64 x 64 x 64" in told("relion_image_handler", "--i", name, "--stats", cwd=project)


def test_particles_of_a_class_are_selected_and_reconstructed(project: Path) -> None:
    chosen = ("--select", "rlnClassNumber", "--minval", "2", "--maxval", "2")
    table = f"{JOB}/run_it001_data.star"
    told("relion_star_handler", "--i", table, *chosen, "--o", "two.star", cwd=project)
    ours = read_tables(project / table)["particles"]
    theirs = read_tables(project / "two.star")["particles"]
    expected = ours[ours["rlnClassNumber"] == 2]
    assert theirs["rlnImageName"].tolist() == expected["rlnImageName"].tolist()
    told("relion_reconstruct", "--i", "two.star", "--ctf", "--o", "two.mrc", cwd=project)
    assert (project / "two.mrc").stat().st_size > 4 * 64**3


def fsc(path: Path) -> tuple[set[str], np.ndarray]:
    """Return the names of a curve's attributes and elements, and its coordinates."""
    root = ElementTree.parse(path).getroot()
    names = {root.tag, *root.attrib, *(part.tag for part in root.iter())}
    return names, np.array([[float(part.text or "") for part in child] for child in root])


def test_half_maps_are_compared_as_we_do(project: Path) -> None:
    """Post-processing finds the second half map; its FSC, as XML for EMDB, is that of the run."""
    (project / "PostProcess").mkdir()
    half, mask = (f"{JOB}/run_it001_{name}.mrc" for name in ("half1_class001_unfil", "mask001"))
    words = ("--i", half, "--mask", mask, "--angpix", "2", "--o", "PostProcess/post")
    (project / "PostProcess" / "logfile.pdf").touch()
    told("relion_postprocess", *words, cwd=project)
    theirs, expected = fsc(project / "PostProcess" / "post_fsc.xml")
    ours, found = fsc(project / JOB / "fsc_01_01.xml")
    assert ours == theirs
    # They give the origin a frequency; both correct for the mask by random phases of their own.
    np.testing.assert_allclose(found[:, 0], expected[1:, 0], rtol=1e-4)
    signal = expected[1:, 1] > 0.3
    assert signal.sum() >= 4
    np.testing.assert_allclose(found[signal, 1], expected[1:][signal, 1], atol=0.05)
