from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mapsort.errors import ConfigError
from mapsort.rundir.layout import RunDirectory


def test_names() -> None:
    run = RunDirectory(Path("multi_03"))
    names = {
        run.maps(0, 1): "threed_00_01.mrc",
        run.maps(12, 3): "threed_12_03.mrc",
        run.threed_filt(1, 2): "threed_filt_01_02.mrc",
        run.threed_mask(1, 2): "threed_mask_01_02.mrc",
        run.threed_even(1, 2): "threed_even_01_02.mrc",
        run.threed_odd(1, 2): "threed_odd_01_02.mrc",
        run.projections(1): "projections_01.hdf",
        run.simmx(1): "simmx_01.hdf",
        run.best_matches(1): "simmx_01.h5",
        run.proj_simmx(1): "proj_simmx_01.hdf",
        run.simmx_stg1(1): "simmx_stg1_01.hdf",
        run.proj_stg1(1): "proj_stg1_01.hdf",
        run.classify(1): "classify_01.hdf",
        run.classes(1): "classes_01.hdf",
        run.cls_result(1): "cls_result_01.hdf",
        run.particles(1): "particles_01.star",
        run.fsc(1, 2): "fsc_01_02.txt",
        run.fsc_mutual(1): "fsc_mutual_01.txt",
        run.fsc_eo(1, 2): "fsc_eo_01_02.txt",
        run.convergence: "convergence.json",
        run.log: "run.log",
        run.parms: "0_refine_parms.json",
        run.report: "report/index.html",
    }
    for path, name in names.items():
        assert path == Path("multi_03") / name
    assert RunDirectory(Path("x"), map_suffix=".hdf").maps(1, 1) == Path("x/threed_01_01.hdf")
    with pytest.raises(ConfigError, match=r"\.tif"):
        RunDirectory(Path("x"), map_suffix=".tif")


def test_next_free_is_highest_plus_one(tmp_path: Path) -> None:
    assert RunDirectory.next_free(tmp_path).path == tmp_path / "multi_00"
    assert RunDirectory.next_free(tmp_path).path == tmp_path / "multi_01"
    assert RunDirectory.next_free(tmp_path, prefix="refine").path == tmp_path / "refine_00"
    (tmp_path / "multi_07").mkdir()
    (tmp_path / "multi_99_old").mkdir()
    (tmp_path / "multi_abc").mkdir()
    (tmp_path / "my_multi_50").mkdir()
    assert RunDirectory.next_free(tmp_path).path == tmp_path / "multi_08"
    (tmp_path / "multi_99").mkdir()
    last = RunDirectory.next_free(tmp_path, map_suffix=".hdf")
    assert last.path == tmp_path / "multi_100"
    assert last.path.is_dir()
    assert last.map_suffix == ".hdf"


def test_next_free_of_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDirectory.next_free(tmp_path).path, range(40)))
    assert sorted(runs) == [tmp_path / f"multi_{number:02d}" for number in range(40)]


MAKE_TEN = """
import sys
from mapsort.rundir.layout import RunDirectory
for _ in range(10):
    print(RunDirectory.next_free(sys.argv[1]).path.name)
"""


def test_next_free_of_two_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_TEN, str(tmp_path)]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    names = [name for process in pair for name in process.communicate(timeout=60)[0].split()]
    assert sorted(names) == [f"multi_{number:02d}" for number in range(20)]


def test_parent_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        RunDirectory.next_free(tmp_path / "nowhere")
