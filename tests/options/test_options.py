"""The options of multi: values, ranges, combinations."""

from __future__ import annotations

import dataclasses
import json
import pkgutil
from pathlib import Path

import pytest

from mapsort.cli.commands import COMMANDS
from mapsort.errors import ConfigError
from mapsort.options.fields import flag_of, per_map
from mapsort.options.multi import MultiOptions
from mapsort.options.types import Automask3D, CtfHandling, SeedMethod


def options(**changes):
    return MultiOptions(input=Path("p.star"), models=(Path("a.mrc"), Path("b.mrc")), **changes)


def test_defaults_are_those_of_the_interface():
    request = options().validated()
    assert (request.iter, request.sym, request.speed, request.sep) == (None, ("c1",), 5, 1)
    assert (request.classkeep, request.classkeepsig, request.pad) == (0.9, False, 0)
    assert (request.orientgen, request.ctf, request.mass) == ("auto", CtfHandling.AUTO, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", "p.star"),
        ("models", (Path("a"), "b")),
        ("iter", 0),
        ("iter", 2.5),
        ("iter", True),
        ("sym", ("",)),
        ("sym", ("x4",)),
        ("sym", ("c1", "c2", "c3")),
        ("apix", 0.0),
        ("apix", float("nan")),
        ("mass", (0.0,)),
        ("mass", (1.0, 2.0, 3.0)),
        ("orientgen", "nothing:delta=4"),
        ("orientgen", "eman"),
        ("orientgen", "eman:delta=4:n=10"),
        ("targetres", -1.0),
        ("speed", 0),
        ("speed", 8),
        ("sep", 0),
        ("classkeep", 0.0),
        ("classkeep", 1.1),
        ("classkeepsig", 1),
        ("pad", -1),
        ("automask3d", (1.0, 2.0, 3)),
        ("automask3d", (1.0, -2.0, 3, 4, 5)),
        ("automask3d", (1.0, 2.0, 3.5, 4, 5)),
        ("maxshift", -1.0),
        ("ctf", "auto"),
        ("invert", "yes"),
        ("randomseed", -3),
        ("parallel", "thread"),
        ("parallel", "thread:0"),
        ("parallel", "mpi:4"),
        ("parallel", "dask:local=0"),
        ("verbose", 10),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(options(), **{name: value}).validated()
    text = str(caught.value)
    assert text.startswith(flag_of(name) + "=")
    assert len(text.splitlines()) <= 2


def test_every_option_has_a_refused_value_or_is_a_flag():
    """A value of no option's kind: an option whose kind accepts everything would be found here."""
    for item in dataclasses.fields(MultiOptions):
        with pytest.raises(ConfigError, match=flag_of(item.name)):
            dataclasses.replace(options(), **{item.name: object()}).validated()


def test_classkeep_above_one_goes_with_classkeepsig():
    assert options(classkeep=2.5, classkeepsig=True).validated().classkeep == 2.5


def test_target_resolution_is_held_against_the_pixel_size():
    assert options(targetres=4.0, apix=2.0).validated().targetres == 4.0
    with pytest.raises(ConfigError, match=r"--targetres=3.9: expected at least 4 A"):
        options(targetres=3.9, apix=2.0).validated()


def test_one_value_serves_all_maps_and_a_list_each_its_own():
    assert options().symmetries == ("c1", "c1")
    assert options(sym=("d7", "c7")).symmetries == ("d7", "c7")
    assert options().masses is None
    assert options(mass=(800.0,)).masses == (800.0, 800.0)
    with pytest.raises(ConfigError, match="each of the 2 maps; there are 3"):
        per_map("sym", ("c1", "c2", "c3"), 2)


def test_one_map_is_told_to_classify_nothing():
    alone = MultiOptions(input=Path("p.star"), models=(Path("a.mrc"),), parallel="thread:1")
    assert ["nothing is classified" in note for note in alone.notes] == [True]
    found = {"input": Path("p.star"), "model": Path("a.mrc"), "parallel": "thread:1"}
    assert MultiOptions(**found, nmodels=None).validated().notes == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [("mpi:8", "thread:N"), ("dc:host:9990", "thread:N"), ("dask:h", "expected thread:N")],
)
def test_other_kinds_of_parallel_are_refused_with_an_alternative(text, words):
    with pytest.raises(ConfigError, match=words):
        options(parallel=text).validated()


def test_parallel_with_scratch_is_taken_and_said():
    request = options(parallel="thread:3:/scratch/x").validated()
    assert request.n_threads == 3
    assert len([note for note in request.notes if "/scratch/x" in note]) == 1
    assert len(options(parallel="thread:1:/scratch/x").notes) == 1
    assert options(parallel="thread:1").notes == ()


def test_without_parallel_the_threads_are_those_available(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert options().n_threads == 5


def test_the_record_is_json_and_complete():
    request = options(automask3d=Automask3D(1.0, 20.0, 2, 3, 0), path=Path("run"))
    record = json.loads(json.dumps(request.as_record()))
    assert list(record) == [item.name for item in dataclasses.fields(MultiOptions)]
    assert record["models"] == ["a.mrc", "b.mrc"]
    assert record["automask3d"] == [1.0, 20.0, 2, 3, 0]
    assert record["ctf"] == "auto"


def test_one_map_stands_for_several():
    request = MultiOptions(input=Path("p.star"), model=Path("a.mrc"), nmodels=3, sym=("c2",))
    request = request.validated()
    assert request.models == (Path("a.mrc"),) * 3
    assert request.symmetries == ("c2",) * 3
    assert request.validated() == request


def test_maps_come_from_one_place():
    with pytest.raises(ConfigError, match="--models and --model: give one of them"):
        options(model=Path("c.mrc")).validated()
    made = MultiOptions(input=Path("p.star"), nmodels=3).validated()
    assert made.makes_maps
    assert len(made.models) == 3
    assert "no starting map is given: 3 maps will be made" in made.notes[0]
    assert made.validated() == made


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"skipalign": True}, "mapsort reconstruct makes one"),
        ({"sym": ("c1", "c2")}, "one point group is taken"),
        ({"sym": ("h3:1:20:5",)}, "one point group is taken"),
        ({"seedmethod": SeedMethod.NOISE}, "makes maps of one"),
    ],
    ids=str,
)
def test_what_no_maps_are_made_with(given, why):
    with pytest.raises(ConfigError, match=f"--models is missing: .*{why}"):
        MultiOptions(input=Path("p.star"), **given).validated()


@pytest.mark.parametrize("command", COMMANDS)
def test_what_reads_names_is_there_and_takes_the_default(command):
    for item in dataclasses.fields(COMMANDS[command].options_type()):
        if item.metadata["names"]:
            read = pkgutil.resolve_name(f"mapsort.{item.metadata['names']}")
            values = item.default if isinstance(item.default, tuple) else (item.default,)
            for value in set(values) - {None, "auto"}:
                read(value)
