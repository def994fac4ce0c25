"""From matches to memberships."""

from __future__ import annotations
