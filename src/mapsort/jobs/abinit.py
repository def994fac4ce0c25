"""``mapsort abinit``: maps from particles alone, from options to a run directory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mapsort.engines.progress import Progress, warn
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star import read_particles
from mapsort.jobs.loop import check_disk
from mapsort.jobs.made_maps import Sought, foretold_seconds, maps_from_particles, planned
from mapsort.jobs.multi import looked_through, opened
from mapsort.jobs.refinement import Watcher, with_seed
from mapsort.jobs.resume import asked_in_python
from mapsort.jobs.search_run import searched
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.abinit import AbinitOptions
from mapsort.options.fields import takes_options
from mapsort.refinement.inputs import open_particles
from mapsort.refinement.requirements import plan_lines
from mapsort.refinement.run import Run
from mapsort.refinement.starting_maps import ball
from mapsort.refinement.time_estimate import readable_time
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import stage
from mapsort.rundir.wording import counted
from mapsort.runfiles.abinit import write_abinit
from mapsort.stages.abinit.agreement import MIRROR
from mapsort.stages.abinit.axes import on_axes
from mapsort.stages.abinit.search import FoundMaps
from mapsort.stages.abinit.verdict import holds_structure, signs, symmetry_hint
from mapsort.stages.map_register import other_hand

COMMAND = "abinit"


@dataclass(frozen=True)
class AbInitio:
    """Maps from particles alone.

    Attributes
    ----------
    path : Path
        The run directory.
    maps : tuple of Volume
        White, centred, low-passed; of a hand that the particles do not tell.
    particles : Path
        The table of all images, with map and pose of each; the class after the last map is junk.
    n_junk : int
        Images that hold no particle.
    resolution_ang : float
        Of the last ring in use.
    gain, gain_error : float
        What the maps explain of a particle that had no part in them, beyond noise alone, and its
        standard error [nat].
    signs : tuple of str
        What speaks against the maps, one line each.
    structure : bool
        Whether the maps explain particles at all.
    """

    path: Path
    maps: tuple[Volume, ...]
    particles: Path
    n_junk: int
    resolution_ang: float
    gain: float
    gain_error: float
    signs: tuple[str, ...]
    structure: bool

    @cached_property
    def assignments(self) -> pd.DataFrame:
        """One row per particle: class and pose."""
        return read_particles(self.particles)[1]

    @property
    def words(self) -> str:
        """What was found."""
        found = "no structure"
        if self.structure:
            maps = counted(len(self.maps), "map")
            found = f"{maps} up to {self.resolution_ang:.1f} A, of unknown hand"
            if self.n_junk:
                found += f"; {counted(self.n_junk, 'image')} of junk"
        gain = f"gain {self.gain:.1f} +- {self.gain_error:.1f} nat per unseen particle"
        return f"{found} ({gain})"


def abinit_run(
    options: AbinitOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    watcher: Watcher | None = None,
) -> AbInitio:
    """Make maps from particles alone."""
    in_files = particles is None
    run, options = _opened(options, progress, particles)
    return searched(COMMAND, options, run, _found, watcher, in_files=in_files, resolved={})


def plan_text(options: AbinitOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do."""
    run, options = _opened(options, progress)
    check_disk(run)
    plan = planned(run, _sought(options))
    with thread_limits(run.plan.n_threads):
        usual, most = foretold_seconds(looked_through(run), _sought(options))
    rings = "/".join(str(stage.rings) for stage in plan.batches)
    last = run.plan.grid.box * run.inputs.apix / plan.last[-1].rings
    batches = sum(stage.rounds * stage.batch for stage in plan.batches)
    return "\n".join(
        [
            *plan_lines(run, COMMAND),
            f"{counted(options.starts, 'random start')} of {counted(options.nmodels, 'map')}; "
            f"batches of particles at {rings} rings, {batches:,} particles in all for a start that "
            "goes on to the end",
            f"then {counted(len(plan.last), 'round')} of all particles, up to {last:.1f} A",
            f"time: about {readable_time(usual)}, from a trial with some particles; at most "
            f"{readable_time(most)} if all poses are sought again until none is a gain",
        ]
    )


def _opened(
    options: AbinitOptions, progress: Progress | None, particles: Particles | None = None
) -> tuple[Run, AbinitOptions]:
    """Return the run that a request leads to, with a ball for a map, and its options."""
    options = with_seed(options)
    request = options.as_multi()
    if particles is None:
        particles = open_particles(request)
    box, apix = particles.box, particles.apix
    if options.diameter is not None and options.diameter > box * apix:
        raise ConfigError(
            f"--diameter={options.diameter:g}: is more than the box of {box * apix:g} A"
        )
    return opened(request, progress, particles, [ball(box, apix)]), options


def _found(options: AbinitOptions, run: Run, directory: RunDirectory) -> AbInitio:
    return _written(options, run, directory, maps_from_particles(run, _sought(options)))


def _sought(options: AbinitOptions) -> Sought:
    return Sought(
        n_models=options.nmodels,
        starts=options.starts,
        symmetry=options.sym[0],
        diameter_ang=options.diameter,
        target_ang=options.targetres,
    )


def _written(
    options: AbinitOptions,
    run: Run,
    directory: RunDirectory,
    found: FoundMaps,
) -> AbInitio:
    against = signs(found)
    if options.latesym is not None:
        found, other = on_axes(found, symmetry(options.latesym))
        for line in other:
            warn(run.execution.progress, line)
        against += other
    if options.hand:
        found = _other_hand(found)
    resolution = run.plan.grid.box * run.inputs.apix / found.rings
    summary = {
        "maps": len(found.maps),
        "rings": found.rings,
        "resolution_ang": resolution,
        "structure": holds_structure(found),
        "particles": len(found.number),
        "held_out_gain_nat": found.gain,
        "held_out_gain_error_nat": found.gain_error,
        "share": found.share.tolist(),
        "junk": int(found.is_junk.sum()),
        "start": found.best,
        "rivals": {name: asdict(rival) for name, rival in found.rivals.items()},
        "symmetry_hint": symmetry_hint(found),
        "late_symmetry": options.latesym,
        "other_hand": options.hand,
        "signs": list(against),
    }
    with stage("write"):
        write_abinit(run, directory, found, summary)
    return AbInitio(
        directory.path,
        tuple(Volume(volume, run.inputs.apix) for volume in found.maps),
        directory.latent,
        int(found.is_junk.sum()),
        resolution,
        found.gain,
        found.gain_error,
        against,
        holds_structure(found),
    )


def _other_hand(found: FoundMaps) -> FoundMaps:
    """Return maps mirrored in z, and the views in which these look the same."""
    # the view's own z, along which is summed, is mirrored, too
    turned = MIRROR @ found.rotations @ MIRROR
    maps = np.stack([other_hand(volume) for volume in found.maps])
    return replace(found, maps=maps, rotations=turned)


@takes_options(AbinitOptions, "input")
def abinit(
    particles: str | Path | Particles, *, progress: Progress | None = None, **options: Any
) -> AbInitio:
    """Make maps from particles alone (``mapsort abinit`` in Python).

    Parameters
    ----------
    **options
        Any option of ``mapsort abinit`` by its name, for example ``nmodels=2, sym="d7"``.

    Returns
    -------
    AbInitio
        ``.maps``, ``.assignments``, ``.gain``, ``.signs``, ``.path``.

    Raises
    ------
    ConfigError, FormatError
        Before any work.
    """
    return asked_in_python(AbinitOptions, abinit_run, options, progress, particles=particles)
