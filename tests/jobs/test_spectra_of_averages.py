"""Averages with the spectra of their projections, in runs: ``--classrefsf``; the runs are tiny."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import read_map, write_stack
from mapsort.io.star import read_particles, write_particles
from mapsort.physics.filters import radial_power


def classification(run):
    with HdfReader(run.path / "classify_01.hdf") as reader:
        return np.stack([reader.image(index) for index in range(reader.n_images)])


def amplitudes(run):
    """Return those of the first map in each shell."""
    return np.sqrt(radial_power(np.fft.rfftn(run.maps[0].data))[: len(run.maps[0].data) // 2])


def test_averages_get_the_spectrum_of_their_projections(run_little, plain):
    run = run_little(classrefsf=True)
    np.testing.assert_array_equal(classification(run), classification(plain))
    correlation = np.corrcoef(run.maps[0].data.ravel(), plain.maps[0].data.ravel())[0, 1]
    assert 0.8 < correlation < 0.999
    # halves are compared as they were before
    for found, expected in zip(
        run.convergence[-1]["maps"], plain.convergence[-1]["maps"], strict=True
    ):
        assert found["half_fsc"] == expected["half_fsc"]


@pytest.mark.parametrize("selected", [{}, {"m3diter": 3, "m3dkeep": 0.8}])
def test_averages_of_noise_with_spectra_of_projections_do_not_agree(
    run_little, little, tmp_path, selected
):
    """Projections end where the maps' halves cease to agree; so do averages with their spectra."""
    images, apix = read_map(little.stack)
    noise = np.random.default_rng(4).standard_normal(images.shape).astype(np.float32)
    write_stack(tmp_path / "noise.mrcs", noise, apix)
    optics, table = read_particles(little.particles)
    named = table.assign(rlnImageName=[f"{i + 1:06d}@noise.mrcs" for i in range(len(noise))])
    write_particles(tmp_path / "noise.star", optics, named)
    run = run_little(tmp_path / "noise.star", iter=3, classrefsf=True, **selected)
    beyond = [m["half_fsc"][7:] for made in run.convergence for m in made["maps"]]
    # by chance 0.065; 0.2 to 0.4 of what leaks from lower shells, of either sign
    assert np.sqrt(np.mean(np.square(beyond))) < 0.13


def test_maps_keep_their_spectrum(run_little):
    """Projections are those of filtered maps; the filter must not come in again each time.

    Where averages took it over, maps had 0.90, 0.68, 0.54, 0.39, 0.47 of their amplitudes after
    four iterations.
    """
    shells = slice(2, 7)
    matched, measured = (
        amplitudes(run_little(iter=4, classrefsf=given))[shells] for given in (True, False)
    )
    np.testing.assert_allclose(matched / measured, 1.0, atol=0.2)
