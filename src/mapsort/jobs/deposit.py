"""``mapsort deposit``: what EMDB asks of a map, in one directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError, FormatError
from mapsort.jobs.finished_run import FinishedRun, open_finished
from mapsort.model.volume import Volume
from mapsort.options.after_run import DepositOptions
from mapsort.physics.masks import density_threshold
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.manifest import Manifest
from mapsort.rundir.text import write_json
from mapsort.runfiles.volumes import write_volume

#: Files by what they are for EMDB.
_PRIMARY, _MASK, _FSC, _SUMMARY = "primary_map.mrc", "mask_1.mrc", "fsc.xml", "summary.json"
_HALVES = ("half_map_1.mrc", "half_map_2.mrc")


@dataclass(frozen=True)
class Deposited:
    """One map's directory for EMDB.

    Attributes
    ----------
    path : Path
        The directory.
    number : int
        Which map of the run.
    resolution_ang : float
        At FSC 0.143 of the half maps.
    independent : bool
        Whether the half-sets were apart from the start.
    """

    path: Path
    number: int
    resolution_ang: float
    independent: bool


def deposit(options: DepositOptions) -> tuple[Deposited, ...]:
    """Gather for each map of a run what EMDB asks for.

    A directory holds the primary map, two half maps (neither filtered nor masked), the mask, their
    FSC as XML, and a summary of how the map was made. Earlier ones are replaced.

    Raises
    ------
    ConfigError
        There is no such map, or the run has no half maps: the message tells how to make them.
    """
    options.validated()
    finished = open_finished(options.run[0])
    iteration = finished.iteration(options.iter)
    numbers = list(range(1, finished.n_models + 1))
    if options.map is not None:
        if options.map not in numbers:
            raise ConfigError(f"--map={options.map}: the run has maps 1 to {finished.n_models}")
        numbers = [options.map]
    for number in numbers:
        _need_halves(finished, iteration, number)
    parent = options.out if options.out is not None else finished.directory.path / "deposit"
    single = finished.n_models == 1
    return tuple(
        _deposited(finished, iteration, n, parent if single else parent / f"map_{n:02d}")
        for n in numbers
    )


def _need_halves(finished: FinishedRun, iteration: int, number: int) -> None:
    directory = finished.directory
    needed = (
        directory.threed_even(iteration, number),
        directory.threed_odd(iteration, number),
        directory.fsc_xml(iteration, number),
    )
    if not all(path.exists() for path in needed):
        raise ConfigError(
            f"{directory.path}: map {number} has no half maps, which EMDB asks for. Refine its "
            f"particles by independent half-sets (mapsort followup {directory.path}, then deposit "
            f"its refinements), or make halves that share references: mapsort eotest "
            f"{directory.path}"
        )


def _deposited(finished: FinishedRun, iteration: int, number: int, path: Path) -> Deposited:
    directory = finished.directory
    path.mkdir(parents=True, exist_ok=True)
    # Of one map the sharpened version is the one to look at; of several the filtered ones are
    # all alike, and each one's own filter is that of `maps`.
    primary = directory.threed_filt if finished.is_single else directory.maps
    sources = {
        _PRIMARY: primary(iteration, number),
        _HALVES[0]: directory.threed_even(iteration, number),
        _HALVES[1]: directory.threed_odd(iteration, number),
        _MASK: directory.threed_mask(iteration, number),
    }
    volumes = {name: Volume.open(source) for name, source in sources.items()}
    first = volumes[_PRIMARY]
    for name, volume in volumes.items():
        if (volume.box, round(volume.apix, 4)) != (first.box, round(first.apix, 4)):
            raise FormatError(
                f"{sources[name]}: {volume.box} px of {volume.apix:g} A, and {sources[_PRIMARY]} "
                f"has {first.box} px of {first.apix:g} A."
            )
        write_volume(path / name, volume.data, volume.apix)
    independent = finished.is_single or bool(finished.entry(iteration)["independent_halves"])
    with atomic_path(path / _FSC) as part:
        shutil.copyfile(directory.fsc_xml(iteration, number), part)
    made = _summary(finished, iteration, number, first) | {"independent_half_sets": independent}
    write_json(path / _SUMMARY, made)
    return Deposited(path, number, made["resolution_ang"], independent)


def _angular_assignment(options: Mapping[str, Any]) -> str:
    likely = str(options.get("simcmp", "loglik")).startswith("loglik")
    return "MAXIMUM LIKELIHOOD" if likely else "PROJECTION MATCHING"


def _ctf_correction(manifest: Manifest) -> str:
    chosen = {item["name"]: item["value"] for item in manifest.choices}
    how = chosen.get("--ctf", manifest.options.get("ctf"))
    return "NONE" if how == "none" else "PHASE FLIPPING AND AMPLITUDE CORRECTION"


def _summary(finished: FinishedRun, iteration: int, number: int, primary: Volume) -> dict[str, Any]:
    """Return how a map was made, in EMDB's words where it has some."""
    manifest, entry = finished.manifest, finished.entry(iteration)
    options = manifest.options
    groups = options["sym"]
    group = groups[number - 1] if len(groups) > 1 else groups[0]
    used = entry.get("particles_used") or entry["occupancy"]
    return {
        "files": {
            "primary_map": _PRIMARY,
            "half_maps": list(_HALVES),
            "mask": _MASK,
            "fsc": _FSC,
        },
        "method": "SINGLE PARTICLE",
        "software": manifest.program,
        "run": str(finished.directory.path),
        "map": number,
        "number_of_classes": finished.n_models,
        "iteration": iteration,
        "voxel_size_ang": primary.apix,
        "box_px": primary.box,
        "recommended_contour_level": round(float(density_threshold(primary.data)), 5),
        "point_group": str(group).upper(),
        "particles_of_class": entry["occupancy"][number - 1],
        "particles_used": used[number - 1],
        "resolution_ang": entry["maps"][number - 1]["resolution_fsc_0143_ang"],
        "resolution_method": "FSC 0.143 CUT-OFF",
        "reconstruction_algorithm": "FOURIER SPACE",
        "angular_assignment": _angular_assignment(options),
        "ctf_correction": _ctf_correction(manifest),
        "sharpening_bfactor_ang2": entry.get("bfactor_ang2"),
        "command": " ".join(manifest.command),
        "random_seed": manifest.seed,
        "options": options,
    }
