from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.errors import FormatError
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import write_map, write_stack
from mapsort.jobs import describe as info


def shown(facts: list[info.Fact]) -> dict[str, str]:
    return {fact.name: fact.text for fact in facts}


DATA = np.arange(4 * 4 * 4, dtype=np.float32).reshape(4, 4, 4)


def test_map(tmp_path: Path) -> None:
    write_map(tmp_path / "a.mrc", DATA, 1.5)
    facts = shown(info.describe(tmp_path / "a.mrc"))
    assert facts["kind"] == "map, MRC"
    assert facts["size"] == "4 x 4 x 4"
    assert facts["pixel size"] == "1.5 A"
    assert facts["pixels"] == "float32 (mode 2)"
    assert (facts["minimum"], facts["maximum"], facts["mean"]) == ("0", "63", "31.5")
    assert float(facts["standard deviation"]) == pytest.approx(DATA.std(), rel=1e-5)


def test_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mrcs"
    write_stack(path, DATA[:, :3], 2.0)
    facts = shown(info.describe(path))
    assert (facts["images"], facts["size"]) == ("4", "4 x 3")
    assert facts["maximum"] == "59"
    assert "statistics" not in facts
    monkeypatch.setattr(info, "_MOST", 2)
    facts = shown(info.describe(path))
    assert facts["statistics"] == "of 2 images, evenly spread"
    assert facts["maximum"] == "59"


def test_hdf(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, DATA, [{"model_id": 2}] * 4, apix=3.0)
    facts = shown(info.describe(path))
    assert (facts["images"], facts["size"], facts["pixel size"]) == ("4", "4 x 4", "3 A")
    assert facts["model_id of image 0"] == "2"
    write_images(path, [])
    assert shown(info.describe(path))["images"] == "0"


def test_star(shared_dir: Path) -> None:
    facts = shown(info.describe(shared_dir / "data/star/empiar10028_ctf_2000.star"))
    assert facts["data_particles"] == "2,000 rows, 5 columns"
    assert (facts["pixel size"], facts["box"]) == ("1.34 A", "360 pixel")
    assert facts["rlnVoltage"] == "300 kV"
    assert facts["rlnDefocusU"].endswith(" A")
    facts = shown(info.describe(shared_dir / "data/stacks/empiar10076_7.star"))
    assert (facts["image files"], facts["micrographs"]) == ("1", "7")
    assert facts["pixel size"] == "1.31 A"
    assert facts["rlnDefocusU"] == "15150.7 to 15366.8 A"


def test_classes_of_a_star(tmp_path: Path) -> None:
    path = tmp_path / "c.star"
    path.write_text("data_particles\n\nloop_\n_rlnClassNumber\n2\n1\n2\n")
    assert shown(info.describe(path))["particles per class"] == "1: 1, 2: 2"


def test_compressed_hdf(golden_dir: Path) -> None:
    facts = shown(info.describe(golden_dir / "files/stack5_c8.hdf"))
    assert facts["compressed"] == "8 bits"


def test_run_prints_plain_lines_into_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mrc"
    write_map(path, DATA, 1.5)
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{path}\tsize\t4 x 4 x 4" in lines
    assert all(line.count("\t") == 2 for line in lines)


def test_run_draws_a_table_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mrc"
    write_map(path, DATA, 1.5)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "4 x 4 x 4" in text
    assert "\t" not in text


def test_unknown_and_missing(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").touch()
    with pytest.raises(FormatError, match=r"a\.pdf: info knows \.ccp4, \.cs, \.h5"):
        info.describe(tmp_path / "a.pdf")
    with pytest.raises(FormatError, match=r"none: no such file"):
        info.describe(tmp_path / "none")
    with pytest.raises(FormatError, match=r"none\.mrc: no such file"):
        info.describe(tmp_path / "none.mrc")


def test_notes_of_tables_and_stacks(tmp_path: Path) -> None:
    """What a run would be told of a file, info tells too."""
    head = "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnMagMat00\n1 1.04\n\n"
    block = "data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n1@a.mrcs 1\n\n"
    (tmp_path / "p.star").write_text(head + block + block)
    notes = [fact.text for fact in info.describe(tmp_path / "p.star") if fact.name == "note"]
    assert notes[0] == "data_particles is there twice (1 + 1 rows): all are read"
    assert notes[1].startswith("rlnMagMat00: not applied; ")
    stack = tmp_path / "a.mrcs"
    write_stack(stack, DATA, 1.5)
    assert "note" not in {fact.name for fact in info.describe(stack)}
    stack.write_bytes(stack.read_bytes() + bytes(4 * DATA[0].nbytes))
    (note,) = [fact.text for fact in info.describe(stack) if fact.name == "note"]
    assert note == (
        "the file is longer than its header says: 4 images announced and read, and 4 images more"
    )
