"""Named, parameterised functions: the grammar, the registries and what is registered."""

from __future__ import annotations
