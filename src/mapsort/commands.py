"""Every command of the program as a function, with its options as keywords.

``mapsort.commands.convert("particles.cs", "particles.star")`` does what ``mapsort convert
particles.cs particles.star`` does, and returns what the job made. Names and signatures come from
the table of commands; a hyphen is written as an underscore. Editors read them in ``commands.pyi``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mapsort.cli.commands import COMMANDS
from mapsort.cli.functions import function_of


def __getattr__(name: str) -> Callable[..., Any]:
    command = COMMANDS.get(name.replace("_", "-"))
    if command is None:
        raise AttributeError(f"module 'mapsort.commands' has no attribute {name!r}")
    return function_of(name, command)


def __dir__() -> list[str]:
    return sorted(name.replace("-", "_") for name in COMMANDS)
