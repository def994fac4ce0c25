"""Rotations, 2-D transforms, poses, symmetry groups and orientation generators."""

from __future__ import annotations
