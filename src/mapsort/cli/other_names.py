"""What an option is called here that RELION, cryoSPARC or others call otherwise."""

from __future__ import annotations

from collections.abc import Sequence

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
