"""From memberships to class averages."""

from __future__ import annotations
