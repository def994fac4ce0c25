"""Exceptions that mapsort raises on purpose; anything else is a bug."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class MapsortError(Exception):
    """Base of all errors raised by mapsort."""


class FormatError(MapsortError, ValueError):
    """A file is not what it should be; the message names the file and the place in it."""


class BadImagesError(FormatError):
    """Images that nobody can use: constant, or with pixels that are no numbers."""


class ConfigError(MapsortError, ValueError):
    """A request is wrong: an option, a combination of options, or an input; found before work."""


class NumericalError(MapsortError, ArithmeticError):
    """A computation gave numbers that cannot be used (NaN, Inf, an empty map)."""


class RunError(MapsortError):
    """A run that had begun cannot go on (disk full, an input lost); finished work is saved."""


class Interrupted(MapsortError):
    """A signal asked the run to stop; finished work is saved."""


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a file what the system says when it cannot be read.

    Raises
    ------
    FormatError
        In place of an OSError.
    """
    try:
        yield
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file.") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}.") from error
