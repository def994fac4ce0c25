"""Every processor in every setting of the reference values."""

# The checks share one signature.
# ruff: noqa: ARG001

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from mapsort.modules.processors import process
from mapsort.physics.radial_matching import matching_factors, shell_intensity
from mapsort.physics.shells import fourier_radius

KINDS = ("processor",)

#: Entries called exact where we differ on purpose: the original's radial curves are stretched along
#: x, which makes its ramp elliptic; pixels differ by 1.9 % of the maximum.
STRETCHED = {"filter.linearfourier": 0.04}


def run(golden, entry, **changed):
    """Apply the processor of an entry; ``@name`` stands for an input array."""
    name, *pairs = entry["module"].split(":")
    plain, arrays = [], {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if value.startswith("@"):
            arrays[key] = golden.inputs[value[1:]]
        else:
            plain.append(pair)
    image = golden.inputs[entry["inputs"][0]]
    apix = golden.facts[entry["inputs"][0]]["apix"]
    return process(":".join([name, *plain]), image, apix=apix, **{**arrays, **changed})


def status(*statuses):
    def mark(function):
        function.statuses = statuses
        return function

    return mark


@status("exact")
def test_exact(golden, entry):
    if entry["module"] in STRETCHED:
        entry = {**entry, "rtol": STRETCHED[entry["module"]]}
    golden.check(entry, run(golden, entry))


@status("approx")
def test_approx(golden, entry):
    name = entry["module"].split(":")[0]
    ours = run(golden, entry)
    image = golden.inputs[entry["inputs"][0]]
    if name == "xform.center":
        check_centred(golden, entry, image, ours)
    elif name == "math.rotationalaverage":
        check_rotational_average(image, ours)
    else:
        golden.check(entry, ours)


def check_centred(golden, entry, image, ours):
    """A shift by whole pixels, at most 2 pixels from the original's."""

    def shift_of(matches):
        shifts = [
            (dy, dx)
            for dy in range(-10, 11)
            for dx in range(-10, 11)
            if matches(scipy.ndimage.shift(image, (dy, dx), order=0))
        ]
        assert len(shifts) == 1
        return np.array(shifts[0])

    def as_golden(moved):
        pixels = entry["value"]["digest"]["pixels"]
        return all(abs(moved[tuple(i)] - value) < 1e-5 for i, value in pixels)

    found = shift_of(lambda moved: np.array_equal(moved, ours))
    assert np.abs(found - shift_of(as_golden)).max() <= 2


def check_rotational_average(image, ours):
    """The mean over rotations (the original averages squares, and not in the corners)."""
    centre = np.array(image.shape) // 2
    offset = np.indices(image.shape) - centre[:, None, None]
    turned = []
    for angle in np.deg2rad(np.arange(0, 360, 3)):
        c, s = np.cos(angle), np.sin(angle)
        source = np.tensordot([[c, s], [-s, c]], offset, axes=1) + centre[:, None, None]
        turned.append(scipy.ndimage.map_coordinates(image, source, order=1))
    inside = np.hypot(*offset) < centre[0] - 2
    # both interpolate linearly, along other lines: differences of second order in the sampling
    difference = (ours - np.mean(turned, axis=0))[inside & (np.hypot(*offset) > 3)]
    assert np.abs(difference).max() < 0.08 * np.abs(image).max()
    assert ours[tuple(centre)] == image[tuple(centre)]


@status("bug")
def test_bug(golden, entry):
    """We do right where the original does not, and are therefore not equal to it."""
    name = entry["module"].split(":")[0]
    ours = run(golden, entry)
    image = golden.inputs[entry["inputs"][0]]
    with pytest.raises(AssertionError):
        golden.check({**entry, "rtol": 1e-4, "atol": 1e-5}, ours)
    BUGS[name](golden, entry, image, ours)


def check_highpass_tanh(golden, entry, image, ours):
    """High-pass and low-pass make the image."""
    module = entry["module"].replace("highpass", "lowpass")
    low = run(golden, {**entry, "module": module})
    np.testing.assert_allclose(ours + low, image, atol=2e-6 * np.abs(image).max())


def check_auto_mask(golden, entry, image, ours):
    """The mask's core is what a plain flood fill from the seeds about pixel n//2 reaches."""
    parameters = dict(pair.split("=") for pair in entry["module"].split(":")[1:])
    threshold, radius = float(parameters["threshold"]), float(parameters["radius"])
    offset = np.indices(image.shape) - image.shape[0] // 2
    near = (offset**2).sum(axis=0) <= radius**2
    todo = [tuple(place) for place in np.argwhere(near & (image >= threshold))]
    core = set(todo)
    while todo:
        place = todo.pop()
        for axis in range(image.ndim):
            for step in (-1, 1):
                other = (*place[:axis], place[axis] + step, *place[axis + 1 :])
                border = min(other) < 1 or max(other) > image.shape[0] - 2
                if other not in core and not border and image[other] > threshold:
                    core.add(other)
                    todo.append(other)
    hard = run(golden, entry, nshells=0, nshellsgauss=0)
    assert {tuple(place) for place in np.argwhere(hard)} == core
    assert np.all(ours[hard > 0] > 0.5)


def check_autob(golden, entry, image, ours):
    """Another B factor changes the spectrum by the quotient of the envelopes."""
    steeper = run(golden, entry, bfactor=90.0)
    radius = fourier_radius(len(image), ndim=3)
    s2 = (np.arange(len(image)) / (len(image) * 2.9)) ** 2
    # the same linear interpolation between shells as the filter's
    factor = np.interp(radius, np.arange(len(s2)), np.exp(-30.0 * s2 / 4))
    again = np.interp(radius, np.arange(len(s2)), np.exp(-90.0 * s2 / 4))
    quotient = scipy.fft.rfftn(steeper) / scipy.fft.rfftn(ours)
    chosen = radius < 15
    np.testing.assert_allclose(quotient[chosen].real, (again / factor)[chosen], rtol=0.05)


def check_autopeak(golden, entry, image, ours):
    """Zero up to the first rise of the spectrum or the cutoff, unchanged beyond."""
    before, after = shell_intensity(image), scipy.fft.rfftn(ours)
    limit = int(0.05 * len(image))
    rise = int(np.flatnonzero(np.diff(before) > 0)[0])
    shell = np.rint(fourier_radius(len(image), ndim=image.ndim))
    removed = shell <= min(limit, rise)
    scale = np.abs(after).max()
    assert np.abs(after[removed]).max() < 1e-5 * scale
    np.testing.assert_allclose(after[~removed], scipy.fft.rfftn(image)[~removed], atol=1e-5 * scale)


def check_matchto(golden, entry, image, ours):
    target = golden.inputs["c_e"]
    if "bydot" in entry["module"]:
        # nearer to the target than the image, and than any one scale of it
        scale = np.sum(image * target) / np.sum(image * image)
        assert np.linalg.norm(ours - target) < np.linalg.norm(scale * image - target)
        return
    # every shell has the factor of its own shell
    factor = matching_factors(image, target)
    spectrum, filtered = scipy.fft.rfftn(image), scipy.fft.rfftn(ours)
    shell = np.rint(fourier_radius(len(image), ndim=2)).astype(int)
    shell = np.minimum(shell, len(factor) - 1)
    np.testing.assert_allclose(
        filtered, spectrum * factor[shell], atol=1e-5 * np.abs(filtered).max()
    )


BUGS = {
    "filter.highpass.tanh": check_highpass_tanh,
    "mask.auto2d": check_auto_mask,
    "mask.auto3d": check_auto_mask,
    "filter.lowpass.autob": check_autob,
    "filter.highpass.autopeak": check_autopeak,
    "filter.matchto": check_matchto,
}
