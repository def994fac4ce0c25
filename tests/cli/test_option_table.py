"""The options dataclass and the parser that is built from it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from mapsort.cli.parser import command_parser, given_values
from mapsort.options.fields import flag_of, typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.types import (
    Assignment,
    Automask3D,
    CtfHandling,
    InputMode,
    KeptFiles,
    MapFormat,
    SeedMethod,
)

# A value other than the default for every option, as written and as held.
EXAMPLES = {
    "input": ("p.star", Path("p.star")),
    "passthrough": ("p.cs", (Path("p.cs"),)),
    "usefilt": ("f.star", Path("f.star")),
    "models": ("a.mrc,b.mrc", (Path("a.mrc"), Path("b.mrc"))),
    "model": ("c.mrc", Path("c.mrc")),
    "nmodels": ("3", 3),
    "seedmethod": ("randphase", SeedMethod.RANDOM_PHASES),
    "startres": ("40", 40.0),
    "starts": ("2", 2),
    "batch": ("500", 500),
    "replicates": ("2", 2),
    "control": (None, True),
    "mass": ("800,750.5", (800.0, 750.5)),
    "sym": ("d7,c7", ("d7", "c7")),
    "iter": ("3", 3),
    "breaksym": (None, True),
    "relax": ("d7", ("d7",)),
    "path": ("run", Path("run")),
    "downsample": ("128", 128),
    "targetres": ("12", 12.0),
    "speed": ("7", 7),
    "randomseed": ("42", 42),
    "ctf": ("flipped", CtfHandling.FLIPPED),
    "invert": (None, True),
    "apix": ("1.5", 1.5),
    "datadir": ("images", Path("images")),
    "parallel": ("thread:2", "thread:2"),
    "lowmem": (None, True),
    "format": ("hdf", MapFormat.HDF),
    "keepfiles": ("last", KeptFiles.LAST),
    "orientgen": ("eman:delta=9", "eman:delta=9"),
    "projector": ("standard", "standard"),
    "maxshift": ("4.5", 4.5),
    "simcmp": ("frc:maxres=10", "frc:maxres=10"),
    "twostage": ("2", 2),
    "shrink": ("2", 2),
    "simalign": ("rtf_exhaustive", "rtf_exhaustive"),
    "simaligncmp": ("ccc", "ccc"),
    "simralign": ("none", "none"),
    "simraligncmp": ("dot", "dot"),
    "simmask": ("mask.mrc", Path("mask.mrc")),
    "mask": ("focus.mrc", (Path("focus.mrc"),)),
    "skipalign": (None, True),
    "prefilt": (None, True),
    "sep": ("2", 2),
    "assign": ("soft", Assignment.SOFT),
    "junk": ("2", 2),
    "classiter": ("2", 2),
    "classcmp": ("lod", "lod"),
    "classalign": ("rotate_translate", "rotate_translate"),
    "classaligncmp": ("ccc", "ccc"),
    "classralign": ("none", "none"),
    "classraligncmp": ("dot", "dot"),
    "classaverager": ("mean", "mean"),
    "classkeep": ("0.5", 0.5),
    "classkeepsig": (None, True),
    "classnormproc": ("normalize.edgemean", "normalize.edgemean"),
    "classrefsf": (None, True),
    "classautomask": (None, True),
    "m3dkeep": ("0.7", 0.7),
    "m3dkeepsig": (None, True),
    "m3dsetsf": ("sf.txt", "sf.txt"),
    "m3diter": ("2", 2),
    "m3dpreprocess": ("normalize.edgemean", "normalize.edgemean"),
    "m3dpostprocess": ("mask.sharp", "mask.sharp"),
    "inputmode": ("particles", InputMode.PARTICLES),
    "halves": (None, True),
    "recon": ("nn4:snr=10", "nn4:snr=10"),
    "pad": ("96", 96),
    "automask3d": ("0.8,30,4,4,20", Automask3D(0.8, 30.0, 4, 4, 20)),
    "check": (None, True),
    "verbose": ("3", 3),
    "no_report": (None, True),
    "quiet": (None, True),
    "resume": ("multi_00", Path("multi_00")),
    "log_json": (None, True),
}


def parse(words):
    args = command_parser("multi").parse_args(words)
    return typed_options(MultiOptions, given_values(MultiOptions, args))


def written(*, equals):
    words = []
    for name, (text, _) in EXAMPLES.items():
        flag = flag_of(name)
        if text is None:
            words.append(flag)
        elif equals:
            words.append(f"{flag}={text}")
        else:
            words += [flag, text]
    return words


def test_the_examples_are_complete():
    assert list(EXAMPLES) == [item.name for item in dataclasses.fields(MultiOptions)]


@pytest.mark.parametrize("equals", [True, False])
def test_every_option_reaches_the_dataclass(equals):
    options = parse(written(equals=equals))
    # --models and --model exclude each other, and --breaksym and --relax; without classes, what is
    # about them is refused.
    replace(
        options, model=None, inputmode=InputMode.CLASSES, skipalign=False, halves=False, relax=()
    ).validated()
    for name, (_, value) in EXAMPLES.items():
        held = getattr(options, name)
        assert held == value
        assert type(held) is type(value)


def test_what_is_not_written_is_the_default():
    options = parse(["--input", "p.star", "--models", "a.mrc"])
    assert options == MultiOptions(input=Path("p.star"), models=(Path("a.mrc"),))


def test_short_spellings():
    options = parse(["--input", "p", "--models", "a", "-P", "thread:2", "-v", "3", "-q", "-c"])
    assert (options.parallel, options.verbose, options.quiet, options.check) == (
        "thread:2",
        3,
        True,
        True,
    )
