"""Exceptions that mapsort raises on purpose; anything else is a bug."""

from __future__ import annotations


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
