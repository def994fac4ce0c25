"""What a file or a run directory is, and how it stands (``mapsort info``)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from mapsort.array_types import Float32, Int64
from mapsort.errors import FormatError
from mapsort.io.cryosparc import field_names, read_cryosparc
from mapsort.io.eman_tables import read_hdf_particles
from mapsort.io.hdf import HdfReader
from mapsort.io.image_stack import ANY_MRC_SUFFIXES, refuse_bdb
from mapsort.io.lst import read_list
from mapsort.io.mrc import read_map
from mapsort.io.mrc_header import ISPG_VOLUME, MrcHeader, read_header
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.optics import FLIPPED
from mapsort.io.particle_files import LIST_SUFFIXES
from mapsort.io.star_tables import read_noted_tables
from mapsort.io.table_notes import table_notes
from mapsort.jobs.facts import Fact, Facts, image_facts, measure, plain, size
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.run_record import RunRecord, read_run
from mapsort.rundir.set_counts import HARD, POSTERIOR, USED, SetCounts
from mapsort.rundir.text import read_json
from mapsort.rundir.wording import counted


def is_run(path: Path) -> bool:
    """Whether a directory is that of a run."""
    return RunDirectory(path).parms.is_file()


def describe_run(path: Path) -> Facts:
    """Say what a run was asked, where it stands, and what it has found.

    Parameters
    ----------
    path : Path
        The run directory.

    Returns
    -------
    list of Fact
        Command, state, iterations, and of the last iteration each map's particles and resolution.
    """
    record = read_run(path)
    directory, manifest = record.directory, record.manifest
    facts = [
        plain("kind", f"run of {manifest.program}"),
        plain("command", shlex.join(manifest.command)),
        plain("started", manifest.started),
        *_state(record),
        plain("iterations", record.last),
    ]
    if record.iterations:
        facts += _maps(record.iterations[-1])
        facts.append(plain("particle table", str(directory.particles(record.last))))
    if directory.report.exists():
        facts.append(plain("report", str(directory.report)))
    return facts


def _state(record: RunRecord) -> Facts:
    """Return how a run stands: what it told last, or that its process was killed."""
    path, killed = record.directory.progress, record.killed
    if killed is not None:
        text = (
            f"stopped: process {killed.pid} was killed; "
            f"to continue: --resume {shlex.quote(str(record.directory.path))}"
        )
        return [Fact("state", text, "stopped")]
    if not path.exists():
        return []
    progress = read_json(path)
    try:
        state, message = str(progress["state"]), str(progress["message"])
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged: {error}.") from error
    # How a run finished or was interrupted says that it did.
    says_so = state == "finished" or message.startswith(state)
    text = message if message and says_so else f"{state}: {message}".removesuffix(": ")
    return [Fact("state", text, state)]


def _maps(entry: Mapping[str, Any]) -> Facts:
    """Return particles and resolution of each map after an iteration."""
    counts = SetCounts.of_entry(entry)
    facts = [plain("particles", counts.total)]
    sets = zip(counts.names, counts.all, counts.shares, strict=True)
    for place, (name, n, share) in enumerate(sets):
        value: dict[str, Any] = {"particles": n}
        words = [f"{counted(n, 'particle')} ({share:.1f}%)"]
        if place >= len(counts.maps):
            facts.append(Fact(name, words[0], value))
            continue
        words.append(f"each counted with its {HARD}")
        if counts.posterior is not None:
            value["sum_of_posteriors"] = counts.posterior[place]
            words.append(f"{POSTERIOR} {counts.posterior[place]:.1f}")
        if counts.used is not None:
            value["particles_used"] = counts.used[place]
            words.append(f"{counts.used[place]:,} {USED}")
        value["resolution"] = float(entry["maps"][place]["resolution_fsc_0143_ang"])
        words.append(f"{value['resolution']:.1f} A at FSC 0.143")
        facts.append(Fact(name, ", ".join(words), value))
    return facts


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


def describe(path: str | Path, *, passthrough: Sequence[str] = ()) -> Facts:
    """Say what a file is.

    Parameters
    ----------
    path : str or Path
        ``.mrc``, ``.mrcs``, ``.map``, ``.st``, ``.star``, ``.cs``, ``.hdf``, ``.lst``, ``.h5``, a
        run's text file, or a run directory.
    passthrough : sequence of str, optional
        cryoSPARC's passthrough files that go with a ``.cs``.

    Returns
    -------
    list of Fact
        Name, text and value of each fact, in the order to show them.
    """
    refuse_bdb(str(path), "info")
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir() and is_run(Path(path)):
        return describe_run(Path(path))
    if Path(path).is_dir():
        raise FormatError(f"{path}: not a mapsort run directory.")
    if not Path(path).exists():
        raise FormatError(f"{path}: no such file.")
    if suffix not in _READERS and suffix != ".cs":
        raise FormatError(f"{path}: info knows {', '.join(sorted([*_READERS, '.cs']))}.")
    if suffix == ".cs":
        return _describe_cryosparc(Path(path), passthrough)
    return _READERS[suffix](Path(path))


def _describe_mrc(path: Path) -> Facts:
    header = read_header(path)
    facts = [measure("pixel size", header.apix, "A"), plain("pixels", _pixel_kind(header))]
    facts += _notes(path, [header.surplus] if header.surplus else [])
    is_cube = header.nx == header.ny == header.nz  # old programs do not set the volume flag
    if (header.space_group >= ISPG_VOLUME or is_cube) and path.suffix.lower() != ".mrcs":
        data, _ = read_map(path)
        kind = plain("kind", "map, MRC")
        return [kind, size(data.shape[::-1]), *facts, *_statistics([data])]
    stack = MrcStack(path)
    chosen = _sample(stack.n_images)
    chunks = (stack.read(chosen[begin : begin + _CHUNK]) for begin in range(0, len(chosen), _CHUNK))
    return [
        plain("kind", "image stack, MRC"),
        plain("images", stack.n_images),
        size((header.nx, header.ny)),
        *facts,
        *_extent(chosen, stack.n_images),
        *_statistics(chunks),
    ]


def _pixel_kind(header: MrcHeader) -> str:
    order = ", big-endian" if header.byte_order == ">" else ""
    return f"{_PIXELS[header.mode]} (mode {header.mode}){order}"


def _describe_hdf(path: Path) -> Facts:
    with HdfReader(path) as reader:
        facts = [plain("kind", "EMAN2 HDF5"), plain("images", reader.n_images)]
        if reader.n_images == 0:
            return facts
        header, shape = reader.header(0), reader.shape(0)
        apix = header.get("apix_x")
        facts += [
            size(shape[::-1]),
            measure("pixel size", apix if isinstance(apix, float) else None, "A"),
        ]
        if isinstance(bits := header.get("stored_renderbits"), int):
            facts.append(Fact("compressed", f"{bits} bits", bits))
        for key in ("ctf", "model_id", "ptcl_repr"):
            if isinstance(value := header.get(key), str | int):
                facts.append(plain(f"{key} of image 0", value))
        chosen = _sample(reader.n_images)
        images = (reader.image(int(index)) for index in chosen)
        facts += [*_extent(chosen, reader.n_images), *_statistics(images)]
    if len(shape) == 2 and "ctf" in header:
        optics, particles, notes = read_hdf_particles(path)
        told = {fact.name for fact in facts} | {"image files"}
        tables = [*_describe_table(optics), *_describe_table(particles), *_notes(path, notes)]
        facts += [fact for fact in tables if fact.name not in told]
    return facts


def _describe_list(path: Path) -> Facts:
    listed = read_list(path)
    columns = sorted({key for extra in listed.extras for key in extra})
    return [
        plain("kind", "EMAN2 list"),
        plain("images", len(listed)),
        plain("image files", len(set(listed.names))),
        *([Fact("columns", ", ".join(columns), columns)] if columns else []),
        *_outside(listed.names),
    ]


def _describe_cryosparc(path: Path, passthrough: Sequence[str]) -> Facts:
    n_particles, names = field_names(path)
    groups = sorted({name.split("/")[0] for name in names})
    facts = [
        plain("kind", "cryoSPARC particles"),
        plain("particles", n_particles),
        Fact("fields", ", ".join(groups), groups),
    ]
    if "blob/path" not in names and not passthrough:
        return [*facts, plain("images", "named in the passthrough file; give --passthrough")]
    optics, particles, notes = read_cryosparc(path, passthrough)
    return [
        *facts,
        *_describe_table(optics),
        *_describe_table(particles),
        *image_facts(path, particles),
        *_notes(path, notes),
    ]


def _notes(path: Path, notes: Sequence[str]) -> Facts:
    return [plain("note", note.removeprefix(f"{path}: ")) for note in notes]


def _outside(names: Iterable[str]) -> Facts:
    """Report names that lead out of the project: used as given, but worth seeing."""
    away = sorted({n for n in names if Path(n).is_absolute() or ".." in Path(n).parts})
    if not away:
        return []
    return [Fact("paths outside the project", f"{len(away)}, for example {away[0]}", away)]


def _describe_h5(path: Path) -> Facts:
    """Describe EMAN2's layout, or the plain arrays that hold a run's best matches."""
    if not path.is_file():
        raise FormatError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            arrays = {name: file[name] for name in file if isinstance(file[name], h5py.Dataset)}
            shapes = [
                Fact(name, " x ".join(map(str, a.shape[::-1])), list(a.shape[::-1]))
                for name, a in arrays.items()
            ]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: not a readable HDF5 file: {error}.") from error
    return [plain("kind", "HDF5 arrays"), *shapes] if shapes else _describe_hdf(path)


def _describe_text(path: Path) -> Facts:
    if not path.is_file():
        raise FormatError(f"{path}: no such file.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not a text file: {error}.") from error
    return [plain("kind", "text"), plain("lines", len(lines))]


def _describe_star(path: Path) -> Facts:
    tables, notes = read_noted_tables(path)
    facts: Facts = [plain("kind", "STAR")]
    for name, table in tables.items():
        rows, columns = len(table), len(table.columns)
        text = f"{counted(rows, 'row')}, {counted(columns, 'column')}"
        facts.append(Fact(f"data_{name}", text, {"rows": rows, "columns": list(table.columns)}))
    for table in tables.values():
        facts += _describe_table(table)
        if "rlnImageName" in table:
            facts += image_facts(path, table)
            notes += table_notes(path, tables.get("optics", table.iloc[:0]), table)
    return [*facts, *_notes(path, notes)]


def _describe_table(table: pd.DataFrame) -> Facts:
    facts: Facts = []
    if "rlnImagePixelSize" in table:
        facts.append(_range("pixel size", table["rlnImagePixelSize"], "A"))
    elif "rlnDetectorPixelSize" in table and "rlnMagnification" in table:  # RELION 3.0
        detector_um = pd.to_numeric(table["rlnDetectorPixelSize"], errors="coerce")
        magnification = pd.to_numeric(table["rlnMagnification"], errors="coerce")
        facts.append(_range("pixel size", detector_um * 1e4 / magnification, "A"))
    if "rlnImageSize" in table:
        facts.append(_range("box", table["rlnImageSize"], "pixel", whole=True))
    if "rlnImageName" in table:
        names = table["rlnImageName"].astype(str).str.rpartition("@")[2]
        facts += [plain("image files", int(names.nunique())), *_outside(names.unique())]
    if "rlnMicrographName" in table:
        facts.append(plain("micrographs", int(table["rlnMicrographName"].nunique())))
    facts += [_range(label, table[label], unit) for label, unit in _CTF.items() if label in table]
    if FLIPPED in table:
        facts.append(_range("phase-flipped", table[FLIPPED], ""))
    if "rlnAngleRot" in table:
        facts.append(plain("poses", "yes"))
    if "rlnClassNumber" in table:
        counts = table["rlnClassNumber"].value_counts().sort_index()
        listed = {str(number): int(count) for number, count in counts.items()}
        text = ", ".join(f"{number}: {count}" for number, count in listed.items())
        facts.append(Fact("particles per class", text, listed))
    return facts


def _range(name: str, column: pd.Series, unit: str, *, whole: bool = False) -> Fact:
    numbers = pd.to_numeric(column, errors="coerce")
    numbers = numbers[np.isfinite(numbers)]
    if numbers.empty:
        return Fact(name, "no numbers", None)
    of = int if whole else float
    low, high = of(numbers.min()), of(numbers.max())
    text = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return Fact(name, f"{text} {unit}".strip(), low if low == high else [low, high])


def _sample(n_images: int) -> Int64:
    """Images to take statistics from: all, or evenly spread ones of a large stack."""
    return np.unique(np.linspace(0, n_images - 1, min(n_images, _MOST)).astype(np.int64))


def _extent(chosen: Int64, n_images: int) -> Facts:
    whole = len(chosen) == n_images
    return [] if whole else [plain("statistics", f"of {len(chosen)} images, evenly spread")]


def _statistics(chunks: Iterable[Float32]) -> Facts:
    low, high, number, total, square_sum = np.inf, -np.inf, 0, 0.0, 0.0
    for chunk in chunks:
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        number += chunk.size
        wide = chunk.astype(np.float64).reshape(-1)
        total, square_sum = total + float(wide.sum()), square_sum + float(wide @ wide)
    mean = total / number
    deviation = max(0.0, square_sum / number - mean * mean) ** 0.5
    names = ("minimum", "maximum", "mean", "standard deviation")
    values = (low, high, mean, deviation)
    return [Fact(name, f"{v:.6g}", v) for name, v in zip(names, values, strict=True)]


_READERS: dict[str, Callable[[Path], Facts]] = {
    **dict.fromkeys(ANY_MRC_SUFFIXES, _describe_mrc),
    ".hdf": _describe_hdf,
    ".h5": _describe_h5,
    **dict.fromkeys(LIST_SUFFIXES, _describe_list),
    **dict.fromkeys((".txt", ".json", ".log"), _describe_text),
    ".star": _describe_star,
}
