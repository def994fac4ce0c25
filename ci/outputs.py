"""Digests of all that a dozen small runs write, to tell whether two trees compute the same.

    python ci/outputs.py DIRECTORY DIGESTS.json [NAME...]   runs mapsort, all jobs or by name
    python ci/outputs.py --compare OLD.json NEW.json        files that differ; exit 1 if any do

What tells the time, the machine or the directory is left out. Digests hold on one machine only:
other processors and libraries round otherwise. ci/same_outputs.sh does both for two revisions.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np

QUICK = ["--orientgen", "eman:delta=20", "--randomseed", "1", "--parallel", "thread:2", "-q"]
MULTI = ["multi", "--input", "sim/particles.star", "--models", "sim/seed_01.mrc,sim/seed_02.mrc"]
ONE_MAP = ["multi", "--input", "sim/particles.star", "--model", "sim/seed_01.mrc", "--nmodels", "2"]

#: Each run by its name: the directory it fills is called so, too.
RUNS: dict[str, list[str]] = {
    "default": [*MULTI, "--iter", "5"],
    "soft": [*MULTI, "--iter", "2", "--assign", "soft"],
    "junk": [*MULTI, "--iter", "3", "--junk", "2"],
    "halves": [*MULTI, "--iter", "2", "--halves"],
    "one_map": [*ONE_MAP, "--iter", "2", "--starts", "2"],
    "particles": [*MULTI, "--iter", "2", "--inputmode", "particles"],
    "skipalign": [*MULTI[:2], "sim/posed.star", *MULTI[3:], "--iter", "2", "--skipalign"],
    "narrow": [*MULTI, "--iter", "3", "--speed", "6"],
    "classic": [
        *MULTI,
        *("--iter", "2", "--classkeep", "0.8", "--classiter", "2", "--sep", "2"),
        *("--simcmp", "ccc", "--classcmp", "ccc", "--classnormproc", "normalize.edgemean"),
        *("--m3dpreprocess", "normalize.edgemean", "--m3dkeep", "0.9", "--m3diter", "2"),
    ],
    "two_stage": [*MULTI, "--iter", "2", "--twostage", "2"],
    "dask": [*MULTI, "--iter", "2", "--parallel", "dask:local=2"],
    "refine": [
        *("refine", "--input", "sim/particles.star", "--model", "sim/seed_01.mrc"),
        *("--iter", "3", "--randomseed", "1", "--parallel", "thread:2", "-q"),
    ],
}
#: What is done with a finished run; commands without a directory of their own.
AFTER: dict[str, list[str]] = {
    "split": ["split", "default"],
    "eotest": ["eotest", "default", "-q"],
    "crossval": ["crossval", "default", "--refineiter", "2", "-P", "thread:2", "-q"],
    "reconstruct": ["reconstruct", "sim/posed.star", "--halves", "-o", "made.mrc", "-q"],
    "project": [
        "project",
        "sim/seed_01.mrc",
        "--orientgen",
        "eman:delta=30",
        "--out",
        "views.mrcs",
    ],
}
#: Lines and keys that tell the time, the machine, or where the run lies.
TIMES = re.compile(
    r"seconds|memory|bytes|time|date|created|version|machine|host|pid|command|path|mtime"
)
LEFT_OUT = {"run.log", "0_refine_parms.json", "progress.json", "run.lock", "index.html"}


def run(directory: Path, name: str) -> None:
    """Carry out one run in `directory`."""
    words = RUNS.get(name) or AFTER[name]
    if name in RUNS:
        own = [] if name == "refine" else QUICK
        if "--parallel" in words and own:
            own = [w for w in QUICK if w not in {"--parallel", "thread:2"}]
        words = (
            [*words, *own, "--path", name, "--no-report"]
            if name != "refine"
            else [*words, "--path", name]
        )
    subprocess.run(["mapsort", *words], cwd=directory, check=True)


def digest(path: Path) -> str | None:
    """Return what a file holds, without what tells the time; None for a file of such things."""
    if path.name in LEFT_OUT or path.parent.name == "checkpoint":
        return None
    made = hashlib.sha256()
    for piece in _pieces(path):
        made.update(piece)
    return made.hexdigest()[:16]


def _pieces(path: Path) -> Iterator[bytes]:
    if path.suffix in {".mrc", ".mrcs"}:
        with mrcfile.open(path, permissive=True) as file:
            yield repr((file.data.shape, file.data.dtype, float(file.voxel_size.x))).encode()
            yield np.ascontiguousarray(file.data).tobytes()
    elif path.suffix in {".hdf", ".h5"}:
        with h5py.File(path) as file:
            found: list[tuple[str, bytes]] = []
            file.visititems(lambda name, item: found.append((name, _held(item))))
            for name, held in sorted(found):
                yield name.encode()
                yield held
    elif path.suffix == ".json":
        yield json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True).encode()
    else:
        yield path.read_bytes()


def _held(item: Any) -> bytes:
    attributes = {k: str(v) for k, v in item.attrs.items() if not TIMES.search(k.lower())}
    values = np.asarray(item[()]).tobytes() if isinstance(item, h5py.Dataset) else b""
    return repr(sorted(attributes.items())).encode() + values


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not TIMES.search(k.lower())}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def main(directory: Path, out: Path, names: list[str]) -> None:
    """Make the input, carry out the runs, and write the digests of all files."""
    directory.mkdir(parents=True, exist_ok=True)
    words = ["--phantom", "2", "--n", "240", "--box", "32", "--apix", "4", "--snr", "0.3"]
    made = ["simulate", *words, "--shift", "2", "--seed", "3", "--seedres", "24", "--out", "sim"]
    subprocess.run(["mapsort", *made, "-q"], cwd=directory, check=True)
    truth = (directory / "sim" / "particles_truth.star").read_text()
    (directory / "sim" / "posed.star").write_text(truth)
    for name in names or [*RUNS, *AFTER]:
        run(directory, name)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    digests = {str(path.relative_to(directory)): digest(path) for path in files}
    known = {name: value for name, value in digests.items() if value is not None}
    out.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def compare(old: Path, new: Path) -> int:
    """Print the files of runs that are in both whose digests differ; return 1 if there are any."""
    before, after = (json.loads(path.read_text()) for path in (old, new))
    runs = {name.split("/")[0] for name in before} & {name.split("/")[0] for name in after}
    names = {name for name in before.keys() | after.keys() if name.split("/")[0] in runs}
    differ = [name for name in sorted(names) if before.get(name) != after.get(name)]
    print(*(differ or [f"{len(names)} files: all the same"]), sep="\n")
    return int(bool(differ))


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(Path(sys.argv[2]), Path(sys.argv[3])))
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
