"""The words of RELION's External job, and of the pipeliner's, in those of this program."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

_PARTICLES = "--in_parts"
_OURS = {
    _PARTICLES: "--input",
    "--in_3dref": "--model",
    "--in_3Dref": "--model",  # the pipeliner's spelling
    "--in_mask": "--mask",
    "--o": "--path",
    "--j": "--parallel",
}
#: Given by RELION to programs of its own; this one knows its directory.
_NEEDLESS = "--pipeline_control"


@contextmanager
def as_started(words: Sequence[str]) -> Iterator[list[str]]:
    """Give the words of a command; those of a job of RELION in ours.

    A job is what is started with ``--in_parts``. Its progress goes to the standard output, which
    RELION shows; a run that is in its directory already goes on (*Continue*); and whatever ends it
    before it has begun is told by RELION's file.

    Parameters
    ----------
    words : sequence of str
        Words after the command.
    """
    split = [part for word in words for part in _parts(word)]
    if _PARTICLES not in split:
        yield list(words)
        return
    # Here and not above: other commands do without.
    from mapsort.rundir.layout import RunDirectory
    from mapsort.rundir.relion_job import JobEnd, mark_end

    ours = _translated(split)
    place = Path(ours[ours.index("--path") + 1]) if "--path" in ours[:-1] else None
    if place is not None and RunDirectory(place).parms.exists():
        ours += ["--resume", str(place)]
    try:
        with redirect_stderr(sys.stdout):
            yield ours
    except BaseException:
        if place is not None and place.is_dir() and not RunDirectory(place).parms.exists():
            mark_end(place, JobEnd.FAILURE)
        raise


def _parts(word: str) -> list[str]:
    name, equals, value = word.partition("=")
    return [name, value] if equals and name in (*_OURS, _NEEDLESS) else [word]


def _translated(words: Sequence[str]) -> list[str]:
    ours: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == _NEEDLESS:
            next(rest, None)
        elif word == "--j":
            ours += ["--parallel", f"thread:{next(rest, '')}"]
        else:
            ours.append(_OURS.get(word, word))
    return ours
