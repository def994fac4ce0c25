"""Small results as text: FSC curves in columns or as EMDB takes them, everything that is JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64
from mapsort.errors import FormatError
from mapsort.rundir.atomic import write_text


def write_fsc(path: str | Path, frequency: ArrayLike, fsc: ArrayLike, *, title: str = "") -> None:
    """Write an FSC curve, two columns: spatial frequency [1/A] and FSC.

    Parameters
    ----------
    frequency : array_like of shape (n,)
        Spatial frequency [1/A].
    fsc : array_like of shape (n,) or (n, k)
        Fourier shell correlation; with k > 1 (mutual curves), k more columns.
    title : str, optional
        What the columns are, written as a comment line.

    Raises
    ------
    ValueError
        The two have different lengths, or ``fsc`` has more than two dimensions.
    """
    shells = np.asarray(frequency, dtype=np.float64)
    values = np.asarray(fsc, dtype=np.float64)
    values = values[:, np.newaxis] if values.ndim == 1 else values
    if shells.ndim != 1 or values.ndim != 2 or len(values) != len(shells):
        raise ValueError(f"fsc: expected ({shells.size},) like frequency, got {values.shape}")
    head = f"# {title}\n" if title else ""
    rows = (
        "\t".join([f"{shell:.6g}", *(f"{value:.6g}" for value in row)])
        for shell, row in zip(shells, values, strict=True)
    )
    write_text(path, head + "".join(f"{row}\n" for row in rows))


def read_fsc(path: str | Path) -> tuple[Float64, Float64]:
    """Read an FSC curve: numbers in columns; lines that begin with ``#`` are skipped.

    Returns
    -------
    frequency : ndarray of shape (n,), float64
        Spatial frequency [1/A].
    fsc : ndarray of shape (n,) or (n, k), float64
        Fourier shell correlation.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        table = np.array(rows, dtype=np.float64)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file.") from None
    except ValueError as error:
        raise FormatError(f"{path}: not columns of numbers: {error}.") from error
    if table.ndim != 2 or table.shape[1] < 2:
        raise FormatError(f"{path}: not an FSC curve: two columns are needed.")
    return table[:, 0], table[:, 1] if table.shape[1] == 2 else table[:, 1:]


def write_convergence(path: str | Path, iterations: Sequence[Mapping[str, Any]]) -> None:
    """Write the figures of all iterations so far, first first; see `write_json`."""
    write_json(path, {"iterations": iterations})


def read_convergence(path: str | Path) -> list[dict[str, Any]]:
    """Read the figures of all iterations: none before the first has ended and left the file."""
    if not Path(path).exists():
        return []
    content = read_json(path)
    iterations = content.get("iterations") if isinstance(content, dict) else None
    if not isinstance(iterations, list):
        raise FormatError(f"{path}: not a convergence file: it has no list of iterations.")
    return iterations


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file to make; an existing one is replaced.
    content : mapping
        NumPy numbers and arrays are taken; NaN and infinite values become null, because JSON has
        none.
    """
    text = json.dumps(_json(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file; is this a run directory?") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise FormatError(f"{path}: not a JSON file: {error}.") from error


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


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
