"""Declaring modules and settling their parameters."""

from __future__ import annotations

import pytest

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.parameter import Parameter
from mapsort.modules.registry import ModuleKind, Registry


@pytest.fixture
def registry():
    made = Registry(ModuleKind.PROCESSOR, not_yet=("mask.later",))

    @made.register(
        "math.linear",
        help="scale and shift",
        parameters=(
            Parameter("scale", float, 1.0, "factor"),
            Parameter("times", int, 1, "how often"),
            Parameter("invert", bool, False, "negate"),
            Parameter("label", str, "x", "name"),
        ),
    )
    def linear(value, *, scale, times, invert, label):
        for _ in range(times):
            value = value * scale
        return (-value if invert else value, label)

    return made


def test_a_bound_module_runs_with_its_parameters(registry):
    run = registry.bind("math.linear:scale=2:times=3:invert=1:label=7")
    assert run(1.5) == (-12.0, "7")
    assert registry.bind("math.linear")(1.5) == (1.5, "x")
    assert registry.bind(ModuleCall("math.linear", {"scale": 3}))(1.0) == (3.0, "x")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("math.liner", r"unknown processor 'math.liner'; did you mean math.linear\?"),
        ("math.linear:scal=2", r"unknown parameter 'scal'; did you mean scale\?"),
        ("math.linear:zzz=2", r"unknown parameter 'zzz'; known: invert, label, scale, times"),
        ("math.linear:scale=big", "scale=big: expected a number"),
        ("math.linear:times=1.5", "times=1.5: expected a whole number"),
        ("math.linear:invert=2", "invert=2: expected 0 or 1"),
        ("mask.later:x=1", "not yet in this version"),
        ("none", "a processor is needed"),
    ],
)
def test_refusals(registry, spec, words):
    with pytest.raises(ConfigError, match=words):
        registry.bind(spec)


def test_a_name_is_given_once(registry):
    with pytest.raises(ConfigError, match=r"math\.linear is registered twice"):
        registry.register("math.linear", help="again")(lambda: None)


def test_the_list_names_every_module(registry):
    (module,) = registry.modules()
    assert (module.name, module.kind, module.help) == (
        "math.linear",
        ModuleKind.PROCESSOR,
        "scale and shift",
    )
