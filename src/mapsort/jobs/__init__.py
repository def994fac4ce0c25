"""What a user asks for: jobs that loop, write, resume and tell."""

from __future__ import annotations
