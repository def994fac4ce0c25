"""What a run decides by itself is written down, what it was told is not."""

from __future__ import annotations

import pytest

from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.choices import automatic_choices
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.plan import resolve
from mapsort.rundir.manifest import read_manifest

ALWAYS = {"half-sets", "particle radius", "similarity matrix"}
LEFT_OPEN = {
    "--apix",
    "--ctf",
    "--orientgen",
    "--assign",
    "highest frequency compared",
    "--maxshift",
    "--pad",
    "--startres",
    "--batch",
    "mask",
    "--randomseed",
    "--parallel",
}
TOLD = {
    "apix": 4.0,
    "ctf": "apply",
    "orientgen": "eman:delta=20",
    "assign": "hard",
    "targetres": 20.0,
    "maxshift": 3.0,
    "pad": 48,
    "automask3d": "1,4,1,1,0",
    "startres": "30",
    "batch": "all",
    "randomseed": 1,
    "parallel": "thread:1",
}


@pytest.fixture
def chosen(small, tmp_path):
    def choices(**more):
        request = {"input": small.particles, "models": small.seeds, "path": tmp_path / "x"} | more
        options = typed_options(MultiOptions, request).validated()
        inputs = open_inputs(options)
        plan = resolve(options, inputs)
        return {c.name: c for c in automatic_choices(options, inputs, plan)}, plan

    return choices


def test_all_that_was_left_open(chosen):
    found, plan = chosen()
    assert set(found) == ALWAYS | LEFT_OPEN
    assert all(choice.value and choice.reason for choice in found.values())
    assert found["--maxshift"].value == "4 px"
    assert found["--randomseed"].value == str(plan.seed)
    assert found["--orientgen"].value == plan.orientgen
    assert found["--ctf"].value == "apply"
    assert found["similarity matrix"].value == "full"
    half_sets = found["half-sets"]
    assert (half_sets.value, half_sets.reason) == (
        "60 and 60 particles",
        "images alternate between them",
    )


def test_nothing_that_was_told(chosen):
    assert set(chosen(**TOLD)[0]) == ALWAYS


@pytest.mark.parametrize(
    "name",
    ["orientgen", "assign", "maxshift", "startres", "batch", "pad", "randomseed", "parallel"],
)
def test_one_option_left_open(chosen, name):
    found, _ = chosen(**{key: value for key, value in TOLD.items() if key != name})
    assert set(found) == ALWAYS | {f"--{name}"}


def test_a_narrowed_search_keeps_the_best_matches(chosen):
    assert chosen(speed=6)[0]["similarity matrix"].value.startswith("full, then best matches")


def test_they_are_in_the_manifest(run_small):
    run = run_small(iter=1, orientgen="eman:delta=24")
    names = [choice["name"] for choice in read_manifest(run.path / "0_refine_parms.json").choices]
    assert "--maxshift" in names
    assert "--orientgen" not in names


@pytest.mark.parametrize(
    ("more", "way", "why"),
    [({}, "pca", "judged by maps made without it"), ({"sep": 2}, "noise", "--sep 2")],
    ids=["classes are found", "they cannot be"],
)
def test_how_classes_start_from_one_map(chosen, small, more, way, why):
    found, _ = chosen(models=(), model=small.seeds[0], nmodels=2, **more)
    assert found["--seedmethod"].value == way
    assert why in found["--seedmethod"].reason
    assert ("--junk" in found) is (way == "pca")
    told, _ = chosen(models=(), model=small.seeds[0], nmodels=2, seedmethod="noise", **more)
    assert not {"--seedmethod", "--junk"} & set(told)
