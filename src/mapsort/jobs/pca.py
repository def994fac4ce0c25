"""``mapsort pca``: how the particles of one map vary, from options to a run directory."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mapsort.engines.progress import Progress, warn
from mapsort.errors import ConfigError, NumericalError
from mapsort.io.star import read_particles
from mapsort.jobs.consensus import CONSENSUS, classes_at, poses_with_one_map
from mapsort.jobs.loop import check_disk
from mapsort.jobs.multi import looked_through, opened
from mapsort.jobs.refinement import Watcher, with_seed
from mapsort.jobs.resume import asked_in_python
from mapsort.jobs.search_run import searched
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import takes_options
from mapsort.options.pca import PcaOptions
from mapsort.refinement.requirements import plan_lines, symmetry_warnings
from mapsort.refinement.run import Run
from mapsort.refinement.time_estimate import estimated_time
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import stage
from mapsort.rundir.wording import counted
from mapsort.runfiles.components import Latent, variance_shares, write_components
from mapsort.stages.classify.junk import JUNK_FROM
from mapsort.stages.components.band import Band
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import PARTICLES_A_COMPONENT, PrincipalComponents

LOGGER = logging.getLogger(__name__)

COMMAND = "pca"
#: Components that are sought at least, however few are kept: those beside them take up what would
#: blur them.
_SOUGHT = 8


@dataclass(frozen=True)
class Variability:
    """How the particles vary.

    Attributes
    ----------
    path : Path
        The run directory.
    mean : Volume
        The mean map, low-passed to where the particles carry signal.
    components : tuple of Volume
        Principal components, the largest first: what one standard deviation of the coordinate adds
        to the mean.
    particles : Path
        The table of all particles, with their coordinates.
    gain : tuple of float
        What each component that was sought gains, for particles that had no part in it
        [nat a particle].
    n_worth : int
        Components that gain beyond chance.
    """

    path: Path
    mean: Volume
    components: tuple[Volume, ...]
    particles: Path
    gain: tuple[float, ...]
    n_worth: int

    @cached_property
    def assignments(self) -> pd.DataFrame:
        """One row per particle: pose, ``mapsortLatent1`` ..., ``mapsortScale``, class or junk."""
        return read_particles(self.particles)[1]

    @property
    def words(self) -> str:
        """What was found."""
        if self.n_worth == 0:
            return "no component is worth it: the particles look like one structure"
        gains = ", ".join(f"{gain:.1f}" for gain in self.gain[: self.n_worth])
        are = "is" if self.n_worth == 1 else "are"
        components = counted(self.n_worth, "component")
        return f"{components} {are} worth it (gain {gains} nat per unseen particle)"


def pca_run(
    options: PcaOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    volume: Volume | None = None,
    watcher: Watcher | None = None,
) -> Variability:
    """Find the principal components of the volume among particles of one map.

    Raises
    ------
    NumericalError
        The particles hold no signal that they agree on.
    """
    in_files = particles is None and volume is None
    run, options = _opened(options, progress, particles, volume)
    resolved = {"orientgen": run.plan.orientgen}
    return searched(COMMAND, options, run, _found, watcher, in_files=in_files, resolved=resolved)


def plan_text(options: PcaOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do."""
    run, _ = _opened(options, progress)
    check_disk(run)
    with thread_limits(run.plan.n_threads):
        run = looked_through(run)
        estimate = estimated_time(run)
    iterations = 0 if options.skipalign else run.options.n_iterations
    lines = [*plan_lines(run, COMMAND), estimate.line(iterations, at_most=False)]
    return "\n".join([*lines, *(f"warning: {line}" for line in symmetry_warnings(run))])


def _opened(
    options: PcaOptions,
    progress: Progress | None,
    particles: Particles | None = None,
    volume: Volume | None = None,
) -> tuple[Run, PcaOptions]:
    """Return the run that a request leads to, its files opened and checked, and its options."""
    options = with_seed(options)
    volumes = None if volume is None else [volume]
    run = opened(options.as_multi().validated(), progress, particles, volumes)
    _check_number(options, len(run.inputs.particles))
    band = Band.widest(run.plan.grid.box, run.inputs.apix)
    return replace(run, plan=replace(run.plan, band=band)), options


def _check_number(options: PcaOptions, n: int) -> None:
    most = n // PARTICLES_A_COMPONENT
    if options.components is not None and options.components > most:
        raise ConfigError(
            f"--components={options.components}: at most {most} of {n} particles, "
            f"{PARTICLES_A_COMPONENT} particles a component"
        )


@dataclass(frozen=True)
class _Found:
    """What the search found: all that is written."""

    components: PrincipalComponents
    latent: Latent
    rings: int


def _search(options: PcaOptions, run: Run) -> _Found:
    """Find components, with the poses of the input where they are to be taken."""
    consensus = poses_with_one_map(run, run.options.n_iterations)
    settings = ComponentSettings(n_components=max(options.components or 0, _SOUGHT))
    with stage("find components"):
        try:
            found = classes_at(run, consensus, settings)
        except NumericalError as error:
            raise NumericalError(
                f"no components were found with --model {options.model}: {error}"
            ) from error
    given = options.skipalign
    latent = Latent(
        rotations=consensus.rotations if given else found.rotations,
        origins=consensus.origins if given else consensus.origins + found.origins,
        coordinates=found.components.latent_means,
        scale=found.scale,
        junk=found.junk,
    )
    return _Found(found.components, latent, found.rings)


def _found(options: PcaOptions, run: Run, directory: RunDirectory) -> Variability:
    found = run.execution.checkpoints.kept(0, "components", _Found, lambda: _search(options, run))
    run.execution.checkpoints.drop_part(CONSENSUS)
    made = _written(options, run, directory, found)
    LOGGER.info("%s", made.words)
    if options.components is not None and options.components > made.n_worth:
        text = (
            f"--components {options.components}: beyond chance, particles are explained by "
            f"{made.n_worth} only; the others may be of noise"
        )
        LOGGER.warning("%s", text)
        warn(run.execution.progress, text)
    return made


def _written(options: PcaOptions, run: Run, directory: RunDirectory, found: _Found) -> Variability:
    """Write the results."""
    parts, apix = found.components, run.inputs.apix
    kept = parts.n_worth if options.components is None else options.components
    latent = replace(found.latent, coordinates=found.latent.coordinates[:, :kept])
    # Their scale is that of normalised images, as the engine's.
    maps = np.concatenate([parts.mean[None], parts.maps[:kept]]) * run.sphere
    gain = tuple(float(more) for more in parts.held_out_gain[1:] - parts.held_out_gain[:-1])
    summary = {
        "components": kept,
        "components_worth_it": parts.n_worth,
        "components_sought": len(parts.maps),
        "held_out_gain_nat": gain,
        "variance_share": variance_shares(maps[1:]),
        "rings": found.rings,
        "resolution_ang": run.plan.grid.box * apix / found.rings,
        "particles": len(latent.junk),
        "junk": int((latent.junk > JUNK_FROM).sum()),
    }
    with stage("write"):
        write_components(run, directory, maps, latent, summary)
    mean, *components = (Volume(volume, apix) for volume in maps)
    return Variability(
        directory.path, mean, tuple(components), directory.latent, gain, parts.n_worth
    )


@takes_options(PcaOptions, "input")
def pca(
    particles: str | Path | Particles,
    model: str | Path | Volume,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Variability:
    """Find how the particles of one map vary (``mapsort pca`` in Python).

    Parameters
    ----------
    particles : str, Path or Particles
    model : str, Path or Volume
        The map that all particles are brought to.
    progress : Progress, optional
    **options
        Any option of ``mapsort pca`` by its name, for example ``components=2, skipalign=True``.

    Returns
    -------
    Variability
        ``.mean``, ``.components``, ``.assignments``, ``.gain``, ``.n_worth``, ``.path``.

    Raises
    ------
    ConfigError, FormatError
        Before any work.
    """
    return asked_in_python(PcaOptions, pca_run, options, progress, particles=particles, model=model)
