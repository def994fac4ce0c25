"""What a user asks for: jobs that loop, write, resume and tell.

What a job cannot begin with it refuses before any work: a wrong request is a `ConfigError`, a file
that is missing, damaged or of another kind a `FormatError`. Where the computation cannot go on, it
is a `NumericalError`.

What a function here does not say otherwise: ``progress`` is told of every stage, and may raise
Interrupted between chunks of particles; ``particles``, ``volume`` and ``volumes`` are used in place
of the files that the options name; ``watcher`` is called with the run directory when seeds, an
iteration or the verdict are there, and when the run ends or fails; ``again`` carries out a run with
other options.
"""

from __future__ import annotations
