"""Classes from poses and one map: principal components of the volume, a mixture, several maps."""

from __future__ import annotations
