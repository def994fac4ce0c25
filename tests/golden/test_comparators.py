"""Every comparator in every setting of the reference values."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.modules.comparators import compare

KINDS = ("cmp",)


def snr_curve(text):
    """Frequency [1/A] and signal-to-noise ratio of a CTF in EMAN2's text form."""
    numbers, _, snr = text[1:].split()[:8], *text.split()[9:11]
    spacing = float(text.split()[8])
    values = [float(v) for v in snr.split(",")[1:]]
    assert len(numbers) == 8
    return np.column_stack([np.arange(len(values)) * spacing, values])


def run(golden, entry):
    name, *pairs = entry["module"].split(":")
    plain, more = [], {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if value.startswith("@"):
            more[key] = golden.inputs[value[1:]]
        else:
            plain.append(pair)
    facts = [golden.facts[image] for image in entry["inputs"]]
    if "snrweight=1" in pairs:
        more["snr"] = snr_curve(next(f["ctf"] for f in facts if "ctf" in f))
    if "nweight=1" in pairs:
        more["ptcl_repr"] = facts[1].get("ptcl_repr", 1)
    images = [golden.inputs[image] for image in entry["inputs"]]
    return compare(":".join([name, *plain]), *images, apix=facts[0]["apix"], **more)


def test_exact(golden, entry):
    assert run(golden, entry) == pytest.approx(entry["value"], rel=entry["rtol"], abs=entry["atol"])


test_exact.statuses = ("exact",)


def test_bug(golden, entry):
    """optvariance: the least-squares residual is below the original's misapplied line."""
    ours = run(golden, entry)
    assert ours >= 0
    assert ours != pytest.approx(entry["value"], rel=1e-3)
    if "radweight" not in entry["module"] and "matchamp" not in entry["module"]:
        # without a fit the difference cannot be smaller than with it
        unfitted = compare("sqeuclidean", *(golden.inputs[i] for i in entry["inputs"]))
        assert ours < unfitted


test_bug.statuses = ("bug",)
