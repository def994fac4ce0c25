"""Projectors: against plain NumPy, the original's images, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

import mapsort
from mapsort import _core
from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.modules.projector import PROJECTORS, projector
from mapsort.physics.phantom import phantom_map
from mapsort.stages.project import project_images, project_slices

APIX = 4.0


def rotations_of(n, seed):
    return Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix()


def plain_samples(volume, rotation, shift=(0.0, 0.0), radius=np.inf):
    """The volume at R^T (x - shift, z), trilinear, 0 outside the cube of pixel centres, and where.

    Axes of the result: z of the view, y, x.
    """
    n = len(volume)
    offset = np.arange(n) - n // 2
    z, y, x = np.meshgrid(offset, offset - shift[1], offset - shift[0], indexing="ij")
    view = np.stack([x, y, z], axis=-1)
    source = view @ rotation + n // 2  # row vectors: R^T r
    inside = ((source >= 0) & (source <= n - 1)).all(axis=-1) & (x**2 + y**2 + z**2 <= radius**2)
    found = map_coordinates(volume.astype(float), np.moveaxis(source[..., ::-1], -1, 0), order=1)
    return np.where(inside, found, 0.0)


def plain_splat(volume, rotation, shift, radius):
    n = len(volume)
    offset = np.arange(n) - n // 2
    z, y, x = np.meshgrid(offset, offset, offset, indexing="ij")
    u, v, _ = np.einsum("ij,j...->i...", rotation, np.stack([x, y, z]))
    u, v = u + shift[0] + n // 2, v + shift[1] + n // 2
    iu, iv = np.floor(u).astype(int), np.floor(v).astype(int)
    kept = (iu >= 0) & (iv >= 0) & (iu < n - 1) & (iv < n - 1)
    kept &= x**2 + y**2 + z**2 <= radius**2
    image = np.zeros((n, n))
    for dv in (0, 1):
        for du in (0, 1):
            share = np.abs(1 - du - (u - iu)) * np.abs(1 - dv - (v - iv)) * volume
            np.add.at(image, (iv[kept] + dv, iu[kept] + du), share[kept])
    return image


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize("box", [20, 21])
def test_rays_against_plain_trilinear_sums(box):
    volume = np.random.default_rng(box).standard_normal((box,) * 3).astype(np.float32)
    rotations, shifts = rotations_of(4, 1), np.array([[0, 0], [1.5, -2.25], [-3, 0.5], [0, 7]])
    found = projector("standard").images(volume, rotations, shifts=shifts)
    peaks = projector("maxval").images(volume, rotations, shifts=shifts)
    for image, peak, rotation, shift in zip(found, peaks, rotations, shifts, strict=True):
        samples = plain_samples(volume, rotation, shift)
        # float32 positions are good to 2e-6 pixels, densities of 20 samples add up
        np.testing.assert_allclose(image, samples.sum(axis=0), atol=1e-4)
        np.testing.assert_allclose(peak, samples.max(axis=0).clip(0), atol=2e-5)


@pytest.mark.parametrize("box", [20, 21])
@pytest.mark.parametrize("radius", [None, 6.3])
def test_spheres_against_plain_sums(box, radius):
    volume = np.random.default_rng(box).standard_normal((box,) * 3).astype(np.float32)
    rotations, shifts = rotations_of(3, 2), np.array([[0, 0], [1.5, -2.25], [-4, 3]])
    given = "" if radius is None else f":radius={radius}"
    reach = box // 2 - 1 if radius is None else radius
    rays = projector("pawel" + given).images(volume, rotations, shifts=shifts)
    voxels = projector("chao" + given).images(volume, rotations, shifts=shifts)
    for ray, voxel, rotation, shift in zip(rays, voxels, rotations, shifts, strict=True):
        expected = plain_samples(volume, rotation, shift, reach).sum(axis=0)
        np.testing.assert_allclose(ray, expected, atol=1e-4)
        np.testing.assert_allclose(voxel, plain_splat(volume, rotation, shift, reach), atol=1e-4)


def test_quarter_turns_are_exact():
    """Samples fall on voxels: the cube's outermost ones count in full."""
    volume = np.random.default_rng(3).standard_normal((15,) * 3).astype(np.float32)
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    image = projector("standard").images(volume, turn[None])[0]
    # the view's x axis is the object's -z axis or its opposite, its z axis the object's x
    expected = volume.sum(axis=2).T
    assert min(np.abs(image - e).max() for e in (expected, expected[:, ::-1])) < 1e-4


@pytest.mark.parametrize("name", ["v", "vo"])
def test_standard_and_maxval_against_the_original(name, golden):
    rotations = eman_to_matrix(golden.inputs["proj_euler"])
    for module, status in (("standard", "exact"), ("maxval", None)):
        (entry,) = golden.select(
            lambda e, m=module: e["kind"] == "projector" and e["id"] == f"projector.{m}.{name}"
        )
        found = projector(module).images(golden.inputs[name], rotations)
        if status:
            expected = golden.outputs[entry["value"]["array"]]
            # the original clears column 0
            error = np.abs(found - expected)[:, :, 1:].max()
            assert error <= entry["atol"] + entry["rtol"] * np.abs(expected).max()
        else:
            digest = entry["value"]["digest"]
            assert found.max() == pytest.approx(digest["max"], rel=2e-3)
            assert found.mean() == pytest.approx(digest["mean"], rel=2e-2)


def test_shift_and_mirror_against_the_original(golden):
    (entry,) = golden.select(lambda e: e["id"] == "projector.standard.v.shifted")
    rows = golden.inputs["T3b"][:4].astype(float)
    names = ["az", "alt", "phi", "tx", "ty", "tz", "scale", "mirror"]
    table = {column: rows[:, i] for i, column in enumerate(names)}
    flip = np.where(table["mirror"] > 0, -1.0, 1.0)
    rotations = eman_to_matrix(rows[:, :3])
    rotations[:, 0] *= flip[:, None]
    shifts = np.stack([flip * table["tx"], table["ty"]], axis=1)
    found = projector("standard").images(golden.inputs["v"], rotations, shifts=shifts)
    expected = golden.outputs[entry["value"]["array"]]
    error = np.abs(found - expected)[:, :, 1:].max()
    assert error <= entry["atol"] + entry["rtol"] * np.abs(expected).max()


def test_the_others_correlate_with_the_original(golden):
    """They differ by method, and are alike to a correlation of 0.98."""
    rotations = eman_to_matrix(golden.inputs["proj_euler"])
    entries = golden.select(
        lambda e: e["kind"] == "projector" and e["status"] == "approx" and "array" in e["value"]
    )
    assert {e["module"].partition(":")[0] for e in entries} == {"gauss_fft", "fourier_gridding"}
    for entry in entries:
        method = projector(entry["module"])
        found = project_images(golden.inputs[entry["inputs"][0]], rotations, method=method)
        assert correlation(found, golden.outputs[entry["value"]["array"]]) > 0.98, entry["id"]


@pytest.mark.parametrize("name", ["pawel", "chao"])
@pytest.mark.parametrize("volume", ["v", "vo"])
def test_spheres_have_the_original_sums(name, volume, golden):
    (entry,) = golden.select(lambda e: e["id"] == f"projector.{name}.{volume}")
    digest = entry["value"]["digest"]
    rotations = eman_to_matrix(golden.inputs["proj_euler"])
    found = projector(name).images(golden.inputs[volume], rotations)
    assert np.linalg.norm(found) == pytest.approx(digest["l2"], rel=0.02)
    assert found.max() == pytest.approx(digest["max"], rel=0.02)
    for index, value in digest["pixels"]:
        assert found[tuple(index)] == pytest.approx(value, abs=0.02 * digest["max"])


@pytest.mark.parametrize(
    "spec",
    ["fourier", "fourier:tolerance=1e-5", "fourier_gridding", "gauss_fft:mode=6", "standard",
     "pawel", "chao"],
)  # fmt: skip
def test_all_show_the_same_object(spec):
    """Another way of reading between pixels is no other geometry: images of a smooth map agree."""
    volume = phantom_map(0, 32, APIX)
    rotations, shifts = rotations_of(5, 4), np.linspace(-2, 2, 10).reshape(5, 2)
    exact = mapsort.project(volume, rotations, method="fourier:tolerance=1e-6", shifts=shifts)
    found = mapsort.project(volume, rotations, method=spec, shifts=shifts)
    assert correlation(found, exact) > 0.99
    assert found.sum() == pytest.approx(exact.sum(), rel=0.01)


def test_slices_of_a_real_space_projector_are_its_images():
    volume = phantom_map(0, 24, 6.0)
    rotations, method = rotations_of(3, 5), projector("standard")
    slices = project_slices(volume, rotations, method=method)
    images = method.images(volume, rotations)
    expected = np.fft.rfft2(np.fft.ifftshift(images, axes=(1, 2)))
    assert slices.dtype == np.complex64
    np.testing.assert_allclose(slices[:, 3, 4], expected[:, 3, 4], rtol=1e-4)
    assert not slices[:, 12].any()
    assert not slices[:, :, 12].any()
    assert not slices[:, 9, 9].any()  # beyond box/2


def test_threads_do_not_change_a_bit():
    volume = np.random.default_rng(6).standard_normal((17,) * 3).astype(np.float32)
    arguments = {"rotations": rotations_of(7, 6), "shifts": np.zeros((7, 2)), "radius": 8.0}
    for kernel in (_core.project_rays, _core.project_voxels):
        one, two = (kernel(volume, n_threads=n, **arguments) for n in (1, 2))
        assert one.tobytes() == two.tobytes()


def test_every_projector_has_help():
    names = [module.name for module in PROJECTORS.modules()]
    assert names == ["chao", "fourier", "fourier_gridding", "gauss_fft", "maxval", "pawel",
                     "standard"]  # fmt: skip
    assert all(module.help for module in PROJECTORS.modules())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("standardx", "did you mean standard"),
        ("standard:radius=3", "unknown parameter 'radius'"),
        ("fourier:tolerance=0", "tolerance=0: takes 1e-06 to 0.01"),
        ("fourier:tolerance=0.1", "tolerance=0.1"),
        ("fourier_gridding:npad=1", "npad=1: takes 2, 3 or 4"),
        ("fourier_gridding:kb_K=9", "kb_K=9: takes 4 to 8"),
        ("gauss_fft:mode=8", "mode=8: takes 1 to 7"),
        ("pawel:radius=0", "radius=0: takes a number above 0"),
        ("chao:radius=-1", "radius=-1"),
        ("none", "a projector is needed here"),
    ],
)
def test_bad_specifications_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        projector(spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": np.zeros((4, 4, 5), np.float32)}, "volume: expected a cube"),
        ({"volume": np.zeros((4, 4, 4))}, "volume: expected C-contiguous float32"),
        ({"volume": np.zeros((1, 1, 1), np.float32)}, "volume: expected an edge of 2 to 1024"),
        ({"rotations": np.ones((1, 3, 3))}, "rotations: matrix 0"),
        ({"shifts": np.zeros((2, 2))}, "shifts: "),
        ({"shifts": np.full((1, 2), np.nan)}, "shifts: expected finite"),
        ({"radius": 0.0}, "radius: "),
        ({"radius": np.nan}, "radius: "),
    ],
)
@pytest.mark.parametrize("kernel", [_core.project_rays, _core.project_voxels])
def test_kernels_refuse_what_they_cannot_take(kernel, change, message):
    good = {
        "volume": np.zeros((4, 4, 4), np.float32),
        "rotations": np.eye(3)[None],
        "shifts": np.zeros((1, 2)),
        "radius": 3.0,
    }
    with pytest.raises(ValueError, match=message):
        kernel(**(good | change))
