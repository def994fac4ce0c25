"""``mapsort process``: apply named processors to a map or a stack of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_header import read_header
from mapsort.io.mrc_stack import MrcStack
from mapsort.modules.processors import PROCESSORS, apply_chain
from mapsort.modules.registry import BoundModule
from mapsort.options.files import ProcessOptions
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output

_MRC = (".mrc", ".map", ".mrcs", ".st", ".ccp4", ".rec")
_HDF = (".hdf", ".hdf5", ".h5")
_STACKS = (".mrcs", ".st")


@dataclass(frozen=True)
class Source:
    """An input file, image by image.

    Attributes
    ----------
    members : callable
        Gives the images (or the one map) and their header items, one after the other.
    n_members : int
    is_map : bool
        Whether it is a single map.
    apix : float
        Pixel size, Angstrom.
    """

    members: Callable[[], Iterator[tuple[NDArray[np.float32], Mapping[str, Any]]]]
    n_members: int
    is_map: bool
    apix: float


@dataclass(frozen=True)
class Processed:
    """What was written.

    Attributes
    ----------
    n_members : int
    is_map : bool
    apix : float
        Pixel size, Angstrom.
    """

    n_members: int
    is_map: bool
    apix: float


def process_file(options: ProcessOptions) -> Processed:
    """Apply processors to a map or to every image of a stack.

    Raises
    ------
    ConfigError, FormatError
        For a wrong request or input; nothing is written then.
    NumericalError
        If a processor cannot work on an image.
    """
    source_path, target_path = options.files
    _check_target(source_path, target_path)
    chain = [_bound(spec) for spec in options.process]
    with ExitStack() as opened:
        source = _open(source_path, as_stack=options.stack, opened=opened)
        _check_target_holds(target_path, source)
        final = _write(target_path, source, chain, options.apix or source.apix)
    return Processed(source.n_members, source.is_map, final)


def _bound(spec: str) -> BoundModule[..., NDArray[np.float32]]:
    try:
        return PROCESSORS.bind(spec)
    except ConfigError as error:
        raise ConfigError(f"--process={spec}: {error}") from error


def _check_target(source: Path, target: Path) -> None:
    if target.suffix.lower() not in (*_MRC, *_HDF):
        raise ConfigError(f"{target}: images are written as {', '.join((*_MRC, *_HDF))}")
    check_output(target, source)


def _check_target_holds(target: Path, source: Source) -> None:
    stack = target.suffix.lower() in _STACKS
    if target.suffix.lower() in _MRC and stack == source.is_map:
        kind, suffix = ("a map", ".mrc") if source.is_map else ("a stack of images", ".mrcs")
        raise ConfigError(f"{target}: the input is {kind}: write it as {suffix} or .hdf")


def _open(path: Path, *, as_stack: bool, opened: ExitStack) -> Source:
    suffix = path.suffix.lower()
    if suffix in _HDF:
        return _open_hdf(path, opened)
    if suffix not in _MRC:
        raise FormatError(f"{path}: images are read from {', '.join((*_MRC, *_HDF))}.")
    return _open_mrc(path, as_stack=as_stack)


def _open_mrc(path: Path, *, as_stack: bool) -> Source:
    header = read_header(path)
    is_cube = header.nx == header.ny == header.nz
    apix = header.apix or 1.0
    if is_cube and path.suffix.lower() not in _STACKS and not as_stack:
        data, _ = read_map(path, cubic=True)
        return Source(lambda: iter([(data, {})]), 1, is_map=True, apix=apix)
    if header.nx != header.ny:
        raise FormatError(
            f"{path}: {header.nx} x {header.ny} x {header.nz}: expected square images or a cube."
        )
    stack = MrcStack(path)

    def members() -> Iterator[tuple[NDArray[np.float32], Mapping[str, Any]]]:
        for index in range(stack.n_images):
            yield stack.read([index])[0], {}

    return Source(members, stack.n_images, is_map=False, apix=apix)


def _open_hdf(path: Path, opened: ExitStack) -> Source:
    reader = opened.enter_context(HdfReader(path))
    if reader.n_images == 0:
        raise FormatError(f"{path}: holds no image.")
    first = reader.image(0)
    if len(set(first.shape)) != 1 or first.ndim not in (2, 3):
        raise FormatError(f"{path}: expected square images or a cube, got {first.shape}.")
    apix = reader.header(0).get("apix_x", 1.0)

    def members() -> Iterator[tuple[NDArray[np.float32], Mapping[str, Any]]]:
        for index in range(reader.n_images):
            yield reader.image(index), reader.header(index)

    return Source(
        members,
        reader.n_images,
        is_map=first.ndim == 3,
        apix=float(apix) if isinstance(apix, int | float) and apix > 0 else 1.0,
    )


def _write(
    path: Path,
    source: Source,
    chain: Sequence[BoundModule[..., NDArray[np.float32]]],
    apix: float,
) -> float:
    """Write the processed members; return their pixel size."""
    members = source.members()
    first, first_header = next(members)
    result, final = apply_chain(chain, first, apix=apix)

    def results() -> Iterator[tuple[NDArray[np.float32], Mapping[str, Any]]]:
        yield result, first_header
        for index, (image, header) in enumerate(members, start=1):
            yield apply_chain(chain, image, apix=apix, index=index)[0], header

    with atomic_path(path) as temporary:
        if path.suffix.lower() in _HDF:
            with HdfWriter(temporary, apix=final) as writer:
                for image, header in results():
                    sizes = dict.fromkeys(("apix_x", "apix_y", "apix_z"), final)
                    writer.append(image, {**header, **sizes})
        elif source.is_map:
            write_map(temporary, result, final)
        else:
            write_stack(temporary, (image for image, _ in results()), final)
    return final
