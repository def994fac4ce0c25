"""Image and table files: the only room that opens MRC, STAR and HDF5 files."""

from __future__ import annotations
