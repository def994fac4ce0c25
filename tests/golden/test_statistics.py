"""Background levels, moved images and symmetry operators of the reference values."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.geometry.symmetry import symmetry
from mapsort.modules.processors import process
from mapsort.physics.normalization import edge_mean, sample_sigma

KINDS = ("stat", "symmetry", "transform.image")

#: Those that processors use. The original's attribute circle_mean is taken over another ring than
#: its processor normalize.circlemean, which has entries of its own.
STATISTICS = {
    "mean": np.mean,
    "sigma": sample_sigma,
    "edge_mean": edge_mean,
}


def concerns(entry):
    """Leave out other statistics, and helical symmetry, which this version refuses."""
    if entry["kind"] == "stat":
        return entry["module"] in STATISTICS
    return not entry["module"].startswith("h")


def test_exact(golden, entry):
    CHECKS[entry["kind"]](golden, entry)


def check_statistic(golden, entry):
    ours = STATISTICS[entry["module"]](golden.inputs[entry["inputs"][0]])
    assert ours == pytest.approx(entry["value"], rel=entry["rtol"], abs=entry["atol"])


def check_symmetry(golden, entry):
    name = entry["module"]
    theirs = golden.outputs[entry["value"]["array"]].reshape(-1, 3, 3)
    ours = symmetry(name).matrices
    assert len(ours) == len(theirs)
    gaps = np.abs(ours[:, None] - theirs[None]).max(axis=(2, 3))
    assert gaps.min(axis=1).max() < 3e-5
    assert gaps.min(axis=0).max() < 3e-5


def check_moved(golden, entry):
    image, table = (golden.inputs[name] for name in entry["inputs"])
    row = [float(v) for v in table[int(entry["module"].split("[")[1].rstrip("]"))]]
    names = ("alpha", "tx", "ty") if image.ndim == 2 else ("az", "alt", "phi", "tx", "ty", "tz")
    *pose, scale, mirror = row
    given = dict(zip(names, pose, strict=True))
    golden.check(entry, process("xform", image, scale=scale, mirror=int(mirror), **given))


CHECKS = {"stat": check_statistic, "symmetry": check_symmetry, "transform.image": check_moved}
