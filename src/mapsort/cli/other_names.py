"""What options and words of RELION, cryoSPARC or others are called here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from mapsort.modules.modopt import did_you_mean

#: Options here, and what others call them, without dashes, underscores and capitals.
_ELSEWHERE = {
    "--input": "i particles particlespath star",
    "--path": "o output out outdir outputdir odir",
    "--out": "o output outdir odir",
    "--output": "o out",
    "--models": "ref refs references volumes maps",
    "--model": "ref reference volume map",
    "--nmodels": "k nclasses nrclasses numclasses classes abinitk",
    "--startres": "inihigh initiallowpass lowpass refineresinit",
    "--parallel": "j threads nthreads numthreads cpus",
    "--sym": "symmetry refinesymmetry multirefinesymmetry abinitsymmetry",
    "--relax": "relaxsym relaxsymmetry symmetryrelaxation",
    "--apix": "angpix pixelsize psize psizea",
    "--maxshift": "offsetrange",
    "--orientgen": "healpixorder",
    "--targetres": "stricthighresexp",
    "--mask": "solventmask focusmask",
    "--skipalign": "noalign",
    "--halves": "splitrandomhalves autorefine",
    "--diameter": "particlediameter",
    "--iter": "niter numiter numiterations iterations",
    "--randomseed": "seed",
    "--seed": "randomseed",
    "--resume": "continue",
    "--angles": "ang",
    "--box": "newbox",
    "--passthrough": "passthroughpath",
}
_NEEDLESS = {
    "gpu": "computes on processors",
    "tau2fudge": "takes the weight of the prior from the FSC of half maps",
    "pool": "chooses blocks by itself",
    "prereadimages": "reads images as they are needed",
    "scratchdir": "needs no scratch copy of the images",
    "dontcombineweightsviadisc": "keeps sums in memory",
}


def hint_for(written: str, known: Sequence[str], *, bare: str = "") -> str:
    """Return the hint to append to a message about an option that is not known.

    Parameters
    ----------
    written : str
        What the user wrote, with its dashes.
    known : sequence of str
        The command's options, with theirs.
    bare : str
        What the command takes without an option.

    Returns
    -------
    str
        As `did_you_mean`; an option that is called otherwise elsewhere, and one of which the
        beginning was written, go before one that is spelt alike.
    """
    word = _plain(written)
    if word in _NEEDLESS:
        return f"; mapsort {_NEEDLESS[word]}: leave it out"
    if bare and word in ("i", "input"):
        return f"; {bare} is given without an option"
    alike = [name for name in known if _plain(name) == word and len(word) > 1]
    same = [name for name in known if word in _ELSEWHERE.get(name, "").split()]
    begun = [name for name in known if len(word) > 1 and _plain(name).startswith(word)]
    near = alike or same or (begun if len(begun) <= 4 else [])
    return f"; did you mean {' or '.join(near)}?" if near else did_you_mean(written, known)


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


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
_WITHOUT_EFFECT = "--pipeline_control"


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
    return [name, value] if equals and name in (*_OURS, _WITHOUT_EFFECT) else [word]


def _translated(words: Sequence[str]) -> list[str]:
    ours: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == _WITHOUT_EFFECT:
            next(rest, None)
        elif word == "--j":
            ours += ["--parallel", f"thread:{next(rest, '')}"]
        else:
            ours.append(_OURS.get(word, word))
    return ours
