"""The job types that CCP-EM's pipeliner finds here, run by it to success and to failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore"),  # the pipeliner's own
]

PARTICLES, MAPS = "Extract/particles.star", ["Extract/seed_01.mrc", "Extract/seed_02.mrc"]
COARSE = "--orientgen eman:delta=40 --randomseed 1 --no-report"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project of the pipeliner with particles and maps."""
    from pipeliner.api.manage_project import PipelinerProject

    monkeypatch.chdir(tmp_path)
    # mapsort is found beside the Python that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    simulate(SimulateOptions(phantom=2, n=60, out=Path("Extract"), snr=0.3, seed=1))
    return PipelinerProject(make_new_project=True)


def done(project: Any, kind: str, **options: object) -> tuple[str, list[str], Path]:
    """Run a job; return its status, the types of its outputs, and its directory."""
    from pipeliner.project_graph import ProjectGraph

    given = {"_rlnJobTypeLabel": kind, "in_particles": PARTICLES, "nr_threads": 1}
    job = project.run_job(given | options, run_in_foreground=True)
    with ProjectGraph(name="default") as graph:
        process = graph.find_process(job.output_dir)
        return process.status, [node.type for node in process.output_nodes], Path(job.output_dir)


def shown(name: str) -> Any:
    """Return what the pipeliner's window shows of a job."""
    from pipeliner.job_factory import create_job_from_proc
    from pipeliner.project_graph import ProjectGraph

    with ProjectGraph(name="default") as graph:
        return create_job_from_proc(graph.find_process(name)).create_results_display()


def test_classification(project: Any) -> None:
    words = {"in_maps": MAPS, "iterations": 1, "do_halves": True, "symmetry": "C1"}
    status, types, path = done(project, "mapsort.class3d", **words, other_args=COARSE)
    assert status == "Succeeded", (path / "run.err").read_text()
    assert "ParticleGroupMetadata.star.relion.mapsort.class3d" in types
    assert types.count("DensityMap.mrc.mapsort.class3d") == 2
    assert types.count("DensityMap.mrc.halfmap") == 2
    assert types.count("Mask3D.mrc") == 2
    assert "iteration 1/1" in (path / "run.out").read_text()
    # Its outputs are inputs of the next job.
    chosen = {"in_map": str(path / "run_it001_class001.mrc"), "iterations": 1}
    table = str(path / "run_it001_data.star")
    status, types, path = done(
        project, "mapsort.refine3d", in_particles=table, **chosen, other_args="--randomseed 1"
    )
    assert status == "Succeeded", (path / "run.err").read_text()
    assert "DensityMap.mrc.mapsort.refine3d" in types
    titles = [one.title for one in shown("MapSort/job001/")]
    assert titles == ["Map slices", "3D viewer: 3D class 1", "3D viewer: 3D class 2"]


def test_failure(project: Any) -> None:
    words = {"in_maps": MAPS[:1], "nr_classes": 2, "iterations": 1}
    status, _, path = done(project, "mapsort.class3d", **words, other_args="--orientgn 3")
    assert status == "Failed"
    assert (path / "RELION_JOB_EXIT_FAILURE").exists()
    assert "unknown option --orientgn; did you mean --orientgen?" in (path / "run.err").read_text()


@pytest.mark.usefixtures("project")
def test_names_of_maps_with_commas_are_refused() -> None:
    from pipeliner.job_factory import new_job_of_type

    job = new_job_of_type("mapsort.class3d")
    job.joboptions["in_maps"].value = ["a,b.mrc"]
    (refused,) = job.additional_joboption_validation()
    assert "comma" in refused.message


@pytest.mark.usefixtures("project")
def test_options_as_words() -> None:
    from pipeliner.job_factory import new_job_of_type

    job = new_job_of_type("mapsort.class3d")
    job.output_dir = "MapSort/job007/"
    given = {"in_particles": PARTICLES, "in_maps": MAPS[:1], "nr_classes": 3, "symmetry": "I1,D7,T"}
    given |= {"in_masks": ["a.mrc", "b.mrc"], "do_keep_poses": True, "target_resolution": 8.5}
    for name, value in given.items():
        job.joboptions[name].value = value
    job.joboptions["nr_threads"].value = 4
    (command,) = job.get_commands()
    expected = (
        f"multi --o MapSort/job007/ --in_parts {PARTICLES} --in_3dref {MAPS[0]} --nmodels 3 "
        "--in_mask a.mrc,b.mrc --skipalign --targetres 8.5 --sym icos2,D7,T --j 4"
    )
    assert command.get_final_command(job.output_dir)[1:] == expected.split()
