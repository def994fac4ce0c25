"""``mapsort info``: what a file is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mapsort.cli.output import say
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import MrcStack, read_map
from mapsort.io.mrc_header import ISPG_VOLUME, MrcHeader, read_header
from mapsort.io.star_tables import read_tables

NAME = "info"
HELP = "tell what a file is: size, pixel size, counts, CTF, statistics"

Facts = list[tuple[str, str]]

_CHUNK = 256  # images in memory at a time
_MOST = 4096  # statistics of a stack of hundreds of gigabytes must not take an hour
_PIXELS = {0: "8 bit", 1: "16 bit", 2: "float32", 6: "unsigned 16 bit", 12: "float16", 101: "4 bit"}
_CTF = {
    "rlnDefocusU": "A",
    "rlnDefocusV": "A",
    "rlnDefocusAngle": "deg",
    "rlnPhaseShift": "deg",
    "rlnVoltage": "kV",
    "rlnSphericalAberration": "mm",
    "rlnAmplitudeContrast": "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mapsort info``.

    Parameters
    ----------
    parser : ArgumentParser
        The subcommand's parser.
    """
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=".mrc, .mrcs, .star, .hdf, .h5 or text"
    )


def run(args: argparse.Namespace) -> int:
    """Print what each file is: a table on a terminal, plain lines elsewhere.

    Parameters
    ----------
    args : Namespace
        With ``files``.

    Returns
    -------
    int
        0.

    Raises
    ------
    FormatError
        A file cannot be read; files before it are already shown.
    """
    for path in args.files:
        facts = describe(path)
        if sys.stdout.isatty():
            table = Table(title=str(path), show_header=False, title_justify="left")
            for fact in facts:
                table.add_row(*fact)
            Console().print(table)
        else:
            for name, value in facts:
                say(f"{path}\t{name}\t{value}")
    return 0


def describe(path: str | Path) -> Facts:
    """Say what a file is.

    Parameters
    ----------
    path : str or Path
        ``.mrc``, ``.mrcs``, ``.map``, ``.st``, ``.star``, ``.hdf``, ``.h5``, or a run's text file.

    Returns
    -------
    list of (str, str)
        Name and value of each fact, in the order to show them.

    Raises
    ------
    FormatError
        The file is missing, damaged, or of another kind.
    """
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir():
        raise FormatError(f"{path}: a directory; info takes files.")
    if suffix not in _READERS:
        raise FormatError(f"{path}: info knows {', '.join(sorted(_READERS))}.")
    return _READERS[suffix](Path(path))


def _describe_mrc(path: Path) -> Facts:
    header = read_header(path)
    apix = f"{header.apix:g} A" if header.apix is not None else "not stated"
    facts = [("pixel size", apix), ("pixels", _pixel_kind(header))]
    is_cube = header.nx == header.ny == header.nz  # old programs do not set the volume flag
    if (header.space_group >= ISPG_VOLUME or is_cube) and path.suffix.lower() != ".mrcs":
        data, _ = read_map(path)
        nz, ny, nx = data.shape
        return [("kind", "map, MRC"), ("size", f"{nx} x {ny} x {nz}"), *facts, *_statistics([data])]
    stack = MrcStack(path)
    chosen = _sample(stack.n_images)
    chunks = (stack.read(chosen[begin : begin + _CHUNK]) for begin in range(0, len(chosen), _CHUNK))
    return [
        ("kind", "image stack, MRC"),
        ("images", str(stack.n_images)),
        ("size", f"{header.nx} x {header.ny}"),
        *facts,
        *_extent(chosen, stack.n_images),
        *_statistics(chunks),
    ]


def _pixel_kind(header: MrcHeader) -> str:
    order = ", big-endian" if header.byte_order == ">" else ""
    return f"{_PIXELS[header.mode]} (mode {header.mode}){order}"


def _describe_hdf(path: Path) -> Facts:
    with HdfReader(path) as reader:
        if reader.n_images == 0:
            return [("kind", "EMAN2 HDF5"), ("images", "0")]
        header = reader.header(0)
        shape = " x ".join(map(str, reader.image(0).shape[::-1]))
        apix = header.get("apix_x")
        facts = [
            ("kind", "EMAN2 HDF5"),
            ("images", str(reader.n_images)),
            ("size", shape),
            ("pixel size", f"{apix:g} A" if isinstance(apix, float) else "not stated"),
        ]
        if "stored_renderbits" in header:
            facts.append(("compressed", f"{header['stored_renderbits']} bits"))
        for key in ("ctf", "model_id", "ptcl_repr"):
            if key in header:
                facts.append((f"{key} of image 0", str(header[key])))
        chosen = _sample(reader.n_images)
        images = (reader.image(int(index)) for index in chosen)
        return [*facts, *_extent(chosen, reader.n_images), *_statistics(images)]


def _describe_h5(path: Path) -> Facts:
    """Describe EMAN2's layout, or the plain arrays that hold a run's best matches."""
    if not path.is_file():
        raise FormatError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            arrays = {name: file[name] for name in file if isinstance(file[name], h5py.Dataset)}
            shapes = [(name, " x ".join(map(str, a.shape[::-1]))) for name, a in arrays.items()]
    except OSError as error:
        raise FormatError(f"{path}: not a readable HDF5 file: {error}.") from error
    return [("kind", "HDF5 arrays"), *shapes] if shapes else _describe_hdf(path)


def _describe_text(path: Path) -> Facts:
    if not path.is_file():
        raise FormatError(f"{path}: no such file.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not a text file: {error}.") from error
    return [("kind", "text"), ("lines", str(len(lines)))]


def _describe_star(path: Path) -> Facts:
    tables = read_tables(path)
    facts: Facts = [("kind", "STAR")]
    for name, table in tables.items():
        facts.append((f"data_{name}", f"{len(table)} rows, {len(table.columns)} columns"))
    for table in tables.values():
        facts += _describe_table(table)
    return facts


def _describe_table(table: pd.DataFrame) -> Facts:
    facts: Facts = []
    if "rlnImagePixelSize" in table:
        facts.append(("pixel size", _range(table["rlnImagePixelSize"], "A")))
    elif "rlnDetectorPixelSize" in table and "rlnMagnification" in table:  # RELION 3.0
        detector_um = pd.to_numeric(table["rlnDetectorPixelSize"], errors="coerce")
        magnification = pd.to_numeric(table["rlnMagnification"], errors="coerce")
        facts.append(("pixel size", _range(detector_um * 1e4 / magnification, "A")))
    if "rlnImageSize" in table:
        facts.append(("box", _range(table["rlnImageSize"], "pixel")))
    if "rlnImageName" in table:
        names = table["rlnImageName"].astype(str)
        facts.append(("image files", str(names.str.rpartition("@")[2].nunique())))
    if "rlnMicrographName" in table:
        facts.append(("micrographs", str(table["rlnMicrographName"].nunique())))
    facts += [(label, _range(table[label], unit)) for label, unit in _CTF.items() if label in table]
    if "rlnClassNumber" in table:
        counts = table["rlnClassNumber"].value_counts().sort_index()
        listed = ", ".join(f"{number}: {count}" for number, count in counts.items())
        facts.append(("particles per class", listed))
    return facts


def _range(column: pd.Series, unit: str) -> str:
    numbers = pd.to_numeric(column, errors="coerce").dropna()
    if numbers.empty:
        return "no numbers"
    low, high = numbers.min(), numbers.max()
    return (f"{low:g}" if low == high else f"{low:g} to {high:g}") + (f" {unit}" if unit else "")


def _sample(n_images: int) -> NDArray[np.int64]:
    """Images to take statistics from: all, or evenly spread ones of a large stack."""
    return np.unique(np.linspace(0, n_images - 1, min(n_images, _MOST)).astype(np.int64))


def _extent(chosen: NDArray[np.int64], n_images: int) -> Facts:
    whole = len(chosen) == n_images
    return [] if whole else [("statistics", f"of {len(chosen)} images, evenly spread")]


def _statistics(chunks: Iterable[NDArray[np.float32]]) -> Facts:
    low, high, number, total, square_sum = np.inf, -np.inf, 0, 0.0, 0.0
    for chunk in chunks:
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        number += chunk.size
        wide = chunk.astype(np.float64).reshape(-1)
        total, square_sum = total + float(wide.sum()), square_sum + float(wide @ wide)
    mean = total / number
    deviation = max(0.0, square_sum / number - mean * mean) ** 0.5
    names = ("minimum", "maximum", "mean", "standard deviation")
    return [(name, f"{v:.6g}") for name, v in zip(names, (low, high, mean, deviation), strict=True)]


_READERS: dict[str, Callable[[Path], Facts]] = {
    **dict.fromkeys((".mrc", ".mrcs", ".map", ".st"), _describe_mrc),
    ".hdf": _describe_hdf,
    ".h5": _describe_h5,
    **dict.fromkeys((".txt", ".json", ".log"), _describe_text),
    ".star": _describe_star,
}
