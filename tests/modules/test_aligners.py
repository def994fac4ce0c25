"""Aligners on images and maps moved by known transforms."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transforms import Transform2D, Transform3D
from mapsort.modules.aligners import ALIGNERS
from mapsort.physics.image_moves import transform_image

BOX = 40
BLOBS = [(5.0, 1.0, 2.5, 1.0), (-6.0, 4.0, 2.0, 0.8), (2.0, -8.0, 3.0, 0.6), (-1, 9, 1.7, 0.9)]


def draw(transform=None, box=BOX):
    """Blobs, moved exactly."""
    y, x = np.indices((box, box)) - box // 2
    image = np.zeros((box, box))
    for bx, by, width, height in BLOBS:
        px, py = (transform or Transform2D()).apply([bx, by])
        image += height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2))
    return image


def assert_near(found, truth, *, degrees=1.0, pixels=0.15):
    assert found.mirror == truth.mirror
    assert abs((found.alpha - truth.alpha + 180) % 360 - 180) < degrees
    assert np.hypot(found.tx - truth.tx, found.ty - truth.ty) < pixels


FULL = [m.name for m in ALIGNERS.modules() if m.name.startswith(("rotate_translate_flip", "rtf_"))]


@pytest.mark.parametrize(
    ("name", "mirror"),
    [("rotate_translate_flip", False), *((n, True) for n in [*FULL, "rotate_translate_tree"])],
)
def test_all_of_rotation_shift_and_mirror(name, mirror):
    truth = Transform2D(222.0, 1.7, -2.3, mirror)
    assert_near(mapsort.align(f"{name}:maxshift=4", draw(), draw(truth)), truth)


@pytest.mark.parametrize(
    "name", ["rotate_translate", "rotate_translate_bispec", "frm2d", "rotate_translate_resample"]
)
def test_without_mirror(name):
    truth = Transform2D(75.0, -3.2, 0.8)
    assert_near(mapsort.align(name, draw(), draw(truth)), truth)
    mirrored = mapsort.align(name, draw(), draw(Transform2D(75.0, 0, 0, True)))
    assert not mirrored.mirror


def test_strong_noise():
    rng = np.random.default_rng(12)
    truth = Transform2D(131.0, 3.0, 2.0, True)
    noisy = draw(truth) + 0.6 * rng.standard_normal((BOX, BOX))
    assert_near(
        mapsort.align("rotate_translate_flip:maxshift=5", draw(), noisy),
        truth,
        degrees=4,
        pixels=0.6,
    )


def test_large_boxes_are_searched_on_smaller_ones():
    truth = Transform2D(300.0, 6.4, -3.3, True)
    moving, fixed = draw(box=90), draw(truth, box=90)
    assert_near(mapsort.align("rotate_translate_flip:maxshift=9", moving, fixed), truth)


def test_constraints_hold():
    fixed = draw(Transform2D(0.0, 7.0, 0.0))
    found = mapsort.align("translational:maxshift=3", draw(), fixed)
    assert abs(found.tx) <= 3
    assert abs(found.ty) <= 3
    assert found.alpha == 0
    found = mapsort.align("translational:intonly=1", draw(), draw(Transform2D(0.0, 2.6, -1.2)))
    assert (found.tx, found.ty) == (3, -1)
    assert (
        mapsort.align("rotate_translate_flip:flip=0", draw(), draw(Transform2D(mirror=True))).mirror
        is False
    )
    turned = mapsort.align("rotational", draw(), draw(Transform2D(20.0, 2.0, 0.0)))
    assert (turned.tx, turned.ty) == (0, 0)


def test_zero_shift_can_be_excluded():
    """A pattern that both images have at rest must not decide."""
    rng = np.random.default_rng(0)
    pattern = 0.25 * rng.standard_normal((BOX, BOX))
    moving, fixed = draw() + pattern, draw(Transform2D(0.0, 4.0, -5.0)) + pattern
    assert mapsort.align("translational:intonly=1", moving, fixed) == Transform2D()
    found = mapsort.align("translational:nozero=1:intonly=1", moving, fixed)
    assert max(abs(found.tx - 4), abs(found.ty + 5)) <= 1


@pytest.mark.parametrize("spec", ["useflcf=1", "masked=1"])
def test_local_normalisation_ignores_a_bright_corner(spec):
    moving, fixed = draw(), draw(Transform2D(0.0, 3.0, -4.0))
    if spec == "masked=1":
        moving[moving < 0.02] = 0
    fixed[:6, :6] += 40
    found = mapsort.align(f"translational:intonly=1:{spec}", moving, fixed)
    assert (found.tx, found.ty) == (3, -4)


def test_only_the_ring_counts():
    """A large disturbance inside rmin changes nothing."""
    truth = Transform2D(64.0)
    fixed = draw(truth)
    y, x = np.indices(fixed.shape) - BOX // 2
    fixed[np.hypot(x + 1, y) < 3] += 30
    assert_near(mapsort.align("rotational:rmin=5:rmax=15", draw(), fixed), truth, degrees=2)


def test_maxres_takes_a_fine_grating_away():
    truth = Transform2D(40.0, 1.0, 1.0)
    grating = 2 * np.cos(2 * np.pi * np.arange(BOX) / 2.5)
    moving, fixed = draw() + grating, draw(truth) + grating
    spec = "rotate_translate_tree:flip=0:maxshift=4"
    misled = mapsort.align(spec, moving, fixed, apix=1.0)
    assert min(misled.alpha % 180, -misled.alpha % 180) < 3
    assert_near(mapsort.align(f"{spec}:maxres=8", moving, fixed, apix=1.0), truth)


def test_refine_from_a_start():
    truth = Transform2D(100.0, 2.0, -1.0, True)
    start = Transform2D(104.0, 1.2, -0.4, True)
    found = mapsort.align("refine:precision=0.01:maxiter=200", draw(), draw(truth), start=start)
    assert_near(found, truth, degrees=0.2, pixels=0.05)
    held = mapsort.align("refine:stepaz=0", draw(), draw(truth), start=start)
    assert held.alpha == start.alpha
    near = mapsort.align("refine:maxshift=0.5", draw(), draw(truth), start=start)
    assert abs(near.tx - start.tx) <= 0.5
    assert abs(near.ty - start.ty) <= 0.5


def test_refine_under_a_mask():
    truth = Transform2D(3.0, 0.6, -0.4)
    fixed = draw(truth)
    fixed[:, :8] += 20
    mask = np.ones_like(fixed)
    mask[:, :8] = 0
    found = mapsort.align("refine:maxiter=200", draw(), fixed, mask=mask)
    assert_near(found, truth, degrees=0.5, pixels=0.1)


def test_the_comparator_decides():
    """Among poses with and without mirror; here the worse correlation is the better score."""
    assert not mapsort.align("rotate_flip", draw(), draw(), score="ccc").mirror
    assert mapsort.align("rotate_flip", draw(), draw(), score="ccc:negative=0").mirror


def test_a_users_aligner():
    @mapsort.aligner("test.best_of_two")
    def best_of_two(moving, fixed, *, score, tx: float = 1.0):
        poses = [Transform2D(), Transform2D(tx=tx)]
        return min(poses, key=lambda p: score(transform_image(moving, p.matrix), fixed))

    found = mapsort.align("test.best_of_two:tx=2", draw(), draw(Transform2D(tx=2.0)))
    assert found.tx == 2.0


# --- maps -----------------------------------------------------------------------------------------


def density(points, transform=None, box=28):
    z, y, x = np.indices((box,) * 3) - box // 2
    volume = np.zeros((box,) * 3)
    for point, height in points:
        px, py, pz = (transform or Transform3D()).apply(point)
        volume += height * np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / 8)
    return volume


POINTS = [([6, 1, 2], 1.0), ([-5, 3, -1], 0.8), ([1, -6, 4], 0.9), ([0, 2, -7], 0.7)]


def angle_between(a, b):
    return np.rad2deg(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1)))


def test_refine_3d():
    truth = Transform3D(eman_to_matrix([8, 10, -14]), [0.8, -1.1, 0.4])
    found = mapsort.align("refine_3d", density(POINTS), density(POINTS, truth))
    assert angle_between(found.rotation, truth.rotation) < 0.5
    assert np.abs(found.shift - truth.shift).max() < 0.1
    held = mapsort.align(
        "refine_3d:stepx=0:stepy=0:stepz=0", density(POINTS), density(POINTS, truth)
    )
    np.testing.assert_array_equal(held.shift, 0)


def test_rotate_translate_3d():
    truth = Transform3D(eman_to_matrix([200, 110, 75]), [2.0, -1.0, 1.5])
    spec = "rotate_translate_3d:delta=30:dphi=30:search=3"
    found = mapsort.align(spec, density(POINTS), density(POINTS, truth))
    assert angle_between(found.rotation, truth.rotation) < 1.0
    assert np.abs(found.shift - truth.shift).max() < 0.15


def test_rotate_translate_3d_uses_the_symmetry():
    """Up to an operation of the fixed map's group, on the left."""
    group = symmetry("d2")
    points = [(s @ np.array(p), h) for p, h in POINTS for s in group.matrices]
    turn = eman_to_matrix([50, 60, 10])
    fixed, moving = density(points), density(points, Transform3D(turn))
    spec = "rotate_translate_3d:sym=d2:delta=30:dphi=30:dotrans=0"
    found = mapsort.align(spec, moving, fixed)
    misses = [angle_between(found.rotation, s @ turn.T) for s in group.matrices]
    assert min(misses) < 1.0
    np.testing.assert_array_equal(found.shift, 0)


@pytest.mark.parametrize("sym", ["c3", "d2"])
def test_symalign(sym):
    group = symmetry(sym)
    points = [(s @ np.array(p), h) for p, h in POINTS for s in group.matrices]
    turn = eman_to_matrix([50, 60, 10])
    volume = density(points, Transform3D(turn))
    found = mapsort.align(f"symalign:sym={sym}:delta=30:dphi=30", volume, volume)
    turned = transform_image(volume, found.matrix)
    for operation in group.matrices:
        again = transform_image(turned, Transform3D(operation).matrix)
        assert np.corrcoef(turned.ravel(), again.ravel())[0, 1] > 0.97


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        ("rotate_translate_flip", (8, 8, 8), "works on images, not on maps"),
        ("refine_3d", (8, 8), "works on maps, not on images"),
        ("symalign:sym=c1", (8, 8, 8), "no axis to align"),
        ("symalign", (8, 8, 8), "sym is missing"),
        ("symalign:sym=x9", (8, 8, 8), "is not known"),
        ("refine:maxiter=0", (8, 8), "expected a whole number from 1"),
        ("rotate_translate_flop", (8, 8), "did you mean rotate_translate_flip"),
        ("refine", (8, 9), "expected two images"),
        ("rotate_translate_3d:phi0=90:phi1=10", (8, 8, 8), "phi0=90 must be below phi1=10"),
        ("rotate_translate_3d:orientgen=emann", (8, 8, 8), "did you mean eman"),
    ],
)
def test_refusals(spec, shape, words):
    image = np.random.default_rng(0).standard_normal(shape)
    with pytest.raises(ConfigError, match=words):
        mapsort.align(spec, image, image)


def test_a_start_of_the_wrong_kind():
    with pytest.raises(ConfigError, match="expected a Transform2D"):
        mapsort.align("refine", draw(), draw(), start=Transform3D())
    with pytest.raises(ConfigError, match="expected a Transform3D"):
        mapsort.align("refine_3d", density(POINTS), density(POINTS), start=Transform2D())


def test_transform3d_laws():
    a = Transform3D(eman_to_matrix([10, 20, 30]), [1, 2, 3])
    b = Transform3D(eman_to_matrix([50, 60, 70]), [-1, 0, 2])
    points = np.random.default_rng(1).standard_normal((5, 3))
    np.testing.assert_allclose(a.compose(b).apply(points), a.apply(b.apply(points)))
    np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points, atol=1e-12)
    np.testing.assert_allclose(a.angles_deg, [10, 20, 30])
    with pytest.raises(ValueError, match="proper rotation"):
        Transform3D(np.diag([1, 1, -1]))
    with pytest.raises(ValueError, match="shapes"):
        Transform3D(np.eye(2))
