"""Modules that other installed packages declare."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from mapsort.errors import ConfigError

#: Entry-point group in which packages name the Python modules that declare theirs.
GROUP = "mapsort.modules"


@cache
def load_plugins() -> tuple[str, ...]:
    """Import what packages announce in the entry-point group ``mapsort.modules``, once.

    An entry point names a Python module, which uses the decorators `mapsort.processor` and so on
    when it is imported::

        [project.entry-points."mapsort.modules"]
        mine = "my_package.filters"

    Returns
    -------
    tuple of str
        Names of the entry points loaded.

    Raises
    ------
    ConfigError
        If one of them cannot be imported; the message names it and its package.
    """
    loaded = []
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist is not None else "an unknown package"
            raise ConfigError(
                f"modules {entry.name!r} ({entry.value}) of {package} cannot be loaded: {error}\n"
                f"repair or uninstall {package}"
            ) from error
        loaded.append(entry.name)
    return tuple(loaded)
