"""Orientation generators by specification."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import symmetry
from mapsort.modules.orientgen import orientations


@pytest.mark.parametrize(
    ("sym", "without_mirror", "with_mirror"),
    [("c1", 210, 419), ("c4", 59, 110), ("d7", 27, 33), ("icos", 10, 9)],
)
def test_counts_at_ten_degrees(sym, without_mirror, with_mirror):
    assert len(orientations("eman:delta=10:inc_mirror=0:perturb=0", sym)) == without_mirror
    assert len(orientations("eman:delta=10:inc_mirror=true", symmetry(sym))) == with_mirror


def test_counts_of_the_original(shared_dir):
    entries = json.loads((shared_dir / "golden/golden.json").read_text())
    entries = entries["entries"] if isinstance(entries, dict) else entries
    checked = 0
    for entry in entries:
        spec, _, sym = entry["module"].rpartition(":sym=")
        if entry["kind"] != "orientgen.count" or not spec.startswith(("eman:", "even:")):
            continue
        if entry["status"] != "exact" or "delta=10" not in spec:
            continue
        assert len(orientations(spec, sym)) == entry["value"], entry["id"]
        checked += 1
    assert checked > 10


def test_n_is_met_as_nearly_as_a_step_can():
    assert abs(len(orientations("eman:n=100", "c1")) - 100) <= 5


def test_perturbation_comes_from_the_generator_given():
    def drawn(seed):
        return orientations("eman:delta=20:perturb=1", "c1", rng=np.random.default_rng(seed))

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.allclose(drawn(1), drawn(2))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("eman", "exactly one of delta"),
        ("eman:delta=5:n=100", "exactly one of delta"),
        ("eman:delta=0", "delta=0"),
        ("eman:delta=181", "delta=181"),
        ("eman:n=0", "n=0"),
        ("eman:delta=wide", "expected a number"),
        ("even:delta=5:perturb=1", "only eman perturbs"),
        ("eman:delta=5:perturb=1", "rng"),
        ("eman:delta=5:inc_miror=1", "did you mean inc_mirror"),
        ("evn:delta=5", "did you mean even"),
        ("saff:delta=5", "not yet in this version"),
        ("rand:n=5", "not yet in this version"),
        ("opt:n=5", "not yet in this version"),
        ("single:az=5", "not yet in this version"),
    ],
)
def test_refusals(spec, words):
    with pytest.raises(ConfigError, match=words):
        orientations(spec, "c1")
