"""Half-sets that share nothing but the FSC between them: the policy of a single-map refinement."""

from __future__ import annotations
