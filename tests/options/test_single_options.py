"""Options of the single-map refinement: those of the multi-map one where they mean the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mapsort.cli.parser import command_parser, given_values
from mapsort.errors import ConfigError
from mapsort.options.fields import flag_of, typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import RefineOptions
from mapsort.options.types import Automask3D, CtfHandling

# A value other than the default for every option, as written and as held.
EXAMPLES = {
    "input": ("p.star", Path("p.star")),
    "passthrough": ("p.cs", (Path("p.cs"),)),
    "model": ("a.mrc", Path("a.mrc")),
    "startres": ("25", 25.0),
    "diameter": ("180.5", 180.5),
    "sym": ("d7", ("d7",)),
    "mass": ("800", (800.0,)),
    "startiter": ("2", 2),
    "resume": ("refine_00", Path("refine_00")),
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
    "orientgen": ("eman:delta=9", "eman:delta=9"),
    "maxshift": ("4.5", 4.5),
    "simcmp": ("ccc:maxres=10", "ccc:maxres=10"),
    "pad": ("96", 96),
    "automask3d": ("0.8,30,4,4,20", Automask3D(0.8, 30.0, 4, 4, 20)),
    "bfactor": ("120", 120.0),
    "m3dsetsf": ("sf.txt", Path("sf.txt")),
    "check": (None, True),
    "verbose": ("3", 3),
    "no_report": (None, True),
    "quiet": (None, True),
}


def parse(words):
    args = command_parser("refine").parse_args(words)
    return typed_options(RefineOptions, given_values(RefineOptions, args))


def test_the_examples_are_complete():
    assert list(EXAMPLES) == [item.name for item in dataclasses.fields(RefineOptions)]


def test_every_option_reaches_the_dataclass_and_the_shared_ones_the_engine():
    words = []
    for name, (text, _) in EXAMPLES.items():
        words += [flag_of(name)] if text is None else [flag_of(name), text]
    options = parse(words)
    for name, (_, value) in EXAMPLES.items():
        assert getattr(options, name) == value, name
    # --relax excludes --breaksym
    engine = dataclasses.replace(options, bfactor="auto", relax=()).validated().as_multi()
    shared = {item.name for item in dataclasses.fields(MultiOptions)} & set(EXAMPLES)
    for name in shared - {"model", "m3dsetsf", "startres", "relax"}:
        assert getattr(engine, name) == EXAMPLES[name][1], name
    assert engine.models == (Path("a.mrc"),)


def test_defaults_are_those_of_multi():
    options = RefineOptions(input=Path("p.star"), model=Path("a.mrc")).validated()
    multi = MultiOptions(input=Path("p.star"), models=(Path("a.mrc"),)).validated()
    assert dataclasses.replace(options.as_multi()) == multi


def test_the_record_holds_every_option_as_plain_values():
    record = RefineOptions(input=Path("p.star"), model=Path("a.mrc"), iter=4).as_record()
    assert set(EXAMPLES) <= set(record)
    assert record["iter"] == 4
    assert record["models"] == ["a.mrc"]


@pytest.mark.parametrize("written", ["much", "", "1e999"])
def test_a_wrong_bfactor_names_what_it_takes(written):
    with pytest.raises(ConfigError, match=r"--bfactor.*auto, none or a number"):
        parse(["--input", "p", "--model", "a", f"--bfactor={written}"]).validated()
