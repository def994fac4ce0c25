"""A command line of the original's manual runs unchanged, and sorts."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.cli.main import e2refinemulti, main
from mapsort.io.mrc import write_map
from mapsort.io.star import read_particles

#: As printed there; rings are lighter than GroEL.
COMMAND = (
    "--input={particles} --models=a.mrc,b.mrc --sym=c1,d7 --iter={n} --mass={mass} --apix=4 "
    "--orientgen=eman:delta=7.5:inc_mirror=0 --simalign=rotate_translate_flip --simaligncmp=dot "
    "--simralign=refine --simraligncmp=dot --simcmp=frc:zeromask=1:snrweight=1 --twostage=2 "
    "--shrink=2 --sep=1 --classiter=1 --classkeep=0.8 --classnormproc=normalize.edgemean "
    "--classaverager=mean --classcmp=dot:normalize=1 --classalign=rotate_translate_flip "
    "--classaligncmp=dot --classralign=refine --classraligncmp=dot:normalize=1 --pad=80 "
    "--recon=fourier --m3dkeep=0.8 --m3diter=2 --m3dpreprocess=normalize.edgemean "
    "--m3dpostprocess=filter.lowpass.gauss:cutoff_freq=0.05 --automask3d=0.8,20,5,5,10 "
    "--parallel=thread:2 --lowmem"
)


def sort(directory, maps, monkeypatch, *, n, iterations, snr, mass=800):
    """Simulate particles of the maps, run the command, return the share sorted right."""
    monkeypatch.chdir(directory)
    assert main(["simulate", *map(str, maps), "--out", "p", "--n", str(n), "--snr", str(snr),
                 "--seedres", "40", "--seed", "5"]) == 0  # fmt: skip
    for name, seed in (("a.mrc", "seed_01.mrc"), ("b.mrc", "seed_02.mrc")):
        (directory / name).write_bytes((directory / "p" / seed).read_bytes())
    words = COMMAND.format(particles="p/particles.star", n=iterations, mass=mass).split()
    monkeypatch.setattr("sys.argv", ["e2refinemulti", *words, "--randomseed=1", "--path=run"])
    assert e2refinemulti() == 0
    found = read_particles(directory / "run" / f"particles_{iterations:02d}.star")[1]
    truth = read_particles(directory / "p" / "particles_truth.star")[1]
    return float(np.mean(found["rlnClassNumber"].to_numpy(int) == truth["rlnClassNumber"]))


def rings(box, apix, heights_ang):
    """Seven balls in a ring at each height: C7, or D7 with two of them turned alike."""
    z, y, x = (np.indices((box,) * 3) - box // 2) * apix
    volume = np.zeros((box,) * 3)
    for height in heights_ang:
        for k in range(7):
            a = 2 * np.pi * k / 7
            r2 = (x - 36 * np.cos(a)) ** 2 + (y - 36 * np.sin(a)) ** 2 + (z - height) ** 2
            volume += np.exp(-r2 / (2 * 7.0**2))
    return volume.astype(np.float32)


def test_the_command_of_the_manual_sorts_rings(tmp_path, monkeypatch):
    """One ring against two, small: 0.99 of 160 particles when this was written."""
    for name, heights in (("one.mrc", (20.0,)), ("two.mrc", (-20.0, 20.0))):
        write_map(tmp_path / name, rings(32, 4.0, heights), 4.0)
    share = sort(
        tmp_path, ("one.mrc", "two.mrc"), monkeypatch, n=160, iterations=1, snr=0.3, mass=60
    )
    assert share > 0.9
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"proj_simmx_01.hdf", "proj_stg1_01.hdf", "simmx_stg1_01.hdf", "simmx_01.h5"} <= written


@pytest.mark.slow
def test_the_command_of_the_manual_sorts_groel(tmp_path, monkeypatch, shared_dir):
    """GroEL's single ring from the whole: 1.000 of 1000 particles when this was written."""
    maps = shared_dir / "data" / "maps"
    pair = (maps / "groel_1mnf_singlering_C7_64_4.0A.mrc", maps / "groel_1mnf_D7_64_4.0A.mrc")
    assert sort(tmp_path, pair, monkeypatch, n=1000, iterations=3, snr=0.1) >= 0.95
