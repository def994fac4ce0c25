"""Options that another one leaves without effect are told, each as the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapsort.errors import ConfigError
from mapsort.options.fields import flag_of
from mapsort.options.multi import MultiOptions
from mapsort.options.types import Assignment, InputMode, SeedMethod
from mapsort.options.without_effect import WITHOUT_EFFECT, options_without_effect

GIVEN = {
    "maxshift": 3.0,
    "simaligncmp": "ccc",
    "twostage": 2,
    "shrink": 2,
    "simalign": "rotate_translate",
    "simralign": "none",
    "simraligncmp": "ccc",
    "speed": 3,
    "sep": 2,
    "junk": 1,
    "classautomask": True,
    "classcmp": "ccc",
    "m3dkeep": 0.5,
    "m3dkeepsig": True,
    "classrefsf": True,
    "starts": 3,
    "batch": 400,
    "replicates": 3,
    "control": True,
    "datadir": Path("images"),
}
ONE_MAP = {"models": (), "model": Path("a.mrc")}
#: For each row of the table what brings its condition about, and what does away with it.
CONDITIONS = [
    ({"skipalign": True}, {"skipalign": True, "classiter": 1}),
    ({"skipalign": True}, {}),
    ({"simalign": "rotational"}, {"simalign": "rotate_translate:maxshift=2"}),
    ({"simalign": "rtf_exhaustive"}, {"simalign": "rotate_translate"}),
    ({"speed": 6}, {"speed": 5}),
    ({"simralign": "none"}, {"simralign": "refine:maxshift=2"}),
    ({"orientgen": "eman:delta=9"}, {"orientgen": "auto"}),
    ({"assign": Assignment.SOFT}, {"assign": Assignment.HARD}),
    ({"iter": 1}, {"iter": 2}),
    ({"classiter": 0}, {"classiter": 1}),
    ({"classkeep": 1.0}, {"classkeep": 1.0, "classkeepsig": True}),
    ({"m3diter": 1}, {"m3diter": 2}),
    ({"inputmode": InputMode.PARTICLES}, {}),
    ({"models": (Path("a.mrc"),)}, {}),
    ({"models": (Path("a.mrc"),)}, {}),
    ({"models": (Path("a.mrc"),)}, {}),
    (ONE_MAP, ONE_MAP | {"seedmethod": SeedMethod.NOISE}),
    (ONE_MAP, ONE_MAP | {"seedmethod": SeedMethod.NOISE}),
    ({"skipalign": True}, {}),
    ({"inputmode": InputMode.PARTICLES}, {}),
    ({"input": Path("p.mrcs")}, {"input": Path("p.star")}),
]


def request(**changed):
    base = {"input": Path("p.star"), "models": (Path("a.mrc"), Path("b.mrc"))}
    return MultiOptions(**(base | changed))


def test_every_row_has_its_condition():
    assert len(CONDITIONS) == len(WITHOUT_EFFECT)
    assert {name for row in WITHOUT_EFFECT for name in row.names} == set(GIVEN)


@pytest.mark.parametrize(
    ("row", "on", "off", "name"),
    [
        pytest.param(row, on, off, name, id=f"{name}-{next(iter(on))}")
        for row, (on, off) in zip(WITHOUT_EFFECT, CONDITIONS, strict=True)
        for name in row.names
    ],
)
def test_options_without_effect_are_told(row, on, off, name):
    line = f"{flag_of(name)}: {row.words}"
    assert line in options_without_effect(request(**{name: GIVEN[name]} | on))
    assert line not in options_without_effect(request(**{name: GIVEN[name]} | off))
    # what is not given is not told
    assert line not in options_without_effect(request(**on))


def test_the_defaults_have_nothing_to_tell():
    assert options_without_effect(request()) == ()


@pytest.mark.parametrize("option", [{"nmodels": 3}, {"seedmethod": SeedMethod.FRAGMENTS}], ids=str)
def test_a_run_begun_with_what_is_refused_now_goes_on(option):
    with pytest.raises(ConfigError, match="made of --model"):
        request(**option).validated()
    assert request(**option, resume=Path("multi_00")).validated().models == request().models
