"""``mapsort process``: apply named processors to a map or a stack of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mapsort.array_types import Float32
from mapsort.errors import ConfigError, FormatError
from mapsort.io.hdf_writer import HdfWriter
from mapsort.io.image_file import STACK_SUFFIXES, ImageFile, open_images
from mapsort.io.image_stack import ANY_MRC_SUFFIXES, HDF_SUFFIXES
from mapsort.io.mrc import write_map, write_stack
from mapsort.modules.processors import PROCESSORS, apply_chain
from mapsort.modules.registry import BoundModule
from mapsort.options.files import ProcessOptions
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output

_SUFFIXES = (*ANY_MRC_SUFFIXES, *HDF_SUFFIXES)


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
    NumericalError
        If a processor cannot work on an image.
    """
    source_path, target_path = options.files
    _check_files(source_path, target_path)
    chain = [_bound(spec) for spec in options.process]
    with open_images(source_path, as_stack=options.stack) as source:
        _check_source(source_path, source)
        _check_target_holds(target_path, source)
        final = _write(target_path, source, chain, options.apix or source.apix or 1.0)
        return Processed(source.n_images, source.holds_maps, final)


def _bound(spec: str) -> BoundModule[..., Float32]:
    try:
        return PROCESSORS.bind(spec)
    except ConfigError as error:
        raise ConfigError(f"--process={spec}: {error}") from error


def _check_files(source: Path, target: Path) -> None:
    if source.suffix.lower() not in _SUFFIXES:
        raise FormatError(f"{source}: images are read from {', '.join(_SUFFIXES)}.")
    if target.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{target}: images are written as {', '.join(_SUFFIXES)}")
    check_output(target, source)


def _check_source(path: Path, source: ImageFile) -> None:
    if source.n_images == 0:
        raise FormatError(f"{path}: holds no image.")
    if len(set(source.shape)) != 1:
        sides = " x ".join(map(str, source.shape[::-1]))
        raise FormatError(f"{path}: {sides}: expected square images or a cube.")


def _check_target_holds(target: Path, source: ImageFile) -> None:
    stack = target.suffix.lower() in STACK_SUFFIXES
    if target.suffix.lower() in ANY_MRC_SUFFIXES and stack == source.holds_maps:
        kind, suffix = ("a map", ".mrc") if source.holds_maps else ("a stack of images", ".mrcs")
        raise ConfigError(f"{target}: the input is {kind}: write it as {suffix} or .hdf")


def _write(
    path: Path, source: ImageFile, chain: Sequence[BoundModule[..., Float32]], apix: float
) -> float:
    """Write the processed members; return their pixel size."""
    first, final = apply_chain(chain, source.image(0), apix=apix)

    def results() -> Iterator[Float32]:
        yield first
        for index in range(1, source.n_images):
            yield apply_chain(chain, source.image(index), apix=apix, index=index)[0]

    with atomic_path(path) as temporary:
        if path.suffix.lower() in HDF_SUFFIXES:
            with HdfWriter(temporary, apix=final) as writer:
                sizes = dict.fromkeys(("apix_x", "apix_y", "apix_z"), final)
                for index, image in enumerate(results()):
                    writer.append(image, source.header(index) | sizes)
        elif source.holds_maps:
            write_map(temporary, first, final)
        else:
            write_stack(temporary, results(), final)
    return final
