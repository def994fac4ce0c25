"""All registries: what `mapsort modules` lists and what the decorators add to."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import mapsort.modules
from mapsort.modules.registry import ModuleKind, Registry


def registry_of(kind: ModuleKind) -> Registry[..., Any]:
    """Return the registry of a kind, with everything that mapsort declares of it."""
    return _registries()[kind]


@cache
def _registries() -> dict[ModuleKind, Registry[..., Any]]:
    """Import every file of this room and collect the registries that they define."""
    found = {kind: Registry[..., Any](kind) for kind in ModuleKind}
    package = mapsort.modules
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, Registry):
                found[value.kind] = value
    return found
