"""FSC curves as EMDB takes them, with the elements that RELION's post-processing writes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike

from mapsort.rundir.atomic import write_text


def write_fsc_xml(path: str | Path, frequency: ArrayLike, fsc: ArrayLike, *, title: str) -> None:
    """Write an FSC curve for EMDB.

    Parameters
    ----------
    frequency : array_like of shape (n,)
        Spatial frequency [1/A]; zero is left out, of which there is no resolution.
    fsc : array_like of shape (n,)
        Fourier shell correlation.
    title : str
        What the curve is of.
    """
    axes = {"xaxis": "Resolution (A-1)", "yaxis": "Correlation Coefficient"}
    root = ElementTree.Element("fsc", {"title": title, **axes})
    for at, value in zip(np.asarray(frequency).tolist(), np.asarray(fsc).tolist(), strict=True):
        if at > 0:
            coordinate = ElementTree.SubElement(root, "coordinate")
            ElementTree.SubElement(coordinate, "x").text = f"{at:.6g}"
            ElementTree.SubElement(coordinate, "y").text = f"{value:.6g}"
    ElementTree.indent(root)
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")
