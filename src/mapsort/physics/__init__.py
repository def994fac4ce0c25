"""Contrast transfer, Fourier shell correlation, filters, masks, resampling and normalization.

What a function here does not say otherwise: an image is (n, n), a map (n, n, n), of any real type;
what is made of it has its shape and is float32. The centre is pixel n//2, lengths are in pixels,
and positions and shifts have the order x, y, z.
"""

from __future__ import annotations
