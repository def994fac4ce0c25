"""Contrast transfer, Fourier shell correlation, filters, masks, resampling and normalization."""

from __future__ import annotations
