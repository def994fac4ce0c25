"""Image and table files: the only room that opens MRC, STAR and HDF5 files.

What a function here does not say otherwise: ``path`` is the file, read or only named in messages;
``optics`` and ``particles`` are RELION 3.1 tables; pixel sizes are in A/pixel; images are numbered
from 0, in messages about RELION's files from 1; ``notes`` are lines that the user should see.
Whatever is wrong with a file's content is a `FormatError` that names it.
"""

from __future__ import annotations
