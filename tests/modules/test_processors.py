"""Processors on arrays: stacks, maps, parameters, and those without reference values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

import mapsort
from mapsort.errors import ConfigError, FormatError, NumericalError
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import write_map
from mapsort.modules.parameter import Limits, Parameter
from mapsort.physics.radial_matching import shell_intensity

RNG = np.random.default_rng(6)
IMAGE = RNG.standard_normal((24, 24)).astype(np.float32)
MAP = RNG.standard_normal((16, 16, 16)).astype(np.float32)
STACK = RNG.standard_normal((5, 24, 24)).astype(np.float32)


@pytest.mark.parametrize("spec", ["normalize", "filter.lowpass.gauss:cutoff_abs=0.1", "mask.soft"])
def test_stacks_member_by_member(spec):
    ours = mapsort.process(spec, STACK)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, [mapsort.process(spec, image) for image in STACK])
    maps = np.stack([MAP, 2 * MAP])
    np.testing.assert_array_equal(mapsort.process(spec, maps)[1], mapsort.process(spec, 2 * MAP))


def test_a_cube_is_a_map_unless_told():
    cube = RNG.standard_normal((24, 24, 24)).astype(np.float32)
    as_map = mapsort.process("normalize.edgemean", cube)
    as_stack = mapsort.process("normalize.edgemean", cube, stack=True)
    np.testing.assert_array_equal(as_stack[3], mapsort.process("normalize.edgemean", cube[3]))
    assert not np.allclose(as_map, as_stack)
    with pytest.raises(ConfigError, match="stack=True"):
        mapsort.process("mask.decayedge2d:width=3", cube)
    assert mapsort.process("mask.decayedge2d:width=3", cube, stack=True).shape == cube.shape


def test_an_empty_stack_stays_empty():
    assert mapsort.process("normalize", np.zeros((0, 8, 8))).shape == (0, 8, 8)


def test_arrays_and_files_as_parameters(tmp_path):
    target = (3 * MAP - 2).astype(np.float32)
    write_map(tmp_path / "to.mrc", target, 1.0)
    write_images(tmp_path / "to.hdf", [target])
    for given_to in (target, str(tmp_path / "to.mrc"), str(tmp_path / "to.hdf")):
        ours = mapsort.process("normalize.toimage", MAP, to=given_to)
        np.testing.assert_allclose(ours, target, atol=1e-4)
    with pytest.raises(FormatError, match=r"missing\.mrc"):
        mapsort.process(f"normalize.toimage:to={tmp_path}/missing.mrc", MAP)
    write_images(tmp_path / "two.hdf", [target, target])
    with pytest.raises(FormatError, match="2 images"):
        mapsort.process("normalize.toimage", MAP, to=str(tmp_path / "two.hdf"))


def test_curves_from_text(tmp_path):
    path = tmp_path / "sf.txt"
    np.savetxt(path, np.column_stack([np.linspace(0, 0.5, 20), np.linspace(9, 1, 20)]))
    ours = mapsort.process(f'filter.setstrucfac:strucfac="{path}"', MAP, apix=2.0)
    s = np.arange(3, 8) / 32.0
    wanted = 16**3 * np.interp(s, np.linspace(0, 0.5, 20), np.linspace(9, 1, 20))
    # interpolated between shells, the factor meets their means only nearly, and worst in the
    # first ones, which have few terms
    np.testing.assert_allclose(shell_intensity(ours)[3:8], wanted, rtol=0.1)
    path.write_text("# only words\nabc def\n")
    with pytest.raises(FormatError, match="two columns"):
        mapsort.process(f'filter.setstrucfac:strucfac="{path}"', MAP)
    falling = np.array([[0.1, 1.0], [0.05, 2.0]])
    with pytest.raises(ConfigError, match="rising frequencies"):
        mapsort.process("filter.setstrucfac", MAP, strucfac=falling)


def test_images_of_a_stack_have_noise_of_their_own():
    zeros = np.zeros((3, 64, 64))
    ours = mapsort.process("math.addnoise:noise=2:seed=5", zeros)
    assert not np.allclose(ours[0], ours[1])
    np.testing.assert_array_equal(ours, mapsort.process("math.addnoise:noise=2:seed=5", zeros))
    np.testing.assert_array_equal(
        ours[1], mapsort.process("math.addnoise:noise=2:seed=6", zeros[0])
    )
    # 12288 deviates of mean 2 and deviation 1: five standard errors
    assert ours.mean() == pytest.approx(2.0, abs=5 / np.sqrt(ours.size))
    assert ours.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * ours.size))


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:23, :23], MAP])
def test_random_phases_keep_amplitudes_and_low_frequencies(image):
    ours = mapsort.process("filter.lowpass.randomphase:cutoff_abs=0.2", image)
    before, after = scipy.fft.fftn(image), scipy.fft.fftn(ours)
    scale = np.abs(before).max()
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-5 * scale)
    grid = np.meshgrid(*[np.fft.fftfreq(image.shape[0])] * image.ndim)
    low = np.sqrt(sum(g**2 for g in grid)) < 0.2
    np.testing.assert_allclose(after[low], before[low], atol=1e-5 * scale)
    phases = np.angle(after / before)[~low & (np.abs(before) > 0.05 * scale)]
    assert abs(np.exp(1j * phases).mean()) < 0.25


def test_finite_takes_the_mean_of_neighbours():
    image = np.ones((6, 6), np.float32)
    image[2, 2], image[0, 0] = np.nan, np.inf
    np.testing.assert_allclose(mapsort.process("math.finite", image), 1.0, rtol=1e-6)
    assert mapsort.process("math.finite:to=7", image)[2, 2] == 7


@pytest.mark.parametrize("name", ["gauss", "tanh", "tophat", "butterworth"])
@pytest.mark.parametrize("image", [IMAGE, MAP])
def test_low_and_high_pass_make_the_image(name, image):
    low, high = (
        mapsort.process(f"filter.{kind}.{name}:cutoff_freq=0.1", image, apix=2.0)
        for kind in ("lowpass", "highpass")
    )
    np.testing.assert_allclose(low + high, image, atol=1e-5)
    assert low.std() < 0.9 * image.std()


def test_cutoffs_in_all_units_are_one():
    ours = [
        mapsort.process(f"filter.lowpass.gauss:{cutoff}", IMAGE, apix=2.0)
        for cutoff in (
            "cutoff_abs=0.125",
            "cutoff_freq=0.0625",
            "cutoff_pixels=3",
            f"sigma={0.125 / np.sqrt(2)}",
            "cutoff_freq=0.125:apix=1",
        )
    ]
    for other in ours[1:]:
        np.testing.assert_allclose(other, ours[0], atol=1e-6)


def test_quarter_turns_of_xform_by_numpy():
    odd = IMAGE[:23, :23]
    # y points along rows: alpha = 90 takes x to -y
    np.testing.assert_allclose(mapsort.process("xform:alpha=90", odd), np.rot90(odd), atol=1e-6)
    shifted = mapsort.process("xform:tx=2:ty=-1", odd)
    np.testing.assert_allclose(shifted[:-1, 2:], odd[1:, :-2], atol=1e-6)
    np.testing.assert_allclose(mapsort.process("xform:mirror=1", odd), odd[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(mapsort.process("xform", MAP), MAP, atol=1e-6)


def test_applied_symmetry_is_a_symmetry():
    smooth = mapsort.process("filter.lowpass.gauss:cutoff_abs=0.12", MAP)
    ours = mapsort.process("xform.applysym:sym=d2", smooth)
    inner = (slice(3, -2),) * 3
    turned = mapsort.process("xform:alt=180", ours)
    np.testing.assert_allclose(turned[inner], ours[inner], atol=1e-5)


def test_shrinking_keeps_sums_and_means():
    small = mapsort.process("math.meanshrink:n=2", IMAGE)
    assert small.mean() == pytest.approx(IMAGE.mean(), abs=1e-6)
    small = mapsort.process("math.fft.resample:n=1.5", IMAGE)
    assert small.shape == (16, 16)
    assert small.sum() == pytest.approx(IMAGE.sum(), abs=1e-3)
    blocks = IMAGE.reshape(8, 3, 8, 3).transpose(0, 2, 1, 3).reshape(8, 8, 9)
    np.testing.assert_array_equal(
        mapsort.process("math.medianshrink:n=3", IMAGE), np.median(blocks, axis=-1)
    )


def test_matched_spectra_match():
    target = mapsort.process("filter.lowpass.gauss:cutoff_abs=0.4", MAP[::-1])
    ours = mapsort.process("filter.matchto", MAP, to=target)
    assert np.abs(np.log(shell_intensity(ours)[1:7] / shell_intensity(target)[1:7])).max() < 0.2


@pytest.mark.parametrize(
    ("spec", "array", "words"),
    [
        ("filter.lowpass.gauss", IMAGE, "exactly one of"),
        ("filter.lowpass.gauss:cutoff_abs=0.1:sigma=0.1", IMAGE, "sigma and cutoff_abs"),
        ("filter.lowpass.gauss:cutoff_abs=0", IMAGE, "expected a number above 0"),
        ("filter.lowpass.butterworth:low_cutoff_frequency=0.1", IMAGE, "given together"),
        (
            "filter.bandpass.tophat:low_cutoff_frequency=0.3:high_cutoff_frequency=0.1",
            IMAGE,
            "must be below",
        ),
        ("mask.auto3d:threshold=1", MAP, "radius or nmaxseed"),
        ("mask.auto3d:radius=3", MAP, "exactly one of threshold and sigma"),
        ("mask.auto3d:threshold=1:radius=3", IMAGE, "works on maps"),
        ("mask.auto2d:threshold=1:radius=3", MAP, "works on images"),
        ("mask.decayedge2d:width=20", IMAGE, "1 to half the box"),
        ("math.meanshrink:n=1.7", IMAGE, "whole number or 1.5"),
        ("math.meanshrink:n=99", IMAGE, "box is only 24"),
        ("xform.flip:axis=w", IMAGE, "expected x or y or z"),
        ("xform.flip:axis=z", IMAGE, "works on maps"),
        ("xform:az=3", IMAGE, "use alpha"),
        ("xform:alpha=3", MAP, "use az, alt, phi"),
        ("threshold.clampminmax:minval=2:maxval=1", IMAGE, "is above"),
        ("normalize.bymass:mass=10", IMAGE, "works on maps"),
        ("normalize", np.zeros((4, 5)), "expected square images"),
        ("normalize", np.zeros(4), "expected square images"),
    ],
)
def test_wrong_requests(spec, array, words):
    with pytest.raises(ConfigError, match=words):
        mapsort.process(spec, array)


@pytest.mark.parametrize("spec", ["normalize", "normalize.edgemean", "normalize.unitlen"])
def test_constant_images_are_refused_by_name(spec):
    with pytest.raises(NumericalError, match=spec.replace(".", r"\.")):
        mapsort.process(spec, np.zeros((8, 8)))


def test_sizes_of_targets_and_masks_must_fit():
    for spec, name in (
        ("normalize.toimage", "to"),
        ("filter.matchto", "to"),
        ("normalize.mask", "mask"),
    ):
        with pytest.raises(ConfigError, match=r"24.*16|16.*24"):
            mapsort.process(spec, IMAGE, **{name: np.ones((16, 16))})


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_are_within_their_limits_or_refused(value):
    parameter = Parameter("x", float, None, "number", Limits(low=-1.0, high=2.5))
    if -1.0 <= value <= 2.5:
        assert parameter.convert(value, owner="module m") == value
    else:
        with pytest.raises(ConfigError, match=r"module m: x=.*: expected a number from -1 to 2\.5"):
            parameter.convert(value, owner="module m")
