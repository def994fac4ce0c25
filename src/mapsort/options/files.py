"""Options of ``mapsort info``, ``show`` and ``process``."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, flag, option, required
from mapsort.options.types import ValueKind, file_path, real_number, text, whole_number, words_of

_FILES = words_of(file_path("a file"))
_A_PIXEL_SIZE = ValueKind("a pixel size above 0 [A]", float, real_number(above=0).accepts)


class InfoOptions(Options):
    """Options of ``mapsort info``."""

    files: tuple[Path, ...] = required(
        _FILES,
        "FILE",
        ".mrc, .mrcs, .star, .cs, .hdf, .lst, .h5 or text; or the directory of a run",
        positional=True,
    )
    json: bool = flag(
        "one JSON list, an object for each file; lengths in Angstrom, ranges as [low, high]"
    )
    passthrough: str = option(
        ValueKind("passthrough files", str, lambda value: isinstance(value, str)),
        "A,B,...",
        "cryoSPARC's passthrough files that go with a .cs",
        "",
    )


class ShowOptions(Options):
    """Options of ``mapsort show``."""

    files: tuple[Path, ...] = option(
        _FILES,
        "FILE",
        "map or stack: .mrc, .mrcs, .hdf; or particles: .star, .cs, .lst",
        (),
        positional=True,
    )
    # Without one `_check` says more than that it is missing.
    output: Path = option(
        file_path("a .png file"), "PNG", "picture to write (required)", flags=("-o",)
    )
    first: int = option(whole_number(0), "N", "stack: first image, from 0", 0)
    count: int = option(whole_number(1), "N", "stack: how many images at most", 100)
    size: int = option(
        whole_number(8),
        "PX",
        "side of one image in the picture: larger ones are averaged down, small ones enlarged",
        256,
    )
    lowpass: float | None = option(
        ValueKind("a resolution above 0 [A]", float, real_number(above=0).accepts),
        "A",
        "low-pass before it is pictured (Gaussian, 1/e at this resolution) [A]",
    )
    minus: Path | None = option(
        file_path("a map"),
        "MAP",
        "map: picture the difference from this one, blue to red in standard deviations",
    )
    plain: bool = flag("no labels and no scale bar")

    def _check(self) -> None:
        if len(self.files) != 1:
            raise ConfigError(f"one map or stack is needed; {len(self.files)} are given")
        if self.output is None:
            raise ConfigError("--output is missing: the PNG to write, for example -o map.png")
        if self.output.suffix.lower() != ".png":
            raise ConfigError(f"--output={self.output}: pictures are written as .png")
        if not self.output.absolute().parent.is_dir():
            place = self.output.absolute().parent
            raise ConfigError(f"--output={self.output}: {place} is not a directory")


class ProcessOptions(Options):
    """Options of ``mapsort process``."""

    files: tuple[Path, ...] = option(
        _FILES, "INPUT OUTPUT", ".mrc, .mrcs or .hdf", (), positional=True
    )
    process: tuple[str, ...] = option(
        words_of(text("a processor")),
        "NAME:KEY=VALUE",
        "a processor and its parameters; repeatable, applied in order "
        "(mapsort modules processors -v lists them)",
        (),
        repeated=True,
    )
    apix: float | None = option(_A_PIXEL_SIZE, "A", "pixel size in place of the file's [A]")
    stack: bool = flag("the input is a stack of images, not a map")

    def _check(self) -> None:
        if len(self.files) != 2:
            raise ConfigError("process: give an input and an output file")
        if not self.process:
            raise ConfigError("--process is missing: name at least one processor")
