"""How a run is carried out: display, checkpoints, scratch and workers. No result depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from mapsort.engines.dask_engine import DaskEngine
from mapsort.engines.progress import Progress, SilentProgress
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.scratch import Scratch


@dataclass(frozen=True)
class Execution:
    """What a run is carried out with."""

    progress: Progress = field(default_factory=SilentProgress)
    #: Keeps the results of finished stages for a run that is stopped; by default nothing.
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    #: Room for what grows with the number of particles or projections; by default memory.
    scratch: Scratch = field(default_factory=Scratch)
    #: Where chunks of particles are worked on; None for the threads of this process.
    engine: DaskEngine | None = None

    def __reduce__(self) -> tuple[type[Execution], tuple[()]]:
        """Stay at home: a worker shows nothing and keeps nothing."""
        return Execution, ()

    def advance(self, n_particles: int) -> None:
        """Tell that some particles are done with; let the memory go that looking at them took."""
        self.progress.advance(n_particles)
        self.scratch.release()
