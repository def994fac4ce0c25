"""Views of a map: mapsort, finufft at the same tolerance, ASPIRE, and RELION's program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mapsort

alone = pytest.mark.benchmark(group="projection")
TOLERANCE = 1e-3


def relative_error(found: npt.NDArray[np.floating], views: Any) -> float:
    """Return the distance from what mapsort sees, over the norm of it."""
    return float(np.linalg.norm(found - views.images) / np.linalg.norm(views.images))


@alone
def test_mapsort(views: Any, benchmark: Any) -> None:
    """Images, from the map's transform to the last inverse transform."""
    found = benchmark(mapsort.project, views.volume, views.rotations)
    assert relative_error(found, views) == 0.0


@alone
def test_finufft(views: Any, benchmark: Any) -> None:
    """The same slices as sums over all voxels, then the same inverse transforms."""
    finufft = pytest.importorskip("finufft")
    box = views.box
    k = np.fft.fftfreq(box, 1.0 / box)
    kx, ky = np.meshgrid(k[: box // 2 + 1], k)
    inside = np.hypot(kx, ky) < box // 2
    plane = np.stack([kx[inside], ky[inside], np.zeros(inside.sum())], axis=-1)
    modes = views.volume.astype(np.complex64)

    def project() -> npt.NDArray[np.float32]:
        points = (plane @ views.rotations * (2 * np.pi / box)).astype(np.float32)
        x, y, z = points.reshape(-1, 3).T
        values = finufft.nufft3d2(
            *(np.ascontiguousarray(c) for c in (z, y, x)),
            modes,
            isign=-1,
            eps=TOLERANCE,
            nthreads=1,
        )
        slices = np.zeros((len(views.rotations), *inside.shape), np.complex64)
        slices[:, inside] = values.reshape(len(slices), -1)
        images = np.fft.irfft2(slices, s=(box, box))
        return np.asarray(np.fft.fftshift(images, axes=(1, 2)), np.float32)

    found = benchmark(project)
    # The corners of the transform, where the phantom has next to nothing, are left out here.
    assert relative_error(found, views) < 0.02


@alone
def test_aspire(views: Any, benchmark: Any) -> None:
    """Views by ASPIRE, which scales them by the box."""
    aspire = pytest.importorskip("aspire")
    volume = aspire.volume.Volume(views.volume)
    turns = aspire.utils.Rotation(np.swapaxes(views.rotations, 1, 2).astype(np.float32))
    found = benchmark(volume.project, turns)
    assert relative_error(found.asnumpy() * views.box, views) < 0.02


@pytest.mark.benchmark(group="projection, whole commands")
@pytest.mark.skipif(shutil.which("relion_project") is None, reason="RELION is not installed")
@pytest.mark.parametrize("program", ["mapsort", "relion"])
def test_commands(views: Any, view_files: Path, benchmark: Any, program: str) -> None:
    """The two programs on the same files, from start to end."""
    words = {
        "mapsort": "mapsort project map.mrc --angles views.star --out seen.mrcs -q",
        "relion": "relion_project --i map.mrc --ang views.star --o seen",
    }[program].split()
    benchmark(subprocess.run, words, cwd=view_files, check=True, capture_output=True)
    seen = mapsort.Particles.open(view_files / "seen.mrcs", apix=views.apix)
    assert relative_error(seen.images(slice(None)), views) < 0.05
