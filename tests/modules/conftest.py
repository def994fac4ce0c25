"""Fixtures of the tests of modules."""

from __future__ import annotations

import pytest

from mapsort.modules.listing import registry_of
from mapsort.modules.registry import ModuleKind


@pytest.fixture(autouse=True)
def forgotten():
    """Take back what a test declares."""
    registries = [registry_of(kind) for kind in ModuleKind]
    before = [dict(registry._modules) for registry in registries]
    yield
    for registry, modules in zip(registries, before, strict=True):
        registry._modules.clear()
        registry._modules.update(modules)
