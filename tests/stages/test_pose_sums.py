"""Sums of particles at poses of their own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages.fourier_grid import (
    centred_images,
    centred_transform,
)
from mapsort.stages.project import project_images, project_slices
from mapsort.stages.reconstruct import pose_sums, slice_buffer
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.pose_sums import PoseSums
from mapsort.stages.reconstruct.slice_buffer import SliceBuffer
from mapsort.stages.reconstruct.slice_sums import SliceSums

BOX, APIX = 16, 8.0


def turns(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


@pytest.mark.parametrize("at_once", [0, 1, 3, 1000])
@pytest.mark.parametrize("box", [16, 17])
def test_particles_at_poses_are_slices_of_their_map(monkeypatch, box, at_once):
    """Sums of C X and C^2 over all of them, and statistics over the plane, whatever the blocks."""
    rng = np.random.default_rng(12)
    n, volume = 7, phantom_map(0, box, APIX)
    rotations, origins = turns(n, seed=12), rng.integers(-2, 3, (n, 2))
    transfer = rng.uniform(-1, 1, (n, box, box // 2 + 1)).astype(np.float32)
    # on the column kx = 0 mates are both there, and have one transfer
    transfer[:, :, 0] += transfer[:, -np.arange(box) % box, 0]
    slices = project_slices(volume, rotations)
    seen = centred_images(slices * transfer, box)
    images = np.stack(
        [np.roll(i, (-y, -x), (0, 1)) for i, (x, y) in zip(seen, origins, strict=True)]
    )
    half = 12 * box * (box // 2 + 1)
    monkeypatch.setattr(pose_sums, "BUFFER_BYTES", at_once * half)
    grid = InsertionGrid.for_box(box)
    sums = PoseSums(grid, symmetry("c1"), APIX, FourierProjector.plan(volume))
    inserted = []
    insert = pose_sums.insert_copies
    monkeypatch.setattr(
        pose_sums,
        "insert_copies",
        lambda *a, **k: inserted.append(len(a[1])) or insert(*a, **k),
    )
    sums.add(images, rotations, origins, transfer=transfer)
    assert max(inserted) == min(n, max(1, at_once))
    statistics = sums.statistics
    terms = shell_sums(np.ones((box, box // 2 + 1)), box)
    np.testing.assert_array_equal(statistics.terms, n * terms)
    # the phantom's slices under their CTF are these particles: nothing is left
    signal = np.zeros(box // 2 + 1)
    for k in range(n):
        power = np.abs(transfer[k] * slices[k]) ** 2
        signal += shell_sums(power, box)
    shells = slice(0, box // 2 - 1)
    for values in (statistics.image, statistics.cross, statistics.reference):
        np.testing.assert_allclose(values[shells], signal[shells], rtol=0.02)
    expected = SliceSums.empty(grid, float(box // 2))
    expected.insert(
        (transfer * centred_transform(seen)).astype(np.complex64),
        transfer**2,
        rotations,
        np.eye(3)[None],
    )
    found = sums.sums.window
    np.testing.assert_allclose(found, expected.window, atol=1e-4 * np.abs(found).max())
    assert sums.finish().box == box


def shell_sums(plane, box):
    """Sums over the whole plane of the terms that slices hold, in rounded shells."""
    k = np.fft.fftfreq(box, 1 / box)
    x = np.arange(box // 2 + 1)
    shell = np.rint(np.hypot(k[:, None], x)).astype(int)
    held = (2 * np.abs(k[:, None]) != box) & (2 * x != box) & (shell <= box // 2)
    weight = np.where(x == 0, 1.0, 2.0) * held
    return np.bincount(shell.ravel(), (plane * weight).ravel())[: box // 2 + 1]


def test_particles_without_a_ctf_count_whole():
    volume, rotations = phantom_map(0, BOX, APIX), turns(4, seed=13)
    images = project_images(volume, rotations)
    grid = InsertionGrid.for_box(BOX)
    sums = PoseSums(grid, symmetry("c1"), APIX, FourierProjector.plan(volume))
    sums.add(images, rotations, np.zeros((4, 2)))
    ones = np.ones((4, BOX, BOX // 2 + 1), np.float32)
    expected = SliceSums.empty(grid, BOX / 2)
    expected.insert(centred_transform(images), ones, rotations, np.eye(3)[None])
    scale = np.abs(expected.window).max()
    np.testing.assert_allclose(sums.sums.window, expected.window, atol=1e-5 * scale)
    assert sums.statistics.scale(np.ones(BOX // 2 + 1)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("capacity", [0, 1, 3, 8, 100])
def test_a_buffer_inserts_what_it_was_given(monkeypatch, capacity):
    rotations = turns(10, seed=14)
    slices = phantom_slice(0, BOX, APIX, rotations).astype(np.complex64)
    weights = np.random.default_rng(14).uniform(0, 1, slices.shape).astype(np.float32)
    monkeypatch.setattr(slice_buffer, "BUFFER_BYTES", capacity * 12 * BOX * (BOX // 2 + 1))
    calls = []
    insert = slice_buffer.insert_copies
    monkeypatch.setattr(
        slice_buffer, "insert_copies", lambda *a, **k: calls.append(len(a[1])) or insert(*a, **k)
    )
    grid = InsertionGrid.for_box(BOX)
    sums = SliceSums.empty(grid, BOX / 2)
    buffer = SliceBuffer(sums, symmetry("c1"), apix=APIX)
    members = np.array([9, 0, 3, 3, 7, 1])
    buffer.add(slices, weights, rotations, members[:4])
    buffer.add(slices, weights, rotations, members[4:])
    buffer.flush()
    whole = max(1, capacity)
    assert [n for n in calls if n] == [whole] * (6 // whole) + [6 % whole] * bool(6 % whole)
    expected = SliceSums.empty(grid, BOX / 2)
    expected.insert(slices[members], weights[members], rotations[members], np.eye(3)[None])
    scale = np.abs(expected.window).max()
    np.testing.assert_allclose(sums.window, expected.window, atol=1e-5 * scale)
    both = sums + expected
    np.testing.assert_allclose(both.window, 2 * expected.window, atol=1e-5 * scale)
