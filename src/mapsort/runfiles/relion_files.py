"""An iteration's results under the names and in the tables of RELION's Class3D and Refine3D.

RELION displays the classes of ``run_itYYY_model.star`` or ``run_itYYY_optimiser.star``, and selects
particles of ``run_itYYY_data.star`` by them. Where the content is that of a file of this program,
the name is a link to it.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mapsort.io.star_tables import write_tables
from mapsort.options.fields import Options
from mapsort.refinement.run import Run
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.relion_job import JOB, NodeKind, write_nodes
from mapsort.runfiles.tables import seen_from_here

LOGGER = logging.getLogger(__name__)

#: Options that RELION's External job has fields for, by the names of these.
_JOB_FIELDS = {"input": "in_part", "model": "in_3dref", "mask": "in_mask"}
#: Options that say where and how a run is carried out, not what.
_OF_PLACE = {"path", "parallel", "resume", "quiet", "verbose", "check"}


class _Link(NamedTuple):
    """A name of RELION's for a file, and what other jobs may take it for."""

    path: Path
    target: Path
    kind: NodeKind | None


def write_relion_files(run: Run, directory: RunDirectory, entry: dict[str, Any]) -> None:
    """Write an iteration's tables and links, and the list of what other jobs may take.

    Parameters
    ----------
    directory : RunDirectory
        Its maps are MRC; with others nothing is written, for RELION does not read them.
    entry : dict
        The iteration's record of convergence.json.
    """
    if directory.map_suffix != ".mrc":
        return
    iteration = int(entry["iteration"])
    links = _links(directory, iteration, run.plan.n_models)
    try:
        for link in links:
            _make(link)
    except OSError as error:
        LOGGER.warning("RELION's names are not there: no links here: %s", error)
        return
    _write_model(run, directory, entry)
    nodes = [(link.path, link.kind) for link in links if link.kind is not None]
    nodes.append((directory.relion(iteration, "optimiser.star"), NodeKind.OPTIMISER))
    names = seen_from_here([path for path, _ in nodes])
    write_nodes(directory.path, [(n, kind) for n, (_, kind) in zip(names, nodes, strict=True)])


def write_job(command: str, asked: Options, directory: RunDirectory) -> None:
    """Write the job as RELION's External job would be given it; one that is there stays."""
    path = directory.path / JOB
    if path.exists():
        return
    given = {
        field.name: written
        for field in fields(asked)
        if field.name not in _OF_PLACE
        and getattr(asked, field.name) != field.default
        and (written := _written(asked.as_record()[field.name])) is not None
    }
    if "model" in given:
        given.pop("models", None)  # the same map, as often as there are classes
    values = {"fn_exe": f"mapsort {command}"}
    values |= {label: given.pop(name) for name, label in _JOB_FIELDS.items() if name in given}
    values["other_args"] = " ".join(f"--{name} {text}".rstrip() for name, text in given.items())
    job = {"rlnJobTypeLabel": "relion.external", "rlnJobIsContinue": 0, "rlnJobIsTomo": 0}
    options = {"rlnJobOptionVariable": list(values), "rlnJobOptionValue": list(values.values())}
    tables = {"job": pd.DataFrame([job]), "joboptions_values": pd.DataFrame(options)}
    write_tables(path, tables)


def _written(value: object) -> str | None:
    """Return a recorded option as on the command line; None where it is not given."""
    if value is None or value is False or value == []:
        return None
    if value is True:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _links(directory: RunDirectory, iteration: int, n_models: int) -> list[_Link]:
    single = n_models == 1
    kind = NodeKind.REFINED_PARTICLES if single else NodeKind.PARTICLES
    links = [_Link(directory.relion(iteration, "data.star"), directory.particles(iteration), kind)]
    of_map = {
        "class{:03d}.mrc": (
            directory.maps,
            NodeKind.REFINED_MAP if single else NodeKind.MAP,
        ),
        "half1_class{:03d}_unfil.mrc": (directory.threed_even, NodeKind.HALF_MAP),
        # RELION finds the second by the name of the first.
        "half2_class{:03d}_unfil.mrc": (directory.threed_odd, None),
        "mask{:03d}.mrc": (directory.threed_mask, NodeKind.MASK),
    }
    for number in range(1, n_models + 1):
        for name, (path, of_name) in of_map.items():
            target = path(iteration, number)
            if target.exists():
                link = directory.relion(iteration, name.format(number))
                links.append(_Link(link, target, of_name))
    return links


def _make(link: _Link) -> None:
    """Link in one step to a file of the same directory."""
    path = link.path
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.tmp{path.suffix}")
    temporary.symlink_to(link.target.name)
    temporary.replace(path)


def _write_model(run: Run, directory: RunDirectory, entry: dict[str, Any]) -> None:
    iteration, maps = int(entry["iteration"]), entry["maps"]
    resolutions = [item["resolution_fsc_0143_ang"] for item in maps]
    data, model = (directory.relion(iteration, f"{kind}.star") for kind in ("data", "model"))
    images = [
        directory.relion(iteration, f"class{number:03d}.mrc") for number in range(1, len(maps) + 1)
    ]
    general = {
        "rlnReferenceDimensionality": 3,
        "rlnDataDimensionality": 2,
        "rlnOriginalImageSize": run.plan.grid.box,
        "rlnCurrentImageSize": run.plan.grid.box,
        "rlnCurrentResolution": min(resolutions),
        "rlnPixelSize": run.inputs.apix,
        "rlnNrClasses": len(maps),
        "rlnNrBodies": 1,
    }
    counts = pd.Series(entry["occupancy"], dtype=float)
    classes = {
        "rlnReferenceImage": seen_from_here(images),
        "rlnClassDistribution": counts / max(1.0, counts.sum()),
        "rlnEstimatedResolution": resolutions,
    }
    tables = {"model_general": pd.DataFrame([general]), "model_classes": pd.DataFrame(classes)}
    write_tables(model, tables)
    root, model_name, data_name = seen_from_here([directory.path / "run", model, data])
    optimiser = {
        "rlnOutputRootName": root,
        "rlnModelStarFile": model_name,
        "rlnExperimentalDataStarFile": data_name,
        "rlnCurrentIteration": iteration,
    }
    path = directory.relion(iteration, "optimiser.star")
    write_tables(path, {"optimiser_general": pd.DataFrame([optimiser])})
