"""Run mapsort on the particles of a cryoSPARC job, and give its classes back as an external job.

    python cryosparc_external_job.py P3 W1 J42 --models a.mrc,b.mrc [options of mapsort multi]

needs cryosparc-tools (version 5) and a login (``python -m cryosparc.tools login``), on a machine
that sees the project's directory. CRYOSPARC_BASE_URL names the server.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cryosparc.dataset import Dataset
from cryosparc.tools import CryoSPARC

#: What the run finds of each particle; all else is passed through from its input.
FOUND = "alignments3D"


def class_datasets(run: Path) -> Mapping[str, Dataset]:
    """Return the sets that ``mapsort split`` made of a run, by name: uid and alignments."""
    sets = {}
    for path in sorted((run / "sets").glob("*.cs")):
        name = path.stem.rsplit("_", 1)[-1]
        sets[f"particles_{name}"] = Dataset.load(path, prefixes=[FOUND])
    return sets


def map_dataset(path: Path, box: int, apix: float) -> Dataset:
    """Return a map as a volume of one row; its path is relative to the project."""
    return Dataset(
        {
            "map/path": [str(path)],
            "map/shape": [[box] * 3],
            "map/psize_A": [apix],
        }
    )


def main(project_uid: str, workspace_uid: str, job_uid: str, *options: str) -> None:
    """Make the external job, run mapsort in it, save its outputs."""
    project = CryoSPARC().find_project(project_uid)
    job = project.create_external_job(workspace_uid, title="mapsort multi")
    job.connect("particles", job_uid, "particles", slots=["blob", "ctf"])
    home, place = Path(str(project.dir)), Path(str(job.dir))
    run = place / "multi_00"
    with job.run():
        particles = place / "particles.cs"
        job.load_input("particles").save(particles)
        words = ["mapsort", "multi", "--input", str(particles), "--path", str(run), *options]
        # Image paths are relative to the project.
        job.subprocess(words, cwd=str(home))
        job.subprocess(["mapsort", "split", str(run)], cwd=str(home))
        for name, dataset in class_datasets(run).items():
            job.add_output("particle", name, slots=[FOUND], passthrough="particles")
            job.save_output(name, dataset)
        blob = Dataset.load(particles, fields=["blob/shape", "blob/psize_A"])
        box, apix = int(blob["blob/shape"][0][0]), float(blob["blob/psize_A"][0])
        last = max(path.name.split("_")[1] for path in run.glob("threed_??_01.mrc"))
        for path in sorted(run.glob(f"threed_{last}_*.mrc")):
            name = f"map_{path.stem[-2:]}"
            job.add_output("volume", name, slots=["map"])
            job.save_output(name, map_dataset(path.relative_to(home), box, apix))


if __name__ == "__main__":
    main(*sys.argv[1:])
