"""Reconstructors against the original's values: at least as good a map of the same projections."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.geometry.euler import eman_to_matrix
from mapsort.modules.modopt import parse_modopt
from mapsort.physics.phantom import phantom_map
from mapsort.physics.shells import shell_index

#: Parameters of an entry that are arguments of ours and not the module's.
ARGUMENTS = ("sym", "pad", "weights")


@pytest.fixture(scope="module")
def rebuilt(golden):
    """Reconstruct an entry's projections with its module; each once."""
    known = {}

    def make(entry):
        call = parse_modopt(entry["module"])
        name = entry["inputs"][0]
        weighted = "recon_weights" in entry["inputs"]
        mode = {k: v for k, v in call.parameters.items() if k not in ARGUMENTS}
        method = ":".join([call.name, *(f"{k}={v}" for k, v in mode.items())])
        key = (method, name, weighted)
        if key not in known:
            known[key] = mapsort.reconstruct(
                golden.inputs[name],
                eman_to_matrix(golden.inputs[entry["inputs"][1]]),
                symmetry=call.parameters.get("sym", "c1"),
                weights=golden.inputs["recon_weights"] if weighted else None,
                method=method,
            ).data
        return known[key], golden.inputs[entry["inputs"][2]]

    return make


def entries(golden, quantity):
    return golden.select(lambda e: e["kind"] == f"reconstructor.{quantity}")


def shell_amplitudes(volume):
    """Root of the mean power of each shell, relative to shell 1."""
    box = len(volume)
    shells = shell_index(box, ndim=3).ravel()
    power = np.bincount(shells, np.abs(np.fft.rfftn(volume)).ravel() ** 2)
    mean = np.sqrt(power / np.bincount(shells))[: box // 2 + 1]
    return mean / mean[1]


def test_fourier_shells_are_as_good(golden, rebuilt):
    """0.02 below the original's value at most, wherever there is something (above 0.2).

    Not in the last shell, half of which is beyond what images hold, and where ours leave out the
    Nyquist terms; nor where the true map is below 1/2000 of its strength, less than the errors of
    the projections, which the original made by trilinear sums.
    """
    for entry in entries(golden, "fsc"):
        volume, truth = rebuilt(entry)
        expected = np.array(entry["value"])
        ours = mapsort.fsc(volume, truth)[: len(expected)]
        there = (expected > 0.2) & (shell_amplitudes(truth) > 5e-4)
        there[-1] = False
        assert there.sum() >= 10
        assert (ours - expected)[there].min() >= -0.02, entry["id"]


def test_maps_correlate_as_well_with_the_truth(golden, rebuilt):
    for entry in entries(golden, "ccc"):
        volume, truth = rebuilt(entry)
        ours = np.corrcoef(volume.ravel(), truth.ravel())[0, 1]
        assert ours >= entry["value"] - 0.005, entry["id"]


def test_amplitudes_are_nearer_to_the_truth(golden, rebuilt):
    """The value at the maximum, whose scale is arbitrary in the original's back-projection."""
    for entry in entries(golden, "amp"):
        volume, truth = rebuilt(entry)
        place = np.unravel_index(truth.argmax(), truth.shape)
        ours = volume[place] / truth[place]
        assert abs(ours - 1) <= abs(entry["value"] - 1) + 0.01, (entry["id"], ours)


@pytest.mark.parametrize(("spec", "least", "amplitude"), [("fourier", 0.9973, 0.95)])
def test_the_original_s_figures_for_579_projections_are_beaten(spec, least, amplitude):
    """Its best modes reach a correlation of 0.9973 with the true map, and 0.95 of the maximum."""
    truth = phantom_map(0, 48, 128 / 48)
    rotations = eman_to_matrix(mapsort.orientations("eman:delta=6:inc_mirror=0:perturb=0", "c1"))
    assert len(rotations) == 579
    volume = mapsort.reconstruct(mapsort.project(truth, rotations), rotations, method=spec).data
    place = np.unravel_index(truth.argmax(), truth.shape)
    assert np.corrcoef(volume.ravel(), truth.ravel())[0, 1] >= least
    assert amplitude <= volume[place] / truth[place] <= 2 - amplitude
