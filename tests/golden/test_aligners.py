"""Every aligner of the reference values finds the truth at least as well as the original."""

from __future__ import annotations

import numpy as np

from mapsort.modules.aligners import align
from mapsort.modules.comparators import compare
from mapsort.physics.image_moves import transform_image

KINDS = ("aligner", "aligner3d")


def test_aligner(golden, entry):
    if entry["kind"] == "aligner3d":
        check_map(golden, entry)
        return
    moving, fixed = (golden.inputs[name] for name in entry["inputs"])
    parts = [part.strip() for part in entry["module"].split("|")]
    found = None
    for spec, score in zip(parts[::2], parts[1::2], strict=True):
        found = align(spec, moving, fixed, score=score, apix=2.0, start=found)
    alpha, tx, ty, _, _, theirs = entry["value"]
    truth = golden.facts[entry["inputs"][1]]["truth"]

    def errors(alpha, tx, ty):
        turn = abs((alpha - truth["alpha"] + 180) % 360 - 180)
        return turn, np.hypot(tx - truth["tx"], ty - truth["ty"])

    ours = -compare("ccc", transform_image(moving, found.matrix), fixed)
    angle, shift = errors(found.alpha, found.tx, found.ty)
    their_angle, their_shift = errors(alpha, tx, ty)
    assert found.mirror == bool(truth["mirror"])
    assert ours >= theirs - 0.01
    assert angle <= min(their_angle, 4.0) + 1.0
    assert shift <= max(1.0, min(their_shift, 1.0))
    if entry["status"] == "bug":
        # the original missed it
        assert ours > theirs + 0.1


def check_map(golden, entry):
    """The transform that made the fixed map, within the entry's tolerance of the original's."""
    from mapsort.geometry.euler import eman_to_matrix

    volume = golden.inputs["v"]
    truth = np.column_stack([eman_to_matrix([11.0, 7.0, -9.0]), [1.3, -0.8, 0.6]])
    found = align("refine_3d", volume, transform_image(volume, truth), score="ccc")
    golden.check({**entry, "value": golden.outputs[entry["value"]["array"]].tolist()}, found.matrix)
    np.testing.assert_allclose(found.matrix, truth, atol=0.02)
