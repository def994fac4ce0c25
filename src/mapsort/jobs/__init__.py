"""What a user asks for: jobs that loop, write, resume and tell.

What a job cannot begin with it refuses before any work: a wrong request is a `ConfigError`, a file
that is missing, damaged or of another kind a `FormatError`. Where the computation cannot go on, it
is a `NumericalError`.
"""

from __future__ import annotations
