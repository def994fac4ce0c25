"""Feed damaged files to the readers: nothing but FormatError may come out.

    python tests/fuzz/fuzz_readers.py seeds DIRECTORY           write the files to start from
    python tests/fuzz/fuzz_readers.py mutate READER SECONDS     random damage, without atheris
    python tests/fuzz/fuzz_readers.py atheris READER CORPUS...  guided by coverage; the rest of the
                                                                line is libFuzzer's

READER: mrc, star, cs, hdf or lst. What made a reader fail is kept in tests/fuzz/corpus, which
test_hostile_files.py reads again.
"""

from __future__ import annotations

import os
import random
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import numpy as np
import pandas as pd

from mapsort.errors import FormatError
from mapsort.io.cryosparc import read_cryosparc
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.eman_tables import read_hdf_particles, read_list_particles
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import write_images
from mapsort.io.lst import write_list
from mapsort.io.mrc import read_map, write_stack
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles, write_particles
from mapsort.io.star_tables import read_tables

#: Damaged files may announce terabytes; a reader that believes them must fail here.
MEMORY_BYTES = 4 << 30
SLOWEST_SECONDS = 10.0


def read_mrc(path: Path) -> None:
    stack = MrcStack(path)
    stack.read(range(min(3, stack.n_images)))
    read_map(path)


def read_star(path: Path) -> None:
    read_tables(path)
    read_particles(path)


def read_cs(path: Path) -> None:
    read_cryosparc(path)


def read_hdf(path: Path) -> None:
    with HdfReader(path) as reader:
        for index in range(min(3, reader.n_images)):
            reader.header(index)
            reader.image(index)
    read_hdf_particles(path)


def read_lst(path: Path) -> None:
    read_list_particles(path)


READERS: dict[str, Callable[[Path], None]] = {
    "mrc": read_mrc,
    "star": read_star,
    "cs": read_cs,
    "hdf": read_hdf,
    "lst": read_lst,
}


@contextmanager
def scratch(suffix: str) -> Iterator[Path]:
    """A file in memory where there is such a place."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory:
        write_stack(Path(directory) / "s.mrcs", np.ones((2, 4, 4), np.float32), 1.0)
        before = Path.cwd()
        os.chdir(directory)
        try:
            yield Path(directory) / f"input.{suffix}"
        finally:
            os.chdir(before)


def survives(reader: str, path: Path, content: bytes) -> None:
    """Read a file; everything but success and FormatError is an error of the reader."""
    path.write_bytes(content)
    started = time.process_time()
    message = "input."
    try:
        READERS[reader](path)
    except FormatError as error:
        message = str(error)
    assert "input." in message, f"it does not name the file: {message}"
    taken = time.process_time() - started
    assert taken < SLOWEST_SECONDS, f"{taken:.1f} s for {len(content)} bytes"


def seeds() -> dict[str, dict[str, bytes]]:
    """Small valid files of each kind: what damage starts from."""
    with scratch("tmp") as path:
        here = path.parent
        images = np.random.default_rng(0).normal(size=(2, 6, 6)).astype(np.float32)
        write_stack(here / "a.mrc", images, 1.5)
        ctf = EmanCtf(defocus_um=1.5, ampcont_percent=10, voltage_kv=300, cs_mm=2.7, apix=1.5)
        pose = EmanTransform(np.eye(3, 4))
        items = {
            "ctf": ctf.text(),
            "xform.projection": pose,
            "ptcl_source_image": "mic.hdf",
            "class_ptcl_idxs": [1, 2, 3],
            "rlnGroupNumber": 3,
        }
        write_images(here / "a.hdf", images, [items, items], apix=1.5)
        write_list(here / "a.lst", [0, 1], ["s.mrcs"] * 2, [{"ctf": ctf, "score": 0.5}] * 2)
        optics = pd.DataFrame(
            {
                "rlnOpticsGroup": [1],
                "rlnImagePixelSize": [1.5],
                "rlnVoltage": [300.0],
                "rlnSphericalAberration": [2.7],
                "rlnAmplitudeContrast": [0.1],
            }
        )
        particles = pd.DataFrame(
            {
                "rlnImageName": ["000001@s.mrcs", "000002@s.mrcs"],
                "rlnOpticsGroup": 1,
                "rlnDefocusU": [1e4, 1.1e4],
                "rlnDefocusV": [1e4, 1.1e4],
                "rlnDefocusAngle": 0.0,
            }
        )
        write_particles(here / "a.star", optics, particles)
        quoted = particles.assign(rlnComment="two words")
        write_particles(here / "b.star", optics, quoted)
        fields = [
            ("uid", "<u8"),
            ("blob/path", "S12"),
            ("blob/idx", "<u4"),
            ("blob/psize_A", "<f4"),
            ("ctf/df1_A", "<f4"),
            ("ctf/df2_A", "<f4"),
            ("ctf/df_angle_rad", "<f4"),
            ("ctf/accel_kv", "<f4"),
            ("ctf/cs_mm", "<f4"),
            ("ctf/amp_contrast", "<f4"),
            ("ctf/tilt_A", "<f4", (2,)),
            ("alignments3D/pose", "<f4", (3,)),
            ("alignments3D/shift", "<f4", (2,)),
            ("alignments3D/class", "<u4"),
        ]
        records = np.ones(2, dtype=fields)
        records["uid"], records["blob/path"] = (1, 2), b">J1/s.mrcs"
        with (here / "a.cs").open("wb") as file:
            np.save(file, records, allow_pickle=False)
        names = {"mrc": ["a.mrc"], "star": ["a.star", "b.star"], "cs": ["a.cs"]}
        names |= {"hdf": ["a.hdf"], "lst": ["a.lst"]}
        return {
            reader: {name: (here / name).read_bytes() for name in files}
            for reader, files in names.items()
        }


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage: bytes changed, ranges cut, doubled or swapped, numbers made extreme."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            return b""
        at, kind = rng.randrange(len(data)), rng.randrange(7)
        length = min(rng.choice((1, 2, 4, 8, 64, 512)), len(data) - at)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 4:
            data[at : at + length] = (
                rng.choice((b"\xff", b"\x00", b"\x7f", b"9", b" "))[:1] * length
            )
        elif kind == 5:
            data = data[:at]
        else:
            other = rng.randrange(len(data))
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def mutate(reader: str, seconds: float, seed: int = 0) -> int:
    """Damage the seeds at random for some time; return the number of files read."""
    rng = random.Random(seed)
    start = list(seeds()[reader].values())
    done, until = 0, time.monotonic() + seconds
    with scratch(reader) as path:
        while time.monotonic() < until:
            content = mutated(rng.choice(start), rng)
            # Before it is read: what crashes the process must be found afterwards.
            last = path.with_name("last")
            last.write_bytes(content)
            try:
                survives(reader, path, content)
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"mapsort-fuzz-{reader}-{done}"
                kept.write_bytes(content)
                sys.stderr.write(f"{kept}\n")
                raise
            done += 1
    return done


def guided(reader: str, arguments: list[str]) -> None:
    """Let atheris find the damage that reaches new lines."""
    import atheris

    with scratch(reader) as path:
        for function in _readers_functions():
            atheris.instrument_func(function)

        def one_input(content: bytes) -> None:
            survives(reader, path, content)

        # What a shell must be told to start this again: so libFuzzer merges collections of files.
        again = shlex.join([sys.executable, str(Path(__file__).resolve()), "atheris", reader])
        atheris.Setup([again, *arguments], one_input)
        atheris.Fuzz()


def _readers_functions() -> Iterator[FunctionType]:
    """Everything that parses, of ours and of the libraries; all of Python would take minutes."""
    for name, module in list(sys.modules.items()):
        if not name.startswith(("mapsort.io", "mapsort.geometry", "starfile", "numpy.lib._format")):
            continue
        for item in vars(module).values():
            members = vars(item).values() if isinstance(item, type) else [item]
            for member in members:
                if isinstance(member, FunctionType) and member.__module__ == name:
                    yield member


def main(words: list[str]) -> int:
    command, *rest = words
    if command == "seeds":
        for reader, files in seeds().items():
            directory = Path(rest[0]) / reader
            directory.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (directory / name).write_bytes(content)
        return 0
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    if command == "mutate":
        done = mutate(rest[0], float(rest[1]), seed=int(rest[2]) if len(rest) > 2 else 0)
        sys.stdout.write(f"{rest[0]}: {done} damaged files read\n")
        return 0
    guided(rest[0], [str(Path(w).absolute()) if Path(w).exists() else w for w in rest[1:]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
